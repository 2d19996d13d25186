/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving a fixed or dynamic VHD another size. */
#ifndef DISK_VHD_RESIZE_H
#define DISK_VHD_RESIZE_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/progress.h"

struct vhd_resize {
    uint64_t size; /* bytes, a multiple of 512, not 0, at most VHD_MAXIMUM_SIZE */
    bool allocate; /* what a fixed image gets has its space at once */
    const struct disk_progress *progress;
};

/*
 * Resizes the image in `file`, which is open for writing and locked, and no differencing one. The bytes that are new
 * read as zeros; what is cut off is lost. Whenever it is interrupted, the image is the old or the new one.
 *
 * A fixed image grows between its disk and its footer: the old footer is written once more, at the new end; then what
 * is between can be made zeros, before a new footer, in the place of that one, says that it is the disk's.
 *
 * A dynamic image gets another block allocation table behind its last block if its own is too short (vhd/rewrite.h).
 *
 * False with `error`.
 */
bool vhd_resize(struct disk_file *file, const struct vhd_resize *resize, struct disk_error *error);

#endif
