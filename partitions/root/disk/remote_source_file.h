/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files of sources at URLs for programs that open disks by their names. */
#ifndef DISK_REMOTE_SOURCE_FILE_H
#define DISK_REMOTE_SOURCE_FILE_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/remote_source.h"

/* The file of a source, which fails rather than wait longer than DISK_OPEN_PATIENCE. A size of 0 and the validator are
 * filled in. NULL with `error`. */
struct disk_file *remote_source_open(struct remote_source *source, struct disk_error *error);

#endif
