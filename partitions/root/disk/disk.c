/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/disk.h"

#include <errno.h>

#include "partitions/root/disk/format.h"

uint64_t disk_sectors(const struct disk *disk)
{
    return disk->sectors;
}

struct disk_geometry disk_geometry(const struct disk *disk)
{
    return disk->geometry;
}

bool disk_read_only(const struct disk *disk)
{
    return disk->read_only;
}

static bool vector_fits(const struct disk_request *request)
{
    uint64_t length = 0;
    for (int i = 0; i < request->vector_count; i++)
        length += request->vector[i].iov_len;
    return length == (uint64_t)request->sectors * DISK_SECTOR_SIZE;
}

/* What the issuer can act upon: waiting for space helps, everything else is an error of the disk. */
static int as_seen_by_issuer(int error)
{
    switch (error) {
    case 0:
        return 0;
    case ENOSPC:
    case EDQUOT:
        return ENOSPC;
    default:
        return EIO;
    }
}

static int move(struct disk *disk, int (*operation)(struct disk *, struct disk_cursor *, uint64_t, uint32_t),
                const struct disk_request *request)
{
    struct disk_cursor cursor = {.vector = request->vector};
    int error = operation(disk, &cursor, request->sector, request->sectors);
    return disk_file_finish(disk->file, error);
}

static int execute(struct disk *disk, const struct disk_request *request)
{
    if (request->operation == DISK_FLUSH)
        return disk->read_only ? 0 : as_seen_by_issuer(disk_file_synchronize(disk->file));
    if (request->sectors == 0 || request->sector > disk->sectors ||
        request->sectors > disk->sectors - request->sector || !vector_fits(request))
        return EINVAL;

    switch (request->operation) {
    case DISK_READ:
        return as_seen_by_issuer(move(disk, disk->operations->read, request));
    case DISK_WRITE:
        if (disk->read_only)
            return EROFS;
        return as_seen_by_issuer(move(disk, disk->operations->write, request));
    default:
        return EINVAL;
    }
}

void disk_execute(struct disk *disk, struct disk_request *request)
{
    request->error = execute(disk, request);
}

void disk_set_transfers(struct disk *disk, struct disk_transfers *transfers)
{
    disk->file->transfers = transfers;
}

void disk_set_queue(struct disk *disk, void (*submit)(void *queue, struct disk_request *request), void *queue)
{
    disk->submit = submit;
    disk->queue = queue;
}

void disk_submit(struct disk *disk, struct disk_request *request)
{
    request->next = NULL;
    if (disk->submit) {
        disk->submit(disk->queue, request);
        return;
    }
    if (disk->first)
        disk->last->next = request;
    else
        disk->first = request;
    disk->last = request;

    /* A request issued from within `done` is worked off by the loop below, not by recursion. */
    if (disk->active)
        return;
    disk->active = true;
    while (disk->first) {
        struct disk_request *next = disk->first;
        disk->first = next->next;
        disk_execute(disk, next);
        next->done(next);
    }
    disk->active = false;
}

int disk_transfer(struct disk *disk, enum disk_operation operation, void *buffer, uint64_t sector,
                  uint32_t sectors)
{
    struct iovec vector = {.iov_base = buffer, .iov_len = (size_t)sectors * DISK_SECTOR_SIZE};
    struct disk_request request = {
        .operation = operation,
        .sector = sector,
        .sectors = sectors,
        .vector = &vector,
        .vector_count = 1,
    };
    return execute(disk, &request);
}

uint64_t disk_next_data(struct disk *disk, uint64_t sector)
{
    return disk->operations->next_data(disk, sector);
}
