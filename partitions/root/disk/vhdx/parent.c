/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/parent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhdx/commit.h"
#include "partitions/root/disk/vhdx/edit.h"
#include "partitions/root/disk/vhdx/item.h"
#include "partitions/root/disk/vhdx/update.h"

#define LONGEST_LOCATOR (64u << 10)

/* The metadata region, whose table was found sound when the image was opened. */
struct region {
    uint64_t offset;
    uint64_t length;
    uint16_t count;
    uint32_t locator; /* the number of its item */
    struct vhdx_item item[VHDX_MOST_ITEMS];
};

static int read_region(struct vhdx_image *image, struct region *region)
{
    uint8_t *table = malloc(VHDX_METADATA_TABLE_SIZE);
    region->offset = image->structures[VHDX_STRUCTURE_METADATA].offset;
    region->length = image->structures[VHDX_STRUCTURE_METADATA].length;
    int error =
        table ? disk_file_read_buffer(image->disk.file, table, VHDX_METADATA_TABLE_SIZE, region->offset) : ENOMEM;
    bool reserved;
    if (!error && !vhdx_metadata_header_decode(table, &region->count, &reserved))
        error = EIO;
    for (uint32_t i = 0; i < region->count && !error; i++) {
        vhdx_item_decode(table + VHDX_METADATA_HEADER + (size_t)i * VHDX_METADATA_ENTRY, &region->item[i]);
        if (vhdx_item_kind(&region->item[i]) == VHDX_ITEM_PARENT_LOCATOR)
            region->locator = i;
    }
    free(table);
    return error;
}

/* The end of the item other than the locator that begins or goes on within the stretch; 0: the stretch is free. */
static uint64_t find_obstacle(const struct region *region, uint64_t offset, uint32_t length)
{
    for (uint32_t i = 0; i < region->count; i++) {
        const struct vhdx_item *item = &region->item[i];
        uint64_t end = (uint64_t)item->offset + item->length;
        if (i != region->locator && item->length && item->offset < offset + length && offset < end)
            return end;
    }
    return 0;
}

/* A place for the locator: where it is, or the first where it fits. 0 or ENAMETOOLONG. */
static int find_room(const struct region *region, uint32_t length, uint32_t *place)
{
    uint64_t offset = region->item[region->locator].offset;
    if (find_obstacle(region, offset, length) || offset + length > region->length)
        offset = VHDX_METADATA_TABLE_SIZE;
    for (uint64_t end; (end = find_obstacle(region, offset, length));)
        offset = end;
    *place = (uint32_t)offset;
    return offset + length > region->length ? ENAMETOOLONG : 0;
}

/* The contents and the entry of the table change together, so that the new ones may lie over the old. */
static int write_locator(struct vhdx_image *image, const struct region *region, const uint8_t *bytes, uint32_t length)
{
    uint8_t entry[VHDX_METADATA_ENTRY];
    uint32_t place;
    struct vhdx_update update;
    int error = find_room(region, length, &place);
    if (error)
        return error;
    vhdx_item_encode(VHDX_ITEM_PARENT_LOCATOR, place, length, entry);
    error = vhdx_update_begin(&update, image);
    if (!error)
        error = vhdx_update_write(&update, region->offset + place, bytes, length);
    if (!error)
        error = vhdx_update_write(
            &update, region->offset + VHDX_METADATA_HEADER + (uint64_t)region->locator * VHDX_METADATA_ENTRY, entry,
            sizeof(entry));
    if (!error)
        error = vhdx_begin_writing_as(image, image->headers.header.data_write_guid);
    if (!error)
        error = vhdx_update_commit(&update);
    vhdx_update_free(&update);
    if (error)
        return error;
    image->metadata.locator_offset = region->offset + place;
    image->metadata.locator_length = length;
    return 0;
}

static int replace_locator(struct vhdx_image *image, const uint8_t *bytes, uint32_t length)
{
    struct region *region = malloc(sizeof(*region));
    int error = region ? read_region(image, region) : ENOMEM;
    if (!error)
        error = write_locator(image, region, bytes, length);
    free(region);
    return error;
}

int vhdx_set_parent_identifiers(struct vhdx_image *image, const uint8_t *identifier, const uint8_t *alternative)
{
    uint32_t old_length = image->metadata.locator_length, room = old_length + VHDX_LOCATOR_IDENTIFIERS, length;
    uint8_t *old = malloc(old_length), *bytes = malloc(room);
    int error = old && bytes ? disk_file_read_buffer(image->disk.file, old, old_length, image->metadata.locator_offset)
                             : ENOMEM;
    if (!error)
        error = vhdx_locator_change(old, identifier, alternative, bytes, room, &length);
    if (!error)
        error = replace_locator(image, bytes, length);
    free(old);
    free(bytes);
    return error;
}

static int set_parent(struct vhdx_image *image, const struct vhdx_parent *parent)
{
    uint8_t *bytes = malloc(LONGEST_LOCATOR);
    uint32_t length;
    int error = bytes ? vhdx_locator_encode(parent, bytes, LONGEST_LOCATOR, &length) : ENOMEM;
    if (!error)
        error = replace_locator(image, bytes, length);
    free(bytes);
    return error;
}

bool vhdx_reconnect(struct disk_file *file, const struct vhdx_parent *parent, struct disk_error *error)
{
    struct vhdx_edit edit;
    if (!vhdx_edit_begin(&edit, file, 0, error))
        return false;
    int result = set_parent(edit.image, parent);
    int closed = vhdx_edit_end(&edit);
    if (!result)
        result = closed;
    if (result)
        disk_error_set(error, result, file->name, "its parent %s cannot be written into it: %s",
                       parent->remote ? parent->remote->url : parent->absolute_path, strerror(result));
    return result == 0;
}
