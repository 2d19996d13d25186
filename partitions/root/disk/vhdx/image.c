/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhd/vhd.h"
#include "partitions/root/disk/vhdx/commit.h"
#include "partitions/root/disk/vhdx/error.h"
#include "partitions/root/disk/vhdx/locator.h"
#include "partitions/root/disk/vhdx/parent.h"
#include "partitions/root/disk/vhdx/recover.h"
#include "partitions/root/disk/vhdx/write.h"

/* So much of the BAT is passed over at once where the host has a hole. */
#define HOLE_STEP 65536u

static struct vhdx_image *to_vhdx(struct disk_image *image)
{
    return (struct vhdx_image *)image;
}

/* ---- Reading ---- */

/* Data at `offset` of the file, as far as the file has them; a replay in memory may have made it longer, with zeros. */
static void map_data(const struct vhdx_image *image, uint64_t offset, uint32_t sectors, struct disk_extent *extent)
{
    extent->kind = DISK_EXTENT_DATA;
    extent->offset = offset;
    extent->sectors = sectors;
    uint64_t rest = image->data_end > offset ? (image->data_end - offset) / DISK_SECTOR_SIZE : 0;
    if (rest == 0)
        extent->kind = DISK_EXTENT_ZERO;
    else if (rest < sectors)
        extent->sectors = (uint32_t)rest;
}

/* In a block that is partially present: bits say which of the image's own sectors it has. */
static int map_partial(struct vhdx_image *image, struct vhdx_entry entry, uint32_t block, uint32_t first,
                       uint32_t sectors, struct disk_extent *extent)
{
    struct vhdx_entry bitmap;
    int error = vhdx_load_bitmap_block(image, block, &bitmap);
    if (error || bitmap.state == VHDX_BLOCK_NOT_PRESENT)
        return error ? error : EIO;
    uint32_t from = first >> image->sector_shift;
    uint32_t end = ((first + sectors - 1) >> image->sector_shift) + 1;
    struct vhdx_bits bits = vhdx_locate_bits(image, bitmap.offset, block, from, end - from);
    const uint8_t *bytes;
    error = metadata_cache_read(image->disk.cache, image->metadata_file, bits.at, &bytes);
    if (error)
        return error;
    bool present;
    uint32_t run = ((from + vhdx_run_of_bits(bytes, bits, &present)) << image->sector_shift) - first;
    *extent = (struct disk_extent){.kind = DISK_EXTENT_ABSENT, .sectors = run < sectors ? run : sectors};
    if (present)
        map_data(image, entry.offset + (uint64_t)first * DISK_SECTOR_SIZE, extent->sectors, extent);
    return 0;
}

static int vhdx_map(struct disk_image *disk, uint64_t sector, uint32_t sectors, struct disk_extent *extent)
{
    struct vhdx_image *image = to_vhdx(disk);
    uint32_t block = (uint32_t)(sector >> image->block_shift);
    uint32_t first = (uint32_t)sector & ((1u << image->block_shift) - 1);
    uint32_t rest = (1u << image->block_shift) - first;
    if (sectors > rest)
        sectors = rest;
    struct vhdx_entry entry;
    int error = vhdx_load_block(image, block, &entry);
    if (error)
        return error;
    *extent = (struct disk_extent){.sectors = sectors};
    switch (entry.state) {
    case VHDX_BLOCK_NOT_PRESENT:
        extent->kind = DISK_EXTENT_ABSENT;
        return 0;
    case VHDX_BLOCK_FULLY_PRESENT:
        map_data(image, entry.offset + (uint64_t)first * DISK_SECTOR_SIZE, sectors, extent);
        return 0;
    case VHDX_BLOCK_PARTIALLY_PRESENT:
        return map_partial(image, entry, block, first, sectors, extent);
    default:
        extent->kind = DISK_EXTENT_ZERO;
        return 0;
    }
}

/* The first block from `block` on whose entry may be something other than zeros, as far as the host knows of holes.
 * What is held is not in the file. */
static uint32_t skip_hole(struct vhdx_image *image, uint32_t block, uint32_t blocks)
{
    const struct vhdx_layout *layout = &image->metadata.layout;
    uint64_t at = image->bat_offset + (uint64_t)vhdx_payload_entry(layout, block) * VHDX_ENTRY_SIZE;
    if (metadata_cache_held_count(image->disk.cache))
        return block;
    uint64_t data = image->metadata_file->operations->next_data(image->metadata_file, at);
    if (data >= image->bat_offset + image->bat_length)
        return blocks;
    while (block < blocks && data >= at + HOLE_STEP) {
        uint32_t entries = (uint32_t)((data - at) / VHDX_ENTRY_SIZE);
        uint32_t bitmaps = entries / (vhdx_chunk_ratio(layout) + 1) + 1; /* at most */
        block += entries - bitmaps;
        at = image->bat_offset + (uint64_t)vhdx_payload_entry(layout, block) * VHDX_ENTRY_SIZE;
    }
    return block;
}

static uint64_t vhdx_next_present(struct disk_image *disk, uint64_t sector)
{
    struct vhdx_image *image = to_vhdx(disk);
    uint32_t blocks = vhdx_blocks(&image->metadata.layout);
    uint32_t first = (uint32_t)(sector >> image->block_shift);
    for (uint32_t block = first, passed = 0; block < blocks; block++, passed++) {
        if (passed % (HOLE_STEP / VHDX_ENTRY_SIZE) == 0)
            block = skip_hole(image, block, blocks);
        if (block >= blocks)
            break;
        struct vhdx_entry entry;
        bool absent = !vhdx_load_block(image, block, &entry) && entry.state == VHDX_BLOCK_NOT_PRESENT;
        if (!absent)
            return block == first ? sector : (uint64_t)block << image->block_shift;
    }
    return disk->sectors;
}

bool vhdx_read_parent(struct disk_image *disk, struct parent_link *link, struct disk_error *error)
{
    struct vhdx_image *image = to_vhdx(disk);
    const struct vhdx_metadata *metadata = &image->metadata;
    uint8_t *bytes = malloc(metadata->locator_length);
    if (!bytes) {
        disk_error_set(error, ENOMEM, disk->file->name, "no memory");
        return false;
    }
    bool done = vhdx_read(image->metadata_file, bytes, metadata->locator_length, metadata->locator_offset, error) &&
                vhdx_locator_decode(disk->file, bytes, metadata->locator_length, metadata->locator_offset, link, error);
    free(bytes);
    return done;
}

/* A block keeps its place, in which there are holes then; whether its sectors are the parent's does not change. */
static int vhdx_discard(struct disk_image *disk, uint64_t sector, uint32_t sectors)
{
    struct vhdx_image *image = to_vhdx(disk);
    while (sectors && image->punches) {
        struct disk_extent extent;
        int error = vhdx_map(disk, sector, sectors, &extent);
        if (!error && extent.kind == DISK_EXTENT_DATA) {
            error = vhdx_begin_writing(image);
            if (!error)
                error = disk_file_punch(disk->file, extent.offset, (uint64_t)extent.sectors * DISK_SECTOR_SIZE);
        }
        image->punches = error != EOPNOTSUPP;
        if (error)
            return image->punches ? error : 0;
        sector += extent.sectors;
        sectors -= extent.sectors;
    }
    return 0;
}

/* ---- Identifiers ---- */

static int vhdx_expect_change(struct disk_image *disk, const uint8_t *identifier, uint8_t *next)
{
    int error = vhdx_make_guid(next);
    return error ? error : vhdx_set_parent_identifiers(to_vhdx(disk), identifier, next);
}

static int vhdx_set_parent_identifier(struct disk_image *disk, const uint8_t *identifier)
{
    return vhdx_set_parent_identifiers(to_vhdx(disk), identifier, NULL);
}

static int vhdx_take_identifier(struct disk_image *disk, const uint8_t *identifier)
{
    return vhdx_begin_writing_as(to_vhdx(disk), identifier);
}

/* ---- Opening and closing ---- */

static void release(struct vhdx_image *image)
{
    struct metadata_cache *cache = image->disk.cache;
    metadata_cache_release(cache, image->metadata_file);
    metadata_cache_forget(cache, image->metadata_file, 0, UINT64_MAX);
    if (image->metadata_file != image->disk.file)
        disk_file_close(image->metadata_file);
    free(image);
}

static int vhdx_close(struct disk_image *disk)
{
    struct vhdx_image *image = to_vhdx(disk);
    int error = vhdx_end_writing(image);
    release(image);
    return error;
}

const uint8_t *vhdx_disk_id(const struct disk_image *image)
{
    return ((const struct vhdx_image *)image)->metadata.disk_id;
}

static const struct disk_image_operations vhdx_operations = {
    .map = vhdx_map,
    .write = vhdx_write,
    .discard = vhdx_discard,
    .flush = vhdx_flush,
    .next_present = vhdx_next_present,
    .read_parent = vhdx_read_parent,
    .expect_change = vhdx_expect_change,
    .set_parent_identifier = vhdx_set_parent_identifier,
    .take_identifier = vhdx_take_identifier,
    .close = vhdx_close,
};

static void set_structures(struct vhdx_image *image, const struct vhdx_regions *regions)
{
    const struct vhdx_region *bat = &regions->region[regions->bat];
    const struct vhdx_region *metadata = &regions->region[regions->metadata];
    const struct vhdx_header *header = &image->headers.header;
    image->structures[VHDX_STRUCTURE_SECTION] = (struct vhdx_structure){0, VHDX_SECTION_SIZE};
    image->structures[VHDX_STRUCTURE_LOG] = (struct vhdx_structure){header->log_offset, header->log_length};
    image->structures[VHDX_STRUCTURE_BAT] = (struct vhdx_structure){bat->offset, bat->length};
    image->structures[VHDX_STRUCTURE_METADATA] = (struct vhdx_structure){metadata->offset, metadata->length};
    image->bat_offset = bat->offset;
    image->bat_length = bat->length;
}

static void describe(struct vhdx_image *image)
{
    const struct vhdx_metadata *metadata = &image->metadata;
    struct disk_image *disk = &image->disk;
    disk->operations = &vhdx_operations;
    disk->container = DISK_CONTAINER_VHDX;
    disk->block_size = metadata->layout.block_size;
    disk->differencing = metadata->layout.differencing;
    disk->format = disk->differencing          ? DISK_FORMAT_DIFFERENCING
                   : metadata->leave_allocated ? DISK_FORMAT_FIXED
                                               : DISK_FORMAT_DYNAMIC;
    disk->sectors = metadata->layout.disk_size / DISK_SECTOR_SIZE;
    disk->write_unit = metadata->layout.logical_sector / DISK_SECTOR_SIZE;
    disk->geometry = vhd_identify_geometry(vhd_geometry(disk->sectors), disk->sectors);
    memcpy(disk->identifier, image->headers.header.data_write_guid, VHDX_GUID_SIZE);
    image->block_shift = (unsigned)__builtin_ctz(metadata->layout.block_size / DISK_SECTOR_SIZE);
    image->sector_shift = (unsigned)__builtin_ctz(disk->write_unit);
    image->punches = !metadata->leave_allocated; /* a fixed image keeps its space, which is what it was made for */
}

static bool find_ends(struct vhdx_image *image, bool recovered, const struct vhdx_regions *regions,
                      struct disk_error *error)
{
    int result = recovered ? vhdx_cut_tail(image, regions) : 0;
    image->file_end = image->headers.file_size;
    if (!result)
        result = disk_file_size(image->disk.file, &image->data_end);
    if (result)
        disk_error_set(error, result, image->disk.file->name, "its end cannot be put in order: %s", strerror(result));
    image->used_end = (image->file_end + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB;
    return result == 0;
}

static bool load(struct vhdx_image *image, struct vhdx_regions *regions, struct disk_error *error)
{
    bool recovered;
    if (!vhdx_headers_read(image->disk.file, &image->headers, error) || !vhdx_recover_log(image, &recovered, error) ||
        !vhdx_regions_read(image->metadata_file, &image->headers, regions, error) ||
        !vhdx_metadata_read(image->metadata_file, regions, &image->metadata, error))
        return false;
    set_structures(image, regions);
    describe(image);
    return find_ends(image, recovered, regions, error);
}

struct disk_image *vhdx_open(struct disk_file *file, unsigned flags, struct metadata_cache *cache,
                             struct disk_error *error)
{
    struct vhdx_image *image = calloc(1, sizeof(*image));
    struct vhdx_regions *regions = malloc(sizeof(*regions));
    bool opened = image && regions;
    if (opened) {
        image->disk.file = image->metadata_file = file;
        image->disk.cache = cache;
        image->disk.read_only = flags & DISK_OPEN_READ_ONLY;
        opened = load(image, regions, error);
    } else {
        disk_error_set(error, ENOMEM, file->name, "no memory");
    }
    free(regions);
    if (opened)
        return &image->disk;
    if (image && image->disk.file)
        release(image);
    else
        free(image);
    return NULL;
}
