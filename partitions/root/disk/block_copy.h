/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copying blocks within an image's file. */
#ifndef DISK_BLOCK_COPY_H
#define DISK_BLOCK_COPY_H

#include "partitions/root/disk/file.h"

#define BLOCK_COPY_BUFFER (1u << 20)

/*
 * Copies `length` bytes, which do not overlap with where they go; what lies behind the file's end is zeros. Zeros take
 * no space if the host can make holes. `buffer` has BLOCK_COPY_BUFFER bytes. 0 or an errno.
 */
int block_copy(struct disk_file *file, uint64_t from, uint64_t to, uint64_t length, uint8_t *buffer);

#endif
