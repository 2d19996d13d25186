/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The region table of a VHDX, [MS-VHDX] 2.2.3. */
#ifndef DISK_VHDX_REGIONS_H
#define DISK_VHDX_REGIONS_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/vhdx/headers.h"

struct vhdx_regions {
    enum vhdx_state state[VHDX_HEADERS]; /* of the two copies; the first valid one counts */
    bool differ;                         /* both are valid and not the same */
    uint32_t count;
    struct vhdx_region region[VHDX_MOST_REGIONS];
    uint32_t bat, metadata; /* which of them; not empty */
};

/*
 * Reads the table, after the log has been replayed. All regions lie within the file and over nothing else of the table
 * or the log. False with `error`; EOPNOTSUPP if there is one that is required and unknown.
 */
bool vhdx_regions_read(struct disk_file *file, const struct vhdx_headers *headers, struct vhdx_regions *regions,
                       struct disk_error *error);

#endif
