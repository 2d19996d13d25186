/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/vhdx/metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhdx/conflict.h"
#include "partitions/root/disk/vhdx/error.h"

/* Where the fields stand that can be wrong: of the table, and of an entry. */
enum { AT_RESERVED = 8, AT_COUNT = 10 };
enum { AT_ID = 0, AT_OFFSET = 16, AT_LENGTH = 20, AT_FLAGS = 24, AT_RESERVED2 = 28 };

#define NO_ITEM UINT32_MAX

/* The lengths of the items that have always the same. */
static const uint32_t item_length[VHDX_ITEM_KINDS] = {
    [VHDX_ITEM_FILE_PARAMETERS] = VHDX_FILE_PARAMETERS,
    [VHDX_ITEM_DISK_SIZE] = sizeof(uint64_t),
    [VHDX_ITEM_DISK_ID] = VHDX_GUID_SIZE,
    [VHDX_ITEM_LOGICAL_SECTOR] = sizeof(uint32_t),
    [VHDX_ITEM_PHYSICAL_SECTOR] = sizeof(uint32_t),
};
#define LONGEST_KNOWN VHDX_GUID_SIZE

struct reading {
    struct disk_file *file;
    const struct vhdx_region *region;
    struct vhdx_metadata *metadata;
    struct disk_error *error;
    uint16_t count;
    struct vhdx_item item[VHDX_MOST_ITEMS];
    uint32_t known[VHDX_ITEM_KINDS]; /* which of them */
};

static uint64_t place_of(const struct reading *reading, uint32_t index, unsigned field)
{
    return reading->region->offset + VHDX_METADATA_HEADER + (uint64_t)index * VHDX_METADATA_ENTRY + field;
}

static bool read_table(struct reading *reading, const uint8_t *bytes)
{
    uint64_t at = reading->region->offset;
    bool reserved;
    if (!vhdx_metadata_header_decode(bytes, &reading->count, &reserved))
        return vhdx_damaged(reading->error, reading->file, "Signature", at, "not \"metadata\"");
    if (reserved)
        return vhdx_damaged(reading->error, reading->file, "Reserved", at + AT_RESERVED, "not zero");
    if (reading->count > VHDX_MOST_ITEMS)
        return vhdx_damaged(reading->error, reading->file, "EntryCount", at + AT_COUNT, "%u, more than %u",
                            reading->count, VHDX_MOST_ITEMS);
    for (uint32_t i = 0; i < reading->count; i++)
        vhdx_item_decode(bytes + VHDX_METADATA_HEADER + (size_t)i * VHDX_METADATA_ENTRY, &reading->item[i]);
    return true;
}

static bool check_numbers(const struct reading *reading, uint32_t index)
{
    const struct vhdx_item *item = &reading->item[index];
    struct disk_file *file = reading->file;
    if (item->flags & ~(uint32_t)VHDX_ITEM_FLAGS)
        return vhdx_damaged(reading->error, file, "Reserved", place_of(reading, index, AT_FLAGS), "not zero (0x%x)",
                            item->flags);
    if (item->reserved)
        return vhdx_damaged(reading->error, file, "Reserved2", place_of(reading, index, AT_RESERVED2), "%u, not 0",
                            item->reserved);
    if (item->length > VHDX_LARGEST_ITEM)
        return vhdx_damaged(reading->error, file, "Length", place_of(reading, index, AT_LENGTH), "%u, more than 1 MiB",
                            item->length);
    if (item->length == 0 && item->offset != 0)
        return vhdx_damaged(reading->error, file, "Offset", place_of(reading, index, AT_OFFSET),
                            "%u, and not 0 as it must be for an item without contents", item->offset);
    if (item->length && item->offset < VHDX_METADATA_TABLE_SIZE)
        return vhdx_damaged(reading->error, file, "Offset", place_of(reading, index, AT_OFFSET), "%u, less than 64 KiB",
                            item->offset);
    if ((uint64_t)item->offset + item->length > reading->region->length)
        return vhdx_damaged(reading->error, file, "Offset", place_of(reading, index, AT_OFFSET),
                            "%u, from where the item of %u bytes reaches beyond the region's %u", item->offset,
                            item->length, reading->region->length);
    return true;
}

static bool recognize(struct reading *reading, uint32_t index)
{
    const struct vhdx_item *item = &reading->item[index];
    enum vhdx_item_kind kind = vhdx_item_kind(item);
    if (kind == VHDX_ITEM_KINDS) {
        if (!(item->flags & VHDX_ITEM_REQUIRED))
            return true;
        char text[VHDX_GUID_TEXT];
        vhdx_guid_print(item->id, text);
        disk_error_set(reading->error, EOPNOTSUPP, reading->file->name,
                       "a VHDX with the metadata item %.*s, which is required (at byte %llu) and not known",
                       VHDX_GUID_TEXT, text, (unsigned long long)place_of(reading, index, AT_FLAGS));
        return false;
    }
    reading->known[kind] = index;
    if (item_length[kind] && item->length != item_length[kind])
        return vhdx_damaged(reading->error, reading->file, "Length", place_of(reading, index, AT_LENGTH),
                            "%u, and a %s has %u bytes", item->length, vhdx_item_name(kind), item_length[kind]);
    return true;
}

static bool check_items(struct reading *reading)
{
    uint32_t users = 0;
    for (uint32_t i = 0; i < reading->count; i++) {
        if (!check_numbers(reading, i) || !recognize(reading, i))
            return false;
        users += (reading->item[i].flags & VHDX_ITEM_USER) != 0;
    }
    return users <= VHDX_MOST_USER_ITEMS ||
           vhdx_damaged(reading->error, reading->file, "the metadata table", reading->region->offset,
                        "with %u items of users, more than %u", users, VHDX_MOST_USER_ITEMS);
}

static bool check_conflicts(const struct reading *reading)
{
    struct vhdx_key keys[VHDX_MOST_ITEMS];
    struct vhdx_stretch stretches[VHDX_MOST_ITEMS];
    for (uint32_t i = 0; i < reading->count; i++) {
        const struct vhdx_item *item = &reading->item[i];
        memcpy(keys[i].guid, item->id, VHDX_GUID_SIZE);
        keys[i].kind = item->flags & VHDX_ITEM_USER;
        keys[i].index = i;
        stretches[i] = (struct vhdx_stretch){item->offset, item->length, i};
    }
    uint32_t first, second;
    if (vhdx_find_duplicate(keys, reading->count, &first, &second))
        return vhdx_damaged(reading->error, reading->file, "ItemId", place_of(reading, second, AT_ID),
                            "the same as that at byte %llu", (unsigned long long)place_of(reading, first, AT_ID));
    if (vhdx_find_overlap(stretches, reading->count, &first, &second))
        return vhdx_damaged(reading->error, reading->file, "Offset", place_of(reading, second, AT_OFFSET),
                            "%u, where the item lies over the one that is located at byte %llu",
                            reading->item[second].offset, (unsigned long long)place_of(reading, first, AT_OFFSET));
    return true;
}

/* Reads a known item of a fixed length; *at is where it stands. */
static bool read_item(const struct reading *reading, enum vhdx_item_kind kind, uint8_t *bytes, uint64_t *at)
{
    uint32_t index = reading->known[kind];
    if (index == NO_ITEM)
        return vhdx_damaged(reading->error, reading->file, "the metadata table", reading->region->offset,
                            "without a %s", vhdx_item_name(kind));
    *at = reading->region->offset + reading->item[index].offset;
    return !item_length[kind] || vhdx_read(reading->file, bytes, item_length[kind], *at, reading->error);
}

static bool read_parameters(const struct reading *reading)
{
    struct vhdx_metadata *metadata = reading->metadata;
    uint8_t bytes[LONGEST_KNOWN];
    uint64_t at;
    if (!read_item(reading, VHDX_ITEM_FILE_PARAMETERS, bytes, &at))
        return false;
    uint32_t flags = little_endian_load32(bytes + VHDX_FILE_PARAMETERS_FLAGS);
    metadata->layout.block_size = little_endian_load32(bytes);
    metadata->layout.differencing = flags & VHDX_HAS_PARENT;
    metadata->leave_allocated = !metadata->layout.differencing && (flags & VHDX_LEAVE_BLOCKS_ALLOCATED);
    if (!vhdx_block_size_valid(metadata->layout.block_size))
        return vhdx_damaged(reading->error, reading->file, "BlockSize", at,
                            "%u, not a power of two from 1 MiB to 256 MiB", metadata->layout.block_size);
    if (flags & ~(uint32_t)VHDX_FILE_FLAGS)
        return vhdx_damaged(reading->error, reading->file, "Reserved", at + VHDX_FILE_PARAMETERS_FLAGS,
                            "not zero (0x%x)", flags);
    return true;
}

static bool read_sector_size(const struct reading *reading, enum vhdx_item_kind kind, uint32_t *size)
{
    uint8_t bytes[LONGEST_KNOWN];
    uint64_t at;
    if (!read_item(reading, kind, bytes, &at))
        return false;
    *size = little_endian_load32(bytes);
    return vhdx_sector_size_valid(*size) ||
           vhdx_damaged(reading->error, reading->file, vhdx_item_name(kind), at, "%u, neither 512 nor 4096", *size);
}

static bool read_disk_size(const struct reading *reading)
{
    struct vhdx_layout *layout = &reading->metadata->layout;
    uint8_t bytes[LONGEST_KNOWN];
    uint64_t at;
    if (!read_item(reading, VHDX_ITEM_DISK_SIZE, bytes, &at))
        return false;
    reading->metadata->disk_size_offset = at;
    layout->disk_size = little_endian_load64(bytes);
    if (layout->disk_size == 0 || layout->disk_size % layout->logical_sector != 0 ||
        layout->disk_size > VHDX_MAXIMUM_SIZE)
        return vhdx_damaged(reading->error, reading->file, vhdx_item_name(VHDX_ITEM_DISK_SIZE), at,
                            "%llu, not a multiple of %u that is at most 64 TiB, and not 0",
                            (unsigned long long)layout->disk_size, layout->logical_sector);
    return true;
}

static bool read_disk_id(const struct reading *reading)
{
    uint64_t at;
    return read_item(reading, VHDX_ITEM_DISK_ID, reading->metadata->disk_id, &at);
}

static bool locate_parent(const struct reading *reading)
{
    struct vhdx_metadata *metadata = reading->metadata;
    if (!metadata->layout.differencing)
        return true;
    if (!read_item(reading, VHDX_ITEM_PARENT_LOCATOR, NULL, &metadata->locator_offset))
        return false;
    uint32_t index = reading->known[VHDX_ITEM_PARENT_LOCATOR];
    metadata->locator_length = reading->item[index].length;
    return metadata->locator_length >= VHDX_LOCATOR_HEADER ||
           vhdx_damaged(reading->error, reading->file, "Length", place_of(reading, index, AT_LENGTH),
                        "%u, and a ParentLocator has at least %u bytes", metadata->locator_length, VHDX_LOCATOR_HEADER);
}

static bool check_bat(const struct reading *reading, const struct vhdx_regions *regions)
{
    const struct vhdx_region *bat = &regions->region[regions->bat];
    uint32_t entries = vhdx_entries(&reading->metadata->layout);
    if ((uint64_t)entries * VHDX_ENTRY_SIZE <= bat->length)
        return true;
    disk_error_set(reading->error, EUCLEAN, reading->file->name,
                   "a damaged VHDX: the BAT's region, at byte %llu, has %u bytes, too few for the disk's %u entries",
                   (unsigned long long)bat->offset, bat->length, entries);
    return false;
}

static bool read_all(struct reading *reading, const struct vhdx_regions *regions, const uint8_t *table)
{
    struct vhdx_metadata *metadata = reading->metadata;
    return read_table(reading, table) && check_items(reading) && check_conflicts(reading) && read_parameters(reading) &&
           read_sector_size(reading, VHDX_ITEM_LOGICAL_SECTOR, &metadata->layout.logical_sector) &&
           read_sector_size(reading, VHDX_ITEM_PHYSICAL_SECTOR, &metadata->physical_sector) &&
           read_disk_size(reading) && read_disk_id(reading) && locate_parent(reading) && check_bat(reading, regions);
}

bool vhdx_metadata_read(struct disk_file *file, const struct vhdx_regions *regions, struct vhdx_metadata *metadata,
                        struct disk_error *error)
{
    *metadata = (struct vhdx_metadata){0};
    struct reading *reading = malloc(sizeof(*reading));
    uint8_t *table = malloc(VHDX_METADATA_TABLE_SIZE);
    bool done = reading && table;
    if (!done) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
    } else {
        reading->file = file;
        reading->region = &regions->region[regions->metadata];
        reading->metadata = metadata;
        reading->error = error;
        for (enum vhdx_item_kind kind = 0; kind < VHDX_ITEM_KINDS; kind++)
            reading->known[kind] = NO_ITEM;
        done = vhdx_read(file, table, VHDX_METADATA_TABLE_SIZE, reading->region->offset, error) &&
               read_all(reading, regions, table);
    }
    free(table);
    free(reading);
    return done;
}
