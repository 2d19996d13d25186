/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/compact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/block_copy.h"
#include "partitions/root/disk/vhd/table.h"

#define ENTRY_SIZE sizeof(uint32_t)
#define HOST_PAGE  4096u
/* Blocks at least this large go to where their data are on pages of the host, if there is room. */
#define SMALLEST_ALIGNED_BLOCK (64u << 10)
/* Bytes moved between two synchronizations. */
#define BATCH_BYTES (256ull << 20)

/* What lies in the file: a block, or metadata. */
struct occupant {
    uint64_t start, end; /* bytes */
    uint32_t block;      /* NO_BLOCK: it cannot be moved */
};
#define NO_BLOCK UINT32_MAX

struct move {
    uint32_t block;
    uint64_t from, to; /* bytes */
};

struct compaction {
    struct disk_file *file;
    struct vhd_metadata metadata;
    struct vhd_table table;
    uint8_t *entries; /* of the table, as in the file */
    const uint8_t *unneeded;
    struct occupant *occupants; /* in the order of the file, without the blocks that are given up */
    size_t occupant_count;
    struct move *moves;
    size_t move_count;
    uint64_t end; /* of what is in use, in the end */
    uint8_t *buffer;
};

/* ---- Which blocks go where ---- */

static uint64_t block_length(const struct compaction *compaction)
{
    return (uint64_t)compaction->table.bitmap_size + compaction->table.block_size;
}

static bool is_unneeded(const struct compaction *compaction, uint32_t block)
{
    return compaction->unneeded[block / 8] & 1u << block % 8;
}

static uint32_t entry(const struct compaction *compaction, uint32_t block)
{
    return vhd_load_entry(compaction->entries + block * ENTRY_SIZE);
}

static int compare_occupants(const void *a, const void *b)
{
    uint64_t left = ((const struct occupant *)a)->start, right = ((const struct occupant *)b)->start;
    return (left > right) - (left < right);
}

static void find_occupants(struct compaction *compaction, struct disk_compact_result *result)
{
    const struct vhd_table *table = &compaction->table;
    for (unsigned i = 0; i < VHD_RESERVED; i++)
        if (table->reserved[i].length)
            compaction->occupants[compaction->occupant_count++] = (struct occupant){
                table->reserved[i].offset, table->reserved[i].offset + table->reserved[i].length, NO_BLOCK};
    for (uint32_t block = 0; block < table->blocks; block++) {
        uint64_t start = (uint64_t)entry(compaction, block) * DISK_SECTOR_SIZE;
        if (entry(compaction, block) == VHD_UNALLOCATED)
            continue;
        if (is_unneeded(compaction, block))
            result->given_up++;
        else
            compaction->occupants[compaction->occupant_count++] =
                (struct occupant){start, start + block_length(compaction), block};
    }
    qsort(compaction->occupants, compaction->occupant_count, sizeof(struct occupant), compare_occupants);
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* A place for a block between two bytes of the file; UINT64_MAX if it does not fit. */
static uint64_t fit(const struct compaction *compaction, uint64_t start, uint64_t end)
{
    const struct vhd_table *table = &compaction->table;
    uint64_t length = block_length(compaction), place = round_up(start, DISK_SECTOR_SIZE);
    uint64_t aligned = round_up(place + table->bitmap_size, HOST_PAGE) - table->bitmap_size;
    if (table->block_size >= SMALLEST_ALIGNED_BLOCK && aligned + length <= end)
        return aligned;
    return place + length <= end ? place : UINT64_MAX;
}

/*
 * The last blocks of the file go into its first gaps. A gap ends where an occupant begins that is not behind the last,
 * so what moves out never lies where something moves in. The first occupant is the copy of the footer.
 */
static void plan_moves(struct compaction *compaction)
{
    const struct occupant *occupants = compaction->occupants;
    uint64_t gap = 0;
    for (size_t i = 0, last = compaction->occupant_count - 1; i <= last;) {
        bool movable = occupants[last].block != NO_BLOCK;
        uint64_t place = movable ? fit(compaction, gap, occupants[i].start) : UINT64_MAX;
        if (place != UINT64_MAX) {
            compaction->moves[compaction->move_count++] =
                (struct move){occupants[last].block, occupants[last].start, place};
            gap = place + block_length(compaction);
            last--;
        } else {
            gap = occupants[i].end > gap ? occupants[i].end : gap;
            i++;
        }
    }
    compaction->end = round_up(gap, DISK_SECTOR_SIZE);
}

static void ignore_problem(void *context, const char *text)
{
    (void)context;
    (void)text;
}

static int load(struct compaction *compaction, struct disk_compact_result *result)
{
    struct vhd_table *table = &compaction->table;
    int error = vhd_table_scan(table, compaction->file, &compaction->metadata, ignore_problem, NULL);
    if (error || table->damaged)
        return error ? error : EUCLEAN;
    compaction->entries = malloc(table->blocks * ENTRY_SIZE);
    compaction->occupants = calloc((size_t)table->allocated + VHD_RESERVED, sizeof(struct occupant));
    compaction->moves = calloc((size_t)table->allocated + 1, sizeof(struct move));
    compaction->buffer = malloc(BLOCK_COPY_BUFFER);
    if (!compaction->entries || !compaction->occupants || !compaction->moves || !compaction->buffer)
        return ENOMEM;
    error = disk_file_read_buffer(compaction->file, compaction->entries, table->blocks * ENTRY_SIZE, table->offset);
    if (error)
        return error;
    find_occupants(compaction, result);
    plan_moves(compaction);
    result->moved = (uint32_t)compaction->move_count;
    result->before = compaction->metadata.file_size;
    result->after = compaction->end + VHD_FOOTER_SIZE;
    return 0;
}

/* ---- Doing it ---- */

static int set_entry(const struct compaction *compaction, uint32_t block, uint32_t sector)
{
    uint8_t bytes[ENTRY_SIZE];
    vhd_store_entry(bytes, sector);
    return disk_file_write_buffer(compaction->file, bytes, sizeof(bytes),
                                  compaction->table.offset + (uint64_t)block * ENTRY_SIZE);
}

static int give_up(const struct compaction *compaction)
{
    int error = 0;
    for (uint32_t block = 0; block < compaction->table.blocks && !error; block++)
        if (is_unneeded(compaction, block) && entry(compaction, block) != VHD_UNALLOCATED)
            error = set_entry(compaction, block, VHD_UNALLOCATED);
    return error ? error : disk_file_synchronize(compaction->file);
}

static int move_batch(const struct compaction *compaction, size_t first, size_t end)
{
    int error = 0;
    for (size_t i = first; i < end && !error; i++)
        error = block_copy(compaction->file, compaction->moves[i].from, compaction->moves[i].to,
                           block_length(compaction), compaction->buffer);
    if (!error)
        error = disk_file_synchronize(compaction->file);
    for (size_t i = first; i < end && !error; i++)
        error =
            set_entry(compaction, compaction->moves[i].block, (uint32_t)(compaction->moves[i].to / DISK_SECTOR_SIZE));
    return error ? error : disk_file_synchronize(compaction->file);
}

static int move_blocks(const struct compaction *compaction, uint64_t total, const struct disk_progress *progress)
{
    size_t batch = (size_t)(BATCH_BYTES / block_length(compaction)) + 1, count = compaction->move_count;
    for (size_t first = 0; first < count; first += batch) {
        size_t end = count - first < batch ? count : first + batch;
        int error = move_batch(compaction, first, end);
        if (error)
            return error;
        if (!disk_progress_step(progress, total / 2 + (total - total / 2) / count * end, total))
            return ECANCELED;
    }
    return 0;
}

/* The footer goes behind the last block, and the file ends there. */
static int cut(const struct compaction *compaction)
{
    struct disk_file *file = compaction->file;
    if (compaction->end + VHD_FOOTER_SIZE >= compaction->metadata.file_size)
        return 0;
    int error = disk_file_write_buffer(file, compaction->metadata.footer_bytes, VHD_FOOTER_SIZE, compaction->end);
    if (!error)
        error = disk_file_truncate(file, compaction->end + VHD_FOOTER_SIZE);
    return error ? error : disk_file_synchronize(file);
}

bool vhd_compact(struct disk_file *file, const uint8_t *unneeded, uint64_t total,
                 const struct disk_compact_options *options, struct disk_compact_result *result,
                 struct disk_error *error)
{
    struct compaction compaction = {.file = file, .unneeded = unneeded};
    if (!vhd_metadata_read(file, &compaction.metadata, error))
        return false;
    int failure = load(&compaction, result);
    if (!failure && !options->dry_run) {
        failure = give_up(&compaction);
        if (!failure)
            failure = move_blocks(&compaction, total, &options->progress);
        if (!failure)
            failure = cut(&compaction);
    }
    if (failure)
        disk_error_set(error, failure, file->name, "%s",
                       failure == ECANCELED ? "cancelled; it is sound, and holds what it held" : strerror(failure));
    vhd_table_free(&compaction.table);
    free(compaction.entries);
    free(compaction.occupants);
    free(compaction.moves);
    free(compaction.buffer);
    return !failure;
}
