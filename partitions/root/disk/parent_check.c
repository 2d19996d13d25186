/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/parent_check.h"

#include <errno.h>
#include <string.h>

bool parent_has_identity(const struct disk_image *parent, const struct parent_link *link)
{
    static const uint8_t none[sizeof(link->alternative)];
    return memcmp(parent->identifier, link->identifier, sizeof(none)) == 0 ||
           (memcmp(link->alternative, none, sizeof(none)) != 0 &&
            memcmp(parent->identifier, link->alternative, sizeof(none)) == 0);
}

/* Whether the parent's file is as it was when the child was made. */
static bool is_unchanged(const struct disk_image *parent, const struct parent_link *link)
{
    int64_t modified = disk_file_modified(parent->file);
    return !link->has_timestamp || modified < 0 || modified == link->timestamp;
}

bool parent_check(const struct disk_image *child, const struct disk_image *parent, const struct parent_link *link,
                  struct disk_error *error)
{
    const char *name = child->file->name;
    if (!parent_has_identity(parent, link))
        disk_error_set(error, ENOLINK, name,
                       "%s is not its parent, but another disk%s; if the parent was moved, give its place: "
                       "loam disk reconnect --parent PARENT %s",
                       parent->file->name,
                       parent->container == DISK_CONTAINER_VHDX ? " or written to since it was made" : "", name);
    else if (!is_unchanged(parent, link))
        disk_error_set(error, ENOLINK, name,
                       "its parent %s was changed after it was made; if only the file's time changed, as copying does: "
                       "loam disk reconnect %s",
                       parent->file->name, name);
    else
        return true;
    return false;
}

void parent_missing(const struct disk_image *child, const struct parent_link *link, struct disk_error *error)
{
    const char *name = child->file->name;
    disk_error_set(error, ENOLINK, name,
                   "its parent %s is not there; if it was moved, give its place: "
                   "loam disk reconnect --parent PARENT %s",
                   link->names ? link->name[0] : "(it names none)", name);
}
