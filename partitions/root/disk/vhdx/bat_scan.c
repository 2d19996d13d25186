/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/bat_scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/vhdx/replay.h"

#define ENTRIES_PER_READ 4096u

struct scanning {
    struct vhdx_bat_scan *scan;
    uint8_t *used;          /* a bit for each MiB of the file, also for a part at its end */
    uint64_t units;         /* MiB */
    uint64_t taken;         /* of them */
    bool partially_present; /* a block of the chunk is */
};

void vhdx_bat_describe(const struct vhdx_bat_finding *finding, uint64_t file_size, char *line)
{
    unsigned long long at = finding->at, place = finding->entry.offset;
    switch (finding->fault) {
    case VHDX_BAT_RESERVED:
        snprintf(line, VHDX_BAT_LINE, "the BAT entry at byte %llu is 0x%llx: something in a reserved field", at,
                 (unsigned long long)finding->value);
        break;
    case VHDX_BAT_STATE:
        snprintf(line, VHDX_BAT_LINE, "the BAT entry at byte %llu is 0x%llx: %s", at,
                 (unsigned long long)finding->value, finding->what);
        break;
    case VHDX_BAT_BEYOND:
        snprintf(line, VHDX_BAT_LINE,
                 "the BAT entry at byte %llu has a block at byte %llu, beyond the file's end at %llu", at, place,
                 (unsigned long long)file_size);
        break;
    case VHDX_BAT_OVERLAP:
        snprintf(line, VHDX_BAT_LINE, "the BAT entry at byte %llu has a block at byte %llu, over something else", at,
                 place);
        break;
    case VHDX_BAT_NO_BITMAP:
        snprintf(line, VHDX_BAT_LINE,
                 "the BAT entry at byte %llu has no sector bitmap, and blocks of its chunk are partially present", at);
        break;
    }
}

/* ---- What the file is used for ---- */

/* Marks a stretch, in MiB, as used, as far as it lies within the file. False if something of it is used already. */
static bool take(struct scanning *scanning, uint64_t offset, uint64_t length)
{
    uint64_t first = offset / VHDX_MIB, end = (offset + length + VHDX_MIB - 1) / VHDX_MIB;
    bool free = true;
    for (uint64_t unit = first; unit < end && unit < scanning->units; unit++) {
        uint8_t mask = (uint8_t)(1u << unit % 8);
        bool new = !(scanning->used[unit / 8] & mask);
        scanning->used[unit / 8] |= mask;
        scanning->taken += new;
        free &= new;
    }
    return free;
}

static void take_structures(struct scanning *scanning)
{
    const struct vhdx_regions *regions = scanning->scan->regions;
    const struct vhdx_header *header = &scanning->scan->headers->header;
    take(scanning, 0, VHDX_SECTION_SIZE);
    take(scanning, header->log_offset, header->log_length);
    for (uint32_t i = 0; i < regions->count; i++)
        take(scanning, regions->region[i].offset, regions->region[i].length);
}

/* ---- Entries ---- */

static void find(const struct scanning *scanning, struct vhdx_bat_finding *finding, enum vhdx_bat_fault fault)
{
    finding->fault = fault;
    scanning->scan->find(scanning->scan->context, finding);
}

/* What is wrong with an entry's state, or NULL. */
static const char *state_fault(enum vhdx_block_state state, bool bitmap, bool differencing)
{
    switch (state) {
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
static void look_at_place(struct scanning *scanning, struct vhdx_bat_finding *finding, uint64_t length)
{
    uint64_t file_size = scanning->scan->headers->file_size, offset = finding->entry.offset;
    if (offset >= file_size)
        find(scanning, finding, VHDX_BAT_BEYOND);
    else if (!take(scanning, offset, length))
        find(scanning, finding, VHDX_BAT_OVERLAP);
    else if (finding->needed > file_size - offset)
        find(scanning, finding, VHDX_BAT_BEYOND);
}

static void look_at_bitmap(struct scanning *scanning, struct vhdx_bat_finding *finding, bool sound)
{
    finding->needed = VHDX_BITMAP_BLOCK;
    if (sound && finding->entry.state == VHDX_BLOCK_FULLY_PRESENT)
        look_at_place(scanning, finding, VHDX_BITMAP_BLOCK);
    else if (scanning->partially_present)
        find(scanning, finding, VHDX_BAT_NO_BITMAP);
    scanning->partially_present = false;
}

static void look_at_entry(struct scanning *scanning, uint32_t index, uint64_t at, const uint8_t *bytes)
{
    const struct vhdx_layout *layout = &scanning->scan->metadata->layout;
    struct vhdx_bat_finding finding = {
        .index = index,
        .at = at,
        .value = little_endian_load64(bytes),
        .entry = vhdx_entry_decode(bytes),
    };
    bool bitmap = vhdx_is_bitmap_entry(layout, index);
    uint32_t block = index - index / (vhdx_chunk_ratio(layout) + 1);
    finding.what = state_fault(finding.entry.state, bitmap, layout->differencing);
    if (finding.entry.reserved)
        find(scanning, &finding, VHDX_BAT_RESERVED);
    if (finding.what)
        find(scanning, &finding, VHDX_BAT_STATE);
    if (bitmap) {
        look_at_bitmap(scanning, &finding, !finding.what);
        return;
    }
    if (finding.what || block >= vhdx_blocks(layout)) /* entries that fill the last chunk belong to no block */
        return;
    scanning->partially_present |= finding.entry.state == VHDX_BLOCK_PARTIALLY_PRESENT;
    finding.needed = vhdx_block_bytes(layout, block);
    if (finding.entry.state == VHDX_BLOCK_FULLY_PRESENT || finding.entry.state == VHDX_BLOCK_PARTIALLY_PRESENT)
        look_at_place(scanning, &finding, layout->block_size);
}

static int look_at_entries(struct scanning *scanning)
{
    struct disk_file *file = scanning->scan->file;
    uint64_t bat = scanning->scan->regions->region[scanning->scan->regions->bat].offset;
    uint8_t bytes[ENTRIES_PER_READ * VHDX_ENTRY_SIZE];
    uint32_t entries = vhdx_entries(&scanning->scan->metadata->layout);
    for (uint32_t first = 0, count; first < entries; first += count) {
        uint64_t at = bat + (uint64_t)first * VHDX_ENTRY_SIZE;
        count = entries - first < ENTRIES_PER_READ ? entries - first : ENTRIES_PER_READ;
        bool hole = file->operations->next_data(file, at) >= at + (uint64_t)count * VHDX_ENTRY_SIZE;
        if (hole && !scanning->partially_present)
            continue;
        int error = disk_file_read_buffer(file, bytes, (size_t)count * VHDX_ENTRY_SIZE, at);
        if (error)
            return error;
        for (uint32_t i = 0; i < count; i++)
            look_at_entry(scanning, first + i, at + (uint64_t)i * VHDX_ENTRY_SIZE, bytes + (size_t)i * VHDX_ENTRY_SIZE);
    }
    return 0;
}

int vhdx_bat_scan(struct vhdx_bat_scan *scan)
{
    uint64_t size = scan->headers->file_size < VHDX_END_OF_FILES ? scan->headers->file_size : VHDX_END_OF_FILES;
    struct scanning scanning = {.scan = scan, .units = (size + VHDX_MIB - 1) / VHDX_MIB};
    scanning.used = calloc(scanning.units / 8 + 1, 1);
    if (!scanning.used)
        return ENOMEM;
    take_structures(&scanning);
    int error = look_at_entries(&scanning);
    scan->unused = scanning.units - scanning.taken;
    free(scanning.used);
    return error;
}
