/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk of any size for tests of the devices above it. Sectors that nobody wrote hold a pattern of their own
 * number; requests are answered at once, or when the test says so, and can be made to fail.
 */
#ifndef TESTS_UNIT_FAKE_DISK_H
#define TESTS_UNIT_FAKE_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/disk/disk.h"

#define FAKE_DISK_WRITTEN 320 /* sectors that can be written */
#define FAKE_DISK_LOG     64

struct fake_disk_entry {
    enum disk_operation operation;
    uint64_t sector;
    uint32_t sectors;
    int vector_count;
};

struct disk {
    uint64_t sectors;
    struct disk_geometry geometry;
    bool read_only;
    bool asynchronous; /* requests wait for fake_disk_complete */
    int error;         /* what the next requests end with, */
    unsigned errors;   /* so many of them */
    struct disk_request *pending;
    unsigned requests; /* that came, the first of them in log */
    struct fake_disk_entry log[FAKE_DISK_LOG];
    uint64_t written_sector[FAKE_DISK_WRITTEN];
    uint8_t written[FAKE_DISK_WRITTEN][DISK_SECTOR_SIZE];
    unsigned written_count;
};

/* Answers the request that waits; a programming error if there is none. */
void fake_disk_complete(struct disk *disk);

/* What the disk holds. */
void fake_disk_sector(const struct disk *disk, uint64_t sector, uint8_t data[DISK_SECTOR_SIZE]);

#endif
