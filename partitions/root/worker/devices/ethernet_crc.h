/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CRC-32 of Ethernet (IEEE 802.3, 3.2.9), least significant bit first. */
#ifndef WORKER_DEVICES_ETHERNET_CRC_H
#define WORKER_DEVICES_ETHERNET_CRC_H

#include <stddef.h>
#include <stdint.h>

#define ETHERNET_CRC_START 0xffffffffu

/*
 * Carries `crc` (ETHERNET_CRC_START at first) over `length` bytes. The result is the bare remainder: what is
 * sent on the wire is its complement, low byte first.
 */
uint32_t ethernet_crc(uint32_t crc, const void *data, size_t length);

#endif
