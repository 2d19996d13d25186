/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/children.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/image_open.h"
#include "partitions/root/disk/parent_check.h"
#include "partitions/root/disk/parent_search.h"

struct children {
    const struct disk *chain;
    uint32_t count;
    disk_children_visit *visit;
    void *context;
    const struct parent_link *link; /* of the image that is looked at */
    uint32_t parent;                /* its number, when it is found */
};

static bool is_file(const struct disk_image *image, const struct stat *status)
{
    struct stat own;
    return fstat(image->file->descriptor, &own) == 0 && own.st_dev == status->st_dev && own.st_ino == status->st_ino;
}

/* The number of the image that is this file; `count` if none is. */
static uint32_t find_member(const struct children *children, const struct stat *status)
{
    uint32_t i = 0;
    while (i < children->count && !is_file(children->chain->images[i], status))
        i++;
    return i;
}

/* The first file that the names lead to and that has the identifier is the parent. */
static bool is_parent(void *context, const char *path)
{
    struct children *children = context;
    struct stat status;
    if (stat(path, &status) < 0)
        return false;
    children->parent = find_member(children, &status);
    return children->parent < children->count &&
           parent_has_identity(children->chain->images[children->parent], children->link);
}

/* What the file says of its parent, to be freed; NULL if it is no differencing image. */
static struct parent_link *read_link(const char *path, struct metadata_cache *cache)
{
    struct disk_error ignored;
    struct disk_file *file = image_file_open(path, DISK_OPEN_UNLOCKED, &ignored);
    struct disk_image *image = file ? image_open(file, DISK_OPEN_READ_ONLY, cache, &ignored) : NULL;
    struct parent_link *link = image && image->differencing ? malloc(sizeof(*link)) : NULL;
    if (link && !image->operations->read_parent(image, link, &ignored)) {
        free(link);
        link = NULL;
    }
    if (image)
        image->operations->close(image);
    if (file)
        image_file_close(file);
    return link;
}

static void look_at(struct children *children, const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0 || !S_ISREG(status.st_mode) || find_member(children, &status) < children->count)
        return;
    struct metadata_cache *cache = metadata_cache_create(); /* not the chain's: the file is gone before it */
    struct parent_link *link = cache ? read_link(path, cache) : NULL;
    children->link = link;
    if (link && parent_search(path, link, is_parent, children))
        children->visit(children->context, path, children->parent);
    free(link);
    metadata_cache_destroy(cache);
}

static void look_into(struct children *children, const char *directory)
{
    DIR *entries = opendir(*directory ? directory : ".");
    const struct dirent *entry;
    while (entries && (entry = readdir(entries))) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof(path), "%s%s", directory, entry->d_name);
        if (entry->d_name[0] != '.' && length > 0 && (size_t)length < sizeof(path))
            look_at(children, path);
    }
    if (entries)
        closedir(entries);
}

/* With the slash at its end; empty for the current one. */
static void directory_of(const struct disk_image *image, char directory[PATH_MAX])
{
    const char *name = image->file->name, *slash = strrchr(name, '/');
    snprintf(directory, PATH_MAX, "%.*s", slash ? (int)(slash - name) + 1 : 0, name);
}

static bool is_same_directory(const char *a, const char *b)
{
    struct stat left, right;
    return stat(*a ? a : ".", &left) == 0 && stat(*b ? b : ".", &right) == 0 && left.st_dev == right.st_dev &&
           left.st_ino == right.st_ino;
}

void disk_find_children(const struct disk *chain, uint32_t count, disk_children_visit *visit, void *context)
{
    struct children children = {.chain = chain, .count = count, .visit = visit, .context = context};
    for (uint32_t i = 0; i < count; i++) {
        char directory[PATH_MAX], earlier[PATH_MAX];
        bool seen = false;
        directory_of(chain->images[i], directory);
        for (uint32_t j = 0; j < i && !seen; j++) {
            directory_of(chain->images[j], earlier);
            seen = is_same_directory(directory, earlier);
        }
        if (!seen)
            look_into(&children, directory);
    }
}
