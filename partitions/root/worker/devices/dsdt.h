/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The AML of dsdt.asl, with its header and checksum, as iasl compiles it. */
#ifndef WORKER_DEVICES_DSDT_H
#define WORKER_DEVICES_DSDT_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t dsdt_aml[];
extern const size_t dsdt_aml_length;

#endif
