/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/place.h"

#include <stddef.h>

uint32_t vhd_place_block_bytes(uint64_t disk_size, uint32_t block_size, uint32_t block)
{
    uint64_t start = (uint64_t)block * block_size;
    uint64_t rest = start < disk_size ? disk_size - start : 0;
    return rest < block_size ? (uint32_t)rest : block_size;
}

bool vhd_place_ends_before(uint64_t place, uint64_t length, uint64_t end)
{
    return place <= end && length <= end - place;
}

const struct vhd_reserved *vhd_place_find_overlap(const struct vhd_reserved *reserved, unsigned count, uint64_t place,
                                                  uint64_t length)
{
    for (unsigned i = 0; i < count; i++)
        if (place < reserved[i].offset + reserved[i].length && reserved[i].offset < place + length)
            return &reserved[i];
    return NULL;
}
