/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhd/place.h"

#define ENTRY_SIZE         sizeof(uint32_t)
#define ENTRIES_PER_READ   16384u
#define ENTRIES_PER_SECTOR (METADATA_SECTOR_SIZE / ENTRY_SIZE)
#define HOST_PAGE          4096u
#define FIRST_PLACES       1024u

/* The work of looking a table over. */
struct scan {
    struct vhd_table *table;
    struct disk_file *file;
    uint64_t *places; /* of the blocks that lie well, table->allocated: the sector in the upper half, the block in the
                         lower */
    uint32_t capacity;
    uint32_t first, last; /* the least and the greatest sector */
    vhd_table_report *report;
    void *context;
};

static void __attribute__((format(printf, 2, 3))) tell(const struct scan *scan, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    scan->report(scan->context, text);
}

uint32_t vhd_table_block_bytes(const struct vhd_table *table, uint32_t block)
{
    return vhd_place_block_bytes(table->disk_size, table->block_size, block);
}

const char vhd_table_past_end[] = "the end of the file's data";
static const char *const usual_places[] = {"the copy of the footer", "the header's usual place"};

/* Bytes of the file that the block needs, for the sectors that the disk has in it. */
static uint64_t needed_bytes(const struct vhd_table *table, uint32_t block)
{
    return table->bitmap_size + (uint64_t)vhd_table_block_bytes(table, block);
}

const char *vhd_table_place_fault(const struct vhd_table *table, uint32_t block, uint32_t sector)
{
    uint64_t place = (uint64_t)sector * DISK_SECTOR_SIZE;
    uint64_t length = needed_bytes(table, block);
    if (!vhd_place_ends_before(place, length, table->data_end))
        return vhd_table_past_end;
    if (sector <= VHD_BLOCK_DAMAGED)
        return usual_places[sector];
    if (place >= table->reserved_end)
        return NULL;
    const struct vhd_reserved *over = vhd_place_find_overlap(table->reserved, table->reserved_count, place, length);
    return over ? over->name : NULL;
}

/* ---- Looking it over ---- */

static int mark_damaged(struct vhd_table *table, uint32_t block)
{
    if (!table->damage)
        table->damage = calloc(table->blocks / 8 + 1, 1);
    if (!table->damage)
        return ENOMEM;
    uint8_t bit = (uint8_t)(1u << block % 8);
    table->damaged += !(table->damage[block / 8] & bit);
    table->damage[block / 8] |= bit;
    return 0;
}

static int add_place(struct scan *scan, uint32_t block, uint32_t sector)
{
    uint32_t count = scan->table->allocated;
    if (count == scan->capacity) {
        uint32_t capacity = count ? 2 * count : FIRST_PLACES;
        uint64_t *places = realloc(scan->places, capacity * sizeof(*places));
        if (!places)
            return ENOMEM;
        scan->places = places;
        scan->capacity = capacity;
    }
    scan->places[count] = (uint64_t)sector << 32 | block;
    scan->table->allocated++;
    if (sector < scan->first)
        scan->first = sector;
    if (sector > scan->last)
        scan->last = sector;
    return 0;
}

static int load_entry(struct scan *scan, uint32_t block, uint32_t sector)
{
    const char *fault = vhd_table_place_fault(scan->table, block, sector);
    if (!fault)
        return add_place(scan, block, sector);
    tell(scan, "block %u lies at byte %llu, %s %s", block, (unsigned long long)sector * DISK_SECTOR_SIZE,
         fault == vhd_table_past_end ? "beyond" : "over", fault);
    return mark_damaged(scan->table, block);
}

static int load_entries(struct scan *scan)
{
    const struct vhd_table *table = scan->table;
    uint8_t *bytes = malloc(ENTRIES_PER_READ * ENTRY_SIZE);
    int error = bytes ? 0 : ENOMEM;
    for (uint32_t first = 0; first < table->blocks && !error; first += ENTRIES_PER_READ) {
        uint32_t count = table->blocks - first < ENTRIES_PER_READ ? table->blocks - first : ENTRIES_PER_READ;
        error =
            disk_file_read_buffer(scan->file, bytes, count * ENTRY_SIZE, table->offset + (uint64_t)first * ENTRY_SIZE);
        for (uint32_t i = 0; i < count && !error; i++) {
            uint32_t sector = vhd_load_entry(bytes + i * ENTRY_SIZE);
            if (sector != VHD_UNALLOCATED)
                error = load_entry(scan, first + i, sector);
        }
    }
    free(bytes);
    return error;
}

/*
 * Whether the blocks stand `stride` bytes apart, or multiples of it, each for itself: what programs write that place
 * one block behind the other. Then none lies over another.
 */
static bool is_regular(const struct scan *scan, uint64_t stride)
{
    uint32_t step = (uint32_t)(stride / DISK_SECTOR_SIZE);
    uint8_t *taken = calloc((scan->last - scan->first) / step / 8 + 1, 1);
    bool regular = taken != NULL;
    for (uint32_t i = 0; i < scan->table->allocated && regular; i++) {
        uint32_t distance = (uint32_t)(scan->places[i] >> 32) - scan->first;
        uint32_t slot = distance / step;
        regular = slot * step == distance && !(taken[slot / 8] & 1u << slot % 8);
        taken[slot / 8] |= (uint8_t)(1u << slot % 8);
    }
    free(taken);
    return regular;
}

static int compare_places(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Blocks in the order of the file, so that each needs to be compared with the one before it that reaches
 * furthest. */
static int compare_neighbours(struct scan *scan)
{
    struct vhd_table *table = scan->table;
    qsort(scan->places, table->allocated, sizeof(*scan->places), compare_places);
    uint32_t furthest = (uint32_t)scan->places[0];
    uint64_t end = 0;
    for (uint32_t i = 0; i < table->allocated; i++) {
        uint32_t block = (uint32_t)scan->places[i];
        uint64_t place = (scan->places[i] >> 32) * DISK_SECTOR_SIZE;
        if (place < end) {
            tell(scan, "blocks %u and %u lie over each other at byte %llu", furthest, block, (unsigned long long)place);
            if (mark_damaged(table, furthest) || mark_damaged(table, block))
                return ENOMEM;
        }
        if (place + needed_bytes(table, block) > end) {
            end = place + needed_bytes(table, block);
            furthest = block;
        }
    }
    return 0;
}

static int find_overlaps(struct scan *scan)
{
    if (scan->table->allocated == 0)
        return 0;
    uint64_t length = (uint64_t)scan->table->bitmap_size + scan->table->block_size;
    uint64_t aligned = (length + HOST_PAGE - 1) & ~(uint64_t)(HOST_PAGE - 1);
    if (is_regular(scan, length) || is_regular(scan, aligned))
        return 0;
    uint32_t damaged = scan->table->damaged;
    int error = compare_neighbours(scan);
    scan->table->allocated -= scan->table->damaged - damaged;
    return error;
}

static uint64_t round_up(uint64_t value)
{
    return (value + DISK_SECTOR_SIZE - 1) / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE;
}

static void find_use(const struct scan *scan)
{
    struct vhd_table *table = scan->table;
    uint64_t end = (uint64_t)scan->last * DISK_SECTOR_SIZE + table->bitmap_size + table->block_size;
    if (!scan->last || end < table->reserved_end)
        end = table->reserved_end;
    table->used_start = (uint64_t)scan->first * DISK_SECTOR_SIZE;
    table->used_end = round_up(end);
}

static void reserve(struct vhd_table *table, const struct vhd_reserved *reserved)
{
    uint64_t end = reserved->offset + reserved->length;
    if (!reserved->length)
        return;
    table->reserved[table->reserved_count++] = *reserved;
    if (end > table->reserved_end)
        table->reserved_end = end;
}

void vhd_table_initialize(struct vhd_table *table, const struct vhd_metadata *metadata)
{
    const struct vhd_header *header = &metadata->header;
    *table = (struct vhd_table){
        .blocks = (uint32_t)((metadata->disk_size + header->block_size - 1) / header->block_size),
        .block_size = header->block_size,
        .bitmap_size = vhd_bitmap_size(header->block_size),
        .disk_size = metadata->disk_size,
        .offset = header->table_offset,
        .data_end = metadata->end_state == VHD_VALID ? metadata->footer_offset : metadata->file_size,
    };
    for (unsigned i = 0; i < VHD_RESERVED; i++)
        reserve(table, &metadata->reserved[i]);
}

int vhd_table_scan(struct vhd_table *table, struct disk_file *file, const struct vhd_metadata *metadata,
                   vhd_table_report *report, void *context)
{
    vhd_table_initialize(table, metadata);
    struct scan scan = {.table = table, .file = file, .first = UINT32_MAX, .report = report, .context = context};
    int error = load_entries(&scan);
    if (!error)
        error = find_overlaps(&scan);
    find_use(&scan);
    free(scan.places);
    return error;
}

void vhd_table_free(struct vhd_table *table)
{
    free(table->damage);
    table->damage = NULL;
}

/* ---- One entry ---- */

static uint64_t sector_of_entry(const struct vhd_table *table, uint32_t block)
{
    return table->offset + block / ENTRIES_PER_SECTOR * METADATA_SECTOR_SIZE;
}

/* As the entry has it; the file was looked over, but whoever shares it could have changed it since. */
static uint32_t judge(const struct vhd_table *table, uint32_t block, uint32_t sector)
{
    if (table->damage && table->damage[block / 8] & 1u << block % 8)
        return VHD_BLOCK_DAMAGED;
    if (sector == VHD_UNALLOCATED)
        return VHD_BLOCK_UNALLOCATED;
    return vhd_table_place_fault(table, block, sector) ? VHD_BLOCK_DAMAGED : sector;
}

int vhd_table_find(const struct vhd_table *table, struct metadata_cache *cache, struct disk_file *file, uint32_t block,
                   uint32_t *sector)
{
    const uint8_t *bytes;
    int error = metadata_cache_read(cache, file, sector_of_entry(table, block), &bytes);
    *sector = error ? VHD_BLOCK_DAMAGED
                    : judge(table, block, vhd_load_entry(bytes + block % ENTRIES_PER_SECTOR * ENTRY_SIZE));
    return error;
}

int vhd_table_set(struct vhd_table *table, struct metadata_cache *cache, struct disk_file *file, uint32_t block,
                  uint32_t sector)
{
    uint8_t entry[ENTRY_SIZE];
    vhd_store_entry(entry, sector);
    int error = metadata_cache_write(cache, file, table->offset + (uint64_t)block * ENTRY_SIZE, entry, sizeof(entry));
    if (!error)
        table->allocated++;
    return error;
}

int vhd_table_next(const struct vhd_table *table, struct metadata_cache *cache, struct disk_file *file, uint32_t block,
                   uint32_t *next)
{
    while (block < table->blocks) {
        const uint8_t *bytes;
        int error = metadata_cache_read(cache, file, sector_of_entry(table, block), &bytes);
        if (error)
            return error;
        uint32_t entry = block % ENTRIES_PER_SECTOR, begin = entry;
        while (entry < ENTRIES_PER_SECTOR && vhd_load_entry(bytes + entry * ENTRY_SIZE) == VHD_UNALLOCATED)
            entry++;
        block += entry - begin;
        if (entry < ENTRIES_PER_SECTOR)
            break;
    }
    *next = block < table->blocks ? block : table->blocks;
    return 0;
}
