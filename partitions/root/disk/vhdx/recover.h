/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a crash has left of a VHDX, put in order as it is opened. */
#ifndef DISK_VHDX_RECOVER_H
#define DISK_VHDX_RECOVER_H

#include "partitions/root/disk/vhdx/block.h"

/*
 * If the image has a log to be replayed: replays it in the file, or, if it is read_only, in memory, and sets
 * metadata_file. image->headers is as it was read, and file_size in it becomes that after the replay. *recovered: it
 * was done in the file. False with `error`.
 */
bool vhdx_recover_log(struct vhdx_image *image, bool *recovered, struct disk_error *error);

/* Where the last region, the log or the last block ends that the BAT has. Nothing is held in the cache. 0 or an errno.
 */
int vhdx_find_end(const struct vhdx_image *image, const struct vhdx_regions *regions, uint64_t *end);

/* Cuts off what lies behind everything that is in use. The image's log is empty. 0 or an errno. */
int vhdx_cut_tail(struct vhdx_image *image, const struct vhdx_regions *regions);

#endif
