/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/linear.h"

#include <stdlib.h>

static int linear_read(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    return disk_file_read(disk->file, cursor, (uint64_t)sectors * DISK_SECTOR_SIZE,
                          sector * DISK_SECTOR_SIZE);
}

static int linear_write(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    return disk_file_write(disk->file, cursor, (uint64_t)sectors * DISK_SECTOR_SIZE,
                           sector * DISK_SECTOR_SIZE);
}

static uint64_t linear_next_data(struct disk *disk, uint64_t sector)
{
    uint64_t found =
        disk->file->operations->next_data(disk->file, sector * DISK_SECTOR_SIZE) / DISK_SECTOR_SIZE;
    return found < disk->sectors ? found : disk->sectors;
}

static int linear_close(struct disk *disk)
{
    free(disk);
    return 0;
}

static const struct disk_format_operations linear_operations = {
    .read = linear_read,
    .write = linear_write,
    .next_data = linear_next_data,
    .close = linear_close,
};

struct disk *linear_open(void)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    if (disk)
        disk->operations = &linear_operations;
    return disk;
}
