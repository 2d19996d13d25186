/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Internet checksum (RFC 1071). */
#ifndef NET_CHECKSUM_H
#define NET_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Adds `length` bytes to a running sum and returns the new one: a ones' complement sum in 16 bits, in the
 * byte order of the data. All parts but the last must have an even length.
 */
uint16_t checksum_add(uint16_t sum, const void *data, size_t length);

/* The sum of the TCP/UDP pseudo header; addresses in network order, `length` in host order. */
uint16_t checksum_pseudo_header(uint32_t source, uint32_t destination, uint8_t protocol, uint16_t length);

/* The field's value for a sum: its complement. */
static inline uint16_t checksum_finish(uint16_t sum)
{
    return (uint16_t)~sum;
}

/* What lwIP calls for every checksum (LWIP_CHKSUM): the sum, not complemented. */
uint16_t lwip_checksum(const void *data, int length);

#endif
