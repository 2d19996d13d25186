/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making new, empty disks. */
#ifndef DISK_CREATE_H
#define DISK_CREATE_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/progress.h"

struct disk_create_options {
    uint32_t block_size; /* of a dynamic disk, a power of two of at least 4096, of a VHDX 1 MiB to 256 MiB; 0: 2 MiB, 32
                            MiB */
    uint32_t logical_sector; /* of a VHDX, 512 or 4096; 0: 512 */
    bool sparse;             /* a raw or fixed image gets its space as it is written, not now */
    bool replace;            /* an existing file that nobody uses */
    bool parent_raw;         /* what is at the parent's URL is a raw image; a file cannot be one */
    struct disk_progress progress;
};

/*
 * Makes a disk of `size` bytes, a multiple of 512, in a VHDX if `path` ends with ".vhdx" and in a VHD otherwise, unless
 * it is raw; a VHD has at most 2040 GiB, a VHDX 64 TiB. The file appears when
 * it is complete; on failure there is nothing. `options` may be NULL. False with `error`.
 */
bool disk_create(const char *path, uint64_t size, enum disk_format format, const struct disk_create_options *options,
                 struct disk_error *error);

/*
 * Makes a differencing disk: it has the size and geometry of `parent`, a VHD or VHDX that nobody writes to, and its
 * contents until they are written to. The parent is a file, or at a URL, of any format but differencing. The block size
 * is the parent's unless `options` give one. Likewise.
 */
bool disk_create_child(const char *path, const char *parent, const struct disk_create_options *options,
                       struct disk_error *error);

/* Of a disk that goes into a file of this name. */
uint32_t disk_default_block_size(const char *path, enum disk_format format);

/* For those who make images: checks the numbers, with `block_size` not 0; writes an empty, sparse image to an
 * empty file. */
bool disk_check_size(const char *path, uint64_t size, enum disk_format format, uint32_t block_size,
                     struct disk_error *error);
int disk_create_in(struct disk_file *file, uint64_t size, enum disk_format format, uint32_t block_size);

#endif
