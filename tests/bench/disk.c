/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests to the disk engine, one after the other as an IDE disk makes them, and how long they take: the counterpart of
 * "qemu-img bench".
 *
 *     disk read|write FILE FORMAT SIZE STEP COUNT    COUNT requests of SIZE bytes, each STEP bytes after the last one,
 *                                                    from the beginning again at the end; a flush at the end
 *     disk open FILE FORMAT COUNT                    opening and closing
 *     disk create FILE SIZE dynamic|fixed|raw
 *     disk child FILE PARENT
 *
 * FORMAT is raw or vhd. Prints seconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/open.h"

static struct disk_error error;

static void must(bool done)
{
    if (done)
        return;
    fprintf(stderr, "disk: %s\n", error.text);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct disk *open_disk(const char *path, const char *format, unsigned flags)
{
    struct disk *disk = disk_open(path, flags | (strcmp(format, "raw") == 0 ? DISK_OPEN_RAW : 0), &error);
    must(disk != NULL);
    return disk;
}

static int run_requests(char **arguments)
{
    bool writes = strcmp(arguments[1], "write") == 0;
    struct disk *disk = open_disk(arguments[2], arguments[3], writes ? 0 : DISK_OPEN_READ_ONLY);
    uint64_t size = strtoull(arguments[4], NULL, 0), step = strtoull(arguments[5], NULL, 0);
    uint64_t count = strtoull(arguments[6], NULL, 0), length = disk_sectors(disk) * DISK_SECTOR_SIZE;
    uint8_t *buffer = aligned_alloc(4096, size);
    must(buffer != NULL);
    memset(buffer, 0x5a, size);
    double begin = now();
    uint64_t offset = 0;
    for (uint64_t i = 0; i < count; i++, offset = offset + step + size > length ? 0 : offset + step)
        must(disk_transfer(disk, writes ? DISK_WRITE : DISK_READ, buffer, offset / DISK_SECTOR_SIZE,
                           (uint32_t)(size / DISK_SECTOR_SIZE)) == 0);
    if (writes)
        must(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0) == 0);
    printf("%.6f\n", now() - begin);
    free(buffer);
    return disk_close(disk);
}

static int run_open(char **arguments)
{
    unsigned count = (unsigned)strtoul(arguments[4], NULL, 0);
    double begin = now();
    for (unsigned i = 0; i < count; i++)
        disk_close(open_disk(arguments[2], arguments[3], DISK_OPEN_READ_ONLY));
    printf("%.6f\n", (now() - begin) / count);
    return 0;
}

static int run_create(char **arguments)
{
    enum disk_format format = DISK_FORMAT_RAW;
    while (format < DISK_FORMAT_DYNAMIC && strcmp(disk_format_name(format), arguments[4]) != 0)
        format++;
    must(disk_create(arguments[2], strtoull(arguments[3], NULL, 0), format, NULL, &error));
    return 0;
}

int main(int count, char **arguments)
{
    if (count == 7 && (strcmp(arguments[1], "read") == 0 || strcmp(arguments[1], "write") == 0))
        return run_requests(arguments);
    if (count == 5 && strcmp(arguments[1], "open") == 0)
        return run_open(arguments);
    if (count == 5 && strcmp(arguments[1], "create") == 0)
        return run_create(arguments);
    if (count == 4 && strcmp(arguments[1], "child") == 0)
        return must(disk_create_child(arguments[2], arguments[3], NULL, &error)), 0;
    fprintf(stderr, "usage: see tests/bench/disk.c\n");
    return 2;
}
