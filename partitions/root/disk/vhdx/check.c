/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/vhdx/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhdx/error.h"
#include "partitions/root/disk/vhdx/locator.h"
#include "partitions/root/disk/vhdx/metadata.h"
#include "partitions/root/disk/vhdx/overlay.h"

#define ENTRIES_PER_READ 4096u

struct check {
    disk_check_report *report;
    void *context;
    struct disk_file *file; /* after the replay */
    struct vhdx_headers headers;
    struct vhdx_metadata metadata;
    struct vhdx_regions regions;
    uint8_t *used;          /* a bit for each MiB of the file, also for a part at its end */
    uint64_t units;         /* MiB */
    uint64_t taken;         /* of them */
    bool partially_present; /* a block of the chunk is */
};

static void __attribute__((format(printf, 3, 4)))
find(const struct check *check, enum disk_check_level level, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    check->report(check->context, level, text);
}

/* A step has failed. If that is because of damage, it is a finding, and the check is done. */
static bool damage_found(const struct check *check, const struct disk_error *reason, struct disk_error *error)
{
    if (reason->code == EUCLEAN) {
        find(check, DISK_CHECK_ERROR, "%s", reason->text + reason->reason);
        return true;
    }
    if (error)
        *error = *reason;
    return false;
}

/* ---- What the file is used for ---- */

/* Marks a stretch, in MiB, as used, as far as it lies within the file. False if something of it is used already. */
static bool take(struct check *check, uint64_t offset, uint64_t length)
{
    uint64_t first = offset / VHDX_MIB, end = (offset + length + VHDX_MIB - 1) / VHDX_MIB;
    bool free = true;
    for (uint64_t unit = first; unit < end && unit < check->units; unit++) {
        uint8_t mask = (uint8_t)(1u << unit % 8);
        bool new = !(check->used[unit / 8] & mask);
        check->used[unit / 8] |= mask;
        check->taken += new;
        free &= new;
    }
    return free;
}

static void note_unused(const struct check *check)
{
    uint64_t unused = check->units - check->taken;
    if (unused)
        find(check, DISK_CHECK_NOTE, "%llu MiB of the file are not used", (unsigned long long)unused);
}

/* ---- Entries of the BAT ---- */

static uint64_t place_of(const struct check *check, uint32_t index)
{
    return check->regions.region[check->regions.bat].offset + (uint64_t)index * VHDX_ENTRY_SIZE;
}

/* What is wrong with an entry's bits alone, or NULL. */
static const char *entry_fault(const struct check *check, struct vhdx_entry entry, bool bitmap)
{
    bool differencing = check->metadata.layout.differencing;
    if (entry.reserved)
        return "something in a reserved field";
    switch (entry.state) {
    case VHDX_BLOCK_NOT_PRESENT:
        return NULL;
    case VHDX_BLOCK_FULLY_PRESENT:
        return bitmap && !differencing ? "a sector bitmap, which only a differencing image has" : NULL;
    case VHDX_BLOCK_PARTIALLY_PRESENT:
        if (!bitmap && !differencing)
            return "the state PARTIALLY_PRESENT, which only a differencing image has";
        return bitmap ? "a state that is not defined" : NULL;
    case VHDX_BLOCK_UNDEFINED:
    case VHDX_BLOCK_ZERO:
    case VHDX_BLOCK_UNMAPPED:
        return bitmap ? "a state that is not defined" : NULL;
    default:
        return "a state that is not defined";
    }
}

/* `needed` bytes of the block have to be in the file; all of it may be nobody else's. */
static void check_place(struct check *check, uint32_t index, uint64_t offset, uint64_t length, uint64_t needed)
{
    unsigned long long at = place_of(check, index);
    uint64_t file_size = check->headers.file_size;
    if (offset > file_size || needed > file_size - offset)
        find(check, DISK_CHECK_ERROR,
             "the BAT entry at byte %llu has a block at byte %llu, beyond the file's end at %llu", at,
             (unsigned long long)offset, (unsigned long long)file_size);
    else if (!take(check, offset, length))
        find(check, DISK_CHECK_ERROR, "the BAT entry at byte %llu has a block at byte %llu, over something else", at,
             (unsigned long long)offset);
}

static void check_bitmap_entry(struct check *check, uint32_t index, struct vhdx_entry entry)
{
    if (entry.state == VHDX_BLOCK_FULLY_PRESENT)
        check_place(check, index, entry.offset, VHDX_BITMAP_BLOCK, VHDX_BITMAP_BLOCK);
    else if (check->partially_present)
        find(check, DISK_CHECK_ERROR,
             "the BAT entry at byte %llu has no sector bitmap, and blocks of its chunk are partially present",
             (unsigned long long)place_of(check, index));
    check->partially_present = false;
}

static void check_entry(struct check *check, uint32_t index, const uint8_t *bytes)
{
    const struct vhdx_layout *layout = &check->metadata.layout;
    struct vhdx_entry entry = vhdx_entry_decode(bytes);
    bool bitmap = vhdx_is_bitmap_entry(layout, index);
    const char *fault = entry_fault(check, entry, bitmap);
    if (fault)
        find(check, DISK_CHECK_ERROR, "the BAT entry at byte %llu is 0x%llx: %s",
             (unsigned long long)place_of(check, index), (unsigned long long)little_endian_load64(bytes), fault);
    if (bitmap) {
        check_bitmap_entry(check, index, fault ? (struct vhdx_entry){0} : entry);
        return;
    }
    uint32_t block = index - index / (vhdx_chunk_ratio(layout) + 1);
    if (fault || block >= vhdx_blocks(layout)) /* entries that fill the last chunk belong to no block */
        return;
    check->partially_present |= entry.state == VHDX_BLOCK_PARTIALLY_PRESENT;
    if (entry.state == VHDX_BLOCK_FULLY_PRESENT || entry.state == VHDX_BLOCK_PARTIALLY_PRESENT)
        check_place(check, index, entry.offset, layout->block_size, vhdx_block_bytes(layout, block));
}

static int check_bat(struct check *check)
{
    uint8_t bytes[ENTRIES_PER_READ * VHDX_ENTRY_SIZE];
    uint32_t entries = vhdx_entries(&check->metadata.layout);
    for (uint32_t first = 0, count; first < entries; first += count) {
        count = entries - first < ENTRIES_PER_READ ? entries - first : ENTRIES_PER_READ;
        uint64_t end = place_of(check, first + count);
        bool hole = check->file->operations->next_data(check->file, place_of(check, first)) >= end;
        if (hole && !check->partially_present)
            continue;
        int error = disk_file_read_buffer(check->file, bytes, (size_t)count * VHDX_ENTRY_SIZE, place_of(check, first));
        if (error)
            return error;
        for (uint32_t i = 0; i < count; i++)
            check_entry(check, first + i, bytes + (size_t)i * VHDX_ENTRY_SIZE);
    }
    return 0;
}

/* ---- The rest ---- */

static void check_copies(const struct check *check)
{
    static const char *const damage[] = {[VHDX_ABSENT] = "is missing", [VHDX_FAULTY] = "has a wrong checksum"};
    for (unsigned copy = 0; copy < VHDX_HEADERS; copy++) {
        if (check->headers.state[copy] != VHDX_VALID)
            find(check, DISK_CHECK_WARNING, "the header at byte %llu %s; the other one is sound",
                 (unsigned long long)VHDX_HEADER_OFFSET(copy), damage[check->headers.state[copy]]);
        if (check->regions.state[copy] != VHDX_VALID)
            find(check, DISK_CHECK_NOTE, "the region table at byte %llu %s; the other one is sound",
                 (unsigned long long)VHDX_REGIONS_OFFSET(copy), damage[check->regions.state[copy]]);
    }
    if (check->regions.differ)
        find(check, DISK_CHECK_NOTE, "the region table at byte %llu differs from that at byte %llu, which counts",
             (unsigned long long)VHDX_REGIONS_OFFSET(1), (unsigned long long)VHDX_REGIONS_OFFSET(0));
}

static bool check_locator(const struct check *check, struct disk_error *reason)
{
    const struct vhdx_metadata *metadata = &check->metadata;
    if (!metadata->layout.differencing)
        return true;
    struct parent_link *link = malloc(sizeof(*link));
    uint8_t *bytes = malloc(metadata->locator_length);
    bool done = link && bytes;
    if (!done)
        disk_error_set(reason, ENOMEM, check->file->name, "no memory");
    else
        done =
            vhdx_read(check->file, bytes, metadata->locator_length, metadata->locator_offset, reason) &&
            vhdx_locator_decode(check->file, bytes, metadata->locator_length, metadata->locator_offset, link, reason);
    free(bytes);
    free(link);
    return done;
}

static bool check_blocks(struct check *check, struct disk_error *reason)
{
    uint64_t size = check->headers.file_size < VHDX_END_OF_FILES ? check->headers.file_size : VHDX_END_OF_FILES;
    check->units = (size + VHDX_MIB - 1) / VHDX_MIB;
    check->used = calloc(check->units / 8 + 1, 1);
    int error = check->used ? 0 : ENOMEM;
    if (!error) {
        take(check, 0, VHDX_SECTION_SIZE);
        take(check, check->headers.header.log_offset, check->headers.header.log_length);
        for (uint32_t i = 0; i < check->regions.count; i++)
            take(check, check->regions.region[i].offset, check->regions.region[i].length);
        error = check_bat(check);
    }
    if (error)
        disk_error_set(reason, error, check->file->name, "the BAT cannot be checked: %s", strerror(error));
    else
        note_unused(check);
    free(check->used);
    return !error;
}

/* Puts what a replay will make of the file in its place. */
static bool replay(struct check *check, struct disk_file *file, struct disk_error *reason)
{
    check->file = file;
    if (vhdx_same_guid(check->headers.header.log_guid, vhdx_zero_guid))
        return true;
    struct vhdx_replay found;
    bool done = vhdx_replay_load(&found, file, &check->headers, reason);
    if (done) {
        find(check, DISK_CHECK_WARNING, "the disk was not closed: its log has %u entries to be replayed",
             found.entries);
        int result;
        struct disk_file *overlay = vhdx_overlay_create(file, &found, &result);
        if (overlay) {
            check->file = overlay;
            found.bytes = NULL;
            result = disk_file_size(overlay, &check->headers.file_size);
        }
        if (result)
            disk_error_set(reason, result, file->name, "its log cannot be replayed: %s", strerror(result));
        done = !result;
    }
    vhdx_replay_free(&found);
    return done;
}

static bool check_all(struct check *check, struct disk_file *file, struct disk_error *reason)
{
    if (!vhdx_headers_read(file, &check->headers, reason) || !replay(check, file, reason) ||
        !vhdx_regions_read(check->file, &check->headers, &check->regions, reason))
        return false;
    check_copies(check);
    return vhdx_metadata_read(check->file, &check->regions, &check->metadata, reason) && check_locator(check, reason) &&
           check_blocks(check, reason);
}

bool vhdx_check(struct disk_file *file, disk_check_report *report, void *context, struct disk_error *error)
{
    struct disk_error reason;
    struct check *check = calloc(1, sizeof(*check));
    if (!check) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
        return false;
    }
    check->report = report;
    check->context = context;
    check->file = file;
    bool done = check_all(check, file, &reason) || damage_found(check, &reason, error);
    if (check->file != file)
        disk_file_close(check->file);
    free(check);
    return done;
}
