/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/reconnect.h"

#include <errno.h>
#include <string.h>

#include "partitions/root/disk/vhd/rewrite.h"

/* Bytes that a path's text may have as a Windows path, ".\" before it, and as a URL, "file://" before it. */
#define MOST_RELATIVE(length) (2 * ((length) + 2))
#define MOST_ABSOLUTE(length) (3 * (length) + 8)

static uint32_t whole_sectors(size_t bytes)
{
    return (uint32_t)((bytes + DISK_SECTOR_SIZE - 1) / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE);
}

/* Writes the texts to new places: those that are there are in use until the switch. */
static int write_names(struct vhd_rewrite *rewrite, const struct parent_paths *paths, struct vhd_parent *parent)
{
    uint32_t relative = whole_sectors(MOST_RELATIVE(strlen(paths->relative)));
    uint32_t absolute = whole_sectors(MOST_ABSOLUTE(strlen(paths->absolute)));
    uint64_t offset;
    int error = vhd_rewrite_room(rewrite, (uint64_t)relative + absolute, &offset);
    if (error)
        return error;
    memset(parent->locators, 0, sizeof(parent->locators));
    parent->locators[0] = (struct vhd_locator){VHD_PLATFORM_W2RU, relative, 0, offset};
    parent->locators[1] = (struct vhd_locator){VHD_PLATFORM_MACX, absolute, 0, offset + relative};
    error = vhd_parent_write_names(rewrite->file, parent, paths->relative, paths->absolute);
    for (unsigned i = 0; i < 2 && !error; i++)
        parent->locators[i].space = whole_sectors(parent->locators[i].length);
    return error;
}

static int write_remote(struct vhd_rewrite *rewrite, const struct remote_source *source, struct vhd_parent *parent)
{
    uint64_t offset;
    int error = vhd_rewrite_room(rewrite, VHD_REMOTE_SPACE, &offset);
    if (error)
        return error;
    memset(parent->locators, 0, sizeof(parent->locators));
    parent->locators[0] = (struct vhd_locator){VHD_PLATFORM_LOUR, VHD_REMOTE_SPACE, 0, offset};
    return vhd_parent_write_remote(rewrite->file, parent, source);
}

static int replace_parent(struct vhd_rewrite *rewrite, const struct vhd_new_parent *new)
{
    struct vhd_parent parent = rewrite->metadata.parent;
    uint8_t header[VHD_HEADER_SIZE];
    memcpy(header, rewrite->metadata.header_bytes, sizeof(header));
    memcpy(parent.identifier, new->identifier, sizeof(parent.identifier));
    parent.timestamp = new->remote ? 0 : vhd_timestamp(new->timestamp);
    int error = new->remote ? write_remote(rewrite, new->remote, &parent) : write_names(rewrite, new->paths, &parent);
    if (!error && !vhd_parent_encode(header, &parent))
        error = EILSEQ;
    if (error) {
        vhd_rewrite_abandon(rewrite);
        return error;
    }
    vhd_header_seal(header);
    return vhd_rewrite_commit(rewrite, &rewrite->metadata.footer, header);
}

bool vhd_reconnect(struct disk_file *file, const struct vhd_new_parent *parent, struct disk_error *error)
{
    struct vhd_rewrite rewrite;
    if (!vhd_rewrite_begin(&rewrite, file, error))
        return false;
    int result = replace_parent(&rewrite, parent);
    if (result)
        disk_error_set(error, result, file->name, "its parent %s cannot be written into it: %s",
                       parent->remote ? parent->remote->url : parent->paths->absolute, strerror(result));
    return result == 0;
}
