/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks that are only read, by programs: what they are is found out, and zeros are looked for. */
#ifndef DISK_SOURCE_H
#define DISK_SOURCE_H

#include "partitions/root/disk/disk.h"
#include "partitions/root/disk/error.h"

/* Opens a disk for reading. It is raw if `raw` says so, or if it is nothing else. NULL with `error`. */
struct disk *disk_open_source(const char *path, bool raw, struct disk_error *error);

/* The unit in which zeros are left out: a page of the host. */
#define DISK_PAGE_SECTORS 8u

/* How many of the sectors from `first` on are in pages that are alike in being zeros or not, in *zero; at least 1. */
uint32_t disk_find_run(const uint8_t *bytes, uint32_t first, uint32_t sectors, bool *zero);

/* Whether the bytes, of which there is one at least, are all zeros. */
bool disk_is_zero(const uint8_t *bytes, size_t length);

#endif
