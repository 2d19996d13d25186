/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of an image: opened with the right access, found to be of a usable kind, and locked. */
#ifndef DISK_IMAGE_FILE_H
#define DISK_IMAGE_FILE_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"

/* `flags` and descriptors as in disk_open and disk_open_descriptor. NULL with `error`. */
struct disk_file *image_file_open(const char *path, unsigned flags, struct disk_error *error);
struct disk_file *image_file_wrap(int descriptor, const char *name, unsigned flags, struct disk_error *error);

/*
 * With which flag of open(2) a file is opened for writing: a block device exclusively, so that EBUSY tells of a host
 * that has mounted it or uses it otherwise. O_EXCL or 0.
 */
int image_file_exclusive(const char *path);

/* For host_files.c. */
int image_file_open_directly(const char *path, unsigned flags, struct disk_error *error);

/* Unlocks and closes. */
void image_file_close(struct disk_file *file);

#endif
