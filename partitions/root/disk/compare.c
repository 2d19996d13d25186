/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/source.h"

#define STEP_SECTORS 2048u

struct comparison {
    struct disk *disks[2];
    const char *const *paths;
    uint8_t *bytes[2]; /* STEP_SECTORS each */
    struct disk_compare_result *result;
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Zeros behind the disk's end. */
static bool read_sectors(const struct comparison *comparison, unsigned which, uint64_t sector, uint32_t sectors,
                         struct disk_error *error)
{
    uint64_t size = disk_sectors(comparison->disks[which]);
    uint32_t there = sector < size ? (uint32_t)smaller(size - sector, sectors) : 0;
    uint8_t *bytes = comparison->bytes[which];
    int result = there ? disk_transfer(comparison->disks[which], DISK_READ, bytes, sector, there) : 0;
    memset(bytes + (size_t)there * DISK_SECTOR_SIZE, 0, (size_t)(sectors - there) * DISK_SECTOR_SIZE);
    if (result)
        disk_error_set(error, result, comparison->paths[which], "reading sectors %llu to %llu failed: %s",
                       (unsigned long long)sector, (unsigned long long)sector + there - 1, strerror(result));
    return result == 0;
}

static uint64_t first_difference(const uint8_t *a, const uint8_t *b)
{
    uint64_t byte = 0;
    while (a[byte] == b[byte])
        byte++;
    return byte;
}

static void count_differences(const struct comparison *comparison, uint64_t sector, uint32_t sectors)
{
    struct disk_compare_result *result = comparison->result;
    const uint8_t *a = comparison->bytes[0], *b = comparison->bytes[1];
    if (memcmp(a, b, (size_t)sectors * DISK_SECTOR_SIZE) == 0)
        return;
    for (uint32_t i = 0; i < sectors; i++, a += DISK_SECTOR_SIZE, b += DISK_SECTOR_SIZE) {
        if (memcmp(a, b, DISK_SECTOR_SIZE) == 0)
            continue;
        if (result->different_sectors++ == 0)
            result->first_difference = (sector + i) * DISK_SECTOR_SIZE + first_difference(a, b);
    }
}

/* The next sector at which one of them may have something other than zeros. */
static uint64_t next_data(const struct comparison *comparison, uint64_t sector)
{
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t size = disk_sectors(comparison->disks[i]);
        uint64_t found = sector < size ? disk_next_data(comparison->disks[i], sector) : size;
        if (found < size)
            next = smaller(next, found);
    }
    return next;
}

static bool compare_all(const struct comparison *comparison, const struct disk_progress *progress,
                        struct disk_error *error)
{
    uint64_t total = larger(disk_sectors(comparison->disks[0]), disk_sectors(comparison->disks[1]));
    for (uint64_t sector = next_data(comparison, 0); sector < total; sector = next_data(comparison, sector)) {
        uint32_t sectors = (uint32_t)smaller(total - sector, STEP_SECTORS);
        if (!read_sectors(comparison, 0, sector, sectors, error) ||
            !read_sectors(comparison, 1, sector, sectors, error))
            return false;
        count_differences(comparison, sector, sectors);
        sector += sectors;
        if (!disk_progress_step(progress, sector * DISK_SECTOR_SIZE, total * DISK_SECTOR_SIZE)) {
            disk_error_set(error, ECANCELED, comparison->paths[0], "cancelled");
            return false;
        }
    }
    return true;
}

static bool check_sizes(const struct comparison *comparison, bool strict, struct disk_error *error)
{
    struct disk_compare_result *result = comparison->result;
    for (unsigned i = 0; i < 2; i++)
        result->size[i] = disk_sectors(comparison->disks[i]) * DISK_SECTOR_SIZE;
    if (!strict || result->size[0] == result->size[1])
        return true;
    disk_error_set(error, EINVAL, comparison->paths[0], "has %llu bytes, and %s %llu",
                   (unsigned long long)result->size[0], comparison->paths[1], (unsigned long long)result->size[1]);
    return false;
}

static bool compare(struct comparison *comparison, const struct disk_compare_options *options, struct disk_error *error)
{
    for (unsigned i = 0; i < 2; i++)
        comparison->bytes[i] = malloc((size_t)STEP_SECTORS * DISK_SECTOR_SIZE);
    bool done = false;
    if (!comparison->bytes[0] || !comparison->bytes[1])
        disk_error_set(error, ENOMEM, comparison->paths[0], "no memory");
    else
        done = check_sizes(comparison, options->strict, error) && compare_all(comparison, &options->progress, error);
    free(comparison->bytes[0]);
    free(comparison->bytes[1]);
    return done;
}

bool disk_compare(const char *const paths[2], const struct disk_compare_options *options,
                  struct disk_compare_result *result, struct disk_error *error)
{
    static const struct disk_compare_options defaults;
    options = options ? options : &defaults;
    *result = (struct disk_compare_result){0};
    struct comparison comparison = {.paths = paths, .result = result};
    bool done = false;
    comparison.disks[0] = disk_open_source(paths[0], options->raw[0], error);
    comparison.disks[1] = comparison.disks[0] ? disk_open_source(paths[1], options->raw[1], error) : NULL;
    if (comparison.disks[1])
        done = compare(&comparison, options, error);
    for (unsigned i = 0; i < 2; i++)
        if (comparison.disks[i])
            disk_close(comparison.disks[i]);
    return done;
}
