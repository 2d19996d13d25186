/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Space of the host for parts of a file, before they are written to. */
#ifndef DISK_SPACE_H
#define DISK_SPACE_H

#include "partitions/root/disk/file.h"
#include "partitions/root/disk/progress.h"

/*
 * Gives the bytes of the file from `begin` on, below `end`, their space; what has none yet reads as zeros. The file
 * grows to `end` if it is shorter. 0; ECANCELED, or an errno, and some of it may have been done.
 */
int disk_allocate_space(struct disk_file *file, uint64_t begin, uint64_t end, const struct disk_progress *progress);

#endif
