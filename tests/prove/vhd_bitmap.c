/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whatever a bitmap holds, nothing outside of its 512 bytes is read or written, for all 0 <= first < end <= 4096. */
#include <__fc_builtin.h>

#include "partitions/root/disk/vhd/bitmap.h"

static uint8_t bits[VHD_BITMAP_BITS / 8];

int main(void)
{
    for (unsigned i = 0; i < sizeof(bits); i++)
        bits[i] = (uint8_t)Frama_C_unsigned_int_interval(0, 255);
    uint32_t first = Frama_C_unsigned_int_interval(0, VHD_BITMAP_BITS - 1);
    uint32_t end = Frama_C_unsigned_int_interval(1, VHD_BITMAP_BITS);
    if (first >= end)
        return 0;
    vhd_bitmap_bit(bits, first);
    vhd_bitmap_run(bits, first, end);
    vhd_bitmap_all(bits, first, end);
    vhd_bitmap_set(bits, first, end);
    return 0;
}
