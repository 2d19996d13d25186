/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/floppy_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/format.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/linear.h"

/* By size. */
static const struct disk_geometry formats[] = {
    {40, 1, 8 }, /* 160 KB */
    {40, 1, 9 }, /* 180 KB */
    {40, 2, 8 }, /* 320 KB */
    {40, 2, 9 }, /* 360 KB */
    {80, 2, 9 }, /* 720 KB */
    {80, 2, 15}, /* 1.2 MB */
    {80, 2, 18}, /* 1.44 MB */
    {80, 2, 21}, /* 1.68 MB, Microsoft's DMF */
    {80, 2, 36}, /* 2.88 MB */
};

#define ACCEPTED                                                                                                       \
    "accepted are raw images of 160, 180, 320, 360 or 720 KB, 1.2, 1.44, 1.68 or 2.88 MB, and shorter ones "           \
    "read-only"

static uint64_t format_sectors(const struct disk_geometry *format)
{
    return (uint64_t)format->cylinders * format->heads * format->sectors_per_track;
}

/* The smallest format that holds so many bytes; NULL if there is none. */
static const struct disk_geometry *find_format(uint64_t size)
{
    for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (size <= format_sectors(&formats[i]) * DISK_SECTOR_SIZE)
            return &formats[i];
    return NULL;
}

/* ---- An image that is shorter than its format ---- */

struct short_image {
    struct disk disk; /* read-only, so that nobody writes */
    uint64_t size;    /* of the file, bytes */
};

static int short_read(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    const struct short_image *image = (const struct short_image *)disk;
    uint64_t offset = sector * DISK_SECTOR_SIZE;
    uint64_t length = (uint64_t)sectors * DISK_SECTOR_SIZE;
    uint64_t there = offset < image->size ? image->size - offset : 0;
    if (there > length)
        there = length;
    int error = disk_file_read(disk->file, cursor, there, offset);
    if (!error)
        disk_cursor_zero(cursor, length - there);
    return error;
}

static uint64_t short_next_data(struct disk *disk, uint64_t sector)
{
    uint64_t found = disk->file->operations->next_data(disk->file, sector * DISK_SECTOR_SIZE) / DISK_SECTOR_SIZE;
    return found < disk->sectors ? found : disk->sectors;
}

static int short_close(struct disk *disk)
{
    free(disk);
    return 0;
}

static const struct disk_format_operations short_operations = {
    .read = short_read,
    .next_data = short_next_data,
    .close = short_close,
};

static struct disk *short_open(uint64_t size)
{
    struct short_image *image = calloc(1, sizeof(*image));
    if (!image)
        return NULL;
    image->disk.operations = &short_operations;
    image->size = size;
    return &image->disk;
}

/* ---- Opening ---- */

struct disk *floppy_image_open_file(struct disk_file *file, unsigned flags, struct disk_error *error)
{
    uint64_t size;
    int result = disk_file_size(file, &size);
    if (result) {
        disk_error_set(error, result, file->name, "its size cannot be found out: %s", strerror(result));
        return NULL;
    }
    const struct disk_geometry *format = find_format(size);
    if (size == 0) {
        disk_error_set(error, EMEDIUMTYPE, file->name, "empty, so no image of a floppy disk: " ACCEPTED);
        return NULL;
    }
    if (!format) {
        disk_error_set(error, EMEDIUMTYPE, file->name,
                       "with %llu bytes too large for an image of a floppy disk: " ACCEPTED, (unsigned long long)size);
        return NULL;
    }
    bool whole = size == format_sectors(format) * DISK_SECTOR_SIZE;
    struct disk *disk = whole ? linear_open() : short_open(size);
    if (!disk) {
        disk_error_set(error, ENOMEM, file->name, "no memory");
        return NULL;
    }
    disk->file = file;
    disk->format = DISK_FORMAT_RAW;
    disk->sectors = format_sectors(format);
    disk->geometry = *format;
    disk->read_only = !whole || flags & DISK_OPEN_READ_ONLY;
    return disk;
}

static struct disk *open_image(struct disk_file *file, unsigned flags, struct disk_error *error)
{
    struct disk *disk = file ? floppy_image_open_file(file, flags, error) : NULL;
    if (file && !disk)
        image_file_close(file);
    return disk;
}

struct disk *floppy_image_open_descriptor(int descriptor, const char *name, unsigned flags, struct disk_error *error)
{
    flags |= DISK_OPEN_RAW;
    return open_image(image_file_wrap(descriptor, name, flags, error), flags, error);
}

struct disk *floppy_image_open(const char *path, unsigned flags, struct disk_error *error)
{
    flags |= DISK_OPEN_RAW;
    return open_image(image_file_open(path, flags, error), flags, error);
}
