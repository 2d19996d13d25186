/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/repair_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhd/log.h"

#define ENTRY_SIZE       sizeof(uint32_t)
#define ENTRIES_PER_STEP 16384u
#define COPY_STEP        (64u << 10)

static uint64_t byte_of(uint32_t sector)
{
    return (uint64_t)sector * DISK_SECTOR_SIZE;
}

static uint64_t whole_sectors(uint64_t bytes)
{
    return (bytes + DISK_SECTOR_SIZE - 1) / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE;
}

/* Of the block, with all of its sectors. */
static uint64_t block_length(const struct vhd_table *table)
{
    return (uint64_t)table->bitmap_size + table->block_size;
}

/* Of it, with the sectors that the disk has. */
static uint64_t needed_length(const struct vhd_table *table, uint32_t block)
{
    return (uint64_t)table->bitmap_size + vhd_table_block_bytes(table, block);
}

static uint64_t first_sector(const struct vhd_table *table, uint32_t block)
{
    return (uint64_t)block * table->block_size / DISK_SECTOR_SIZE;
}

static uint64_t last_sector(const struct vhd_table *table, uint32_t block)
{
    return first_sector(table, block) + vhd_table_block_bytes(table, block) / DISK_SECTOR_SIZE - 1;
}

/* ---- Looking it over ---- */

static int load_entries(struct vhd_repair_table *repair, struct disk_file *file)
{
    const struct vhd_table *table = &repair->table;
    uint8_t *bytes = malloc(ENTRIES_PER_STEP * ENTRY_SIZE);
    int error = bytes ? 0 : ENOMEM;
    for (uint32_t first = 0; first < table->blocks && !error; first += ENTRIES_PER_STEP) {
        uint32_t count = table->blocks - first < ENTRIES_PER_STEP ? table->blocks - first : ENTRIES_PER_STEP;
        error = disk_file_read_buffer(file, bytes, count * ENTRY_SIZE, table->offset + (uint64_t)first * ENTRY_SIZE);
        for (uint32_t i = 0; i < count && !error; i++)
            repair->entries[first + i] = vhd_load_entry(bytes + i * ENTRY_SIZE);
    }
    free(bytes);
    return error;
}

static void move_block(struct vhd_repair_table *repair, uint32_t block, uint64_t length)
{
    repair->moved[repair->moved_count++] = (struct vhd_moved_block){block, repair->entries[block], (uint32_t)length};
}

static void lose_block(struct vhd_repair_table *repair, uint32_t block, const char *fault,
                       struct disk_repair_findings *findings)
{
    const struct vhd_table *table = &repair->table;
    disk_repair_find(findings, DISK_REPAIR_LOST, "block %u lies at byte %llu, %s %s: sectors %llu to %llu are lost",
                     block, (unsigned long long)byte_of(repair->entries[block]),
                     fault == vhd_table_past_end ? "beyond" : "over", fault,
                     (unsigned long long)first_sector(table, block), (unsigned long long)last_sector(table, block));
    repair->entries[block] = VHD_UNALLOCATED;
    repair->lost_count++;
}

/* A block that goes beyond the end of the file. What is there of it gets a place where it has room. */
static void save_rest(struct vhd_repair_table *repair, uint32_t block, struct disk_repair_findings *findings)
{
    const struct vhd_table *table = &repair->table;
    uint64_t place = byte_of(repair->entries[block]);
    repair->beyond[repair->beyond_count++] = repair->entries[block];
    uint64_t length = table->data_end > place ? table->data_end - place : 0;
    if (length < (uint64_t)table->bitmap_size + DISK_SECTOR_SIZE) {
        lose_block(repair, block, vhd_table_past_end, findings);
        return;
    }
    uint64_t sectors = (length - table->bitmap_size) / DISK_SECTOR_SIZE;
    disk_repair_find(findings, DISK_REPAIR_LOST,
                     "block %u, at byte %llu, goes beyond the file's end: sectors %llu to %llu are lost", block,
                     (unsigned long long)place, (unsigned long long)(first_sector(table, block) + sectors),
                     (unsigned long long)last_sector(table, block));
    move_block(repair, block, length);
}

static void judge_block(struct vhd_repair_table *repair, uint32_t block, struct disk_repair_findings *findings)
{
    uint32_t sector = repair->entries[block];
    const char *fault = vhd_table_place_fault(&repair->table, block, sector);
    if (!fault)
        repair->places[repair->count++] = (uint64_t)sector << 32 | block;
    else if (fault == vhd_table_past_end)
        save_rest(repair, block, findings);
    else
        lose_block(repair, block, fault, findings);
}

static int compare_places(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Of blocks that lie over each other the first stays, and the others move: each keeps what the file has for it. */
static void part_overlaps(struct vhd_repair_table *repair, struct disk_repair_findings *findings)
{
    const struct vhd_table *table = &repair->table;
    uint64_t end = 0;
    uint32_t stays = 0;
    if (repair->count)
        qsort(repair->places, repair->count, sizeof(*repair->places), compare_places);
    for (uint32_t i = 0; i < repair->count; i++) {
        uint32_t block = (uint32_t)repair->places[i];
        uint64_t place = byte_of((uint32_t)(repair->places[i] >> 32)), length = needed_length(table, block);
        if (place >= end) {
            end = place + length;
            stays = block;
            continue;
        }
        disk_repair_find(findings, DISK_REPAIR_MENDED,
                         "blocks %u and %u lie over each other at byte %llu: each keeps what is there, which can be "
                         "right for one of them only (sectors %llu to %llu and %llu to %llu)",
                         stays, block, (unsigned long long)place, (unsigned long long)first_sector(table, stays),
                         (unsigned long long)last_sector(table, stays), (unsigned long long)first_sector(table, block),
                         (unsigned long long)last_sector(table, block));
        move_block(repair, block, length);
    }
}

static int compare_sectors(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static void find_use(struct vhd_repair_table *repair)
{
    const struct vhd_table *table = &repair->table;
    repair->first_block = repair->count ? byte_of((uint32_t)(repair->places[0] >> 32)) : UINT64_MAX;
    for (uint32_t i = 0; i < repair->moved_count; i++)
        if (byte_of(repair->moved[i].sector) < repair->first_block)
            repair->first_block = byte_of(repair->moved[i].sector);
    repair->used_end = table->reserved_end;
    if (repair->count) {
        uint64_t end = byte_of((uint32_t)(repair->places[repair->count - 1] >> 32)) + block_length(table);
        if (end > repair->used_end)
            repair->used_end = end;
    }
    repair->used_end = whole_sectors(repair->used_end);
}

int vhd_repair_table_load(struct vhd_repair_table *repair, struct disk_file *file, const struct vhd_metadata *metadata,
                          struct disk_repair_findings *findings)
{
    *repair = (struct vhd_repair_table){0};
    vhd_table_initialize(&repair->table, metadata);
    uint32_t blocks = repair->table.blocks;
    repair->entries = calloc(blocks, sizeof(*repair->entries));
    repair->places = calloc(blocks, sizeof(*repair->places));
    repair->moved = calloc(blocks, sizeof(*repair->moved));
    repair->beyond = calloc(blocks, sizeof(*repair->beyond));
    if (!repair->entries || !repair->places || !repair->moved || !repair->beyond)
        return ENOMEM;
    int error = load_entries(repair, file);
    if (error)
        return error;
    for (uint32_t block = 0; block < blocks; block++)
        if (repair->entries[block] != VHD_UNALLOCATED)
            judge_block(repair, block, findings);
    part_overlaps(repair, findings);
    qsort(repair->beyond, repair->beyond_count, sizeof(*repair->beyond), compare_sectors);
    find_use(repair);
    return 0;
}

void vhd_repair_table_free(struct vhd_repair_table *repair)
{
    free(repair->entries);
    free(repair->places);
    free(repair->moved);
    free(repair->beyond);
    *repair = (struct vhd_repair_table){0};
}

/* ---- Writing ---- */

static uint64_t table_length(const struct vhd_repair_table *repair)
{
    return whole_sectors((uint64_t)repair->table.blocks * ENTRY_SIZE);
}

uint64_t vhd_repair_table_room(const struct vhd_repair_table *repair, uint64_t file_size)
{
    uint64_t block = block_length(&repair->table), begin = whole_sectors(file_size);
    uint64_t length =
        repair->moved_count * block + table_length(repair) + VHD_HEADER_SIZE + VHD_LOG_SIZE + VHD_FOOTER_SIZE;
    for (uint32_t i = 0; i < repair->beyond_count; i++) {
        uint64_t place = byte_of(repair->beyond[i]);
        if (place < begin + length && place + block > begin)
            begin = place + block;
    }
    return begin;
}

static int copy_bytes(struct disk_file *file, uint8_t *buffer, uint64_t from, uint64_t to, uint32_t length)
{
    int error = 0;
    for (uint32_t done = 0; done < length && !error; done += COPY_STEP) {
        size_t piece = length - done < COPY_STEP ? length - done : COPY_STEP;
        error = disk_file_read_buffer(file, buffer, piece, from + done);
        if (!error)
            error = disk_file_write_buffer(file, buffer, piece, to + done);
    }
    return error;
}

static int write_blocks(struct vhd_repair_table *repair, struct vhd_rewrite *rewrite, uint8_t *buffer,
                        const struct disk_progress *progress)
{
    uint64_t length = block_length(&repair->table), offset = 0;
    int error = repair->moved_count ? vhd_rewrite_room(rewrite, repair->moved_count * length, &offset) : 0;
    for (uint32_t i = 0; i < repair->moved_count && !error; i++, offset += length) {
        const struct vhd_moved_block *moved = &repair->moved[i];
        if (offset / DISK_SECTOR_SIZE >= VHD_UNALLOCATED)
            return EFBIG;
        error = copy_bytes(rewrite->file, buffer, byte_of(moved->sector), offset, moved->length);
        repair->entries[moved->block] = (uint32_t)(offset / DISK_SECTOR_SIZE);
        if (!error && !disk_progress_step(progress, (i + 1) * length, repair->moved_count * length))
            error = ECANCELED;
    }
    return error;
}

static int write_entries(const struct vhd_repair_table *repair, struct vhd_rewrite *rewrite, uint8_t *buffer,
                         uint64_t *offset)
{
    uint32_t blocks = repair->table.blocks;
    uint64_t length = table_length(repair);
    int error = vhd_rewrite_room(rewrite, length, offset);
    for (uint64_t done = 0; done < length && !error; done += COPY_STEP) {
        size_t piece = length - done < COPY_STEP ? (size_t)(length - done) : COPY_STEP;
        memset(buffer, 0xff, piece);
        for (uint64_t entry = done / ENTRY_SIZE; entry < (done + piece) / ENTRY_SIZE && entry < blocks; entry++)
            vhd_store_entry(buffer + (entry * ENTRY_SIZE - done), repair->entries[entry]);
        error = disk_file_write_buffer(rewrite->file, buffer, piece, *offset + done);
    }
    return error;
}

int vhd_repair_table_write(struct vhd_repair_table *repair, struct vhd_rewrite *rewrite,
                           const struct disk_progress *progress, uint8_t *header)
{
    struct vhd_header next = rewrite->metadata.header;
    uint8_t *buffer = malloc(COPY_STEP);
    int error = buffer ? write_blocks(repair, rewrite, buffer, progress) : ENOMEM;
    if (!error)
        error = vhd_rewrite_place_header(rewrite);
    if (!error)
        error = write_entries(repair, rewrite, buffer, &next.table_offset);
    free(buffer);
    next.table_entries = repair->table.blocks;
    memcpy(header, rewrite->metadata.header_bytes, VHD_HEADER_SIZE);
    vhd_header_update(&next, header);
    return error;
}
