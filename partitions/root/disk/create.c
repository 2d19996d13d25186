/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/create.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "partitions/root/disk/file.h"
#include "partitions/root/disk/new_file.h"
#include "partitions/root/disk/vhd_create.h"

#define SMALLEST_BLOCK_SIZE 4096u
#define LARGEST_RAW_SIZE    ((uint64_t)INT64_MAX / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE)
/* Space is allocated, or written, this much at a time. */
#define ALLOCATION_STEP (64ull << 20)
#define ZEROS_STEP      (16u << 10)

static bool check_block_size(const char *path, uint64_t size, uint32_t block_size, struct disk_error *error)
{
    if (block_size < SMALLEST_BLOCK_SIZE || (block_size & (block_size - 1))) {
        disk_error_set(error, EINVAL, path, "a block size of %u: it must be a power of two of at least %u", block_size,
                       SMALLEST_BLOCK_SIZE);
        return false;
    }
    if ((size + block_size - 1) / block_size > VHD_MAXIMUM_BLOCKS) {
        disk_error_set(error, EINVAL, path, "a block size of %u is too small for so large a disk", block_size);
        return false;
    }
    return true;
}

bool disk_check_size(const char *path, uint64_t size, enum disk_format format, uint32_t block_size,
                     struct disk_error *error)
{
    uint64_t maximum = format == DISK_FORMAT_RAW ? LARGEST_RAW_SIZE : VHD_MAXIMUM_SIZE;
    if (size == 0 || size % DISK_SECTOR_SIZE != 0)
        disk_error_set(error, EINVAL, path, "a size of %llu bytes: it must be a multiple of 512, and not 0",
                       (unsigned long long)size);
    else if (size > maximum && format == DISK_FORMAT_RAW)
        disk_error_set(error, EFBIG, path, "a size of %llu bytes is too large", (unsigned long long)size);
    else if (size > maximum)
        disk_error_set(error, EFBIG, path, "a size of %llu bytes is too large: a VHD has at most 2040 GiB",
                       (unsigned long long)size);
    else
        return format != DISK_FORMAT_DYNAMIC || check_block_size(path, size, block_size, error);
    return false;
}

int disk_create_in(struct disk_file *file, uint64_t size, enum disk_format format, uint32_t block_size)
{
    switch (format) {
    case DISK_FORMAT_FIXED:
        return vhd_create_fixed(file, size);
    case DISK_FORMAT_DYNAMIC:
        return vhd_create_dynamic(file, size, block_size);
    default:
        return disk_file_truncate(file, size);
    }
}

/* For file systems without fallocate(2). */
static int write_zeros(struct disk_file *file, uint64_t offset, uint64_t length)
{
    static const uint8_t zeros[ZEROS_STEP];
    while (length) {
        size_t piece = length < sizeof(zeros) ? (size_t)length : sizeof(zeros);
        int error = disk_file_write_buffer(file, zeros, piece, offset);
        if (error)
            return error;
        offset += piece;
        length -= piece;
    }
    return 0;
}

/* Gives the first `size` bytes of the file their space. */
static int allocate_space(struct disk_file *file, uint64_t size, const struct disk_progress *progress)
{
    for (uint64_t offset = 0; offset < size;) {
        uint64_t piece = size - offset < ALLOCATION_STEP ? size - offset : ALLOCATION_STEP;
        int error = 0;
        if (fallocate(file->descriptor, 0, (off_t)offset, (off_t)piece) < 0)
            error = errno == EOPNOTSUPP ? write_zeros(file, offset, piece) : errno;
        if (error && error != EINTR)
            return error;
        if (!error)
            offset += piece;
        if (!disk_progress_step(progress, offset, size))
            return ECANCELED;
    }
    return 0;
}

static int make_image(struct disk_file *file, uint64_t size, enum disk_format format,
                      const struct disk_create_options *options, uint32_t block_size)
{
    int error = 0;
    if (format != DISK_FORMAT_DYNAMIC && !options->sparse)
        error = allocate_space(file, size, &options->progress);
    if (!error)
        error = disk_create_in(file, size, format, block_size);
    if (!error && !disk_progress_step(&options->progress, size, size))
        error = ECANCELED;
    return error;
}

bool disk_create(const char *path, uint64_t size, enum disk_format format, const struct disk_create_options *options,
                 struct disk_error *error)
{
    static const struct disk_create_options defaults;
    if (!options)
        options = &defaults;
    uint32_t block_size = options->block_size ? options->block_size : VHD_DEFAULT_BLOCK_SIZE;
    struct new_file new_file;
    if (!disk_check_size(path, size, format, block_size, error) ||
        !new_file_begin(&new_file, path, options->replace, error))
        return false;

    struct disk_file *file = new_file_wrap(&new_file);
    int result = file ? make_image(file, size, format, options, block_size) : ENOMEM;
    if (file)
        disk_file_close(file);
    if (!result)
        return new_file_commit(&new_file, error);
    disk_error_set(error, result, path, "%s", result == ECANCELED ? "cancelled" : strerror(result));
    new_file_abandon(&new_file);
    return false;
}
