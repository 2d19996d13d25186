/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/linear.h"

#include <errno.h>
#include <stdlib.h>

struct linear {
    struct disk_image image; /* first */
    uint64_t data_size;
    bool punches; /* the host can make holes in the file */
};

static struct linear *to_linear(struct disk_image *image)
{
    return (struct linear *)image;
}

static int linear_map(struct disk_image *image, uint64_t sector, uint32_t sectors, struct disk_extent *extent)
{
    uint64_t offset = sector * DISK_SECTOR_SIZE, size = to_linear(image)->data_size;
    uint64_t whole = offset < size ? (size - offset) / DISK_SECTOR_SIZE : 0;
    *extent = (struct disk_extent){DISK_EXTENT_DATA, sectors, offset};
    if (offset >= size)
        extent->kind = DISK_EXTENT_ABSENT;
    else if (whole == 0)
        *extent = (struct disk_extent){DISK_EXTENT_CUT, 1, offset};
    else if (whole < sectors)
        extent->sectors = (uint32_t)whole;
    return 0;
}

static int linear_write(struct disk_image *image, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    return disk_file_write(image->file, cursor, (uint64_t)sectors * DISK_SECTOR_SIZE, sector * DISK_SECTOR_SIZE);
}

/* A fixed VHD keeps its space, which is what it was made for. */
static int linear_discard(struct disk_image *image, uint64_t sector, uint32_t sectors)
{
    struct linear *linear = to_linear(image);
    if (image->format != DISK_FORMAT_RAW || !linear->punches)
        return 0;
    int error = disk_file_punch(image->file, sector * DISK_SECTOR_SIZE, (uint64_t)sectors * DISK_SECTOR_SIZE);
    linear->punches = error != EOPNOTSUPP;
    return linear->punches ? error : 0;
}

static int linear_flush(struct disk_image *image)
{
    return disk_file_synchronize(image->file);
}

static uint64_t linear_next_present(struct disk_image *image, uint64_t sector)
{
    uint64_t found = image->file->operations->next_data(image->file, sector * DISK_SECTOR_SIZE) / DISK_SECTOR_SIZE;
    return found < image->sectors ? found : image->sectors;
}

static int linear_close(struct disk_image *image)
{
    free(image);
    return 0;
}

static const struct disk_image_operations linear_operations = {
    .map = linear_map,
    .write = linear_write,
    .discard = linear_discard,
    .flush = linear_flush,
    .next_present = linear_next_present,
    .close = linear_close,
};

struct disk_image *linear_open(struct disk_file *file, uint64_t data_size)
{
    struct linear *linear = calloc(1, sizeof(*linear));
    if (!linear)
        return NULL;
    linear->image.operations = &linear_operations;
    linear->image.file = file;
    linear->image.write_unit = 1;
    linear->data_size = data_size;
    linear->punches = true;
    return &linear->image;
}
