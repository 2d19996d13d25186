/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VHDX's metadata region says of the disk, [MS-VHDX] 2.6. */
#ifndef DISK_VHDX_METADATA_H
#define DISK_VHDX_METADATA_H

#include "partitions/root/disk/vhdx/item.h"
#include "partitions/root/disk/vhdx/regions.h"

struct vhdx_metadata {
    struct vhdx_layout layout;
    bool leave_allocated; /* a fixed image */
    uint32_t physical_sector;
    uint8_t disk_id[VHDX_GUID_SIZE];
    uint64_t disk_size_offset; /* where VirtualDiskSize stands in the file */
    uint64_t
        locator_offset; /* of the parent locator in the file, if layout.differencing; what is in it is not checked */
    uint32_t locator_length;
};

/*
 * Reads the metadata table and the known items; the BAT's region has room for the disk's entries. False with `error`;
 * EOPNOTSUPP if there is an item that is required and unknown.
 */
bool vhdx_metadata_read(struct disk_file *file, const struct vhdx_regions *regions, struct vhdx_metadata *metadata,
                        struct disk_error *error);

#endif
