/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/open.h"

#include <errno.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/image_open.h"

const char *disk_format_name(enum disk_format format)
{
    static const char *const names[] = {
        [DISK_FORMAT_RAW] = "raw",
        [DISK_FORMAT_FIXED] = "fixed",
        [DISK_FORMAT_DYNAMIC] = "dynamic",
        [DISK_FORMAT_DIFFERENCING] = "differencing",
    };
    return names[format];
}

struct disk *disk_open_file(struct disk_file *file, unsigned flags, struct disk_error *error)
{
    struct disk *disk = disk_new();
    struct disk_image *image = disk ? image_open(file, flags, disk->cache, error) : NULL;
    if (image && disk_add(disk, image))
        return disk;
    if (!disk || image)
        disk_error_set(error, ENOMEM, file->name, "no memory");
    if (image)
        image->operations->close(image);
    if (disk)
        disk_free(disk, false);
    return NULL;
}

static struct disk *open_image(struct disk_file *file, unsigned flags, struct disk_error *error)
{
    struct disk *disk = file ? disk_open_file(file, flags, error) : NULL;
    if (file && !disk)
        image_file_close(file);
    return disk;
}

struct disk *disk_open_descriptor(int descriptor, const char *name, unsigned flags, struct disk_error *error)
{
    return open_image(image_file_wrap(descriptor, name, flags, error), flags, error);
}

struct disk *disk_open(const char *path, unsigned flags, struct disk_error *error)
{
    return open_image(image_file_open(path, flags, error), flags, error);
}

int disk_close(struct disk *disk)
{
    return disk_free(disk, true);
}
