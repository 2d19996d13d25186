/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file with a few bytes of it replaced, which are not in it: how an image would be if it were mended. */
#ifndef DISK_OVERLAY_FILE_H
#define DISK_OVERLAY_FILE_H

#include "partitions/root/disk/file.h"

#define OVERLAY_PATCHES    4u
#define OVERLAY_PATCH_SIZE 1024u

struct overlay_patch {
    uint64_t offset;
    size_t length;
    uint8_t bytes[OVERLAY_PATCH_SIZE];
};

struct overlay_file {
    struct disk_file file; /* for reading only */
    struct disk_file *base;
    struct overlay_patch patches[OVERLAY_PATCHES];
    unsigned count;
};

/* `base` stays the caller's, and is to outlive the overlay, which needs no closing. */
void overlay_file_initialize(struct overlay_file *overlay, struct disk_file *base);

/* Replaces `length` bytes, OVERLAY_PATCH_SIZE at most, within the file. ENOSPC if there are too many patches. */
int overlay_file_patch(struct overlay_file *overlay, uint64_t offset, const void *bytes, size_t length);

#endif
