/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VHDX by itself, for work on its file. */
#ifndef DISK_VHDX_EDIT_H
#define DISK_VHDX_EDIT_H

#include "partitions/root/disk/vhdx/block.h"

struct vhdx_edit {
    struct vhdx_image *image;
    struct metadata_cache *cache;
};

/* Opens the image, for writing unless `flags` have DISK_OPEN_READ_ONLY; the file stays the caller's. False with
 * `error`. */
bool vhdx_edit_begin(struct vhdx_edit *edit, struct disk_file *file, unsigned flags, struct disk_error *error);

/* Puts the file in order, makes everything durable, and closes the image. 0 or an errno. */
int vhdx_edit_end(struct vhdx_edit *edit);

#endif
