/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/fake_disk.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static unsigned find_written(const struct disk *disk, uint64_t sector)
{
    unsigned index = 0;

    while (index < disk->written_count && disk->written_sector[index] != sector)
        index++;
    return index;
}

void fake_disk_sector(const struct disk *disk, uint64_t sector, uint8_t data[DISK_SECTOR_SIZE])
{
    unsigned index = find_written(disk, sector);

    if (index < disk->written_count) {
        memcpy(data, disk->written[index], DISK_SECTOR_SIZE);
        return;
    }
    for (unsigned i = 0; i < DISK_SECTOR_SIZE; i++)
        data[i] = (uint8_t)(sector * 31 + (sector >> 8) + i);
}

static void write_sector(struct disk *disk, uint64_t sector, const uint8_t data[DISK_SECTOR_SIZE])
{
    unsigned index = find_written(disk, sector);

    if (index == FAKE_DISK_WRITTEN)
        return; /* a fuzzer may write more than anybody looks at */
    disk->written_sector[index] = sector;
    memcpy(disk->written[index], data, DISK_SECTOR_SIZE);
    if (index == disk->written_count)
        disk->written_count++;
}

/* Copies between one sector and the place of byte `offset` of the request's vector. */
static void move(const struct disk_request *request, size_t offset, uint8_t data[DISK_SECTOR_SIZE],
                 bool to_vector)
{
    size_t moved = 0;

    for (int i = 0; i < request->vector_count && moved < DISK_SECTOR_SIZE; i++) {
        const struct iovec *vector = &request->vector[i];
        size_t part = DISK_SECTOR_SIZE - moved;

        if (offset >= vector->iov_len) {
            offset -= vector->iov_len;
            continue;
        }
        if (part > vector->iov_len - offset)
            part = vector->iov_len - offset;
        if (to_vector)
            memcpy((uint8_t *)vector->iov_base + offset, data + moved, part);
        else
            memcpy(data + moved, (uint8_t *)vector->iov_base + offset, part);
        moved += part;
        offset = 0;
    }
    assert(moved == DISK_SECTOR_SIZE);
}

static void check(const struct disk *disk, const struct disk_request *request)
{
    size_t length = 0;

    for (int i = 0; i < request->vector_count; i++)
        length += request->vector[i].iov_len;
    assert(length == (request->operation == DISK_DISCARD ? 0 : (size_t)request->sectors * DISK_SECTOR_SIZE));
    assert(request->operation == DISK_FLUSH ? request->sectors == 0 : request->sectors > 0);
    assert(request->sector + request->sectors <= disk->sectors);
}

static void answer(struct disk *disk, struct disk_request *request)
{
    uint8_t data[DISK_SECTOR_SIZE];

    request->error = 0;
    if (disk->errors > 0) {
        disk->errors--;
        request->error = disk->error;
    }
    for (uint32_t i = 0; request->error == 0 && i < request->sectors; i++) {
        size_t offset = (size_t)i * DISK_SECTOR_SIZE;

        if (request->operation == DISK_READ) {
            fake_disk_sector(disk, request->sector + i, data);
            move(request, offset, data, true);
        } else {
            memset(data, 0, sizeof data); /* what is left of discarded sectors */
            if (request->operation == DISK_WRITE)
                move(request, offset, data, false);
            write_sector(disk, request->sector + i, data);
        }
    }
    request->done(request);
}

void disk_submit(struct disk *disk, struct disk_request *request)
{
    check(disk, request);
    if (disk->requests < FAKE_DISK_LOG)
        disk->log[disk->requests] = (struct fake_disk_entry){request->operation, request->sector,
                                                             request->sectors, request->vector_count};
    disk->requests++;
    if (disk->asynchronous) {
        assert(!disk->pending);
        disk->pending = request;
    } else {
        answer(disk, request);
    }
}

void fake_disk_complete(struct disk *disk)
{
    struct disk_request *request = disk->pending;

    assert(request);
    disk->pending = NULL;
    answer(disk, request);
}

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
