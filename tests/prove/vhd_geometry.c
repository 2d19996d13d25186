/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For all sizes of disks, and all geometries that a footer may have: no division by zero, no overflow. */
#include <__fc_builtin.h>

#include "partitions/root/disk/vhd/vhd.h"

int main(void)
{
    struct disk_geometry preferred = {
        .cylinders = (uint16_t)Frama_C_unsigned_int_interval(0, UINT16_MAX),
        .heads = (uint8_t)Frama_C_unsigned_int_interval(0, UINT8_MAX),
        .sectors_per_track = (uint8_t)Frama_C_unsigned_int_interval(0, UINT8_MAX),
    };
    uint64_t sectors = Frama_C_unsigned_long_interval(0, UINT64_MAX);
    struct disk_geometry geometry = vhd_geometry(sectors);
    //@ assert 4 <= geometry.heads <= 16 && 17 <= geometry.sectors_per_track <= 255;
    geometry = vhd_identify_geometry(preferred, sectors);
    //@ assert geometry.cylinders <= 16383;
    return geometry.heads;
}
