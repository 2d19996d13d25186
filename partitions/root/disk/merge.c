/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/merge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "partitions/root/disk/children.h"
#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/image_open.h"
#include "partitions/root/disk/parent_check.h"
#include "partitions/root/disk/remote_file.h"

/* The images of a merge: `count` that are merged, the child first, and the ancestor. */
struct merge {
    uint32_t count;
    char **paths;                  /* of all, the ancestor last */
    enum disk_container container; /* of all */
    struct disk *upper, *lower;
    uint8_t identifier[16]; /* of the ancestor */
    uint8_t next[16];       /* which it gets with the first write, if its format is one that changes it */
    struct disk_merge_options options;
    struct disk_merge_result *result;
};

/* ---- Which images ---- */

/* The number of the ancestor in the chain; 0 with `error`. */
static uint32_t find_ancestor(const struct disk *chain, const char *ancestor, struct disk_error *error)
{
    const char *child = disk_top(chain)->file->name;
    if (chain->image_count == 1) {
        disk_error_set(error, EINVAL, child, "no differencing disk, so that it has no parent to be merged into");
        return 0;
    }
    if (!ancestor)
        return 1;
    for (uint32_t i = 1; i < chain->image_count; i++)
        if (disk_file_is_at(chain->images[i]->file, ancestor))
            return i;
    disk_error_set(error, EINVAL, child, "%s is none of its parents: loam disk chain %s shows them", ancestor, child);
    return 0;
}

static bool check_local(const struct disk *chain, uint32_t ancestor, struct disk_error *error)
{
    const struct disk_file *parent = chain->images[ancestor]->file;
    if (!disk_file_is_remote(parent))
        return true;
    disk_error_set(error, EROFS, disk_top(chain)->file->name,
                   "its parent %s is at a URL, to which nothing is written: make a new disk of both with loam disk "
                   "convert",
                   parent->name);
    return false;
}

static bool check_size(const struct disk *chain, uint32_t ancestor, struct disk_error *error)
{
    const char *child = disk_top(chain)->file->name, *parent = chain->images[ancestor]->file->name;
    unsigned long long size = disk_sectors(chain) * DISK_SECTOR_SIZE;
    if (disk_sectors(chain) <= chain->images[ancestor]->sectors)
        return true;
    bool changes = disk_top(chain)->operations->take_identifier; /* resizing is a change, too */
    disk_error_set(error, EINVAL, child,
                   "has %llu bytes, more than %s: make that as large first: loam disk resize %s %llu, and then "
                   "loam disk reconnect %s%s%s%s",
                   size, parent, parent, size, changes ? "--force --parent " : "", changes ? parent : "",
                   changes ? " " : "", changes ? chain->images[ancestor - 1]->file->name : child);
    return false;
}

/* Names of other children, as many as go into a line. */
struct others {
    char text[512];
    unsigned count;
};

static void note_child(void *context, const char *path, uint32_t parent)
{
    struct others *others = context;
    size_t used = strlen(others->text);
    (void)parent;
    if (used + strlen(path) + 3 < sizeof(others->text))
        snprintf(others->text + used, sizeof(others->text) - used, "%s%s", others->count ? ", " : "", path);
    others->count++;
}

static bool check_children(const struct disk *chain, uint32_t ancestor, struct disk_error *error)
{
    struct others others = {0};
    disk_find_children(chain, ancestor + 1, note_child, &others);
    if (!others.count)
        return true;
    disk_error_set(error, EMLINK, disk_top(chain)->file->name,
                   "not merged, as %u other%s based on these images and would be worth nothing: %s", others.count,
                   others.count == 1 ? " is" : "s are", others.text);
    return false;
}

static bool keep_paths(struct merge *merge, const struct disk *chain, uint32_t ancestor, struct disk_error *error)
{
    merge->paths = calloc(ancestor + 1, sizeof(char *));
    bool done = merge->paths;
    for (uint32_t i = 0; i <= ancestor && done; i++) {
        merge->paths[i] = strdup(chain->images[i]->file->name);
        done = merge->paths[i];
    }
    merge->count = ancestor;
    merge->container = disk_top(chain)->container;
    merge->result->images = ancestor;
    snprintf(merge->result->ancestor, sizeof(merge->result->ancestor), "%s", chain->images[ancestor]->file->name);
    if (!done)
        disk_error_set(error, ENOMEM, disk_top(chain)->file->name, "no memory");
    return done;
}

static bool check_containers(const struct disk *chain, uint32_t ancestor, struct disk_error *error)
{
    const struct disk_image *child = disk_top(chain);
    for (uint32_t i = 1; i <= ancestor; i++) {
        const struct disk_image *parent = chain->images[i];
        if (parent->container == child->container)
            continue;
        disk_error_set(error, EOPNOTSUPP, child->file->name,
                       "a %s, and its parent %s is a %s: make a new disk of both with loam disk convert",
                       disk_container_name(child->container), parent->file->name,
                       disk_container_name(parent->container));
        return false;
    }
    return true;
}

static bool plan(struct merge *merge, const char *child, const char *ancestor, struct disk_error *error)
{
    struct disk *chain = disk_open(child, DISK_OPEN_READ_ONLY, error);
    if (!chain)
        return false;
    uint32_t number = find_ancestor(chain, ancestor, error);
    bool done = number && check_local(chain, number, error) && check_containers(chain, number, error) &&
                check_size(chain, number, error) && (merge->options.force || check_children(chain, number, error)) &&
                keep_paths(merge, chain, number, error);
    disk_close(chain);
    return done;
}

/* ---- Opening ---- */

/*
 * Adds an image that is merged. Its file is open for writing unless this is a dry run. The image is, too, if it is a
 * VHDX; opening a VHD for writing would give its file another time.
 */
static bool add_upper(struct merge *merge, const char *path, struct disk_error *error)
{
    unsigned file_flags = merge->options.dry_run ? DISK_OPEN_READ_ONLY : 0;
    unsigned flags = merge->container == DISK_CONTAINER_VHDX ? file_flags : DISK_OPEN_READ_ONLY;
    struct disk_file *file = image_file_open(path, file_flags, error);
    struct disk_image *image = file ? image_open(file, flags, merge->upper->cache, error) : NULL;
    if (image && disk_add(merge->upper, image))
        return true;
    if (image)
        image->operations->close(image);
    if (file)
        image_file_close(file);
    return false;
}

/* Between looking and locking someone may have put other files in the place of these. */
static bool check_links(const struct merge *merge, struct disk_error *error)
{
    struct parent_link *link = malloc(sizeof(*link));
    bool sound = link != NULL;
    if (!link)
        disk_error_set(error, ENOMEM, merge->paths[0], "no memory");
    for (uint32_t i = 0; i < merge->count && sound; i++) {
        struct disk_image *child = merge->upper->images[i];
        const struct disk_image *parent = i + 1 < merge->count ? merge->upper->images[i + 1] : disk_top(merge->lower);
        sound = child->differencing && child->operations->read_parent(child, link, error) &&
                parent_check(child, parent, link, error);
    }
    free(link);
    return sound;
}

/* The ancestor is opened for writing only when nobody minds its time stamp any more. */
static bool check_unused(struct merge *merge, struct disk_error *error)
{
    disk_close(merge->lower);
    merge->lower = NULL;
    struct disk_file *file = image_file_open(merge->paths[merge->count], 0, error);
    if (file)
        image_file_close(file);
    return file;
}

static bool open_all(struct merge *merge, struct disk_error *error)
{
    merge->upper = disk_new();
    if (!merge->upper) {
        disk_error_set(error, ENOMEM, merge->paths[0], "no memory");
        return false;
    }
    for (uint32_t i = 0; i < merge->count; i++)
        if (!add_upper(merge, merge->paths[i], error))
            return false;
    merge->lower = disk_open(merge->paths[merge->count], DISK_OPEN_READ_ONLY, error);
    if (!merge->lower || !check_links(merge, error))
        return false;
    memcpy(merge->identifier, disk_top(merge->lower)->identifier, sizeof(merge->identifier));
    return merge->options.dry_run || check_unused(merge, error);
}

/* ---- What the children know the ancestor by ---- */

static bool set_time(struct disk_image *image, int64_t timestamp, struct disk_error *error)
{
    int result = image->operations->set_parent_time ? image->operations->set_parent_time(image, timestamp) : 0;
    if (result)
        disk_error_set(error, result, image->file->name, "%s", strerror(result));
    return result == 0;
}

/* The child first: an image whose link is changed has a child that does not mind any more. */
static bool forget_times(const struct merge *merge, struct disk_error *error)
{
    for (uint32_t i = 0; i < merge->count; i++)
        if (!set_time(merge->upper->images[i], 0, error))
            return false;
    return true;
}

/* From the ancestor up, for the like reason. What fails leaves an image that does without. */
static void renew_times(const struct merge *merge)
{
    struct stat status;
    bool known = host_files->status(merge->paths[merge->count], &status) == 0;
    for (uint32_t i = merge->count; i-- > 0 && known;) {
        struct disk_image *image = merge->upper->images[i];
        known = set_time(image, status.st_mtime, NULL) && fstat(image->file->descriptor, &status) == 0;
    }
}

/* The image above the ancestor learns which identifier that will have. */
static bool announce_identifier(struct merge *merge, struct disk_error *error)
{
    struct disk_image *last = merge->upper->images[merge->count - 1];
    int result =
        last->operations->expect_change ? last->operations->expect_change(last, merge->identifier, merge->next) : 0;
    if (result)
        disk_error_set(error, result, last->file->name, "%s", strerror(result));
    return result == 0;
}

/* The first change of the ancestor, of which nobody else may have made one since it was looked at. */
static bool take_identifier(const struct merge *merge, struct disk_error *error)
{
    struct disk_image *ancestor = disk_top(merge->lower);
    if (memcmp(ancestor->identifier, merge->identifier, sizeof(merge->identifier)) != 0) {
        disk_error_set(error, ESTALE, ancestor->file->name, "changed or replaced just now; try again");
        return false;
    }
    int result =
        ancestor->operations->take_identifier ? ancestor->operations->take_identifier(ancestor, merge->next) : 0;
    if (result)
        disk_error_set(error, result, ancestor->file->name, "%s", strerror(result));
    return result == 0;
}

/* An image that fails to learn that the ancestor has this identifier alone does with two. */
static void settle_identifier(const struct merge *merge)
{
    struct disk_image *last = merge->upper->images[merge->count - 1];
    if (last->operations->set_parent_identifier)
        last->operations->set_parent_identifier(last, merge->next);
}

/* ---- The work ---- */

static bool remove_image(const struct merge *merge, uint32_t number, struct disk_error *error)
{
    const char *path = merge->paths[number];
    int result = host_files->remove(path, merge->upper->images[number]->file->descriptor);
    if (result)
        disk_error_set(error, result, path, "%s has what it had, and it cannot be removed: %s",
                       merge->paths[merge->count], strerror(result));
    return result == 0;
}

static bool remove_merged(const struct merge *merge, struct disk_error *error)
{
    if (!remove_image(merge, 0, error))
        return false;
    for (uint32_t i = merge->count; i-- > 1;)
        if (!remove_image(merge, i, error))
            return false;
    return true;
}

static bool write_ancestor(struct merge *merge, struct disk_error *error)
{
    const char *path = merge->paths[merge->count];
    merge->lower = disk_open(path, 0, error);
    bool done = merge->lower && take_identifier(merge, error) &&
                disk_merge_into(merge->upper, merge->lower, &merge->options, merge->result, error);
    int result = merge->lower ? disk_close(merge->lower) : 0;
    merge->lower = NULL;
    if (done && result) {
        disk_error_set(error, result, path, "%s", strerror(result));
        done = false;
    }
    return done;
}

static bool carry_out(struct merge *merge, struct disk_error *error)
{
    if (!open_all(merge, error))
        return false;
    if (merge->options.dry_run)
        return disk_merge_into(merge->upper, merge->lower, &merge->options, merge->result, error);
    bool done = forget_times(merge, error) && announce_identifier(merge, error) && write_ancestor(merge, error);
    if (!done || merge->options.keep)
        renew_times(merge);
    if (done && merge->options.keep)
        settle_identifier(merge);
    return done && (merge->options.keep || remove_merged(merge, error));
}

bool disk_merge(const char *child, const char *ancestor, const struct disk_merge_options *options,
                struct disk_merge_result *result, struct disk_error *error)
{
    struct merge merge = {.result = result};
    *result = (struct disk_merge_result){0};
    if (options)
        merge.options = *options;
    bool done = plan(&merge, child, ancestor, error) && carry_out(&merge, error);
    if (merge.lower)
        disk_close(merge.lower);
    if (merge.upper)
        disk_free(merge.upper, true);
    for (uint32_t i = 0; merge.paths && i <= merge.count; i++)
        free(merge.paths[i]);
    free(merge.paths);
    return done;
}
