/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Merging: what a differencing disk has over one of its parents is written into that parent, which then holds what the
 * child held.
 *
 * While that goes on, and after it was interrupted at any moment, the child reads as before, since what it has goes
 * before what its parents have. That it is not refused because its parent has changed, the links above the ancestor do
 * without a time stamp meanwhile; where an image that is written to gets another identifier, as a VHDX does, that one
 * is chosen before, and noted in the image above the ancestor beside the old one. So doing it again finishes it. The
 * child is removed when the ancestor is durable, and then the images between, from the ancestor up, so that none of
 * those is ever taken for a sound disk without it.
 *
 * Every other image that is based on the ancestor or on one between loses its meaning with the first sector written.
 */
#ifndef DISK_MERGE_H
#define DISK_MERGE_H

#include <limits.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/error.h"
#include "partitions/root/disk/progress.h"

struct disk_merge_options {
    bool keep;    /* the merged images stay, and hold what they held */
    bool force;   /* even if other images are found that are based on these */
    bool dry_run; /* only finds out what would be done */
    struct disk_progress progress;
};

struct disk_merge_result {
    uint64_t written;        /* bytes of the disk that go into the ancestor */
    uint64_t space;          /* bytes of its new blocks */
    uint32_t images;         /* that are merged */
    char ancestor[PATH_MAX]; /* where it was found */
};

/*
 * Merges the differencing disk into its parent `ancestor`, or the next one if that is NULL. Nobody may have any of the
 * images open. False with `error`; the child then reads as before. `options` and `error` may be NULL.
 */
bool disk_merge(const char *child, const char *ancestor, const struct disk_merge_options *options,
                struct disk_merge_result *result, struct disk_error *error);

/* What it rests on: writes everything that the images of `upper` have, none of which is an ancestor, into `lower`.
 * Or finds out only how much that is. Not flushed. */
bool disk_merge_into(struct disk *upper, struct disk *lower, const struct disk_merge_options *options,
                     struct disk_merge_result *result, struct disk_error *error);

#endif
