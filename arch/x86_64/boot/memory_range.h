/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists of RAM as the rest of Loam wants them. */
#ifndef BOOT_MEMORY_RANGE_H
#define BOOT_MEMORY_RANGE_H

#include "kernel/boot_memory.h"

/*
 * Sorts runs of pages by address, joins those that touch or overlap, drops empty ones and, if more than `maximum`
 * are left, the smallest. Returns how many are left. No two's sum may overflow 64 bits.
 */
unsigned memory_ranges_normalize(struct memory_range *ranges, unsigned count, unsigned maximum);

#endif
