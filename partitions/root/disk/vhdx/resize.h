/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving a fixed or dynamic VHDX another size. */
#ifndef DISK_VHDX_RESIZE_H
#define DISK_VHDX_RESIZE_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/progress.h"

struct vhdx_resize {
    uint64_t size; /* bytes, a multiple of the logical sector, not 0, at most VHDX_MAXIMUM_SIZE */
    bool allocate; /* what a fixed image gets has its space at once */
    const struct disk_progress *progress;
};

/*
 * Resizes the image in `file`, which is open for writing and locked, and no differencing one. The bytes that are new
 * read as zeros; what is cut off is lost. Whenever it is interrupted, the image is the old or the new one.
 *
 * Growing, the BAT gets a place behind the last block if its own is too short, and a fixed image its new blocks, too.
 * All that the new image has and the old one has not is durable before one entry of the log says the new size and, in
 * the region tables, the BAT's new place. Shrinking, the size comes first, and then the blocks are given up.
 *
 * False with `error`.
 */
bool vhdx_resize(struct disk_file *file, const struct vhdx_resize *resize, struct disk_error *error);

#endif
