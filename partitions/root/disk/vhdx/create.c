/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/vhdx/create.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhdx/headers.h"
#include "partitions/root/disk/vhdx/item.h"

#define CREATOR "Loam"

#define DEFAULT_LOGICAL_SECTOR  512u
#define DEFAULT_PHYSICAL_SECTOR 4096u

/* The layout of Hyper-V's images: the header section, the log, the metadata, the BAT, blocks. */
#define LOG_OFFSET      VHDX_MIB
#define LOG_LENGTH      ((uint32_t)VHDX_MIB)
#define METADATA_OFFSET (2 * VHDX_MIB)
#define METADATA_LENGTH ((uint32_t)VHDX_MIB)
#define BAT_OFFSET      (3 * VHDX_MIB)

/* Items stand one after the other behind the table, the parent locator last. */
#define LONGEST_LOCATOR (64u << 10)

#define ENTRIES_PER_WRITE 2048u

static struct vhdx_creation with_defaults(const struct vhdx_creation *creation)
{
    struct vhdx_creation all = *creation;
    if (!all.block_size)
        all.block_size = all.format == DISK_FORMAT_DIFFERENCING ? VHDX_DEFAULT_DIFFERENCING_BLOCK : VHDX_DEFAULT_BLOCK;
    if (!all.logical_sector)
        all.logical_sector = DEFAULT_LOGICAL_SECTOR;
    if (!all.physical_sector)
        all.physical_sector = DEFAULT_PHYSICAL_SECTOR;
    return all;
}

static struct vhdx_layout layout_of(const struct vhdx_creation *all)
{
    return (struct vhdx_layout){
        .disk_size = all->size,
        .block_size = all->block_size,
        .logical_sector = all->logical_sector,
        .differencing = all->format == DISK_FORMAT_DIFFERENCING,
    };
}

const char *vhdx_creation_fault(const struct vhdx_creation *creation)
{
    struct vhdx_creation all = with_defaults(creation);
    if (!vhdx_sector_size_valid(all.logical_sector) || !vhdx_sector_size_valid(all.physical_sector))
        return "a sector size that is neither 512 nor 4096";
    if (!vhdx_block_size_valid(all.block_size))
        return "a block size that is not a power of two from 1 MiB to 256 MiB";
    if (all.size == 0 || all.size % all.logical_sector != 0)
        return "a size that is not a multiple of the sector size, or is 0";
    if (all.size > VHDX_MAXIMUM_SIZE)
        return "a size of more than 64 TiB";
    return NULL;
}

static uint32_t bat_length(const struct vhdx_layout *layout)
{
    uint64_t length = (uint64_t)vhdx_entries(layout) * VHDX_ENTRY_SIZE;
    return (uint32_t)((length + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB);
}

static uint64_t first_block(const struct vhdx_layout *layout)
{
    return BAT_OFFSET + bat_length(layout);
}

uint64_t vhdx_created_size(const struct vhdx_creation *creation)
{
    struct vhdx_creation all = with_defaults(creation);
    struct vhdx_layout layout = layout_of(&all);
    uint64_t blocks = all.format == DISK_FORMAT_FIXED ? vhdx_blocks(&layout) : 0;
    return first_block(&layout) + blocks * all.block_size;
}

static int write_headers(struct disk_file *file)
{
    uint8_t identifier[VHDX_IDENTIFIER_SIZE], bytes[VHDX_HEADER_SIZE];
    struct vhdx_header header = {
        .sequence = 1,
        .version = VHDX_VERSION,
        .log_version = VHDX_LOG_VERSION,
        .log_length = LOG_LENGTH,
        .log_offset = LOG_OFFSET,
    };
    vhdx_identifier_encode(CREATOR, identifier);
    int error = disk_file_write_buffer(file, identifier, sizeof(identifier), 0);
    if (!error)
        error = vhdx_make_guid(header.file_write_guid);
    if (!error)
        error = vhdx_make_guid(header.data_write_guid);
    for (unsigned copy = 0; copy < VHDX_HEADERS && !error; copy++) {
        vhdx_header_encode(&header, bytes);
        error = disk_file_write_buffer(file, bytes, sizeof(bytes), VHDX_HEADER_OFFSET(copy));
        header.sequence++;
    }
    return error;
}

static int write_regions(struct disk_file *file, const struct vhdx_layout *layout)
{
    struct vhdx_region regions[] = {
        {.offset = BAT_OFFSET,      .length = bat_length(layout), .required = 1},
        {.offset = METADATA_OFFSET, .length = METADATA_LENGTH,    .required = 1},
    };
    memcpy(regions[0].guid, vhdx_bat_region, VHDX_GUID_SIZE);
    memcpy(regions[1].guid, vhdx_metadata_region, VHDX_GUID_SIZE);
    uint8_t *bytes = malloc(VHDX_REGIONS_SIZE);
    if (!bytes)
        return ENOMEM;
    vhdx_regions_encode(regions, sizeof(regions) / sizeof(regions[0]), bytes);
    int error = 0;
    for (unsigned copy = 0; copy < VHDX_HEADERS && !error; copy++)
        error = disk_file_write_buffer(file, bytes, VHDX_REGIONS_SIZE, VHDX_REGIONS_OFFSET(copy));
    free(bytes);
    return error;
}

/* The metadata region as it is put together. */
struct items {
    uint8_t *bytes;
    uint32_t end;
    uint16_t count;
};

/* Enters an item of `length` bytes; where its contents go. */
static uint8_t *add_item(struct items *items, enum vhdx_item_kind kind, uint32_t length)
{
    uint8_t *contents = items->bytes + items->end;
    vhdx_item_encode(kind, items->end, length,
                     items->bytes + VHDX_METADATA_HEADER + items->count * VHDX_METADATA_ENTRY);
    items->end += length;
    items->count++;
    return contents;
}

static int add_items(struct items *items, const struct vhdx_creation *all)
{
    bool differencing = all->format == DISK_FORMAT_DIFFERENCING;
    uint8_t *parameters = add_item(items, VHDX_ITEM_FILE_PARAMETERS, VHDX_FILE_PARAMETERS);
    little_endian_store32(parameters, all->block_size);
    little_endian_store32(parameters + sizeof(uint32_t),
                          (differencing ? VHDX_HAS_PARENT : 0) |
                              (all->format == DISK_FORMAT_FIXED ? VHDX_LEAVE_BLOCKS_ALLOCATED : 0));
    little_endian_store64(add_item(items, VHDX_ITEM_DISK_SIZE, sizeof(uint64_t)), all->size);
    little_endian_store32(add_item(items, VHDX_ITEM_LOGICAL_SECTOR, sizeof(uint32_t)), all->logical_sector);
    little_endian_store32(add_item(items, VHDX_ITEM_PHYSICAL_SECTOR, sizeof(uint32_t)), all->physical_sector);
    uint8_t *disk_id = add_item(items, VHDX_ITEM_DISK_ID, VHDX_GUID_SIZE);
    int error = 0;
    if (all->disk_id)
        memcpy(disk_id, all->disk_id, VHDX_GUID_SIZE);
    else
        error = vhdx_make_guid(disk_id);
    if (error || !differencing)
        return error;
    uint32_t length;
    error = vhdx_locator_encode(all->parent, items->bytes + items->end, LONGEST_LOCATOR, &length);
    if (!error)
        add_item(items, VHDX_ITEM_PARENT_LOCATOR, length);
    return error;
}

static int write_metadata(struct disk_file *file, const struct vhdx_creation *all)
{
    struct items items = {.end = VHDX_METADATA_TABLE_SIZE};
    items.bytes = calloc(1, 2 * VHDX_METADATA_TABLE_SIZE + LONGEST_LOCATOR);
    if (!items.bytes)
        return ENOMEM;
    int error = add_items(&items, all);
    vhdx_metadata_header_encode(items.count, items.bytes);
    if (!error)
        error = disk_file_write_buffer(file, items.bytes, items.end, METADATA_OFFSET);
    free(items.bytes);
    return error;
}

/* A fixed image has its blocks in their order; entries of the others are zeros. */
static int write_full_bat(struct disk_file *file, const struct vhdx_layout *layout)
{
    uint8_t bytes[ENTRIES_PER_WRITE * VHDX_ENTRY_SIZE];
    uint32_t entries = vhdx_entries(layout);
    struct vhdx_entry next = {.state = VHDX_BLOCK_FULLY_PRESENT, .offset = first_block(layout)};
    for (uint32_t first = 0, count; first < entries; first += count) {
        count = entries - first < ENTRIES_PER_WRITE ? entries - first : ENTRIES_PER_WRITE;
        for (uint32_t i = 0; i < count; i++) {
            bool bitmap = vhdx_is_bitmap_entry(layout, first + i);
            vhdx_entry_encode(bitmap ? (struct vhdx_entry){0} : next, bytes + (size_t)i * VHDX_ENTRY_SIZE);
            next.offset += bitmap ? 0 : layout->block_size;
        }
        int error = disk_file_write_buffer(file, bytes, (size_t)count * VHDX_ENTRY_SIZE,
                                           BAT_OFFSET + (uint64_t)first * VHDX_ENTRY_SIZE);
        if (error)
            return error;
    }
    return 0;
}

int vhdx_create(struct disk_file *file, const struct vhdx_creation *creation)
{
    struct vhdx_creation all = with_defaults(creation);
    struct vhdx_layout layout = layout_of(&all);
    int error = disk_file_truncate(file, vhdx_created_size(creation));
    if (!error)
        error = write_headers(file);
    if (!error)
        error = write_regions(file, &layout);
    if (!error)
        error = write_metadata(file, &all);
    if (!error && all.format == DISK_FORMAT_FIXED)
        error = write_full_bat(file, &layout);
    return error;
}
