/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/reserved.h"

#include <string.h>

#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/vhdx/item.h"

/* What a patch can have of the table. */
#define TABLE_BYTES OVERLAY_PATCH_SIZE
#define TABLE_ITEMS ((TABLE_BYTES - VHDX_METADATA_HEADER) / VHDX_METADATA_ENTRY)

/* The 4 bytes at `offset` of an item, of which those of `mask` are not reserved. */
static int clear_field(struct overlay_file *view, const struct vhdx_region *metadata, const struct vhdx_item *item,
                       uint32_t offset, uint32_t mask, unsigned *count)
{
    uint8_t bytes[sizeof(uint32_t)];
    uint64_t at = metadata->offset + item->offset + offset;
    if (item->offset < VHDX_METADATA_TABLE_SIZE || item->length < offset + sizeof(bytes) ||
        (uint64_t)item->offset + item->length > metadata->length)
        return 0; /* damaged otherwise */
    int error = disk_file_read_buffer(&view->file, bytes, sizeof(bytes), at);
    uint32_t value = error ? 0 : little_endian_load32(bytes);
    if (!(value & ~mask))
        return error;
    little_endian_store32(bytes, value & mask);
    ++*count;
    return overlay_file_patch(view, at, bytes, sizeof(bytes));
}

static int clear_contents(struct overlay_file *view, const struct vhdx_region *metadata, const struct vhdx_item *item,
                          unsigned *count)
{
    switch (vhdx_item_kind(item)) {
    case VHDX_ITEM_FILE_PARAMETERS:
        return clear_field(view, metadata, item, VHDX_FILE_PARAMETERS_FLAGS, VHDX_FILE_FLAGS, count);
    case VHDX_ITEM_PARENT_LOCATOR: /* the upper half is how many entries it has */
        return clear_field(view, metadata, item, VHDX_LOCATOR_RESERVED, 0xffff0000, count);
    default:
        return 0;
    }
}

int vhdx_clear_reserved(struct overlay_file *view, const struct vhdx_region *metadata, unsigned *count)
{
    uint8_t table[TABLE_BYTES];
    uint16_t items;
    bool reserved;
    *count = 0;
    int error = disk_file_read_buffer(&view->file, table, sizeof(table), metadata->offset);
    if (error || !vhdx_metadata_header_decode(table, &items, &reserved))
        return error;
    unsigned changed = vhdx_metadata_header_clear(table);
    for (uint32_t i = 0; i < items && i < TABLE_ITEMS && !error; i++) {
        uint8_t *entry = table + VHDX_METADATA_HEADER + (size_t)i * VHDX_METADATA_ENTRY;
        struct vhdx_item item;
        changed += vhdx_item_clear(entry);
        vhdx_item_decode(entry, &item);
        error = clear_contents(view, metadata, &item, count);
    }
    *count += changed;
    return error || !changed ? error : overlay_file_patch(view, metadata->offset, table, sizeof(table));
}
