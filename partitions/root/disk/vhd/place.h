/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a block can be where a block allocation table has it. Pure functions, proved in tests/prove/vhd_place.c. */
#ifndef DISK_VHD_PLACE_H
#define DISK_VHD_PLACE_H

#include "partitions/root/disk/vhd/metadata.h"

/* Bytes of a disk of `disk_size` bytes in the block: the block size but for the last one; 0 behind the disk's end. */
uint32_t vhd_place_block_bytes(uint64_t disk_size, uint32_t block_size, uint32_t block);

/* Whether `length` bytes at byte `place` end at or before byte `end`. */
bool vhd_place_ends_before(uint64_t place, uint64_t length, uint64_t end);

/* The first of the `count` parts of the file over which `length` bytes at byte `place` lie; NULL if they lie over none.
 * No part, nor what lies at `place`, reaches beyond the largest number. */
const struct vhd_reserved *vhd_place_find_overlap(const struct vhd_reserved *reserved, unsigned count, uint64_t place,
                                                  uint64_t length);

#endif
