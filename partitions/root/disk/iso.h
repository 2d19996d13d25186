/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images of optical discs: blocks of 2048 bytes one after the other, usually with an ISO 9660 file system. */
#ifndef DISK_ISO_H
#define DISK_ISO_H

#include <stdbool.h>

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"

#define ISO_BLOCK_SIZE 2048u

/*
 * Whether an image of `size` bytes can be a disc: whole blocks, and all of those that its primary volume
 * descriptor speaks of (ECMA-119, 8.4). One without an ISO 9660 file system is taken as it is. False with
 * `error`: EINVAL for the size, EUCLEAN if it is truncated, or what reading failed with.
 */
bool iso_check(struct disk_file *file, uint64_t size, struct disk_error *error);

#endif
