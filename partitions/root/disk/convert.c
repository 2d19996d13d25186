/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/convert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/create.h"
#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/new_file.h"
#include "partitions/root/disk/source.h"
#include "partitions/root/disk/vhd/vhd.h"

/* Sectors read at once. */
#define COPY_SECTORS 2048u
/* Files share whole blocks of their file system, none of which is larger than this. */
#define SHARED_UNIT 65536u

/* What a copy needs to know. */
struct copy {
    struct disk *source;
    struct disk *destination;
    const char *source_name;
    const char *destination_name;
    const struct disk_progress *progress;
    uint8_t *buffer; /* COPY_SECTORS long */
};

static bool copy_sectors(const struct copy *copy, uint64_t sector, uint32_t sectors, struct disk_error *error)
{
    int result = disk_transfer(copy->source, DISK_READ, copy->buffer, sector, sectors);
    if (result) {
        disk_error_set(error, result, copy->source_name, "reading sectors %llu to %llu failed: %s",
                       (unsigned long long)sector, (unsigned long long)sector + sectors - 1, strerror(result));
        return false;
    }
    for (uint32_t first = 0, run; first < sectors; first += run) {
        bool zero;
        run = disk_find_run(copy->buffer, first, sectors, &zero);
        if (!zero)
            result = disk_transfer(copy->destination, DISK_WRITE, copy->buffer + (size_t)first * DISK_SECTOR_SIZE,
                                   sector + first, run);
        if (result) {
            disk_error_set(error, result, copy->destination_name, "%s", strerror(result));
            return false;
        }
    }
    return true;
}

/* Whether the disk's sectors lie in its file as they follow each other, from the first byte on. */
static bool is_flat(const struct disk *disk)
{
    return disk_format(disk) == DISK_FORMAT_RAW ||
           (disk_format(disk) == DISK_FORMAT_FIXED && disk_top(disk)->container == DISK_CONTAINER_VHD);
}

/*
 * Sectors of the start that need not be copied, as the two files share their space. What the system offers besides,
 * copy_file_range(2), would write zeros where the source has them written.
 */
static uint64_t share_sectors(const struct copy *copy)
{
    uint64_t length = disk_sectors(copy->source) * DISK_SECTOR_SIZE / SHARED_UNIT * SHARED_UNIT;
    if (!length || !is_flat(copy->source) || !is_flat(copy->destination) ||
        disk_file_share(disk_top(copy->destination)->file, disk_top(copy->source)->file, length))
        return 0;
    return length / DISK_SECTOR_SIZE;
}

static bool copy_disk(const struct copy *copy, struct disk_error *error)
{
    uint64_t total = disk_sectors(copy->source), shared = share_sectors(copy);
    uint64_t sector = shared < total ? disk_next_data(copy->source, shared) : total;
    while (sector < total) {
        uint32_t sectors = total - sector < COPY_SECTORS ? (uint32_t)(total - sector) : COPY_SECTORS;
        if (!copy_sectors(copy, sector, sectors, error))
            return false;
        sector = disk_next_data(copy->source, sector + sectors);
        if (!disk_progress_step(copy->progress, sector * DISK_SECTOR_SIZE, total * DISK_SECTOR_SIZE)) {
            disk_error_set(error, ECANCELED, copy->destination_name, "cancelled");
            return false;
        }
    }
    return true;
}

/* Makes an empty image of the new file and opens it; the disk owns it then. */
static struct disk *open_destination(const struct new_file *new_file, uint64_t size, enum disk_format format,
                                     uint32_t block_size, struct disk_error *error)
{
    struct disk_file *file = new_file_wrap(new_file);
    if (!file) {
        disk_error_set(error, ENOMEM, new_file->path, "no memory");
        return NULL;
    }
    struct disk *disk = NULL;
    int result = disk_create_in(file, size, format, block_size);
    if (result)
        disk_error_set(error, result, new_file->path, "%s", strerror(result));
    else
        disk = disk_open_file(file, format == DISK_FORMAT_RAW ? DISK_OPEN_RAW : 0, error);
    if (!disk)
        disk_file_close(file);
    return disk;
}

/* Fills the new file with the source's disk. */
static bool fill(const struct new_file *new_file, struct disk *source, const char *source_name, enum disk_format format,
                 uint32_t block_size, const struct disk_progress *progress, struct disk_error *error)
{
    struct copy copy = {
        .source = source,
        .source_name = source_name,
        .destination_name = new_file->path,
        .progress = progress,
        .buffer = malloc((size_t)COPY_SECTORS * DISK_SECTOR_SIZE),
    };
    if (!copy.buffer) {
        disk_error_set(error, ENOMEM, new_file->path, "no memory");
        return false;
    }
    copy.destination = open_destination(new_file, disk_sectors(source) * DISK_SECTOR_SIZE, format, block_size, error);
    bool done = copy.destination && copy_disk(&copy, error);
    int result = copy.destination ? disk_close(copy.destination) : 0;
    if (done && result) {
        disk_error_set(error, result, new_file->path, "%s", strerror(result));
        done = false;
    }
    free(copy.buffer);
    return done;
}

bool disk_convert(const char *source, const char *destination, enum disk_format format,
                  const struct disk_convert_options *options, struct disk_error *error)
{
    static const struct disk_convert_options defaults;
    if (!options)
        options = &defaults;
    uint32_t block_size = options->block_size ? options->block_size : disk_default_block_size(destination, format);
    struct disk *disk = disk_open_source(source, options->source_raw, error);
    if (!disk)
        return false;

    struct new_file new_file;
    bool done = false;
    if (disk_file_is_at(disk_top(disk)->file,
                        destination)) { /* replacing it would succeed, and is never what was meant */
        disk_error_set(error, EINVAL, destination,
                       "is the disk that is to be converted: give the new one another name");
    } else if (disk_check_size(destination, disk_sectors(disk) * DISK_SECTOR_SIZE, format, block_size, error) &&
               new_file_begin(&new_file, destination, options->replace, error)) {
        done = fill(&new_file, disk, source, format, block_size, &options->progress, error);
        if (done)
            done = new_file_commit(&new_file, error);
        else
            new_file_abandon(&new_file);
    }
    disk_close(disk);
    return done;
}
