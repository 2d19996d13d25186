/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VHDX with a log to be replayed, as it will be afterwards, for reading: the updates stay in memory. */
#ifndef DISK_VHDX_OVERLAY_H
#define DISK_VHDX_OVERLAY_H

#include "partitions/root/disk/file.h"
#include "partitions/root/disk/vhdx/replay.h"

/* Updates that can be kept; a log of VHDX_LARGEST_LOG cannot have more of data. */
#define VHDX_OVERLAY_UPDATES 16384u

/*
 * A file that reads as `below` after the replay, and cannot be changed. It takes over what the replay owns, and is
 * closed with disk_file_close, which leaves `below` alone. NULL, and the errno in *result: ENOMEM, or EOPNOTSUPP if
 * there are more than VHDX_OVERLAY_UPDATES; the replay is still the caller's then.
 */
struct disk_file *vhdx_overlay_create(struct disk_file *below, struct vhdx_replay *replay, int *result);

#endif
