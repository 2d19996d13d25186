/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/info.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "partitions/root/disk/chain_list.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/image_open.h"
#include "partitions/root/disk/vhd/table.h"
#include "partitions/root/disk/vhdx/vhdx.h"
#include "partitions/root/disk/vhdx/image.h"

#define STAT_BLOCK 512u /* the unit of st_blocks */

/* Four characters of the footer, which may be anything. */
static void copy_printable(char *to, const char *from)
{
    for (int i = 0; i < 4; i++)
        to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : ' ';
    for (int i = 3; i >= 0 && to[i] == ' '; i--)
        to[i] = '\0';
    to[4] = '\0';
}

static void ignore_problem(void *context, const char *text)
{
    (void)context;
    (void)text;
}

static bool count_blocks(struct disk_file *file, const struct vhd_metadata *metadata, struct disk_info *info,
                         struct disk_error *error)
{
    struct vhd_table table;
    int result = vhd_table_scan(&table, file, metadata, ignore_problem, NULL);
    if (result)
        disk_error_set(error, result, file->name, "the block allocation table cannot be loaded: %s", strerror(result));
    info->block_size = table.block_size;
    info->blocks = table.blocks;
    info->allocated_blocks = table.allocated;
    info->damaged_blocks = table.damaged;
    vhd_table_free(&table);
    return result == 0;
}

static bool describe_vhd(struct disk_file *file, struct disk_info *info, struct disk_error *error)
{
    static const enum disk_format formats[] = {[VHD_FIXED] = DISK_FORMAT_FIXED,
                                               [VHD_DYNAMIC] = DISK_FORMAT_DYNAMIC,
                                               [VHD_DIFFERENCING] = DISK_FORMAT_DIFFERENCING};
    struct vhd_metadata metadata;
    if (!vhd_metadata_read(file, &metadata, error))
        return false;
    const struct vhd_footer *footer = &metadata.footer;
    bool has_blocks = footer->type != VHD_FIXED;
    info->format = formats[footer->type];
    info->size = metadata.disk_size;
    info->geometry = vhd_identify_geometry(footer->geometry, metadata.disk_size / DISK_SECTOR_SIZE);
    copy_printable(info->creator_application, footer->creator_application);
    copy_printable(info->creator_host, footer->creator_host);
    info->creator_version = footer->creator_version;
    info->created = (int64_t)footer->timestamp + VHD_EPOCH;
    memcpy(info->identifier, footer->identifier, sizeof(info->identifier));
    info->saved_state = footer->saved_state;
    info->footer_damaged = metadata.end_state != VHD_VALID || (has_blocks && metadata.copy_state != VHD_VALID);
    return !has_blocks || count_blocks(file, &metadata, info, error);
}

/* Blocks with data of their own, whole or in part. */
static uint32_t count_present(struct disk_image *image)
{
    uint32_t block_sectors = image->block_size / DISK_SECTOR_SIZE, count = 0;
    for (uint64_t sector = 0; (sector = image->operations->next_present(image, sector)) < image->sectors; count++)
        sector = (sector / block_sectors + 1) * block_sectors;
    return count;
}

static bool describe_vhdx(struct disk_file *file, struct disk_info *info, struct disk_error *error)
{
    struct metadata_cache *cache = metadata_cache_create();
    struct disk_image *image = cache ? vhdx_open(file, DISK_OPEN_READ_ONLY, cache, error) : NULL;
    if (!cache)
        disk_error_set(error, ENOMEM, file->name, "no memory");
    if (image) {
        info->format = image->format;
        info->size = image->sectors * DISK_SECTOR_SIZE;
        info->geometry = image->geometry;
        info->logical_sector = image->write_unit * DISK_SECTOR_SIZE;
        info->block_size = image->block_size;
        info->blocks = (uint32_t)((info->size + image->block_size - 1) / image->block_size);
        info->allocated_blocks = count_present(image);
        vhdx_guid_to_uuid(image->identifier, info->identifier);
        image->operations->close(image);
    }
    metadata_cache_destroy(cache);
    return image != NULL;
}

static bool describe_content(struct disk_file *file, struct disk_info *info, struct disk_error *error)
{
    info->container = image_container(file, error);
    switch (info->container) {
    case DISK_CONTAINER_VHD:
        return describe_vhd(file, info, error);
    case DISK_CONTAINER_VHDX:
        return describe_vhdx(file, info, error);
    default:
        return false;
    }
}

static bool describe(struct disk_file *file, unsigned flags, struct disk_info *info, struct disk_error *error)
{
    struct stat status;
    int result = disk_file_size(file, &info->file_size);
    if (!result && fstat(file->descriptor, &status) < 0)
        result = errno;
    if (result) {
        disk_error_set(error, result, file->name, "its size cannot be found out: %s", strerror(result));
        return false;
    }
    info->file_space = (uint64_t)status.st_blocks * STAT_BLOCK;
    if (!(flags & DISK_OPEN_RAW))
        return describe_content(file, info, error);

    info->format = DISK_FORMAT_RAW;
    info->size = info->file_size;
    info->geometry = vhd_identify_geometry(vhd_geometry(info->size / DISK_SECTOR_SIZE), info->size / DISK_SECTOR_SIZE);
    return true;
}

/* The first of the chain says it all. */
static bool note_parent(void *context, const struct disk_chain_member *member)
{
    struct disk_info *info = context;
    if (member->link) {
        memcpy(info->parent_identifier, member->link->identifier, sizeof(info->parent_identifier));
        if (member->link->names)
            strcpy(info->parent_name, member->link->name[0]);
        info->parent_remote = member->link->remote;
        if (info->parent_remote.url[0])
            info->local = disk_chain_present(member);
    }
    if (member->problem)
        snprintf(info->parent_problem, sizeof(info->parent_problem), "%s", member->problem);
    if (member->parent_path)
        snprintf(info->parent_path, sizeof(info->parent_path), "%s", member->parent_path);
    return false;
}

bool disk_info(const char *path, unsigned flags, struct disk_info *info, struct disk_error *error)
{
    struct disk_error reason;
    *info = (struct disk_info){0};
    struct disk_file *file = image_file_open(path, flags | DISK_OPEN_READ_ONLY, &reason);
    if (!file && reason.code == EBUSY) {
        info->in_use = true;
        info->holder = reason.holder;
        file = image_file_open(path, flags | DISK_OPEN_UNLOCKED, &reason);
    }
    if (!file) {
        if (error)
            *error = reason;
        return false;
    }
    bool done = describe(file, flags, info, error);
    image_file_close(file);
    if (done && info->format == DISK_FORMAT_DIFFERENCING)
        done = disk_chain_list(path, 0, note_parent, info, error);
    return done;
}
