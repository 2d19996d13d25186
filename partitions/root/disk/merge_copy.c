/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/source.h"

/* Sectors moved at once. */
#define STEP_SECTORS 2048u
/* Sectors read at once to see whether they are zeros. */
#define LOOK_SECTORS 16u

struct copy {
    struct disk *upper, *lower;
    bool dry_run;
    uint64_t last_block; /* the last new one that was counted; UINT64_MAX: none yet */
    struct disk_merge_result *result;
    uint8_t *buffer; /* STEP_SECTORS long */
};

static bool fail(struct disk *disk, int result, struct disk_error *error)
{
    disk_error_set(error, result, disk_top(disk)->file->name, "%s", strerror(result));
    return false;
}

/* Whether the image has nothing of the block in its file. */
static bool is_new_block(struct disk_image *image, uint64_t block)
{
    uint64_t sectors = image->block_size / DISK_SECTOR_SIZE, first = block * sectors;
    return image->operations->next_present(image, first) >= first + sectors ||
           image->operations->next_present(image, first) == image->sectors;
}

/* Counts the blocks that writing these sectors makes; they come in order. */
static void count_space(struct copy *copy, uint64_t sector, uint32_t sectors)
{
    struct disk_image *image = disk_top(copy->lower);
    if (!image->block_size)
        return;
    uint64_t block_sectors = image->block_size / DISK_SECTOR_SIZE;
    for (uint64_t block = sector / block_sectors; block <= (sector + sectors - 1) / block_sectors; block++) {
        if (block == copy->last_block || !is_new_block(image, block))
            continue;
        copy->last_block = block;
        copy->result->space += image->block_size;
    }
}

/* Whether the lower disk has zeros here anyway; a failure to read it comes out when it is written to. */
static bool has_zeros(struct copy *copy, uint64_t sector, uint32_t sectors)
{
    uint32_t step;
    for (; sectors; sector += step, sectors -= step) {
        uint8_t bytes[LOOK_SECTORS * DISK_SECTOR_SIZE];
        struct disk_extent extent;
        uint32_t image;
        if (disk_map(copy->lower, sector, sectors, &extent, &image))
            return false;
        step = extent.sectors;
        if (extent.kind == DISK_EXTENT_ABSENT || extent.kind == DISK_EXTENT_ZERO)
            continue;
        step = step < LOOK_SECTORS ? step : LOOK_SECTORS;
        if (disk_transfer(copy->lower, DISK_READ, bytes, sector, step) ||
            !disk_is_zero(bytes, (size_t)step * DISK_SECTOR_SIZE))
            return false;
    }
    return true;
}

static bool write_run(struct copy *copy, const uint8_t *bytes, uint64_t sector, uint32_t sectors,
                      struct disk_error *error)
{
    copy->result->written += (uint64_t)sectors * DISK_SECTOR_SIZE;
    count_space(copy, sector, sectors);
    int result = copy->dry_run ? 0 : disk_transfer(copy->lower, DISK_WRITE, (void *)bytes, sector, sectors);
    return result ? fail(copy->lower, result, error) : true;
}

/* Sectors that the upper images have. Zeros over zeros need not be written, and take no space. */
static bool move_sectors(struct copy *copy, uint64_t sector, uint32_t sectors, struct disk_error *error)
{
    int result = disk_transfer(copy->upper, DISK_READ, copy->buffer, sector, sectors);
    if (result)
        return fail(copy->upper, result, error);
    for (uint32_t first = 0, run; first < sectors; first += run) {
        bool zero;
        run = disk_find_run(copy->buffer, first, sectors, &zero);
        if (zero && has_zeros(copy, sector + first, run))
            continue;
        if (!write_run(copy, copy->buffer + (size_t)first * DISK_SECTOR_SIZE, sector + first, run, error))
            return false;
    }
    return true;
}

static bool move_all(struct copy *copy, const struct disk_progress *progress, struct disk_error *error)
{
    uint64_t total = disk_sectors(copy->upper);
    uint64_t sector = disk_next_data(copy->upper, 0);
    while (sector < total) {
        struct disk_extent extent;
        uint32_t image, most = total - sector < STEP_SECTORS ? (uint32_t)(total - sector) : STEP_SECTORS;
        int result = disk_map(copy->upper, sector, most, &extent, &image);
        if (result)
            return fail(copy->upper, result, error);
        if (extent.kind != DISK_EXTENT_ABSENT && !move_sectors(copy, sector, extent.sectors, error))
            return false;
        sector = disk_next_data(copy->upper, sector + extent.sectors);
        if (!disk_progress_step(progress, sector * DISK_SECTOR_SIZE, total * DISK_SECTOR_SIZE)) {
            disk_error_set(error, ECANCELED, disk_top(copy->upper)->file->name, "cancelled; it holds what it held");
            return false;
        }
    }
    return true;
}

bool disk_merge_into(struct disk *upper, struct disk *lower, const struct disk_merge_options *options,
                     struct disk_merge_result *result, struct disk_error *error)
{
    struct copy copy = {
        .upper = upper,
        .lower = lower,
        .dry_run = options->dry_run,
        .last_block = UINT64_MAX,
        .result = result,
        .buffer = malloc((size_t)STEP_SECTORS * DISK_SECTOR_SIZE),
    };
    bool done = copy.buffer ? move_all(&copy, &options->progress, error) : fail(lower, ENOMEM, error);
    free(copy.buffer);
    return done;
}
