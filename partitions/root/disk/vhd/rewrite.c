/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/rewrite.h"

#include <errno.h>
#include <string.h>

#include "partitions/root/disk/metadata_cache.h"
#include "partitions/root/disk/vhd/image.h"
#include "partitions/root/disk/vhd/table.h"

/* Where a header is in every image that was not rewritten. */
#define USUAL_HEADER VHD_FOOTER_SIZE

static uint64_t whole_sectors(uint64_t bytes)
{
    return (bytes + DISK_SECTOR_SIZE - 1) / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE;
}

static int write_footer(struct disk_file *file, const uint8_t *bytes, uint64_t offset)
{
    int error = disk_file_write_buffer(file, bytes, VHD_FOOTER_SIZE, offset);
    return error ? error : disk_file_synchronize(file);
}

/* ---- Beginning ---- */

/* Opening an image for writing renews its footers, and recovers what a killed process has written. */
static bool complete(struct disk_file *file, const struct vhd_metadata *metadata, struct disk_error *error)
{
    struct metadata_cache *cache = metadata_cache_create();
    if (!cache) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
        return false;
    }
    struct disk_image *image = vhd_image_open(file, metadata, false, cache, error);
    int result = image ? image->operations->close(image) : 0;
    if (result)
        disk_error_set(error, result, file->name, "%s", strerror(result));
    metadata_cache_destroy(cache);
    return image && !result;
}

/* A table that was sound a moment ago. */
static void ignore_problem(void *context, const char *text)
{
    (void)context;
    (void)text;
}

static int find_use(struct vhd_rewrite *rewrite)
{
    struct vhd_table table;
    int error = vhd_table_scan(&table, rewrite->file, &rewrite->metadata, ignore_problem, NULL);
    rewrite->first_block = table.used_start;
    rewrite->used_end = rewrite->settled_end = table.used_end;
    vhd_table_free(&table);
    return error;
}

/* Ends the file with the footer behind what the old image uses. */
static int cut_tail(struct vhd_rewrite *rewrite)
{
    const struct vhd_metadata *metadata = &rewrite->metadata;
    int error = disk_file_write_buffer(rewrite->file, metadata->footer_bytes, VHD_FOOTER_SIZE, rewrite->settled_end);
    if (!error)
        error = disk_file_truncate(rewrite->file, rewrite->settled_end + VHD_FOOTER_SIZE);
    if (!error)
        error = disk_file_synchronize(rewrite->file);
    if (!error)
        rewrite->used_end = rewrite->settled_end;
    return error;
}

static bool settle(struct vhd_rewrite *rewrite, struct disk_error *error)
{
    struct disk_file *file = rewrite->file;
    if (!complete(file, &rewrite->metadata, error) || !vhd_metadata_read(file, &rewrite->metadata, error))
        return false;
    int result = find_use(rewrite);
    if (!result && rewrite->metadata.file_size != rewrite->used_end + VHD_FOOTER_SIZE)
        result = cut_tail(rewrite);
    rewrite->metadata.footer_offset = rewrite->used_end;
    rewrite->metadata.file_size = rewrite->used_end + VHD_FOOTER_SIZE;
    if (result)
        disk_error_set(error, result, file->name, "cannot be put in order: %s", strerror(result));
    return result == 0;
}

bool vhd_rewrite_begin(struct vhd_rewrite *rewrite, struct disk_file *file, struct disk_error *error)
{
    *rewrite = (struct vhd_rewrite){.file = file};
    return vhd_metadata_read(file, &rewrite->metadata, error) &&
           (rewrite->metadata.footer.type == VHD_FIXED || settle(rewrite, error));
}

void vhd_rewrite_begin_damaged(struct vhd_rewrite *rewrite, struct disk_file *file, const struct vhd_metadata *metadata,
                               uint64_t first_block, uint64_t room)
{
    *rewrite = (struct vhd_rewrite){
        .file = file, .metadata = *metadata, .first_block = first_block, .used_end = room, .settled_end = room};
}

/* ---- Room ---- */

/* The file ends with the old footer all the time, so that nothing in the room can be taken for one. */
int vhd_rewrite_room(struct vhd_rewrite *rewrite, uint64_t length, uint64_t *offset)
{
    static const uint8_t zeros[VHD_FOOTER_SIZE];
    *offset = rewrite->used_end;
    rewrite->used_end += whole_sectors(length);
    int error = write_footer(rewrite->file, rewrite->metadata.footer_bytes, rewrite->used_end);
    return error || length == 0 ? error : disk_file_write_buffer(rewrite->file, zeros, sizeof(zeros), *offset);
}

void vhd_rewrite_abandon(struct vhd_rewrite *rewrite)
{
    if (rewrite->used_end == rewrite->settled_end)
        return;
    if (rewrite->settled_end < rewrite->metadata.file_size)
        cut_tail(rewrite);
    else
        disk_file_truncate(rewrite->file, rewrite->metadata.file_size);
}

/* ---- The switch ---- */

static bool is_free(const struct vhd_rewrite *rewrite, uint64_t offset, uint64_t length)
{
    for (unsigned i = 0; i < VHD_RESERVED; i++) {
        const struct vhd_reserved *reserved = &rewrite->metadata.reserved[i];
        if (reserved->offset < offset + length && offset < reserved->offset + reserved->length)
            return false;
    }
    return offset + length <= rewrite->first_block;
}

int vhd_rewrite_place_header(struct vhd_rewrite *rewrite)
{
    rewrite->header_offset = USUAL_HEADER;
    return is_free(rewrite, USUAL_HEADER, VHD_HEADER_SIZE)
               ? 0
               : vhd_rewrite_room(rewrite, VHD_HEADER_SIZE, &rewrite->header_offset);
}

static int write_header(struct vhd_rewrite *rewrite, const uint8_t *header)
{
    int error = rewrite->header_offset ? 0 : vhd_rewrite_place_header(rewrite);
    return error ? error : disk_file_write_buffer(rewrite->file, header, VHD_HEADER_SIZE, rewrite->header_offset);
}

/* Of an image whose length is no multiple of a sector, the footer is not one sector, and gets another place. */
static int commit_fixed(struct vhd_rewrite *rewrite, const uint8_t *bytes)
{
    uint64_t offset = rewrite->metadata.footer_offset;
    return write_footer(rewrite->file, bytes,
                        offset % DISK_SECTOR_SIZE ? whole_sectors(rewrite->metadata.file_size) : offset);
}

int vhd_rewrite_commit(struct vhd_rewrite *rewrite, const struct vhd_footer *footer, const uint8_t *header)
{
    struct vhd_footer next = *footer;
    uint8_t bytes[VHD_FOOTER_SIZE];
    memcpy(bytes, rewrite->metadata.footer_bytes, sizeof(bytes));
    int error = header ? write_header(rewrite, header) : 0;
    next.data_offset = header ? rewrite->header_offset : rewrite->metadata.footer.data_offset;
    vhd_footer_update(&next, bytes);
    if (rewrite->metadata.footer.type == VHD_FIXED)
        return commit_fixed(rewrite, bytes);
    if (!error)
        error = disk_file_synchronize(rewrite->file);
    if (error) {
        vhd_rewrite_abandon(rewrite);
        return error;
    }
    error = write_footer(rewrite->file, bytes, 0);
    if (error && write_footer(rewrite->file, rewrite->metadata.footer_bytes, 0) == 0)
        vhd_rewrite_abandon(rewrite);
    return error ? error : write_footer(rewrite->file, bytes, rewrite->used_end);
}
