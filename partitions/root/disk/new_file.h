/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that appears under its name only when it is complete and durable. Until then it has a temporary name
 * in the same directory.
 */
#ifndef DISK_NEW_FILE_H
#define DISK_NEW_FILE_H

#include <limits.h>
#include <stdbool.h>

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"

struct new_file {
    int descriptor; /* of the file that is being made, for reading and writing */
    int directory;
    int replaced;     /* the existing file, locked until it is replaced; -1 if there is none */
    const char *path; /* the caller's */
    const char *name; /* its last component */
    char temporary[NAME_MAX + 1];
    bool replace;
};

/*
 * Begins a file that will be `path`, readable and writable by its owner only. An existing file is an error
 * (EEXIST) unless `replace` is set; then it is an error if it is in use (EBUSY) or no regular file. False
 * with `error`.
 */
bool new_file_begin(struct new_file *file, const char *path, bool replace, struct disk_error *error);

/*
 * The file for the functions that fill it, to be closed before it is committed. Synchronizations of it wait
 * for that. NULL if there is no memory or no descriptor left.
 */
struct disk_file *new_file_wrap(const struct new_file *file);

/* Makes the file durable and gives it its name. If that fails the file is gone, as with new_file_abandon. */
bool new_file_commit(struct new_file *file, struct disk_error *error);
void new_file_abandon(struct new_file *file);

/* For host_files.c. */
bool new_file_begin_directly(struct new_file *file, const char *path, bool replace, struct disk_error *error);
bool new_file_commit_directly(struct new_file *file, struct disk_error *error);
void new_file_abandon_directly(struct new_file *file);

#endif
