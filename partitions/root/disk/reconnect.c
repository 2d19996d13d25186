/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/reconnect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/image_open.h"
#include "partitions/root/disk/parent_check.h"
#include "partitions/root/disk/parent_search.h"
#include "partitions/root/disk/remote_source_file.h"
#include "partitions/root/disk/vhd/reconnect.h"
#include "partitions/root/disk/vhdx/parent.h"

/* What is known of the two when the child is written to. */
struct reconnection {
    const char *name;        /* of the child, as the caller has it */
    char child[PATH_MAX];    /* where its file really is */
    struct disk_file *file;  /* the child's */
    struct parent_link link; /* what the child says */
    enum disk_container container;
    uint64_t sectors;       /* of the child */
    uint8_t identifier[16]; /* of the child */
    bool any;               /* a parent of another identity will do */
    struct vhd_new_parent parent;
    struct remote_source remote; /* the parent, if it is at a URL */
    struct disk_reconnect_result result;
    struct disk_error problem; /* of the first parent that was found and is no use; code 0: none was found */
};

static struct disk_image *open_image(struct disk_file *file, unsigned flags, struct metadata_cache **cache,
                                     struct disk_error *error)
{
    *cache = metadata_cache_create();
    struct disk_image *image = *cache ? image_open(file, flags | DISK_OPEN_READ_ONLY, *cache, error) : NULL;
    if (!*cache)
        disk_error_set(error, ENOMEM, file->name, "no memory");
    else if (!image)
        metadata_cache_destroy(*cache);
    return image;
}

static void close_image(struct disk_image *image, struct metadata_cache *cache)
{
    image->operations->close(image);
    metadata_cache_destroy(cache);
}

/* ---- The child ---- */

static bool read_child(struct reconnection *work, struct disk_error *error)
{
    struct metadata_cache *cache;
    struct disk_image *image = open_image(work->file, 0, &cache, error);
    if (!image)
        return false;
    bool done = false;
    if (!image->differencing)
        disk_error_set(error, EINVAL, work->name, "no differencing disk, so that it has no parent");
    else
        done = image->operations->read_parent(image, &work->link, error);
    work->container = image->container;
    work->sectors = image->sectors;
    memcpy(work->identifier, image->identifier, sizeof(work->identifier));
    close_image(image, cache);
    return done;
}

/* ---- The parent ---- */

static bool is_same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, sizeof(((struct parent_link *)0)->identifier)) == 0;
}

/* Another size is no sign of a change where the identifier is one: Hyper-V makes a VHDX larger than its parent. */
static bool check_parent(struct reconnection *work, const struct disk_image *parent, struct disk_error *error)
{
    const char *name = parent->file->name;
    bool other = !parent_has_identity(parent, &work->link);
    if (parent->container != work->container)
        disk_error_set(error, EINVAL, work->name, "a %s, whose parent has to be one, too, and %s is a %s",
                       disk_container_name(work->container), name, disk_container_name(parent->container));
    else if (is_same(parent->identifier, work->identifier))
        disk_error_set(error, EINVAL, work->name, "%s is the disk itself, or a copy of it, and not its parent", name);
    else if (other && !work->any)
        disk_error_set(error, ENOLINK, work->name,
                       "%s is not the disk that it was made from; if it is a copy with the same contents, and only "
                       "then: loam disk reconnect --force --parent %s %s",
                       name, name, work->name);
    else if (parent->sectors != work->sectors && (other || work->container == DISK_CONTAINER_VHD))
        disk_error_set(error, ENOLINK, work->name,
                       "it has %llu bytes and its parent %s %llu, which was resized since; if nothing else was done "
                       "with it: loam disk resize %s %llu",
                       (unsigned long long)work->sectors * DISK_SECTOR_SIZE, name,
                       (unsigned long long)parent->sectors * DISK_SECTOR_SIZE, name,
                       (unsigned long long)work->sectors * DISK_SECTOR_SIZE);
    else
        return true;
    return false;
}

static bool is_noted(const struct reconnection *work, const char *absolute, const char *relative)
{
    for (unsigned i = 0; i < work->link.names; i++)
        if (strcmp(work->link.name[i], absolute) == 0 || strcmp(work->link.name[i], relative) == 0)
            return true;
    return false;
}

static void note_parent(struct reconnection *work, const struct disk_image *parent, const struct parent_paths *paths)
{
    memcpy(work->parent.identifier, parent->identifier, sizeof(work->parent.identifier));
    work->parent.timestamp = disk_file_modified(parent->file);
    strcpy(work->result.parent, paths->absolute);
    work->result.other_identity = !parent_has_identity(parent, &work->link);
    work->result.moved = !is_noted(work, paths->absolute, paths->relative);
    work->result.changed = work->link.has_timestamp && work->parent.timestamp != work->link.timestamp;
}

/* Looks at the parent, without what is behind it, and lets go of it. */
static bool take_parent(struct reconnection *work, const char *path, struct parent_paths *paths,
                        struct disk_error *error)
{
    struct disk_file *file = image_file_open(path, DISK_OPEN_READ_ONLY, error);
    struct metadata_cache *cache;
    struct disk_image *image = file ? open_image(file, 0, &cache, error) : NULL;
    bool done = image && check_parent(work, image, error) && parent_paths_find(paths, work->child, path, error);
    if (done)
        note_parent(work, image, paths);
    if (image)
        close_image(image, cache);
    if (file)
        image_file_close(file);
    return done;
}

/* Looks at a parent at a URL. */
static bool take_remote(struct reconnection *work, const char *url, struct disk_error *error)
{
    struct remote_source *source = &work->remote;
    *source = (struct remote_source){.raw = work->link.remote.raw};
    snprintf(source->url, sizeof(source->url), "%s", url);
    struct disk_file *file = remote_source_open(source, error);
    struct metadata_cache *cache;
    struct disk_image *image = file ? open_image(file, source->raw ? DISK_OPEN_RAW : 0, &cache, error) : NULL;
    if (image && source->raw)
        remote_source_identifier(source, image->identifier);
    bool done = image && check_parent(work, image, error);
    if (done) {
        work->parent.remote = source;
        memcpy(work->parent.identifier, image->identifier, sizeof(work->parent.identifier));
        strcpy(work->result.parent, source->url);
        work->result.other_identity = !is_same(image->identifier, work->link.identifier);
        work->result.moved = strcmp(source->url, work->link.remote.url) != 0;
        work->result.changed = !work->result.moved && (source->size != work->link.remote.size ||
                                                       strcmp(source->validator, work->link.remote.validator) != 0);
    }
    if (image)
        close_image(image, cache);
    if (file)
        disk_file_close(file);
    return done;
}

struct visit {
    struct reconnection *work;
    struct parent_paths *paths;
};

static bool visit_parent(void *context, const char *path)
{
    struct visit *visit = context;
    struct disk_error error;
    if (take_parent(visit->work, path, visit->paths, &error))
        return true;
    if (!visit->work->problem.code)
        visit->work->problem = error;
    return false;
}

static bool find_parent(struct reconnection *work, struct parent_paths *paths, struct disk_error *error)
{
    struct visit visit = {work, paths};
    if (parent_search(work->child, &work->link, visit_parent, &visit))
        return true;
    if (work->problem.code)
        *error = work->problem;
    else
        disk_error_set(error, ENOLINK, work->name,
                       "its parent %s is not there; give its place: loam disk reconnect --parent PARENT %s",
                       work->link.names ? work->link.name[0] : "(it names none)", work->name);
    return false;
}

/* ---- Both ---- */

static bool write_parent(const struct reconnection *work, struct disk_error *error)
{
    const struct vhd_new_parent *new = &work->parent;
    if (work->container != DISK_CONTAINER_VHDX)
        return vhd_reconnect(work->file, new, error);
    struct vhdx_parent parent = {.remote = new->remote};
    memcpy(parent.identifier, new->identifier, sizeof(parent.identifier));
    if (!new->remote) {
        parent.relative_path = new->paths->relative;
        parent.absolute_path = new->paths->absolute;
    }
    return vhdx_reconnect(work->file, &parent, error);
}

/* The disk's contents are the same, so that its own children need not be told. */
static bool write_child(struct reconnection *work, struct disk_error *error)
{
    struct stat before;
    bool known = fstat(work->file->descriptor, &before) == 0;
    if (!write_parent(work, error))
        return false;
    const struct timespec times[] = {before.st_atim, before.st_mtim};
    if (known)
        host_files->set_times(work->name, work->file->descriptor, times);
    return true;
}

/* Before it is locked twice, which would say that someone else has it. */
static bool check_other_file(const struct reconnection *work, const char *parent, struct disk_error *error)
{
    if (!disk_file_is_at(work->file, parent))
        return true;
    disk_error_set(error, EINVAL, work->name, "%s is the disk itself, and not its parent", parent);
    return false;
}

static bool reconnect(struct reconnection *work, const char *parent, bool dry_run, struct disk_error *error)
{
    struct parent_paths paths;
    work->parent.paths = &paths;
    if ((parent && !check_other_file(work, parent, error)) || !read_child(work, error))
        return false;
    if (!parent && work->link.remote.url[0])
        parent = work->link.remote.url;
    bool found = !parent                        ? find_parent(work, &paths, error)
                 : remote_source_is_url(parent) ? take_remote(work, parent, error)
                                                : take_parent(work, parent, &paths, error);
    return found && (dry_run || write_child(work, error));
}

static bool open_child(struct reconnection *work, const char *child, bool dry_run, struct disk_error *error)
{
    work->name = child;
    work->file = image_file_open(child, dry_run ? DISK_OPEN_READ_ONLY : 0, error);
    if (!work->file)
        return false;
    int result = host_files->real_path(child, work->child);
    if (!result)
        return true;
    disk_error_set(error, result, child, "%s", strerror(result));
    image_file_close(work->file);
    return false;
}

bool disk_reconnect(const char *child, const char *parent, const struct disk_reconnect_options *options,
                    struct disk_reconnect_result *result, struct disk_error *error)
{
    static const struct disk_reconnect_options defaults;
    struct disk_error ignored;
    options = options ? options : &defaults;
    error = error ? error : &ignored;
    struct reconnection *work = calloc(1, sizeof(*work));
    if (!work) {
        disk_error_set(error, ENOMEM, child, "no memory");
        return false;
    }
    bool done = false;
    if (open_child(work, child, options->dry_run, error)) {
        work->any = options->other_identity && parent;
        done = reconnect(work, parent, options->dry_run, error);
        image_file_close(work->file);
    }
    if (done && result)
        *result = work->result;
    free(work);
    return done;
}
