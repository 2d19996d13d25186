/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving space back to the host that an image has and does not need. The disk holds what it held.
 *
 * A dynamic image gives up its blocks of zeros, a differencing one the blocks whose sectors are all as the parent has
 * them, and a differencing VHDX those of zeros, too, as its block allocation table can say that; blocks from the end of
 * the file move into the gaps, and the file becomes shorter. A raw image gets holes where it has zeros. A fixed image
 * has its space on purpose.
 *
 * The image is sound at every moment. A gap is written to only when it is durable that no block is there, and an entry
 * of the block allocation table names a new place only when it is durable what the place holds.
 */
#ifndef DISK_COMPACT_H
#define DISK_COMPACT_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/progress.h"

struct disk_compact_options {
    bool raw;     /* the image is raw; otherwise it is a VHD or VHDX */
    bool dry_run; /* only finds out what would be done */
    struct disk_progress progress;
};

struct disk_compact_result {
    uint64_t before, after; /* bytes of the image's file; those that a raw one takes of its file system */
    uint32_t given_up;      /* blocks */
    uint32_t moved;
};

/* Blocks of an image, a bit for each, the least significant first. */
struct disk_compact_blocks {
    uint8_t *unneeded; /* as they would be without them */
    uint8_t *zeros;    /* of the others, those of zeros, if the format can say so; NULL otherwise */
};

/*
 * Compacts the image, which nobody may have open. The time of its last modification stays, by which its children know
 * that its contents are the same. False with `error`; cancelled, it is smaller or not, and sound.
 */
bool disk_compact(const char *path, const struct disk_compact_options *options, struct disk_compact_result *result,
                  struct disk_error *error);

/* The same with the files of a chain, which stay the caller's, as in disk_open_files. */
bool disk_compact_files(struct disk_file *const *files, unsigned count, const struct disk_compact_options *options,
                        struct disk_compact_result *result, struct disk_error *error);

#endif
