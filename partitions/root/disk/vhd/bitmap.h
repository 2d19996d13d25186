/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bitmaps of a VHD's blocks: a bit for each sector of 512 bytes, the first sector's the most significant of the first
 * byte. Pure functions on one sector of a bitmap, VHD_BITMAP_BITS bits.
 */
#ifndef DISK_VHD_BITMAP_H
#define DISK_VHD_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

#define VHD_BITMAP_BITS 4096u

bool vhd_bitmap_bit(const uint8_t *bits, uint32_t bit);

/* How many bits from `first` on, below `end`, are like the first; `first` < `end`. */
uint32_t vhd_bitmap_run(const uint8_t *bits, uint32_t first, uint32_t end);

/* Sets the bits from `first` on, below `end`. */
void vhd_bitmap_set(uint8_t *bits, uint32_t first, uint32_t end);

/* Whether all bits from `first` on, below `end`, are set. */
bool vhd_bitmap_all(const uint8_t *bits, uint32_t first, uint32_t end);

#endif
