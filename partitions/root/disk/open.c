/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/open.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/image_open.h"
#include "partitions/root/disk/parent_check.h"
#include "partitions/root/disk/parent_search.h"
#include "partitions/root/disk/remote_file.h"
#include "partitions/root/disk/remote_source_file.h"
#include "partitions/root/disk/streaming.h"

const char *disk_format_name(enum disk_format format)
{
    static const char *const names[] = {
        [DISK_FORMAT_RAW] = "raw",
        [DISK_FORMAT_FIXED] = "fixed",
        [DISK_FORMAT_DYNAMIC] = "dynamic",
        [DISK_FORMAT_DIFFERENCING] = "differencing",
    };
    return names[format];
}

/* ---- Images of a chain ---- */

static struct disk_image *last_image(const struct disk *disk)
{
    return disk->image_count ? disk->images[disk->image_count - 1] : NULL;
}

/* Adds the image of a file to the chain; `link` is what its child says of it, NULL for the first. The file stays the
 * caller's if it fails. */
static bool add_file(struct disk *disk, struct disk_file *file, unsigned flags, const struct parent_link *link,
                     struct disk_error *error)
{
    struct disk_image *image = image_open(file, flags, disk->cache, error);
    if (!image)
        return false;
    bool is_checked = link && link->remote.url[0] && link->remote.raw; /* by its size and validator */
    if (link && !is_checked && !parent_check(last_image(disk), image, link, error)) {
        image->operations->close(image);
        return false;
    }
    if (disk_add(disk, image))
        return true;
    disk_error_set(error, ENOMEM, file->name, "no memory");
    image->operations->close(image);
    return false;
}

static unsigned parent_flags(unsigned flags)
{
    return flags | DISK_OPEN_READ_ONLY;
}

/* Of a parent only a remote one can be raw. */
static unsigned linked_flags(unsigned flags, const struct parent_link *link)
{
    return parent_flags(flags) | (link->remote.url[0] && link->remote.raw ? DISK_OPEN_RAW : 0);
}

/* What the last image says of its parent, to be freed; NULL with `error`. */
static struct parent_link *read_link(const struct disk *disk, struct disk_error *error)
{
    struct disk_image *child = last_image(disk);
    struct parent_link *link = calloc(1, sizeof(*link));
    if (!link)
        disk_error_set(error, ENOMEM, child->file->name, "no memory");
    if (link && child->operations->read_parent(child, link, error))
        return link;
    free(link);
    return NULL;
}

static struct disk *new_disk(const char *name, struct disk_error *error)
{
    struct disk *disk = disk_new();
    if (!disk)
        disk_error_set(error, ENOMEM, name, "no memory");
    return disk;
}

/* ---- Files that are given ---- */

static bool add_files(struct disk *disk, struct disk_file *const *files, unsigned count, unsigned flags,
                      struct disk_error *error)
{
    if (!add_file(disk, files[0], flags, NULL, error))
        return false;
    for (unsigned i = 1; i < count && last_image(disk)->differencing; i++) {
        struct parent_link *link = read_link(disk, error);
        bool added = link && add_file(disk, files[i], linked_flags(flags, link), link, error);
        free(link);
        if (!added)
            return false;
    }
    const char *name = last_image(disk)->file->name;
    if (last_image(disk)->differencing)
        disk_error_set(error, ENOLINK, name, "a differencing disk, whose parent was not given with it");
    else if (disk->image_count < count)
        disk_error_set(error, EINVAL, name, "no differencing disk, so that it has no parent");
    else
        return true;
    return false;
}

/* Opening does not wait for a source for ever. Why it does not answer is the reason then. */
static bool add_remote_files(struct disk *disk, struct disk_file *const *files, unsigned count, unsigned flags,
                             struct disk_error *error)
{
    struct disk_file *source = files[count - 1];
    char status[FETCH_TEXT_SIZE];
    uint64_t patience = remote_file_set_patience(source, DISK_OPEN_PATIENCE);
    bool added = add_files(disk, files, count, flags, error);
    remote_file_set_patience(source, patience);
    remote_file_request_ended(source);
    remote_file_status(source, status);
    if (!added && status[0])
        disk_error_set(error, ENOLINK, source->name, "%s", status);
    if (!added || streaming_begin(disk))
        return added;
    disk_error_set(error, ENOMEM, files[0]->name, "no memory");
    return false;
}

struct disk *disk_open_files(struct disk_file *const *files, unsigned count, unsigned flags, struct disk_error *error)
{
    struct disk *disk = new_disk(files[0]->name, error);
    if (!disk)
        return NULL;
    bool remote = disk_file_is_remote(files[count - 1]);
    if (remote ? add_remote_files(disk, files, count, flags, error) : add_files(disk, files, count, flags, error))
        return disk;
    disk_free(disk, false);
    return NULL;
}

struct disk *disk_open_file(struct disk_file *file, unsigned flags, struct disk_error *error)
{
    return disk_open_files(&file, 1, flags, error);
}

static struct disk_file *wrap_link(const struct disk_link *link, unsigned flags, struct disk_error *error)
{
    return link->remote ? remote_file_open(link->descriptor, link->remote, true, error)
                        : image_file_wrap(link->descriptor, link->name, flags, error);
}

static struct disk *open_links(const struct disk_link *links, struct disk_file **files, unsigned count, unsigned flags,
                               struct disk_error *error)
{
    unsigned wrapped = 0;
    bool ok = true;
    for (; wrapped < count && ok; wrapped += ok) {
        files[wrapped] = wrap_link(&links[wrapped], wrapped ? parent_flags(flags) : flags, error);
        ok = files[wrapped] != NULL;
    }
    struct disk *disk = ok ? disk_open_files(files, count, flags, error) : NULL;
    for (unsigned i = 0; i < wrapped && !disk; i++)
        image_file_close(files[i]);
    for (unsigned i = wrapped + 1; i < count && !ok; i++)
        close(links[i].descriptor);
    return disk;
}

struct disk *disk_open_chain(const struct disk_link *links, unsigned count, unsigned flags, struct disk_error *error)
{
    struct disk_file **files = calloc(count, sizeof(struct disk_file *));
    if (files) {
        struct disk *disk = open_links(links, files, count, flags, error);
        free(files);
        return disk;
    }
    disk_error_set(error, ENOMEM, links[0].name, "no memory");
    for (unsigned i = 0; i < count; i++)
        close(links[i].descriptor);
    return NULL;
}

/* ---- Files that are looked for ---- */

struct search {
    struct disk *disk;
    const struct parent_link *link;
    unsigned flags;
    struct disk_error problem; /* of the first that was found and is no use; code 0: none was found */
};

/* Nothing is kept of a file that is no part of the chain. */
static void drop_file(struct disk *disk, struct disk_file *file)
{
    metadata_cache_release(disk->cache, file);
    metadata_cache_forget(disk->cache, file, 0, UINT64_MAX);
    image_file_close(file);
}

static bool try_parent(void *context, const char *path)
{
    struct search *search = context;
    struct disk_error error;
    struct disk_file *file = image_file_open(path, parent_flags(search->flags), &error);
    if (file && add_file(search->disk, file, parent_flags(search->flags), search->link, &error))
        return true;
    if (file)
        drop_file(search->disk, file);
    if (!search->problem.code)
        search->problem = error;
    return false;
}

static bool is_in_chain(const struct disk *disk, const struct parent_link *link)
{
    for (uint32_t i = 0; i < disk->image_count; i++)
        if (parent_has_identity(disk->images[i], link))
            return true;
    return false;
}

/* Adds the parent of the last image, which is at a URL. */
static bool add_remote_parent(struct disk *disk, unsigned flags, const struct parent_link *link,
                              struct disk_error *error)
{
    const char *child = last_image(disk)->file->name;
    struct remote_source source = link->remote;
    struct disk_error reason;
    struct disk_file *file = remote_source_open(&source, &reason);
    if (!file) {
        disk_error_set(error, reason.code, child, "its parent %s", reason.text);
        return false;
    }
    if (!add_file(disk, file, linked_flags(flags, link), link, error)) {
        drop_file(disk, file);
    } else if (last_image(disk)->differencing) {
        disk_error_set(
            error, EOPNOTSUPP, child,
            "its parent %s is a differencing disk itself, which cannot be fetched: make a disk of it and its "
            "parents there, with loam disk convert",
            source.url);
    } else if (streaming_begin(disk)) {
        return true;
    } else {
        disk_error_set(error, ENOMEM, child, "no memory");
    }
    return false;
}

static bool leave_source(struct disk *disk, const struct parent_link *link, struct disk_error *error)
{
    disk->unopened = malloc(sizeof(*disk->unopened));
    if (disk->unopened)
        *disk->unopened = link->remote;
    else
        disk_error_set(error, ENOMEM, last_image(disk)->file->name, "no memory");
    return disk->unopened != NULL;
}

/* Finds the parent of the last image and adds it. */
static bool add_parent(struct disk *disk, unsigned flags, struct disk_error *error)
{
    const char *child = last_image(disk)->file->name;
    struct search search = {.disk = disk, .flags = flags};
    struct parent_link *link = read_link(disk, error);
    search.link = link;
    if (!link)
        return false;
    bool added = false;
    if (disk->image_count == DISK_CHAIN_MAXIMUM || is_in_chain(disk, link))
        disk_error_set(error, ELOOP, child, "its parents never come to an end: it is its own parent's parent");
    else if (link->remote.url[0] && flags & DISK_OPEN_WITHOUT_SOURCE)
        added = leave_source(disk, link, error);
    else if (link->remote.url[0])
        added = add_remote_parent(disk, flags, link, error);
    else if (parent_search(child, link, try_parent, &search))
        added = true;
    else if (search.problem.code)
        *error = search.problem;
    else
        parent_missing(last_image(disk), link, error);
    free(link);
    return added;
}

/* The file is the disk's from then on, and closed if it cannot be opened. */
static struct disk *open_with_parents(struct disk_file *file, unsigned flags, struct disk_error *error)
{
    struct disk *disk = new_disk(file->name, error);
    if (!disk || !add_file(disk, file, flags, NULL, error)) {
        image_file_close(file);
        if (disk)
            disk_free(disk, true);
        return NULL;
    }
    bool added = true;
    while (last_image(disk)->differencing && !disk->unopened && added)
        added = add_parent(disk, flags, error);
    if (added)
        return disk;
    disk_free(disk, true);
    return NULL;
}

struct disk *disk_open(const char *path, unsigned flags, struct disk_error *error)
{
    struct disk_error ignored;
    struct disk_file *file = image_file_open(path, flags, error);
    return file ? open_with_parents(file, flags, error ? error : &ignored) : NULL;
}

struct disk *disk_open_descriptor(int descriptor, const char *name, unsigned flags, struct disk_error *error)
{
    struct disk_error ignored;
    const struct disk_link link = {.descriptor = descriptor, .name = name};
    if (!(flags & DISK_OPEN_FIND_PARENTS))
        return disk_open_chain(&link, 1, flags, error);
    struct disk_file *file = image_file_wrap(descriptor, name, flags, error);
    return file ? open_with_parents(file, flags, error ? error : &ignored) : NULL;
}

int disk_close(struct disk *disk)
{
    return disk_free(disk, true);
}
