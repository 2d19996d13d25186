/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/resize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/space.h"
#include "partitions/root/disk/vhd/rewrite.h"
#include "partitions/root/disk/vhd/table.h"

#define ENTRY_SIZE sizeof(uint32_t)
#define COPY_STEP  (64u << 10)

static uint64_t whole_sectors(uint64_t bytes)
{
    return (bytes + DISK_SECTOR_SIZE - 1) / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE;
}

/* Original Size stays. Of creators whose disks end with their geometry, this one becomes the engine's. */
static struct vhd_footer resized_footer(const struct vhd_footer *old, uint64_t size)
{
    struct vhd_footer footer = *old;
    footer.current_size = size;
    footer.geometry = vhd_geometry(size / DISK_SECTOR_SIZE);
    if (vhd_disk_size(&footer) != size)
        vhd_set_creator(&footer);
    return footer;
}

static int write_footer(struct disk_file *file, const uint8_t *bytes, uint64_t offset)
{
    int error = disk_file_write_buffer(file, bytes, VHD_FOOTER_SIZE, offset);
    return error ? error : disk_file_synchronize(file);
}

static int write_zeros(struct disk_file *file, uint64_t begin, uint64_t end)
{
    static const uint8_t zeros[COPY_STEP];
    int error = 0;
    for (; begin < end && !error; begin += sizeof(zeros)) {
        size_t piece = end - begin < sizeof(zeros) ? (size_t)(end - begin) : sizeof(zeros);
        error = disk_file_write_buffer(file, zeros, piece, begin);
    }
    return error;
}

/* ---- Fixed images ---- */

/* Ends the file with the footer at `offset`, where nothing of the disk is, while it ends with the same one. */
static int end_with(struct disk_file *file, const uint8_t *footer, uint64_t offset)
{
    int error = write_footer(file, footer, offset);
    if (!error)
        error = disk_file_truncate(file, offset + VHD_FOOTER_SIZE);
    return error ? error : disk_file_synchronize(file);
}

/* A place for a footer of `size` bytes of disk: in whole sectors, and not over a part of the one that is there. */
static uint64_t place_footer(const struct vhd_metadata *metadata, uint64_t size)
{
    if (size >= metadata->file_size)
        return size;
    bool whole = metadata->footer_offset % DISK_SECTOR_SIZE == 0 && metadata->footer_offset >= size;
    return whole ? metadata->footer_offset : whole_sectors(metadata->file_size);
}

/* The file ends with the old footer at `place` afterwards, and what the disk gets is zeros. */
static int prepare_growth(struct disk_file *file, const struct vhd_metadata *metadata, const struct vhd_resize *resize,
                          uint64_t place)
{
    int error = place == metadata->footer_offset ? 0 : write_footer(file, metadata->footer_bytes, place);
    if (!error && resize->allocate)
        error = disk_allocate_space(file, metadata->disk_size, resize->size, resize->progress);
    if (!error)
        error = write_zeros(file, metadata->disk_size,
                            resize->size < metadata->file_size ? resize->size : metadata->file_size);
    return error ? error : disk_file_synchronize(file);
}

static int resize_fixed(struct disk_file *file, const struct vhd_metadata *metadata, const struct vhd_resize *resize)
{
    struct vhd_footer footer = resized_footer(&metadata->footer, resize->size);
    uint8_t bytes[VHD_FOOTER_SIZE];
    uint64_t place = place_footer(metadata, resize->size);
    memcpy(bytes, metadata->footer_bytes, sizeof(bytes));
    vhd_footer_update(&footer, bytes);
    bool grows = resize->size > metadata->disk_size;
    int error = grows ? prepare_growth(file, metadata, resize, place) : 0;
    if (!error)
        error = write_footer(file, bytes, place);
    if (error && grows && place != metadata->footer_offset)
        end_with(file, metadata->footer_bytes, metadata->disk_size);
    return error || place == resize->size ? error : end_with(file, bytes, resize->size);
}

/* ---- Dynamic images ---- */

static uint32_t count_blocks(const struct vhd_metadata *metadata, uint64_t size)
{
    return (uint32_t)((size + metadata->header.block_size - 1) / metadata->header.block_size);
}

static int read_entry(const struct vhd_rewrite *rewrite, uint32_t block, uint32_t *sector)
{
    uint8_t entry[ENTRY_SIZE];
    int error = disk_file_read_buffer(rewrite->file, entry, sizeof(entry),
                                      rewrite->metadata.header.table_offset + (uint64_t)block * ENTRY_SIZE);
    *sector = error ? VHD_UNALLOCATED : vhd_load_entry(entry);
    return error;
}

static void ignore_problem(void *context, const char *text)
{
    (void)context;
    (void)text;
}

/*
 * Whether the disk's last block has room for all of its sectors, even those that the disk has not had so far. EUCLEAN
 * if it has not, as something else lies there.
 */
static int check_last_block(const struct vhd_rewrite *rewrite, uint64_t whole)
{
    struct vhd_metadata metadata = rewrite->metadata;
    struct vhd_table table;
    metadata.disk_size = whole;
    int error = vhd_table_scan(&table, rewrite->file, &metadata, ignore_problem, NULL);
    if (!error && table.damaged)
        error = EUCLEAN;
    vhd_table_free(&table);
    return error;
}

/* Makes zeros of what a block has behind the old disk's end, where nobody has looked at it. */
static int clear_last_block(struct vhd_rewrite *rewrite)
{
    const struct vhd_metadata *metadata = &rewrite->metadata;
    uint32_t block_size = metadata->header.block_size, used = (uint32_t)(metadata->disk_size % block_size), sector;
    uint32_t blocks = count_blocks(metadata, metadata->disk_size);
    int error = read_entry(rewrite, blocks - 1, &sector);
    if (error || used == 0 || sector == VHD_UNALLOCATED)
        return error;
    error = check_last_block(rewrite, (uint64_t)blocks * block_size);
    uint64_t data = (uint64_t)sector * DISK_SECTOR_SIZE + vhd_bitmap_size(block_size);
    return error ? error : write_zeros(rewrite->file, data + used, data + block_size);
}

/* Whether the table has entries for so many blocks, and nothing in those that the disk has not used so far. */
static int table_suffices(const struct vhd_rewrite *rewrite, uint32_t blocks, bool *suffices)
{
    int error = 0;
    uint32_t sector = VHD_UNALLOCATED;
    *suffices = rewrite->metadata.header.table_entries >= blocks;
    for (uint32_t block = count_blocks(&rewrite->metadata, rewrite->metadata.disk_size);
         block < blocks && *suffices && !error; block++) {
        error = read_entry(rewrite, block, &sector);
        *suffices = sector == VHD_UNALLOCATED;
    }
    return error;
}

/* Copies the entries of the disk to a new table, and adds unallocated ones. */
static int write_table(const struct vhd_rewrite *rewrite, uint64_t offset, uint64_t length)
{
    const struct vhd_metadata *metadata = &rewrite->metadata;
    uint64_t used = (uint64_t)count_blocks(metadata, metadata->disk_size) * ENTRY_SIZE;
    uint8_t *bytes = malloc(COPY_STEP);
    int error = bytes ? 0 : ENOMEM;
    for (uint64_t done = 0; done < length && !error; done += COPY_STEP) {
        size_t piece = length - done < COPY_STEP ? (size_t)(length - done) : COPY_STEP;
        size_t old = done >= used ? 0 : used - done < piece ? (size_t)(used - done) : piece;
        memset(bytes, 0xff, piece);
        error = disk_file_read_buffer(rewrite->file, bytes, old, metadata->header.table_offset + done);
        if (!error)
            error = disk_file_write_buffer(rewrite->file, bytes, piece, offset + done);
    }
    free(bytes);
    return error;
}

/* Makes a table for so many blocks, and a header that has it. */
static int make_table(struct vhd_rewrite *rewrite, uint32_t blocks, uint8_t *bytes)
{
    struct vhd_header header = rewrite->metadata.header;
    uint64_t length = whole_sectors((uint64_t)blocks * ENTRY_SIZE);
    int error = vhd_rewrite_place_header(rewrite);
    if (!error)
        error = vhd_rewrite_room(rewrite, length, &header.table_offset);
    if (!error)
        error = write_table(rewrite, header.table_offset, length);
    header.table_entries = blocks;
    memcpy(bytes, rewrite->metadata.header_bytes, VHD_HEADER_SIZE);
    vhd_header_update(&header, bytes);
    return error;
}

static int grow_dynamic(struct vhd_rewrite *rewrite, uint64_t size)
{
    const struct vhd_header *header = &rewrite->metadata.header;
    struct vhd_footer footer = resized_footer(&rewrite->metadata.footer, size);
    uint32_t blocks = count_blocks(&rewrite->metadata, size);
    uint8_t bytes[VHD_HEADER_SIZE];
    bool suffices;
    int error = clear_last_block(rewrite);
    if (!error)
        error = table_suffices(rewrite, blocks, &suffices);
    if (!error && !suffices)
        error = make_table(rewrite, blocks, bytes);
    if (error) {
        vhd_rewrite_abandon(rewrite);
        return error;
    }
    error = vhd_rewrite_commit(rewrite, &footer, suffices ? NULL : bytes);
    if (!error && !suffices) /* whether the host can take its space back is of no importance */
        disk_file_punch(rewrite->file, header->table_offset, (uint64_t)header->table_entries * ENTRY_SIZE);
    return error;
}

/* Gives the places of blocks back that are not the disk's any more. */
static int drop_blocks(struct vhd_rewrite *rewrite, uint32_t begin, uint32_t end)
{
    const struct vhd_metadata *metadata = &rewrite->metadata;
    static const uint8_t unallocated[ENTRY_SIZE] = {0xff, 0xff, 0xff, 0xff};
    int error = 0;
    for (uint32_t block = begin; block < end && !error; block++) {
        uint32_t sector;
        uint64_t left = metadata->disk_size - (uint64_t)block * metadata->header.block_size;
        error = read_entry(rewrite, block, &sector);
        if (error || sector == VHD_UNALLOCATED)
            continue;
        error = disk_file_write_buffer(rewrite->file, unallocated, sizeof(unallocated),
                                       metadata->header.table_offset + (uint64_t)block * ENTRY_SIZE);
        if (!error)
            disk_file_punch(rewrite->file, (uint64_t)sector * DISK_SECTOR_SIZE,
                            vhd_bitmap_size(metadata->header.block_size) +
                                (left < metadata->header.block_size ? left : metadata->header.block_size));
    }
    return error ? error : disk_file_synchronize(rewrite->file);
}

static int shrink_dynamic(struct vhd_rewrite *rewrite, uint64_t size)
{
    struct vhd_footer footer = resized_footer(&rewrite->metadata.footer, size);
    int error = vhd_rewrite_commit(rewrite, &footer, NULL);
    return error ? error
                 : drop_blocks(rewrite, count_blocks(&rewrite->metadata, size),
                               count_blocks(&rewrite->metadata, rewrite->metadata.disk_size));
}

/* ---- Both ---- */

static void explain(struct disk_error *error, const struct disk_file *file, int result)
{
    if (result == EUCLEAN)
        disk_error_set(error, EUCLEAN, file->name,
                       "its last block has no space of its own for what the disk would have of it: "
                       "make a sound copy with loam disk convert, and resize that");
    else
        disk_error_set(error, result, file->name, "cannot be resized: %s",
                       result == ECANCELED ? "cancelled" : strerror(result));
}

bool vhd_resize(struct disk_file *file, const struct vhd_resize *resize, struct disk_error *error)
{
    struct vhd_rewrite rewrite;
    if (!vhd_rewrite_begin(&rewrite, file, error))
        return false;
    uint64_t old = rewrite.metadata.disk_size;
    bool fixed = rewrite.metadata.footer.type == VHD_FIXED;
    int result = resize->size == old  ? 0
                 : fixed              ? resize_fixed(file, &rewrite.metadata, resize)
                 : resize->size > old ? grow_dynamic(&rewrite, resize->size)
                                      : shrink_dynamic(&rewrite, resize->size);
    if (result) {
        explain(error, file, result);
        return false;
    }
    /* Once more, to end the file behind what is in use now. */
    return fixed || vhd_rewrite_begin(&rewrite, file, error);
}
