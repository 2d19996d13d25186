/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/recover.h"

#include <errno.h>
#include <string.h>

#include "partitions/root/disk/vhdx/overlay.h"
#include "partitions/root/disk/vhdx/replay.h"

#define ENTRIES_PER_READ 4096u

/* 2.2.2: the file gets a new FileWriteGuid before anything else of it is changed. */
static int replay_in_file(struct vhdx_image *image, struct vhdx_replay *replay)
{
    struct disk_file *file = image->disk.file;
    struct vhdx_header header = image->headers.header;
    int error = vhdx_make_guid(header.file_write_guid);
    if (!error)
        error = vhdx_headers_write(file, &image->headers, &header);
    if (!error)
        error = vhdx_replay_apply(replay, file);
    if (!error)
        error = disk_file_synchronize(file);
    if (error)
        return error;
    memcpy(header.log_guid, vhdx_zero_guid, VHDX_GUID_SIZE);
    return vhdx_headers_update(file, &image->headers, &header);
}

/* The overlay owns the replay from then on. */
static int replay_in_memory(struct vhdx_image *image, struct vhdx_replay *replay)
{
    int error;
    struct disk_file *overlay = vhdx_overlay_create(image->disk.file, replay, &error);
    if (!overlay)
        return error;
    image->metadata_file = overlay;
    replay->bytes = NULL;
    return 0;
}

bool vhdx_recover_log(struct vhdx_image *image, bool *recovered, struct disk_error *error)
{
    struct disk_file *file = image->disk.file;
    *recovered = false;
    if (vhdx_same_guid(image->headers.header.log_guid, vhdx_zero_guid))
        return true;
    struct vhdx_replay replay;
    bool done = vhdx_replay_load(&replay, file, &image->headers, error);
    if (done) {
        int result = image->disk.read_only ? replay_in_memory(image, &replay) : replay_in_file(image, &replay);
        if (!result)
            result = disk_file_size(image->metadata_file, &image->headers.file_size);
        if (result)
            disk_error_set(error, result, file->name, "its log cannot be replayed: %s", strerror(result));
        done = !result;
        *recovered = done && !image->disk.read_only;
    }
    vhdx_replay_free(&replay);
    return done;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Where the block ends that an entry has, used or not: a place that is kept for later is one, too. */
static uint64_t end_of_block(const struct vhdx_layout *layout, uint32_t index, const uint8_t *bytes)
{
    struct vhdx_entry entry = vhdx_entry_decode(bytes);
    uint64_t length = vhdx_is_bitmap_entry(layout, index) ? VHDX_BITMAP_BLOCK : layout->block_size;
    bool reserved = entry.state == VHDX_BLOCK_NOT_PRESENT || entry.state == VHDX_BLOCK_ZERO;
    return entry.offset && !reserved && entry.offset < UINT64_MAX - length ? entry.offset + length : 0;
}

/* The end of the last block that the BAT has; parts of the BAT that the host has as holes are zeros. */
static int find_last_block(const struct vhdx_image *image, uint64_t *end)
{
    const struct vhdx_layout *layout = &image->metadata.layout;
    struct disk_file *file = image->metadata_file;
    uint8_t bytes[ENTRIES_PER_READ * VHDX_ENTRY_SIZE];
    uint32_t entries = vhdx_entries(layout);
    for (uint32_t first = 0; first < entries;) {
        uint64_t at = image->bat_offset + (uint64_t)first * VHDX_ENTRY_SIZE;
        uint64_t data = file->operations->next_data(file, at);
        if (data >= image->bat_offset + (uint64_t)entries * VHDX_ENTRY_SIZE)
            break;
        first += (uint32_t)((data - at) / VHDX_ENTRY_SIZE);
        at = image->bat_offset + (uint64_t)first * VHDX_ENTRY_SIZE;
        uint32_t count = entries - first < ENTRIES_PER_READ ? entries - first : ENTRIES_PER_READ;
        int error = disk_file_read_buffer(file, bytes, (size_t)count * VHDX_ENTRY_SIZE, at);
        if (error)
            return error;
        for (uint32_t i = 0; i < count; i++)
            *end = larger(*end, end_of_block(layout, first + i, bytes + (size_t)i * VHDX_ENTRY_SIZE));
        first += count;
    }
    return 0;
}

int vhdx_find_end(const struct vhdx_image *image, const struct vhdx_regions *regions, uint64_t *end)
{
    const struct vhdx_header *header = &image->headers.header;
    *end = header->log_offset + header->log_length;
    for (uint32_t i = 0; i < regions->count; i++)
        *end = larger(*end, regions->region[i].offset + regions->region[i].length);
    return find_last_block(image, end);
}

int vhdx_cut_tail(struct vhdx_image *image, const struct vhdx_regions *regions)
{
    uint64_t end;
    int error = vhdx_find_end(image, regions, &end);
    if (error || end >= image->headers.file_size)
        return error;
    error = disk_file_truncate(image->disk.file, end);
    if (!error)
        image->headers.file_size = end;
    return error;
}
