/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growing and shrinking disks. */
#ifndef DISK_RESIZE_H
#define DISK_RESIZE_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/progress.h"

struct disk_resize_options {
    bool raw;          /* the image is raw; otherwise a VHD or VHDX */
    bool sparse;       /* a raw or fixed image gets its new space as it is written, not now */
    bool discard_data; /* what is cut off may hold something other than zeros */
    bool dry_run;      /* everything is looked at, and nothing changed */
    struct disk_progress progress;
};

struct disk_resize_result {
    enum disk_format format;
    uint64_t old_size; /* bytes */
};

/*
 * Gives a disk that nobody uses a size of `size` bytes, a multiple of 512; of a VHD at most 2040 GiB, of a VHDX at most
 * 64 TiB and a multiple of its logical sectors. New sectors are zeros. A disk is not shrunk while what would be cut off
 * holds data (ENOTEMPTY, with the first place). File systems and partitions are the guest's matter: they are to be
 * shrunk before, and to be grown afterwards.
 *
 * A differencing disk has its parent's size and is refused, as Hyper-V does with VHDs. Whether a disk has children
 * cannot be seen; those that it has are refused from then on, until it has its old size and they are reconnected.
 *
 * Whenever it is interrupted, the disk is the old or the new one. `options` may be NULL, and `result`. False with
 * `error`.
 */
bool disk_resize(const char *path, uint64_t size, const struct disk_resize_options *options,
                 struct disk_resize_result *result, struct disk_error *error);

#endif
