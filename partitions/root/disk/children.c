/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/children.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "partitions/root/disk/host_files.h"
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
    if (host_files->status(path, &status))
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
    if (host_files->status(path, &status) || !S_ISREG(status.st_mode) ||
        find_member(children, &status) < children->count)
        return;
    struct metadata_cache *cache = metadata_cache_create(); /* not the chain's: the file is gone before it */
    struct parent_link *link = cache ? read_link(path, cache) : NULL;
    children->link = link;
    if (link && parent_search(path, link, is_parent, children))
        children->visit(children->context, path, children->parent);
    free(link);
    metadata_cache_destroy(cache);
}

/* With the slash at its end; empty for the current one. */
static void directory_of(const struct disk_image *image, char directory[PATH_MAX])
{
    const char *name = image->file->name, *slash = strrchr(name, '/');
    snprintf(directory, PATH_MAX, "%.*s", slash ? (int)(slash - name) + 1 : 0, name);
}

/* At what is in the directory of the image. */
static void look_beside(struct children *children, const struct disk_image *image)
{
    char directory[PATH_MAX], *name = NULL;
    size_t size = 0;
    directory_of(image, directory);
    int descriptor = host_files->list_beside(image->file->name);
    FILE *names = descriptor < 0 ? NULL : fdopen(descriptor, "r");
    while (names && getdelim(&name, &size, '\0', names) > 0) {
        char path[PATH_MAX];
        int length = snprintf(path, sizeof(path), "%s%s", directory, name);
        if (name[0] != '.' && length > 0 && (size_t)length < sizeof(path))
            look_at(children, path);
    }
    free(name);
    if (names)
        fclose(names);
    else if (descriptor >= 0)
        close(descriptor);
}

/* Whether an earlier one of the directories is this one; adds it. */
static bool is_seen(struct stat *directories, uint32_t *count, const struct disk_image *image)
{
    char path[PATH_MAX];
    struct stat *status = &directories[*count];
    directory_of(image, path);
    if (host_files->status(path[0] ? path : ".", status))
        return false;
    uint32_t i = 0;
    while (i < *count && (directories[i].st_dev != status->st_dev || directories[i].st_ino != status->st_ino))
        i++;
    if (i < *count)
        return true;
    (*count)++;
    return false;
}

void disk_find_children(const struct disk *chain, uint32_t count, disk_children_visit *visit, void *context)
{
    struct children children = {.chain = chain, .count = count, .visit = visit, .context = context};
    struct stat directories[DISK_CHAIN_MAXIMUM];
    uint32_t seen = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!is_seen(directories, &seen, chain->images[i]))
            look_beside(&children, chain->images[i]);
}
