/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ide_trim.h"

#include <endian.h>
#include <string.h>

#define COUNT_SHIFT 48

struct range {
    uint64_t sector;
    uint32_t sectors;
};

static uint32_t entries(const struct ide_channel *channel)
{
    return channel->transfer.filled / (uint32_t)sizeof(uint64_t);
}

static struct range entry(const struct ide_channel *channel, uint32_t number)
{
    uint64_t value;

    memcpy(&value, channel->buffer + number * sizeof value, sizeof value);
    value = le64toh(value);
    return (struct range){value & ((1ull << COUNT_SHIFT) - 1), (uint32_t)(value >> COUNT_SHIFT)};
}

bool ide_trim_check(const struct ide_channel *channel, const struct ide_drive *drive)
{
    uint64_t sectors = disk_sectors(drive->disk);

    for (uint32_t i = 0; i < entries(channel); i++) {
        struct range range = entry(channel, i);

        if (range.sectors && (range.sector >= sectors || range.sectors > sectors - range.sector))
            return false;
    }
    return true;
}

bool ide_trim_next(struct ide_channel *channel)
{
    struct ide_transfer *transfer = &channel->transfer;

    while (transfer->range < entries(channel)) {
        struct range range = entry(channel, transfer->range++);

        if (range.sectors == 0)
            continue;
        transfer->sector = range.sector;
        transfer->remaining = range.sectors;
        return true;
    }
    return false;
}
