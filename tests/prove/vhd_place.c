/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whatever an entry of a block allocation table says, judging it overflows nowhere and reads nothing but the list of
 * reserved parts. Bounds: files of at most 2^62 bytes, disks of at most 2040 GiB, all block sizes.
 */
#include <__fc_builtin.h>

#include "partitions/root/disk/vhd/place.h"

#define LARGEST_FILE (1ul << 62)

static struct vhd_reserved reserved[VHD_RESERVED];

int main(void)
{
    for (unsigned i = 0; i < VHD_RESERVED; i++) {
        reserved[i].offset = Frama_C_unsigned_long_interval(0, LARGEST_FILE);
        reserved[i].length = Frama_C_unsigned_long_interval(1, LARGEST_FILE);
    }
    uint32_t block_size = 1u << Frama_C_unsigned_int_interval(9, 31);
    uint32_t bytes = vhd_place_block_bytes(Frama_C_unsigned_long_interval(1, VHD_MAXIMUM_SIZE), block_size,
                                           Frama_C_unsigned_int_interval(0, UINT32_MAX));
    //@ assert bytes <= 0x80000000;
    uint64_t place = (uint64_t)Frama_C_unsigned_int_interval(0, UINT32_MAX) * DISK_SECTOR_SIZE;
    uint64_t length = bytes + (uint64_t)vhd_bitmap_size(block_size);
    vhd_place_ends_before(place, length, Frama_C_unsigned_long_interval(0, LARGEST_FILE));
    vhd_place_find_overlap(reserved, Frama_C_unsigned_int_interval(0, VHD_RESERVED), place, length);
    return 0;
}
