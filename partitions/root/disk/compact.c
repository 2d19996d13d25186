/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/compact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/source.h"
#include "partitions/root/disk/vhd/compact.h"
#include "partitions/root/disk/vhdx/compact.h"

#define STEP_SECTORS 2048u
#define STAT_BLOCK   512u /* the unit of st_blocks */

/* Looking for blocks of the disk's image that are not needed. */
struct search {
    struct disk *disk;
    struct disk *parents; /* NULL: it has none */
    struct disk_compact_blocks blocks;
    uint8_t *own, *others; /* STEP_SECTORS each */
};

static bool fail(const struct disk *disk, int result, struct disk_error *error)
{
    disk_error_set(error, result, disk_top(disk)->file->name, "%s",
                   result == ECANCELED ? "cancelled; it is sound, and holds what it held" : strerror(result));
    return false;
}

/* ---- Blocks that are not needed ---- */

/* What the parents have; zeros where they end. */
static int read_parents(const struct search *search, uint64_t sector, uint32_t sectors)
{
    uint64_t size = search->parents ? disk_sectors(search->parents) : 0;
    uint32_t there = sector >= size ? 0 : size - sector < sectors ? (uint32_t)(size - sector) : sectors;
    memset(search->others + (size_t)there * DISK_SECTOR_SIZE, 0, (size_t)(sectors - there) * DISK_SECTOR_SIZE);
    return there ? disk_transfer(search->parents, DISK_READ, search->others, sector, there) : 0;
}

/* Whether the sectors, which are in the image, are as they would be without it. */
static int look_at_sectors(const struct search *search, uint64_t sector, uint32_t sectors, bool *unneeded)
{
    int error = disk_transfer(search->disk, DISK_READ, search->own, sector, sectors);
    if (!error)
        error = read_parents(search, sector, sectors);
    *unneeded = !error && memcmp(search->own, search->others, (size_t)sectors * DISK_SECTOR_SIZE) == 0;
    return error;
}

static int look_at_block(const struct search *search, uint64_t sector, uint64_t end, bool *unneeded)
{
    struct disk_image *image = disk_top(search->disk);
    int error = 0;
    *unneeded = true;
    while (sector < end && *unneeded && !error) {
        struct disk_extent extent;
        uint32_t most = end - sector < STEP_SECTORS ? (uint32_t)(end - sector) : STEP_SECTORS;
        error = image->operations->map(image, sector, most, &extent);
        if (!error && extent.kind != DISK_EXTENT_ABSENT)
            error = look_at_sectors(search, sector, extent.sectors, unneeded);
        sector += extent.sectors;
    }
    return error;
}

/* Whether the disk has nothing but zeros there, whoever has them. */
static int look_for_zeros(const struct search *search, uint64_t sector, uint64_t end, bool *zeros)
{
    int error = 0;
    *zeros = true;
    for (uint32_t sectors; sector < end && *zeros && !error; sector += sectors) {
        sectors = end - sector < STEP_SECTORS ? (uint32_t)(end - sector) : STEP_SECTORS;
        error = disk_transfer(search->disk, DISK_READ, search->own, sector, sectors);
        *zeros = !error && disk_is_zero(search->own, (size_t)sectors * DISK_SECTOR_SIZE);
    }
    return error;
}

/* Enters the block, whose sectors these are, where it belongs. */
static int classify_block(const struct search *search, uint64_t block, uint64_t sector, uint64_t end)
{
    bool unneeded, zeros = false;
    int error = look_at_block(search, sector, end, &unneeded);
    if (!error && !unneeded && search->blocks.zeros)
        error = look_for_zeros(search, sector, end, &zeros);
    if (!error && unneeded)
        search->blocks.unneeded[block / 8] |= (uint8_t)(1u << block % 8);
    if (!error && zeros)
        search->blocks.zeros[block / 8] |= (uint8_t)(1u << block % 8);
    return error;
}

static int classify_blocks(const struct search *search, const struct disk_progress *progress)
{
    struct disk_image *image = disk_top(search->disk);
    uint64_t block_sectors = image->block_size / DISK_SECTOR_SIZE, size = image->sectors;
    uint64_t sector = image->operations->next_present(image, 0);
    while (sector < size) {
        uint64_t block = sector / block_sectors, next = (block + 1) * block_sectors;
        int error = classify_block(search, block, block * block_sectors, next < size ? next : size);
        if (error)
            return error;
        sector = next < size ? image->operations->next_present(image, next) : size;
        if (!disk_progress_step(progress, sector * DISK_SECTOR_SIZE / 2, size * DISK_SECTOR_SIZE))
            return ECANCELED;
    }
    return 0;
}

/* The images beneath the first, which stay that disk's. NULL without memory. */
static struct disk *borrow_parents(const struct disk *disk)
{
    struct disk *parents = disk_new();
    for (uint32_t i = 1; i < disk->image_count && parents; i++) {
        if (disk_add(parents, disk->images[i]))
            continue;
        parents->image_count = 0;
        disk_free(parents, false);
        parents = NULL;
    }
    return parents;
}

static void return_parents(struct disk *parents)
{
    if (parents) {
        parents->image_count = 0;
        disk_free(parents, false);
    }
}

static void free_blocks(struct disk_compact_blocks *blocks)
{
    free(blocks->unneeded);
    free(blocks->zeros);
}

/* To be freed with free_blocks in any case; false with `error`. */
static bool search_blocks(struct disk *disk, const struct disk_progress *progress, struct disk_compact_blocks *blocks,
                          struct disk_error *error)
{
    struct disk_image *image = disk_top(disk);
    size_t bytes = (size_t)(image->sectors / (image->block_size / DISK_SECTOR_SIZE) + 1) / 8 + 1;
    bool marks_zeros = image->container == DISK_CONTAINER_VHDX && image->differencing;
    blocks->unneeded = calloc(bytes, 1);
    blocks->zeros = marks_zeros ? calloc(bytes, 1) : NULL;
    struct search search = {
        .disk = disk,
        .parents = disk->image_count > 1 ? borrow_parents(disk) : NULL,
        .blocks = *blocks,
        .own = malloc((size_t)STEP_SECTORS * DISK_SECTOR_SIZE),
        .others = malloc((size_t)STEP_SECTORS * DISK_SECTOR_SIZE),
    };
    bool ready = blocks->unneeded && (blocks->zeros || !marks_zeros) && search.own && search.others &&
                 (disk->image_count == 1 || search.parents);
    int result = ready ? classify_blocks(&search, progress) : ENOMEM;
    return_parents(search.parents);
    free(search.own);
    free(search.others);
    return result ? fail(disk, result, error) : true;
}

/* ---- Raw images ---- */

/* Bytes that the file takes; 0 for what is no file of the system's. */
static uint64_t file_space(const struct disk *disk)
{
    struct stat status;
    int descriptor = disk_top(disk)->file->descriptor;
    return descriptor >= 0 && fstat(descriptor, &status) == 0 ? (uint64_t)status.st_blocks * STAT_BLOCK : 0;
}

static int discard_zeros(struct disk *disk, const uint8_t *bytes, uint64_t sector, uint32_t sectors, bool dry_run,
                         uint64_t *gained)
{
    int error = 0;
    for (uint32_t first = 0, run; first < sectors && !error; first += run) {
        bool zero;
        run = disk_find_run(bytes + (size_t)first * DISK_SECTOR_SIZE, 0, sectors - first, &zero);
        if (!zero)
            continue;
        *gained += (uint64_t)run * DISK_SECTOR_SIZE;
        error = dry_run ? 0 : disk_transfer(disk, DISK_DISCARD, NULL, sector + first, run);
    }
    return error;
}

static int compact_sectors(struct disk *disk, uint8_t *bytes, const struct disk_compact_options *options,
                           uint64_t *gained)
{
    uint64_t size = disk_sectors(disk), sector = disk_next_data(disk, 0);
    while (sector < size) {
        uint32_t sectors = size - sector < STEP_SECTORS ? (uint32_t)(size - sector) : STEP_SECTORS;
        int error = disk_transfer(disk, DISK_READ, bytes, sector, sectors);
        if (!error)
            error = discard_zeros(disk, bytes, sector, sectors, options->dry_run, gained);
        if (error)
            return error;
        sector = disk_next_data(disk, sector + sectors);
        if (!disk_progress_step(&options->progress, sector * DISK_SECTOR_SIZE, size * DISK_SECTOR_SIZE))
            return ECANCELED;
    }
    return options->dry_run ? 0 : disk_transfer(disk, DISK_FLUSH, NULL, 0, 0);
}

static bool compact_raw(struct disk *disk, const struct disk_compact_options *options,
                        struct disk_compact_result *result, struct disk_error *error)
{
    uint64_t gained = 0;
    uint8_t *bytes = malloc((size_t)STEP_SECTORS * DISK_SECTOR_SIZE);
    result->before = file_space(disk);
    int failure = bytes ? compact_sectors(disk, bytes, options, &gained) : ENOMEM;
    free(bytes);
    if (options->dry_run)
        result->after = result->before > gained ? result->before - gained : 0;
    else
        result->after = file_space(disk);
    return failure ? fail(disk, failure, error) : true;
}

/* ---- Either ---- */

static bool is_possible(const struct disk *disk, struct disk_error *error)
{
    const char *name = disk_top(disk)->file->name;
    if (disk_format(disk) == DISK_FORMAT_FIXED)
        disk_error_set(error, EOPNOTSUPP, name,
                       "a fixed disk, which has its full size on purpose; one that grows is made by: "
                       "loam disk convert --format dynamic %s DESTINATION",
                       name);
    else
        return true;
    return false;
}

/* The disk is closed then; its files are not. */
static bool compact(struct disk *disk, const struct disk_compact_options *options, struct disk_compact_result *result,
                    struct disk_error *error)
{
    struct disk_file *file = disk_top(disk)->file;
    uint64_t size = disk_sectors(disk) * DISK_SECTOR_SIZE;
    if (!is_possible(disk, error) || disk_format(disk) == DISK_FORMAT_RAW) {
        bool done = disk_format(disk) == DISK_FORMAT_RAW && compact_raw(disk, options, result, error);
        disk_free(disk, false);
        return done;
    }
    struct disk_compact_blocks blocks;
    bool vhdx = disk_top(disk)->container == DISK_CONTAINER_VHDX;
    bool found = search_blocks(disk, &options->progress, &blocks, error);
    int closed = disk_free(disk, false);
    if (found && closed)
        disk_error_set(error, closed, file->name, "%s", strerror(closed));
    bool done = found && !closed &&
                (vhdx ? vhdx_compact(file, &blocks, size, options, result, error)
                      : vhd_compact(file, blocks.unneeded, size, options, result, error));
    free_blocks(&blocks);
    return done;
}

static unsigned open_flags(const struct disk_compact_options *options)
{
    return (options->dry_run ? DISK_OPEN_READ_ONLY : 0) | (options->raw ? DISK_OPEN_RAW : 0);
}

bool disk_compact_files(struct disk_file *const *files, unsigned count, const struct disk_compact_options *options,
                        struct disk_compact_result *result, struct disk_error *error)
{
    *result = (struct disk_compact_result){0};
    struct disk *disk = disk_open_files(files, count, open_flags(options), error);
    return disk && compact(disk, options, result, error);
}

/* Files of a disk that outlive it. */
static struct disk_file **keep_files(const struct disk *disk)
{
    struct disk_file **files = calloc(disk->image_count, sizeof(struct disk_file *));
    for (uint32_t i = 0; i < disk->image_count && files; i++)
        files[i] = disk->images[i]->file;
    return files;
}

/* Children know by it that the contents are the same. */
static void restore_time(const struct disk_file *file, const struct stat *before)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, before->st_mtim};
    host_files->set_times(file->name, file->descriptor, times);
}

bool disk_compact(const char *path, const struct disk_compact_options *options, struct disk_compact_result *result,
                  struct disk_error *error)
{
    static const struct disk_compact_options defaults;
    struct stat before;
    options = options ? options : &defaults;
    *result = (struct disk_compact_result){0};
    bool known = host_files->status(path, &before) == 0;
    struct disk *disk = disk_open(path, open_flags(options), error);
    if (!disk)
        return false;
    uint32_t count = disk->image_count;
    struct disk_file **files = keep_files(disk);
    if (!files) {
        fail(disk, ENOMEM, error);
        disk_close(disk);
        return false;
    }
    bool done = compact(disk, options, result, error);
    if (known && !options->dry_run)
        restore_time(files[0], &before);
    for (uint32_t i = 0; i < count; i++)
        image_file_close(files[i]);
    free(files);
    return done;
}
