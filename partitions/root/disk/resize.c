/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/resize.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/check.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/space.h"
#include "partitions/root/disk/vhd/vhd.h"
#include "partitions/root/disk/vhd/resize.h"
#include "partitions/root/disk/vhdx/create.h"
#include "partitions/root/disk/vhdx/resize.h"

#define READ_SECTORS 2048u

/* A disk that is to be resized. */
struct resizing {
    struct disk_file *file;
    struct disk *disk; /* of the file, for reading */
    enum disk_container container;
    uint64_t old_size, size;
    const struct disk_resize_options *options;
};

/* ---- What would be lost ---- */

/* The first byte of `bytes` that is not zero; `length` if there is none. */
static size_t find_data(const uint8_t *bytes, size_t length)
{
    size_t offset = 0;
    while (offset < length && !bytes[offset])
        offset++;
    return offset;
}

/* Looks for data behind the new end; the place of the first in *found, the old size if there is none. */
static int find_loss(const struct resizing *work, uint8_t *buffer, uint64_t *found)
{
    uint64_t end = work->old_size / DISK_SECTOR_SIZE;
    uint64_t sector = disk_next_data(work->disk, work->size / DISK_SECTOR_SIZE);
    *found = work->old_size;
    while (sector < end) {
        uint32_t sectors = end - sector < READ_SECTORS ? (uint32_t)(end - sector) : READ_SECTORS;
        size_t length = (size_t)sectors * DISK_SECTOR_SIZE;
        int error = disk_transfer(work->disk, DISK_READ, buffer, sector, sectors);
        if (error)
            return error;
        size_t place = find_data(buffer, length);
        if (place < length) {
            *found = sector * DISK_SECTOR_SIZE + place;
            return 0;
        }
        sector = disk_next_data(work->disk, sector + sectors);
        if (!disk_progress_step(&work->options->progress, sector * DISK_SECTOR_SIZE - work->size,
                                work->old_size - work->size))
            return ECANCELED;
    }
    return 0;
}

static bool check_loss(const struct resizing *work, struct disk_error *error)
{
    if (work->size >= work->old_size || work->options->discard_data)
        return true;
    uint64_t found;
    uint8_t *buffer = malloc((size_t)READ_SECTORS * DISK_SECTOR_SIZE);
    int result = buffer ? find_loss(work, buffer, &found) : ENOMEM;
    free(buffer);
    const char *name = work->file->name;
    if (result)
        disk_error_set(error, result, name, "what would be cut off cannot be read: %s",
                       result == ECANCELED ? "cancelled" : strerror(result));
    else if (found < work->old_size)
        disk_error_set(error, ENOTEMPTY, name,
                       "what would be cut off holds data, the first at byte %llu (sector %llu): shrink partitions and "
                       "file systems first; to lose it: loam disk resize --discard-data %s %llu",
                       (unsigned long long)found, (unsigned long long)found / DISK_SECTOR_SIZE, name,
                       (unsigned long long)work->size);
    else
        return true;
    return false;
}

/* ---- Checks ---- */

static bool check_vhd(const struct resizing *work, const struct disk_image *image, struct disk_error *error)
{
    const char *name = work->file->name;
    if (work->size > VHD_MAXIMUM_SIZE)
        disk_error_set(error, EFBIG, name,
                       "a size of %llu bytes is too large: a VHD has at most 2040 GiB; a VHDX has up to 64 TiB, and "
                       "loam disk convert makes one",
                       (unsigned long long)work->size);
    else if (image->block_size && (work->size + image->block_size - 1) / image->block_size > VHD_MAXIMUM_BLOCKS)
        disk_error_set(error, EFBIG, name,
                       "its block size of %u bytes is too small for so large a disk: "
                       "loam disk convert makes a copy with larger blocks",
                       image->block_size);
    else
        return true;
    return false;
}

static bool check_vhdx(const struct resizing *work, const struct disk_image *image, struct disk_error *error)
{
    const struct vhdx_creation creation = {
        .format = image->format,
        .size = work->size,
        .block_size = image->block_size,
        .logical_sector = image->write_unit * DISK_SECTOR_SIZE,
    };
    const char *fault = vhdx_creation_fault(&creation);
    if (fault)
        disk_error_set(error, EINVAL, work->file->name, "%s", fault);
    return !fault;
}

static bool check_kind(const struct resizing *work, struct disk_error *error)
{
    struct stat status;
    const struct disk_image *image = disk_top(work->disk);
    const char *name = work->file->name;
    if (fstat(work->file->descriptor, &status) == 0 && S_ISBLK(status.st_mode))
        disk_error_set(error, EINVAL, name, "a block device has the size that the host gives it");
    else if (!disk_check_size(name, work->size, DISK_FORMAT_RAW, 0, error))
        return false;
    else if (image->container == DISK_CONTAINER_VHDX)
        return check_vhdx(work, image, error);
    else if (image->container == DISK_CONTAINER_VHD)
        return check_vhd(work, image, error);
    else
        return true;
    return false;
}

struct first_error {
    char text[256];
};

static void keep_first_error(void *context, enum disk_check_level level, const char *text)
{
    struct first_error *first = context;
    if (level == DISK_CHECK_ERROR && !first->text[0])
        snprintf(first->text, sizeof(first->text), "%s", text);
}

/* A dry run shall not promise what would fail. */
static bool check_soundness(const struct resizing *work, struct disk_error *error)
{
    struct disk_check_result result;
    struct first_error first = {0};
    const char *name = work->file->name;
    if (work->options->raw)
        return true;
    if (!disk_check_file(work->file, keep_first_error, &first, &result, error))
        return false;
    if (result.count[DISK_CHECK_ERROR])
        disk_error_set(error, EUCLEAN, name,
                       "damaged, and not resized before it is mended with loam disk repair %s: %s", name, first.text);
    return result.count[DISK_CHECK_ERROR] == 0;
}

/* Opens the disk for a look. */
static struct disk *open_disk(struct disk_file *file, bool raw, struct disk_error *error)
{
    struct disk_error reason;
    struct disk *disk = disk_open_file(file, DISK_OPEN_READ_ONLY | (raw ? DISK_OPEN_RAW : 0), &reason);
    if (disk)
        return disk;
    *error = reason;
    if (reason.code == ENOLINK)
        disk_error_set(error, EOPNOTSUPP, file->name,
                       "a differencing disk, which has its parent's size: merge it into its parent (loam disk merge), "
                       "or make a disk of its own of it (loam disk convert), and resize that");
    return NULL;
}

/* ---- Resizing ---- */

static int resize_raw(struct disk_file *file, const struct resizing *work)
{
    int error = disk_file_truncate(file, work->size);
    if (!error && work->size > work->old_size && !work->options->sparse)
        error = disk_allocate_space(file, work->old_size, work->size, &work->options->progress);
    if (error)
        disk_file_truncate(file, work->old_size);
    int durable = disk_file_synchronize(file);
    return error ? error : durable;
}

static bool resize_file(const struct resizing *work, enum disk_format format, struct disk_error *error)
{
    if (format == DISK_FORMAT_RAW) {
        int result = resize_raw(work->file, work);
        if (result)
            disk_error_set(error, result, work->file->name, "cannot be resized: %s",
                           result == ECANCELED ? "cancelled" : strerror(result));
        return result == 0;
    }
    if (work->container == DISK_CONTAINER_VHDX) {
        const struct vhdx_resize resize = {work->size, !work->options->sparse, &work->options->progress};
        return vhdx_resize(work->file, &resize, error);
    }
    const struct vhd_resize resize = {work->size, !work->options->sparse, &work->options->progress};
    return vhd_resize(work->file, &resize, error);
}

static bool resize_open(struct resizing *work, struct disk_resize_result *result, struct disk_error *error)
{
    work->disk = open_disk(work->file, work->options->raw, error);
    if (!work->disk)
        return false;
    work->container = disk_top(work->disk)->container;
    work->old_size = disk_sectors(work->disk) * DISK_SECTOR_SIZE;
    *result = (struct disk_resize_result){disk_format(work->disk), work->old_size};
    bool allowed = check_kind(work, error) && check_soundness(work, error) && check_loss(work, error);
    disk_free(work->disk, false);
    return allowed && (work->options->dry_run || resize_file(work, result->format, error));
}

bool disk_resize(const char *path, uint64_t size, const struct disk_resize_options *options,
                 struct disk_resize_result *result, struct disk_error *error)
{
    static const struct disk_resize_options defaults;
    struct disk_resize_result unused;
    struct disk_error ignored;
    error = error ? error : &ignored;
    struct resizing work = {.size = size, .options = options ? options : &defaults};
    unsigned flags = (work.options->dry_run ? DISK_OPEN_READ_ONLY : 0) | (work.options->raw ? DISK_OPEN_RAW : 0);
    work.file = image_file_open(path, flags, error);
    if (!work.file)
        return false;
    bool done = resize_open(&work, result ? result : &unused, error);
    image_file_close(work.file);
    return done;
}
