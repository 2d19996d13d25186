/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving a differencing VHD another name, place or state of its parent. */
#ifndef DISK_VHD_RECONNECT_H
#define DISK_VHD_RECONNECT_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/parent_paths.h"

struct vhd_new_parent {
    uint8_t identifier[16];
    int64_t timestamp; /* when it was last modified, seconds since 1970 */
    const struct parent_paths *paths;
    const struct remote_source *remote; /* it is at a URL, and has no time stamp and no paths; NULL: it is a file */
};

/*
 * Writes what the image in `file`, which is open for writing and locked, shall say of its parent, at a stroke
 * (vhd/rewrite.h). All locators that it had are replaced by those of the two paths, or of the source. False with
 * `error`.
 */
bool vhd_reconnect(struct disk_file *file, const struct vhd_new_parent *parent, struct disk_error *error);

#endif
