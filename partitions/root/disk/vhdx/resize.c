/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/resize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/source.h"
#include "partitions/root/disk/space.h"
#include "partitions/root/disk/vhdx/commit.h"
#include "partitions/root/disk/vhdx/edit.h"
#include "partitions/root/disk/vhdx/recover.h"
#include "partitions/root/disk/vhdx/regions.h"
#include "partitions/root/disk/vhdx/update.h"
#include "partitions/root/disk/vhdx/write.h"

#define COPY_STEP (64u << 10)

struct resizing {
    const struct vhdx_resize *resize;
    struct vhdx_image *image;
    struct disk_file *file;
    struct vhdx_regions *regions;
    struct vhdx_layout old, new;
    uint64_t bat_offset; /* of the new image */
    uint32_t bat_length;
    uint8_t *buffer; /* COPY_STEP bytes */
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- What the old image does not have ---- */

/* Makes zeros of a stretch, where they are none. */
static int clear(const struct resizing *work, uint64_t begin, uint64_t end)
{
    int error = 0;
    while (!error && (begin = work->file->operations->next_data(work->file, begin)) < end) {
        size_t piece = (size_t)smaller(COPY_STEP, end - begin);
        error = disk_file_read_buffer(work->file, work->buffer, piece, begin);
        if (!error && !disk_is_zero(work->buffer, piece)) {
            memset(work->buffer, 0, piece);
            error = disk_file_write_buffer(work->file, work->buffer, piece, begin);
        }
        begin += piece;
    }
    return error;
}

/* The file is at least as long from then on. */
static int reach(const struct resizing *work, uint64_t end)
{
    struct vhdx_image *image = work->image;
    uint64_t place, more = end > image->used_end ? end - image->used_end : 0;
    return end > image->file_end ? vhdx_take_room(image, more, &place) : 0;
}

/* Makes zeros of what the last block has behind the old disk's end, where nobody has looked at it. */
static int clear_last_block(const struct resizing *work)
{
    uint32_t block = vhdx_blocks(&work->old) - 1, used = vhdx_block_bytes(&work->old, block);
    struct vhdx_entry entry;
    int error = vhdx_load_block(work->image, block, &entry);
    if (error || used == work->old.block_size || entry.state != VHDX_BLOCK_FULLY_PRESENT)
        return error;
    error = reach(work, entry.offset + work->old.block_size);
    return error ? error : clear(work, entry.offset + used, entry.offset + work->old.block_size);
}

/* Gives the BAT another place if its own is too short, with the old entries in it. */
static int place_bat(struct resizing *work)
{
    struct vhdx_image *image = work->image;
    uint64_t length = ((uint64_t)vhdx_entries(&work->new) * VHDX_ENTRY_SIZE + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB;
    work->bat_offset = image->bat_offset;
    work->bat_length = (uint32_t)image->bat_length;
    if (length <= image->bat_length)
        return 0;
    int error = vhdx_take_room(image, length, &work->bat_offset);
    work->bat_length = (uint32_t)length;
    uint64_t used = (uint64_t)vhdx_entries(&work->old) * VHDX_ENTRY_SIZE;
    for (uint64_t done = 0; done < used && !error; done += COPY_STEP) {
        size_t piece = (size_t)smaller(COPY_STEP, used - done);
        error = disk_file_read_buffer(work->file, work->buffer, piece, image->bat_offset + done);
        if (!error && !disk_is_zero(work->buffer, piece))
            error = disk_file_write_buffer(work->file, work->buffer, piece, work->bat_offset + done);
    }
    return error;
}

/* Blocks of a fixed image that are new get their places one after the other. */
static int place_blocks(const struct resizing *work, uint64_t *place)
{
    uint64_t length = (uint64_t)(vhdx_blocks(&work->new) - vhdx_blocks(&work->old)) * work->new.block_size;
    if (!length)
        return 0;
    int error = vhdx_take_room(work->image, length, place);
    if (!error && work->resize->allocate)
        error = disk_allocate_space(work->file, *place, *place + length, work->resize->progress);
    return error;
}

/* Entries that the old disk has not: those of a fixed image's blocks, which begin at `place`; zeros of a dynamic one.
 */
static int write_entries(const struct resizing *work, uint64_t place, bool fixed)
{
    uint32_t end = vhdx_entries(&work->new), per_step = COPY_STEP / VHDX_ENTRY_SIZE;
    int error = 0;
    for (uint32_t first = vhdx_entries(&work->old); fixed && first < end && !error; first += per_step) {
        uint32_t count = end - first < per_step ? end - first : per_step;
        for (uint32_t i = 0; i < count; i++) {
            struct vhdx_entry entry = {0};
            if (!vhdx_is_bitmap_entry(&work->new, first + i)) {
                entry = (struct vhdx_entry){.state = VHDX_BLOCK_FULLY_PRESENT, .offset = place};
                place += work->new.block_size;
            }
            vhdx_entry_encode(entry, work->buffer + (size_t)i * VHDX_ENTRY_SIZE);
        }
        error = disk_file_write_buffer(work->file, work->buffer, (size_t)count * VHDX_ENTRY_SIZE,
                                       work->bat_offset + (uint64_t)first * VHDX_ENTRY_SIZE);
    }
    if (fixed || error)
        return error;
    return clear(work, work->bat_offset + (uint64_t)vhdx_entries(&work->old) * VHDX_ENTRY_SIZE,
                 work->bat_offset + (uint64_t)end * VHDX_ENTRY_SIZE);
}

/* ---- The switch ---- */

/* Both copies of the region table, from the one that counts. */
static int update_regions(const struct resizing *work, struct vhdx_update *update)
{
    struct vhdx_region bat = work->regions->region[work->regions->bat];
    bat.offset = work->bat_offset;
    bat.length = work->bat_length;
    uint8_t *bytes = malloc(VHDX_REGIONS_SIZE);
    int error = bytes ? disk_file_read_buffer(work->file, bytes, VHDX_REGIONS_SIZE,
                                              VHDX_REGIONS_OFFSET(work->regions->state[0] != VHDX_VALID))
                      : ENOMEM;
    if (!error) {
        vhdx_region_encode(&bat, work->regions->bat, bytes);
        vhdx_regions_seal(bytes);
    }
    for (unsigned copy = 0; copy < VHDX_HEADERS && !error; copy++)
        error = vhdx_update_write(update, VHDX_REGIONS_OFFSET(copy), bytes, VHDX_REGIONS_SIZE);
    free(bytes);
    return error;
}

static int make_switch(const struct resizing *work)
{
    struct vhdx_update update;
    uint8_t size[sizeof(uint64_t)];
    little_endian_store64(size, work->new.disk_size);
    int error = vhdx_update_begin(&update, work->image);
    if (!error)
        error = vhdx_update_write(&update, work->image->metadata.disk_size_offset, size, sizeof(size));
    if (!error && work->bat_offset != work->image->bat_offset)
        error = update_regions(work, &update);
    if (!error)
        error = vhdx_synchronize(work->image);
    if (!error)
        error = vhdx_renew_identifier(work->image);
    if (!error)
        error = vhdx_update_commit(&update);
    vhdx_update_free(&update);
    return error;
}

/* ---- Growing ---- */

static int prepare_growth(struct resizing *work)
{
    bool fixed = work->image->metadata.leave_allocated;
    uint64_t place = 0;
    int error = clear_last_block(work);
    if (!error)
        error = place_bat(work);
    if (!error && fixed)
        error = place_blocks(work, &place);
    return error ? error : write_entries(work, place, fixed);
}

static int grow(struct resizing *work)
{
    struct vhdx_image *image = work->image;
    uint64_t used_end = image->used_end;
    int error = prepare_growth(work);
    if (!error)
        error = make_switch(work);
    if (error)
        image->used_end = used_end;                 /* the room goes when the image is closed */
    else if (work->bat_offset != image->bat_offset) /* whether the host can take its space back is of no importance */
        disk_file_punch(work->file, image->bat_offset, image->bat_length);
    return error;
}

/* ---- Shrinking ---- */

/* Gives the spaces back of blocks that are not the disk's any more, and clears their entries. */
static int drop_blocks(const struct resizing *work)
{
    const struct vhdx_image *image = work->image;
    uint32_t first = vhdx_entries(&work->new), end = vhdx_entries(&work->old);
    uint64_t begin = image->bat_offset + (uint64_t)first * VHDX_ENTRY_SIZE;
    int error = 0;
    for (uint32_t count; first < end && !error; first += count) {
        count = end - first < COPY_STEP / VHDX_ENTRY_SIZE ? end - first : COPY_STEP / VHDX_ENTRY_SIZE;
        error = disk_file_read_buffer(work->file, work->buffer, (size_t)count * VHDX_ENTRY_SIZE,
                                      image->bat_offset + (uint64_t)first * VHDX_ENTRY_SIZE);
        for (uint32_t i = 0; i < count && !error; i++) {
            struct vhdx_entry entry = vhdx_entry_decode(work->buffer + (size_t)i * VHDX_ENTRY_SIZE);
            if (entry.state == VHDX_BLOCK_FULLY_PRESENT && entry.offset + work->old.block_size <= image->file_end)
                disk_file_punch(work->file, entry.offset, work->old.block_size);
        }
    }
    return error ? error : clear(work, begin, image->bat_offset + (uint64_t)end * VHDX_ENTRY_SIZE);
}

/* The file ends behind what is in use when the image is closed. */
static int shrink(struct resizing *work)
{
    struct vhdx_image *image = work->image;
    uint64_t used_end;
    work->bat_offset = image->bat_offset;
    int error = make_switch(work);
    if (!error)
        error = drop_blocks(work);
    image->metadata.layout = error ? work->old : work->new;
    if (!error)
        error = vhdx_find_end(image, work->regions, &used_end);
    if (!error && used_end < image->file_end) {
        image->used_end = used_end;
        image->room_made = true;
    }
    return error;
}

/* ---- Both ---- */

static int resize_image(struct resizing *work, struct disk_error *error)
{
    struct vhdx_image *image = work->image;
    work->file = image->disk.file;
    work->old = work->new = image->metadata.layout;
    work->new.disk_size = work->resize->size;
    work->buffer = malloc(COPY_STEP);
    work->regions = malloc(sizeof(*work->regions));
    if (!work->buffer || !work->regions)
        return ENOMEM;
    if (!vhdx_regions_read(work->file, &image->headers, work->regions, error))
        return error->code;
    if (work->new.disk_size == work->old.disk_size)
        return 0;
    int result = vhdx_begin_writing_as(image, image->headers.header.data_write_guid);
    if (result)
        return result;
    return work->new.disk_size > work->old.disk_size ? grow(work) : shrink(work);
}

bool vhdx_resize(struct disk_file *file, const struct vhdx_resize *resize, struct disk_error *error)
{
    struct resizing work = {.resize = resize};
    struct vhdx_edit edit;
    if (!vhdx_edit_begin(&edit, file, 0, error))
        return false;
    work.image = edit.image;
    int result = resize_image(&work, error);
    free(work.buffer);
    free(work.regions);
    int closed = vhdx_edit_end(&edit);
    if (!result)
        result = closed;
    if (result)
        disk_error_set(error, result, file->name, "cannot be resized: %s",
                       result == ECANCELED ? "cancelled" : strerror(result));
    return result == 0;
}
