/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/parent_paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/path_name.h"

bool parent_paths_find(struct parent_paths *paths, const char *child, const char *parent, struct disk_error *error)
{
    char directory[PATH_MAX], real[PATH_MAX];
    const char *slash = strrchr(child, '/');
    snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - child) + 1 : 1, slash ? child : ".");
    int result = host_files->real_path(directory, real);
    if (!result)
        result = host_files->real_path(parent, paths->absolute);
    if (!result && !path_name_relative(real, paths->absolute, paths->relative, sizeof(paths->relative)))
        result = ENAMETOOLONG;
    if (result)
        disk_error_set(error, result, child, "the path of its parent %s: %s", parent, strerror(result));
    return result == 0;
}
