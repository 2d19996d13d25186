/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Comparing the contents of two disks, whatever their formats. */
#ifndef DISK_COMPARE_H
#define DISK_COMPARE_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/progress.h"

struct disk_compare_options {
    bool raw[2]; /* this one is raw whatever it looks like; otherwise it is if it is no VHD at all */
    bool strict; /* disks of different sizes are refused: EINVAL */
    struct disk_progress progress;
};

/* Where one disk is smaller, the rest of the other counts as equal if it is zeros. */
struct disk_compare_result {
    uint64_t size[2];           /* bytes */
    uint64_t different_sectors; /* 0: the disks are equal */
    uint64_t first_difference;  /* byte of the disk, if there is one */
};

/*
 * Compares the disks in two files, which may not be open for writing. Where both have zeros without having them
 * written, nothing is read. False with `error` if that could not be done.
 */
bool disk_compare(const char *const paths[2], const struct disk_compare_options *options,
                  struct disk_compare_result *result, struct disk_error *error);

#endif
