/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copying a disk into an image of another format. */
#ifndef DISK_CONVERT_H
#define DISK_CONVERT_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/progress.h"

struct disk_convert_options {
    bool source_raw;     /* the source is raw whatever it looks like; otherwise it is if it is no VHD at all */
    uint32_t block_size; /* of a dynamic destination, as in struct disk_create_options */
    bool replace;        /* an existing destination that nobody uses */
    struct disk_progress progress;
};

/*
 * Copies the disk in `source`, which must not be open for writing, to a new image. Where there are only zeros
 * the new image takes no space. The destination appears when it is complete and durable; on failure there is
 * nothing. `options` may be NULL. False with `error`.
 */
bool disk_convert(const char *source, const char *destination, enum disk_format format,
                  const struct disk_convert_options *options, struct disk_error *error);

#endif
