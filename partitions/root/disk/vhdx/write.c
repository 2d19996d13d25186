/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/write.h"

#include <errno.h>

#include "partitions/root/disk/vhdx/commit.h"

/* Room made at once: as much as is in use, up to this, and what is needed in any case. It costs a synchronization and
 * no space, and is given back at the end. */
#define MOST_ROOM (256ull << 20)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

int vhdx_take_room(struct vhdx_image *image, uint64_t length, uint64_t *place)
{
    if (image->file_end < image->used_end || image->file_end - image->used_end < length) {
        uint64_t spare = smaller(image->used_end, MOST_ROOM);
        uint64_t end = image->used_end + (spare < length ? length : spare / VHDX_MIB * VHDX_MIB);
        image->room_made = true;
        int error = disk_file_truncate(image->disk.file, end);
        if (!error)
            error = vhdx_synchronize(image);
        if (error)
            return error;
        image->file_end = image->data_end = end;
    }
    *place = image->used_end;
    image->used_end += length;
    return 0;
}

/*
 * A place for the block. One that it was to have, and whose entry could not be written, is as good as new for it, and
 * for no other.
 */
static int find_place(struct vhdx_image *image, uint32_t block, uint64_t length, uint64_t *place)
{
    if (image->promised_place && image->promised_block == block) {
        *place = image->promised_place;
        return 0;
    }
    return vhdx_take_room(image, length, place);
}

static int enter_place(struct vhdx_image *image, uint32_t block, const struct vhdx_change *changes, unsigned count)
{
    int error = vhdx_change_entries(image, changes, count);
    if (error) {
        image->promised_block = block;
        image->promised_place = changes[0].entry.offset;
    } else if (image->promised_place == changes[0].entry.offset) {
        image->promised_place = 0;
    }
    return error;
}

/* Gives the block a place of its own, all zeros. */
static int allocate_full(struct vhdx_image *image, uint32_t block, struct vhdx_entry *entry)
{
    struct vhdx_change change = {.index = vhdx_payload_entry(&image->metadata.layout, block),
                                 .entry = {.state = VHDX_BLOCK_FULLY_PRESENT}};
    int error = find_place(image, block, image->metadata.layout.block_size, &change.entry.offset);
    if (!error)
        error = enter_place(image, block, &change, 1);
    *entry = change.entry;
    return error;
}

/* Makes the bits of the block's sectors from `first` on zeros, if they are not, or ones. */
static int change_all_bits(struct vhdx_image *image, uint64_t bitmap, uint32_t block, uint32_t first, uint32_t count,
                           bool value)
{
    for (uint32_t end = first + count; first < end;) {
        struct vhdx_bits bits = vhdx_locate_bits(image, bitmap, block, first, end - first);
        const uint8_t *bytes;
        int error = metadata_cache_read(image->disk.cache, image->disk.file, bits.at, &bytes);
        if (error)
            return error;
        bool found;
        if (vhdx_run_of_bits(bytes, bits, &found) < bits.count || found != value)
            error = vhdx_change_bits(image, bits, value);
        if (error)
            return error;
        first += bits.count;
    }
    return 0;
}

/* What an earlier life of the block may have left in its bits is removed for good before the block is there. */
static int clear_old_bits(struct vhdx_image *image, uint64_t bitmap, uint32_t block)
{
    uint64_t changes = image->disk.changes;
    uint32_t bits = image->metadata.layout.block_size / image->metadata.layout.logical_sector;
    int error = change_all_bits(image, bitmap, block, 0, bits, false);
    return error || image->disk.changes == changes ? error : vhdx_flush(&image->disk);
}

/* Gives the block, which is the parent's, a place, and its chunk a sector bitmap if there is none; no bit is set. */
static int allocate_partial(struct vhdx_image *image, uint32_t block, struct vhdx_entry *entry)
{
    const struct vhdx_layout *layout = &image->metadata.layout;
    struct vhdx_entry bitmap;
    int error = vhdx_load_bitmap_block(image, block, &bitmap);
    if (error)
        return error;
    bool new_bitmap = bitmap.state == VHDX_BLOCK_NOT_PRESENT;
    if (!new_bitmap)
        error = clear_old_bits(image, bitmap.offset, block);
    uint64_t place;
    if (!error)
        error = find_place(image, block, layout->block_size + (new_bitmap ? VHDX_BITMAP_BLOCK : 0), &place);
    if (error)
        return error;
    struct vhdx_change changes[VHDX_MOST_CHANGES] = {
        {vhdx_payload_entry(layout, block), {.state = VHDX_BLOCK_PARTIALLY_PRESENT, .offset = place}                 },
        {vhdx_bitmap_entry(layout,  block), {.state = VHDX_BLOCK_FULLY_PRESENT, .offset = place + layout->block_size}},
    };
    *entry = changes[0].entry;
    return enter_place(image, block, changes, new_bitmap ? 2 : 1);
}

static int write_sectors(struct vhdx_image *image, struct disk_cursor *cursor, struct vhdx_entry entry, uint32_t first,
                         uint32_t count)
{
    return disk_file_write(image->disk.file, cursor, (uint64_t)count * DISK_SECTOR_SIZE,
                           entry.offset + (uint64_t)first * DISK_SECTOR_SIZE);
}

/* The data first, then their bits. */
static int write_partial(struct vhdx_image *image, struct disk_cursor *cursor, struct vhdx_entry entry, uint32_t block,
                         uint32_t first, uint32_t count)
{
    struct vhdx_entry bitmap;
    int error = vhdx_load_bitmap_block(image, block, &bitmap);
    if (!error && bitmap.state == VHDX_BLOCK_NOT_PRESENT)
        error = EIO;
    if (!error)
        error = write_sectors(image, cursor, entry, first, count);
    if (error)
        return error;
    return change_all_bits(image, bitmap.offset, block, first >> image->sector_shift, count >> image->sector_shift,
                           true);
}

static int write_block(struct vhdx_image *image, struct disk_cursor *cursor, uint32_t block, uint32_t first,
                       uint32_t count)
{
    struct vhdx_entry entry;
    int error = vhdx_load_block(image, block, &entry);
    if (error)
        return error;
    if (entry.state == VHDX_BLOCK_NOT_PRESENT && image->disk.differencing)
        error = allocate_partial(image, block, &entry);
    else if (entry.state != VHDX_BLOCK_FULLY_PRESENT && entry.state != VHDX_BLOCK_PARTIALLY_PRESENT)
        error = allocate_full(image, block, &entry);
    if (error)
        return error;
    if (entry.state == VHDX_BLOCK_PARTIALLY_PRESENT)
        return write_partial(image, cursor, entry, block, first, count);
    return write_sectors(image, cursor, entry, first, count);
}

int vhdx_write(struct disk_image *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    struct vhdx_image *image = (struct vhdx_image *)disk;
    int error = vhdx_begin_writing(image);
    while (sectors && !error) {
        uint32_t block_sectors = 1u << image->block_shift;
        uint32_t first = (uint32_t)sector & (block_sectors - 1);
        uint32_t count = block_sectors - first < sectors ? block_sectors - first : sectors;
        error = write_block(image, cursor, (uint32_t)(sector >> image->block_shift), first, count);
        sector += count;
        sectors -= count;
    }
    return error;
}
