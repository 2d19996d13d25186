/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/compact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/block_copy.h"
#include "partitions/root/disk/vhdx/check.h"
#include "partitions/root/disk/vhdx/commit.h"
#include "partitions/root/disk/vhdx/edit.h"
#include "partitions/root/disk/vhdx/regions.h"
#include "partitions/root/disk/vhdx/update.h"

#define ENTRIES_PER_READ 4096u
/* Bytes moved between two synchronizations. */
#define BATCH_BYTES (256ull << 20)

/* What lies in the file: a block, or a structure. */
struct occupant {
    uint64_t offset, length;
    uint32_t entry; /* of the BAT; NO_ENTRY: it cannot be moved */
};
#define NO_ENTRY UINT32_MAX

struct gap {
    uint64_t offset, length;
};

struct move {
    uint32_t entry;
    struct vhdx_entry new;
    uint64_t from, length;
};

struct compaction {
    struct vhdx_image *image;
    const struct disk_compact_blocks *blocks;
    struct vhdx_regions *regions;
    struct disk_compact_result *result;
    struct occupant *occupants; /* in the order of the file, without what is given up */
    size_t occupant_count, occupant_room;
    struct gap *gaps; /* in the order of the file, what moves in taken off */
    size_t gap_count;
    size_t payload_gap, bitmap_gap; /* no gap before these has room for such a block */
    struct move *moves;
    size_t move_count;
    uint64_t end;           /* of what is in use, in the end */
    bool partially_present; /* a block of the chunk stays so */
    struct vhdx_update update;
    uint8_t *buffer; /* BLOCK_COPY_BUFFER bytes */
};

/* ---- Entries of the BAT, as they are and as they will be ---- */

static bool is_set(const uint8_t *bits, uint32_t block)
{
    return bits && bits[block / 8] & 1u << block % 8;
}

static bool has_place(struct vhdx_entry entry)
{
    return entry.state == VHDX_BLOCK_FULLY_PRESENT || entry.state == VHDX_BLOCK_PARTIALLY_PRESENT;
}

/* What the entry becomes. A place that a block without contents keeps for later is given up, too. Entries come in
 * order, that of a sector bitmap block after those of its chunk. */
static struct vhdx_entry choose_entry(struct compaction *compaction, uint32_t index, struct vhdx_entry entry)
{
    const struct vhdx_layout *layout = &compaction->image->metadata.layout;
    uint32_t block = index - index / (vhdx_chunk_ratio(layout) + 1);
    if (vhdx_is_bitmap_entry(layout, index)) {
        bool needed = compaction->partially_present;
        compaction->partially_present = false;
        return needed ? entry : (struct vhdx_entry){0};
    }
    if (block >= vhdx_blocks(layout) || is_set(compaction->blocks->unneeded, block))
        return (struct vhdx_entry){0};
    if (is_set(compaction->blocks->zeros, block))
        return (struct vhdx_entry){.state = VHDX_BLOCK_ZERO};
    if (!has_place(entry))
        entry.offset = 0;
    compaction->partially_present |= entry.state == VHDX_BLOCK_PARTIALLY_PRESENT;
    return entry;
}

typedef int entry_visit(struct compaction *compaction, uint32_t index, struct vhdx_entry old, struct vhdx_entry new);

/* Visits all entries but for zeros where the host has a hole; stops at the first that is not 0. */
static int each_entry(struct compaction *compaction, entry_visit *visit)
{
    const struct vhdx_image *image = compaction->image;
    struct disk_file *file = image->metadata_file;
    uint8_t bytes[ENTRIES_PER_READ * VHDX_ENTRY_SIZE];
    uint32_t entries = vhdx_entries(&image->metadata.layout);
    int error = 0;
    compaction->partially_present = false;
    for (uint32_t first = 0, count; first < entries && !error; first += count) {
        uint64_t at = image->bat_offset + (uint64_t)first * VHDX_ENTRY_SIZE;
        count = entries - first < ENTRIES_PER_READ ? entries - first : ENTRIES_PER_READ;
        bool hole = file->operations->next_data(file, at) >= at + (uint64_t)count * VHDX_ENTRY_SIZE;
        if (hole && !compaction->partially_present)
            continue;
        error = disk_file_read_buffer(file, bytes, (size_t)count * VHDX_ENTRY_SIZE, at);
        for (uint32_t i = 0; i < count && !error; i++) {
            struct vhdx_entry old = vhdx_entry_decode(bytes + (size_t)i * VHDX_ENTRY_SIZE);
            error = visit(compaction, first + i, old, choose_entry(compaction, first + i, old));
        }
    }
    return error;
}

/* ---- Which blocks go where ---- */

static int add_occupant(struct compaction *compaction, uint64_t offset, uint64_t length, uint32_t entry)
{
    if (compaction->occupant_count == compaction->occupant_room) {
        size_t room = 2 * compaction->occupant_room + 64;
        struct occupant *occupants = realloc(compaction->occupants, room * sizeof(*occupants));
        if (!occupants)
            return ENOMEM;
        compaction->occupants = occupants;
        compaction->occupant_room = room;
    }
    compaction->occupants[compaction->occupant_count++] = (struct occupant){offset, length, entry};
    return 0;
}

static int note_entry(struct compaction *compaction, uint32_t index, struct vhdx_entry old, struct vhdx_entry new)
{
    const struct vhdx_layout *layout = &compaction->image->metadata.layout;
    bool bitmap = vhdx_is_bitmap_entry(layout, index);
    compaction->result->given_up += !bitmap && has_place(old) && !has_place(new);
    return has_place(new) ? add_occupant(compaction, new.offset, bitmap ? VHDX_BITMAP_BLOCK : layout->block_size, index)
                          : 0;
}

static int compare_occupants(const void *a, const void *b)
{
    uint64_t left = ((const struct occupant *)a)->offset, right = ((const struct occupant *)b)->offset;
    return (left > right) - (left < right);
}

static int find_occupants(struct compaction *compaction)
{
    const struct vhdx_header *header = &compaction->image->headers.header;
    const struct vhdx_regions *regions = compaction->regions;
    int error = add_occupant(compaction, 0, VHDX_SECTION_SIZE, NO_ENTRY);
    if (!error)
        error = add_occupant(compaction, header->log_offset, header->log_length, NO_ENTRY);
    for (uint32_t i = 0; i < regions->count && !error; i++)
        error = add_occupant(compaction, regions->region[i].offset, regions->region[i].length, NO_ENTRY);
    if (!error)
        error = each_entry(compaction, note_entry);
    if (!error)
        qsort(compaction->occupants, compaction->occupant_count, sizeof(struct occupant), compare_occupants);
    return error;
}

static void find_gaps(struct compaction *compaction)
{
    uint64_t end = 0;
    for (size_t i = 0; i < compaction->occupant_count; i++) {
        const struct occupant *occupant = &compaction->occupants[i];
        if (occupant->offset > end)
            compaction->gaps[compaction->gap_count++] = (struct gap){end, occupant->offset - end};
        if (occupant->offset + occupant->length > end)
            end = occupant->offset + occupant->length;
    }
}

/* Takes a place for the block out of the first gap before it that is large enough; 0: there is none. */
static uint64_t take_place(struct compaction *compaction, const struct occupant *block)
{
    size_t *gap = block->length == VHDX_BITMAP_BLOCK ? &compaction->bitmap_gap : &compaction->payload_gap;
    while (*gap < compaction->gap_count && compaction->gaps[*gap].length < block->length)
        (*gap)++;
    if (*gap == compaction->gap_count || compaction->gaps[*gap].offset > block->offset)
        return 0;
    struct gap *found = &compaction->gaps[*gap];
    uint64_t place = found->offset;
    found->offset += block->length;
    found->length -= block->length;
    return place;
}

static void reach(struct compaction *compaction, uint64_t end)
{
    if (end > compaction->end)
        compaction->end = end;
}

/* The last blocks move until one cannot. The places that they leave are no gaps: they are in use for a while. */
static void plan_moves(struct compaction *compaction)
{
    size_t left = compaction->occupant_count;
    for (uint64_t place; left; left--) {
        const struct occupant *last = &compaction->occupants[left - 1];
        place = last->entry == NO_ENTRY ? 0 : take_place(compaction, last);
        if (!place)
            break;
        compaction->moves[compaction->move_count++] =
            (struct move){last->entry, {.offset = place}, last->offset, last->length};
        reach(compaction, place + last->length);
    }
    for (size_t i = 0; i < left; i++)
        reach(compaction, compaction->occupants[i].offset + compaction->occupants[i].length);
}

static int plan(struct compaction *compaction)
{
    const struct vhdx_image *image = compaction->image;
    struct disk_compact_result *result = compaction->result;
    int error = find_occupants(compaction);
    if (error)
        return error;
    compaction->gaps = calloc(compaction->occupant_count, sizeof(struct gap));
    compaction->moves = calloc(compaction->occupant_count, sizeof(struct move));
    compaction->buffer = malloc(BLOCK_COPY_BUFFER);
    if (!compaction->gaps || !compaction->moves || !compaction->buffer)
        return ENOMEM;
    find_gaps(compaction);
    plan_moves(compaction);
    result->moved = (uint32_t)compaction->move_count;
    result->before = image->file_end;
    result->after = compaction->end < image->file_end ? compaction->end : image->file_end;
    return 0;
}

/* ---- Doing it ---- */

/* Entries are independent of each other. */
static int set_entry(struct compaction *compaction, uint32_t index, struct vhdx_entry entry)
{
    uint8_t bytes[VHDX_ENTRY_SIZE];
    vhdx_entry_encode(entry, bytes);
    return vhdx_update_write_part(
        &compaction->update, compaction->image->bat_offset + (uint64_t)index * VHDX_ENTRY_SIZE, bytes, sizeof(bytes));
}

static int give_up_entry(struct compaction *compaction, uint32_t index, struct vhdx_entry old, struct vhdx_entry new)
{
    return old.state == new.state &&old.offset == new.offset ? 0 : set_entry(compaction, index, new);
}

/* The state stays that the entry has. */
static int enter_move(struct compaction *compaction, const struct move *move)
{
    uint8_t bytes[VHDX_ENTRY_SIZE];
    const struct vhdx_image *image = compaction->image;
    int error = disk_file_read_buffer(image->disk.file, bytes, sizeof(bytes),
                                      image->bat_offset + (uint64_t)move->entry * VHDX_ENTRY_SIZE);
    struct vhdx_entry entry = {.state = vhdx_entry_decode(bytes).state, .offset = move->new.offset};
    return error ? error : set_entry(compaction, move->entry, entry);
}

/* Moves blocks from number `first` on, as many as go together; *end is the number behind them. */
static int move_batch(struct compaction *compaction, size_t first, size_t *end)
{
    struct disk_file *file = compaction->image->disk.file;
    int error = 0;
    uint64_t bytes = 0;
    for (*end = first; *end < compaction->move_count && bytes < BATCH_BYTES && !error; (*end)++) {
        const struct move *move = &compaction->moves[*end];
        error = block_copy(file, move->from, move->new.offset, move->length, compaction->buffer);
        bytes += move->length;
    }
    if (!error)
        error = vhdx_synchronize(compaction->image);
    for (size_t i = first; i < *end && !error; i++)
        error = enter_move(compaction, &compaction->moves[i]);
    return error ? error : vhdx_update_commit(&compaction->update);
}

static int move_blocks(struct compaction *compaction, uint64_t total, const struct disk_progress *progress)
{
    size_t count = compaction->move_count;
    for (size_t first = 0, end; first < count; first = end) {
        int error = move_batch(compaction, first, &end);
        if (error)
            return error;
        if (!disk_progress_step(progress, total / 2 + (total - total / 2) / count * end, total))
            return ECANCELED;
    }
    return 0;
}

/* What remains of the gaps takes no space if the host can make holes. The file is cut off when the image is closed. */
static void give_space_back(const struct compaction *compaction)
{
    struct vhdx_image *image = compaction->image;
    for (size_t i = 0; i < compaction->gap_count; i++)
        if (compaction->gaps[i].length && compaction->gaps[i].offset < compaction->end)
            disk_file_punch(image->disk.file, compaction->gaps[i].offset, compaction->gaps[i].length);
    if (compaction->end < image->file_end) {
        image->used_end = compaction->end;
        image->room_made = true;
    }
}

static int carry_out(struct compaction *compaction, uint64_t total, const struct disk_progress *progress)
{
    struct vhdx_image *image = compaction->image;
    int error = vhdx_update_begin(&compaction->update, image);
    if (!error)
        error = vhdx_begin_writing_as(image, image->headers.header.data_write_guid);
    if (!error)
        error = each_entry(compaction, give_up_entry);
    if (!error)
        error = vhdx_update_commit(&compaction->update);
    if (!error)
        error = move_blocks(compaction, total, progress);
    if (!error)
        give_space_back(compaction);
    vhdx_update_free(&compaction->update);
    return error;
}

/* ---- Both ---- */

static void count_error(void *context, enum disk_check_level level, const char *text)
{
    (void)text;
    *(uint64_t *)context += level == DISK_CHECK_ERROR;
}

static bool is_sound(struct disk_file *file, struct disk_error *error)
{
    uint64_t errors = 0;
    if (!vhdx_check(file, count_error, &errors, error))
        return false;
    if (errors)
        disk_error_set(error, EUCLEAN, file->name,
                       "damaged, and not compacted before it is mended: see loam disk check %s", file->name);
    return errors == 0;
}

static int compact(struct compaction *compaction, uint64_t total, const struct disk_compact_options *options,
                   struct disk_error *error)
{
    struct vhdx_image *image = compaction->image;
    compaction->regions = malloc(sizeof(*compaction->regions));
    if (!compaction->regions)
        return ENOMEM;
    if (!vhdx_regions_read(image->metadata_file, &image->headers, compaction->regions, error))
        return error->code;
    int result = plan(compaction);
    return result || options->dry_run ? result : carry_out(compaction, total, &options->progress);
}

bool vhdx_compact(struct disk_file *file, const struct disk_compact_blocks *blocks, uint64_t total,
                  const struct disk_compact_options *options, struct disk_compact_result *result,
                  struct disk_error *error)
{
    struct compaction compaction = {.blocks = blocks, .result = result};
    struct vhdx_edit edit;
    if (!is_sound(file, error) || !vhdx_edit_begin(&edit, file, options->dry_run ? DISK_OPEN_READ_ONLY : 0, error))
        return false;
    compaction.image = edit.image;
    int failure = compact(&compaction, total, options, error);
    free(compaction.regions);
    free(compaction.occupants);
    free(compaction.gaps);
    free(compaction.moves);
    free(compaction.buffer);
    int closed = vhdx_edit_end(&edit);
    if (!failure)
        failure = closed;
    if (failure)
        disk_error_set(error, failure, file->name, "%s",
                       failure == ECANCELED ? "cancelled; it is sound, and holds what it held" : strerror(failure));
    return !failure;
}
