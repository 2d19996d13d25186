/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd_table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ENTRY_SIZE       sizeof(uint32_t)
#define ENTRIES_PER_READ 4096u

/* What a problem is reported with. */
struct reporter {
    vhd_table_report *report;
    void *context;
};

static void __attribute__((format(printf, 2, 3)))
tell(const struct reporter *reporter, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    reporter->report(reporter->context, text);
}

uint32_t vhd_table_block_bytes(const struct vhd_table *table, uint32_t block)
{
    uint64_t rest = table->disk_size - (uint64_t)block * table->block_size;
    return rest < table->block_size ? (uint32_t)rest : table->block_size;
}

static bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
    return a < b + b_length && b < a + a_length;
}

/* Bytes of the file that the block needs, for the sectors that the disk has in it. */
static uint64_t needed_bytes(const struct vhd_table *table, uint32_t block)
{
    return table->bitmap_size + (uint64_t)vhd_table_block_bytes(table, block);
}

static bool check_place(const struct vhd_table *table, const struct vhd_metadata *metadata, uint32_t block,
                        uint32_t sector, const struct reporter *reporter)
{
    uint64_t place = (uint64_t)sector * DISK_SECTOR_SIZE;
    uint64_t length = needed_bytes(table, block);
    uint64_t table_length = (uint64_t)metadata->header.table_entries * ENTRY_SIZE;
    uint64_t end = metadata->end_state == VHD_VALID ? metadata->footer_offset : metadata->file_size;
    if (place > end || length > end - place)
        tell(reporter, "block %u lies at byte %llu, beyond the end of the file's data at %llu", block,
             (unsigned long long)place, (unsigned long long)end);
    else if (overlap(place, length, 0, VHD_FOOTER_SIZE))
        tell(reporter, "block %u lies at byte %llu, over the copy of the footer", block,
             (unsigned long long)place);
    else if (overlap(place, length, metadata->footer.data_offset, VHD_HEADER_SIZE))
        tell(reporter, "block %u lies at byte %llu, over the header", block, (unsigned long long)place);
    else if (overlap(place, length, table->offset, table_length))
        tell(reporter, "block %u lies at byte %llu, over the block allocation table", block,
             (unsigned long long)place);
    else
        return true;
    return false;
}

static void mark_damaged(struct vhd_table *table, uint32_t block)
{
    if (table->sector[block] == VHD_BLOCK_DAMAGED)
        return;
    if (table->sector[block] != VHD_BLOCK_UNALLOCATED)
        table->allocated--;
    table->sector[block] = VHD_BLOCK_DAMAGED;
    table->damaged++;
}

static int load_entries(struct vhd_table *table, struct disk_file *file, const struct vhd_metadata *metadata,
                        const struct reporter *reporter)
{
    uint8_t bytes[ENTRIES_PER_READ * ENTRY_SIZE];
    for (uint32_t first = 0; first < table->blocks; first += ENTRIES_PER_READ) {
        uint32_t count = table->blocks - first;
        if (count > ENTRIES_PER_READ)
            count = ENTRIES_PER_READ;
        int error =
            disk_file_read_buffer(file, bytes, count * ENTRY_SIZE, table->offset + first * ENTRY_SIZE);
        if (error)
            return error;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t sector = vhd_load_entry(bytes + i * ENTRY_SIZE);
            if (sector == VHD_UNALLOCATED)
                continue;
            if (!check_place(table, metadata, first + i, sector, reporter)) {
                mark_damaged(table, first + i);
                continue;
            }
            table->sector[first + i] = sector;
            table->allocated++;
        }
    }
    return 0;
}

static int compare_places(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Blocks in the order of the file, so that each needs to be compared with the one before it that reaches
 * furthest. */
static int find_overlaps(struct vhd_table *table, const struct reporter *reporter)
{
    if (table->allocated == 0)
        return 0;
    uint64_t *places =
        malloc(table->allocated * sizeof(*places)); /* sector in the upper half, block in the lower */
    if (!places)
        return ENOMEM;
    uint32_t count = 0;
    for (uint32_t block = 0; block < table->blocks; block++)
        if (table->sector[block] > VHD_BLOCK_DAMAGED)
            places[count++] = (uint64_t)table->sector[block] << 32 | block;
    qsort(places, count, sizeof(*places), compare_places);

    uint32_t furthest = (uint32_t)places[0];
    uint64_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t block = (uint32_t)places[i];
        uint64_t place = (places[i] >> 32) * DISK_SECTOR_SIZE;
        if (place < end) {
            tell(reporter, "blocks %u and %u lie over each other at byte %llu", furthest, block,
                 (unsigned long long)place);
            mark_damaged(table, furthest);
            mark_damaged(table, block);
        }
        if (place + needed_bytes(table, block) > end) {
            end = place + needed_bytes(table, block);
            furthest = block;
        }
    }
    free(places);
    return 0;
}

static uint64_t round_up(uint64_t value)
{
    return (value + DISK_SECTOR_SIZE - 1) / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE;
}

static void find_end(struct vhd_table *table, const struct vhd_metadata *metadata)
{
    uint64_t end = metadata->footer.data_offset + VHD_HEADER_SIZE;
    uint64_t table_end = table->offset + (uint64_t)metadata->header.table_entries * ENTRY_SIZE;
    if (end < table_end)
        end = table_end;
    uint64_t length = (uint64_t)table->bitmap_size + table->block_size;
    for (uint32_t block = 0; block < table->blocks; block++) {
        uint64_t sector = table->sector[block];
        if (sector > VHD_BLOCK_DAMAGED && sector * DISK_SECTOR_SIZE + length > end)
            end = sector * DISK_SECTOR_SIZE + length;
    }
    table->used_end = round_up(end);
}

int vhd_table_load(struct vhd_table *table, struct disk_file *file, const struct vhd_metadata *metadata,
                   vhd_table_report *report, void *context)
{
    const struct vhd_header *header = &metadata->header;
    const struct reporter reporter = {report, context};
    *table = (struct vhd_table){
        .blocks = (uint32_t)((metadata->disk_size + header->block_size - 1) / header->block_size),
        .block_size = header->block_size,
        .bitmap_size = vhd_bitmap_size(header->block_size),
        .disk_size = metadata->disk_size,
        .offset = header->table_offset,
    };
    table->sector = calloc(table->blocks, sizeof(*table->sector));
    if (!table->sector)
        return ENOMEM;
    int error = load_entries(table, file, metadata, &reporter);
    if (!error)
        error = find_overlaps(table, &reporter);
    find_end(table, metadata);
    return error;
}

void vhd_table_free(struct vhd_table *table)
{
    free(table->sector);
    table->sector = NULL;
}
