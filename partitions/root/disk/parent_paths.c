/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/parent_paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/path_name.h"

bool parent_paths_find(struct parent_paths *paths, const char *child, const char *parent, struct disk_error *error)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(child, '/');
    snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - child) + 1 : 1, slash ? child : ".");
    char *real = realpath(directory, NULL);
    int result = real && realpath(parent, paths->absolute) ? 0 : errno;
    if (!result && !path_name_relative(real, paths->absolute, paths->relative, sizeof(paths->relative)))
        result = ENAMETOOLONG;
    free(real);
    if (result)
        disk_error_set(error, result, child, "the path of its parent %s: %s", parent, strerror(result));
    return result == 0;
}
