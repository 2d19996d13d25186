/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/chain_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/image_open.h"
#include "partitions/root/disk/parent_check.h"
#include "partitions/root/disk/parent_search.h"

#define STAT_BLOCK   512u /* the unit of st_blocks */
#define STEP_SECTORS (1u << 30)

/* An image that is shown, and what it says of its parent. */
struct shown {
    struct metadata_cache *cache; /* its own, as files come and go */
    struct disk_file *file;
    struct disk_image *image;
    bool in_use;
    pid_t holder;
    bool has_link;
    struct parent_link link;
};

struct listing {
    unsigned flags;
    struct shown *child, *parent;
    struct disk_error problem; /* of the child; code 0: none */
};

static bool open_shown(struct shown *shown, const char *path, unsigned flags, struct disk_error *error)
{
    struct disk_error reason;
    *shown = (struct shown){.cache = metadata_cache_create(),
                            .file = image_file_open(path, flags | DISK_OPEN_READ_ONLY, &reason)};
    if (!shown->file && reason.code == EBUSY) {
        shown->in_use = true;
        shown->holder = reason.holder;
        shown->file = image_file_open(path, flags | DISK_OPEN_UNLOCKED, &reason);
    }
    if (!shown->file) {
        if (error)
            *error = reason;
        return false;
    }
    if (shown->cache)
        shown->image = image_open(shown->file, flags | DISK_OPEN_READ_ONLY, shown->cache, error);
    else
        disk_error_set(error, ENOMEM, path, "no memory");
    return shown->image != NULL;
}

static void close_shown(struct shown *shown)
{
    if (shown->image)
        shown->image->operations->close(shown->image);
    if (shown->file)
        image_file_close(shown->file);
    metadata_cache_destroy(shown->cache);
    *shown = (struct shown){0};
}

uint64_t disk_chain_present(const struct disk_chain_member *member)
{
    struct disk_image *image = member->image;
    uint64_t present = 0, sector = image->operations->next_present(image, 0);
    while (sector < image->sectors) {
        struct disk_extent extent;
        uint64_t rest = image->sectors - sector;
        if (image->operations->map(image, sector, rest < STEP_SECTORS ? (uint32_t)rest : STEP_SECTORS, &extent))
            extent.sectors = 1; /* damaged */
        else if (extent.kind != DISK_EXTENT_ABSENT)
            present += (uint64_t)extent.sectors * DISK_SECTOR_SIZE;
        sector += extent.sectors;
        if (sector < image->sectors)
            sector = image->operations->next_present(image, sector);
    }
    return present;
}

/* ---- Parents ---- */

/* The first with the right identifier is the parent, even if it was changed. */
static bool try_parent(void *context, const char *path)
{
    struct listing *listing = context;
    struct disk_error problem = {0};
    bool found = false;
    if (open_shown(listing->parent, path, listing->flags, &problem)) {
        found = parent_has_identity(listing->parent->image, &listing->child->link);
        parent_check(listing->child->image, listing->parent->image, &listing->child->link, &problem);
    }
    if (!found)
        close_shown(listing->parent);
    if (found || !listing->problem.code)
        listing->problem = problem;
    return found;
}

/* Whether there is a parent, which is listing->parent then. */
static bool find_parent(struct listing *listing)
{
    struct shown *child = listing->child;
    listing->problem = (struct disk_error){0};
    if (!child->image->differencing)
        return false;
    child->has_link = child->image->operations->read_parent(child->image, &child->link, &listing->problem);
    if (!child->has_link || child->link.remote.url[0])
        return false;
    if (parent_search(child->file->name, &child->link, try_parent, listing))
        return true;
    if (!listing->problem.code)
        parent_missing(child->image, &child->link, &listing->problem);
    return false;
}

static bool visit_child(const struct listing *listing, disk_chain_visit *visit, void *context)
{
    const struct shown *child = listing->child;
    struct stat status = {0};
    fstat(child->file->descriptor, &status);
    struct disk_chain_member member = {
        .path = child->file->name,
        .format = child->image->format,
        .size = child->image->sectors * DISK_SECTOR_SIZE,
        .file_space = (uint64_t)status.st_blocks * STAT_BLOCK,
        .modified = (int64_t)status.st_mtime,
        .in_use = child->in_use,
        .holder = child->holder,
        .image = child->image,
        .link = child->has_link ? &child->link : NULL,
        .parent_path = listing->parent->file ? listing->parent->file->name : NULL,
        .problem = listing->problem.code ? listing->problem.text + listing->problem.reason : NULL,
    };
    memcpy(member.identifier, child->image->identifier, sizeof(member.identifier));
    return visit(context, &member);
}

/* A chain that leads back to itself comes to an end here too. */
static void list(struct listing *listing, disk_chain_visit *visit, void *context)
{
    bool more = true;
    for (unsigned count = 1; more; count++) {
        bool found = find_parent(listing);
        if (found && count == DISK_CHAIN_MAXIMUM) {
            disk_error_set(&listing->problem, ELOOP, listing->child->file->name, "its parents never come to an end");
            found = false;
        }
        more = visit_child(listing, visit, context) && found;
        close_shown(listing->child);
        struct shown *next = listing->parent;
        listing->parent = listing->child;
        listing->child = next;
    }
    close_shown(listing->child);
}

bool disk_chain_list(const char *path, unsigned flags, disk_chain_visit *visit, void *context, struct disk_error *error)
{
    struct shown *images = calloc(2, sizeof(*images));
    struct listing listing = {.flags = flags, .child = images};
    bool done = images;
    if (!done) {
        disk_error_set(error, ENOMEM, path, "no memory");
    } else if ((done = open_shown(listing.child, path, flags, error))) {
        listing.parent = images + 1;
        list(&listing, visit, context);
    } else {
        close_shown(listing.child);
    }
    free(images);
    return done;
}
