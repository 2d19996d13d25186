/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The paths of a parent as its child shall have them. */
#ifndef DISK_PARENT_PATHS_H
#define DISK_PARENT_PATHS_H

#include <limits.h>
#include <stdbool.h>

#include "partitions/root/disk/error.h"

struct parent_paths {
    char absolute[PATH_MAX];
    char relative[PATH_MAX]; /* from the child's directory */
};

/* Of the file `parent`, for a child that is, or will be, `child`. False with `error`, which names the child. */
bool parent_paths_find(struct parent_paths *paths, const char *child, const char *parent, struct disk_error *error);

#endif
