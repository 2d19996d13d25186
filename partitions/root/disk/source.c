/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/source.h"

#include <errno.h>
#include <string.h>

#include "partitions/root/disk/open.h"

struct disk *disk_open_source(const char *path, bool raw, struct disk_error *error)
{
    struct disk_error reason;
    struct disk *disk = disk_open(path, DISK_OPEN_READ_ONLY | (raw ? DISK_OPEN_RAW : 0), &reason);
    if (!disk && !raw && reason.code == EMEDIUMTYPE)
        disk = disk_open(path, DISK_OPEN_READ_ONLY | DISK_OPEN_RAW, &reason);
    if (!disk && error)
        *error = reason;
    return disk;
}

bool disk_is_zero(const uint8_t *bytes, size_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static bool page_is_zero(const uint8_t *bytes, uint32_t page, uint32_t sectors)
{
    uint32_t length = sectors - page < DISK_PAGE_SECTORS ? sectors - page : DISK_PAGE_SECTORS;
    return disk_is_zero(bytes + (size_t)page * DISK_SECTOR_SIZE, (size_t)length * DISK_SECTOR_SIZE);
}

uint32_t disk_find_run(const uint8_t *bytes, uint32_t first, uint32_t sectors, bool *zero)
{
    uint32_t end = first + DISK_PAGE_SECTORS;
    *zero = page_is_zero(bytes, first, sectors);
    while (end < sectors && page_is_zero(bytes, end, sectors) == *zero)
        end += DISK_PAGE_SECTORS;
    return (end < sectors ? end : sectors) - first;
}
