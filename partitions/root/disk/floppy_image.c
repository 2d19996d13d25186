/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/floppy_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/chain.h"
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
    struct disk *disk = disk_new();
    struct disk_image *image = disk ? linear_open(file, size) : NULL;
    if (image) {
        image->format = DISK_FORMAT_RAW;
        image->sectors = format_sectors(format);
        image->geometry = *format;
        image->read_only = size != image->sectors * DISK_SECTOR_SIZE || flags & DISK_OPEN_READ_ONLY;
        if (disk_add(disk, image))
            return disk;
        image->operations->close(image);
    }
    disk_error_set(error, ENOMEM, file->name, "no memory");
    if (disk)
        disk_free(disk, false);
    return NULL;
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
