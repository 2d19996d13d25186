/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/disk.h"

#include <errno.h>
#include <stdlib.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/remote_file.h"
#include "partitions/root/disk/streaming.h"

/* ---- The chain ---- */

struct disk *disk_new(void)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    if (!disk)
        return NULL;
    disk->cache = metadata_cache_create();
    if (disk->cache)
        return disk;
    free(disk);
    return NULL;
}

bool disk_add(struct disk *disk, struct disk_image *image)
{
    struct disk_image **images = realloc(disk->images, (disk->image_count + 1) * sizeof(struct disk_image *));
    if (!images)
        return false;
    disk->images = images;
    if (disk->image_count == 1 && !disk->index)
        disk->index = extent_index_create();
    if (disk->image_count == 1 && !disk->index)
        return false;
    if (disk->image_count == 0) {
        disk->sectors = image->sectors;
        disk->geometry = image->geometry;
        disk->read_only = image->read_only;
    }
    disk->images[disk->image_count++] = image;
    return true;
}

int disk_free(struct disk *disk, bool close_files)
{
    int result = 0;
    streaming_end(disk);
    for (uint32_t i = 0; i < disk->image_count; i++) {
        struct disk_image *image = disk->images[i];
        struct disk_file *file = image->file;
        bool read_only = image->read_only;
        int error = image->operations->close(image);
        if (!error && !read_only)
            error = disk_file_synchronize(file);
        if (close_files)
            image_file_close(file);
        if (!result)
            result = error;
    }
    extent_index_destroy(disk->index);
    metadata_cache_destroy(disk->cache);
    free(disk->unopened);
    free(disk->images);
    free(disk);
    return result;
}

struct disk_image *disk_top(const struct disk *disk)
{
    return disk->images[0];
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

const struct remote_source *disk_unopened_source(const struct disk *disk)
{
    return disk->unopened;
}

enum disk_format disk_format(const struct disk *disk)
{
    return disk_top(disk)->format;
}

/* ---- Reading ---- */

int disk_map(struct disk *disk, uint64_t sector, uint32_t sectors, struct disk_extent *extent, uint32_t *image)
{
    *extent = (struct disk_extent){.kind = DISK_EXTENT_ABSENT, .sectors = sectors};
    for (*image = 0; *image < disk->image_count; (*image)++) {
        struct disk_image *next = disk->images[*image];
        if (sector >= next->sectors) /* a parent may be smaller than its child */
            break;
        uint32_t most = extent->sectors;
        if (most > next->sectors - sector)
            most = (uint32_t)(next->sectors - sector);
        int error = next->operations->map(next, sector, most, extent);
        if (error || extent->kind != DISK_EXTENT_ABSENT)
            return error;
    }
    *image = disk->image_count;
    return 0;
}

static int read_cut(struct disk_file *file, struct disk_cursor *cursor, uint64_t offset)
{
    uint8_t bytes[DISK_SECTOR_SIZE];
    int error = disk_file_read_padded(file, bytes, sizeof(bytes), offset);
    if (!error)
        disk_cursor_put(cursor, bytes, sizeof(bytes));
    return error;
}

static int read_mapped(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    while (sectors) {
        struct disk_extent extent;
        uint32_t image;
        int error = disk_map(disk, sector, sectors, &extent, &image);
        if (error)
            return error;
        uint64_t length = (uint64_t)extent.sectors * DISK_SECTOR_SIZE;
        if (extent.kind == DISK_EXTENT_DATA)
            error = disk_file_read(disk->images[image]->file, cursor, length, extent.offset);
        else if (extent.kind == DISK_EXTENT_CUT)
            error = read_cut(disk->images[image]->file, cursor, extent.offset);
        else
            disk_cursor_zero(cursor, length);
        if (error)
            return error;
        sector += extent.sectors;
        sectors -= extent.sectors;
    }
    return 0;
}

/* Whether an extent goes on where the one before it ends. */
static bool continues(const struct indexed_extent *before, const struct indexed_extent *extent)
{
    return before->image == extent->image &&
           (before->image == EXTENT_ZERO ||
            before->offset + (uint64_t)before->sectors * DISK_SECTOR_SIZE == extent->offset);
}

/* What cannot be mapped is left to the reading of it. */
static void map_window(struct disk *disk, uint64_t number)
{
    struct indexed_extent extents[EXTENT_WINDOW_EXTENTS];
    uint64_t sector = number * EXTENT_WINDOW_SECTORS;
    uint64_t end = sector + EXTENT_WINDOW_SECTORS < disk->sectors ? sector + EXTENT_WINDOW_SECTORS : disk->sectors;
    uint32_t count = 0;
    while (sector < end) {
        struct disk_extent extent;
        uint32_t image;
        if (disk_map(disk, sector, (uint32_t)(end - sector), &extent, &image) || extent.kind == DISK_EXTENT_CUT)
            return;
        struct indexed_extent next = {extent.offset, extent.sectors,
                                      extent.kind == DISK_EXTENT_DATA ? image : EXTENT_ZERO};
        sector += extent.sectors;
        if (count && continues(&extents[count - 1], &next)) {
            extents[count - 1].sectors += next.sectors;
        } else if (count == EXTENT_WINDOW_EXTENTS) {
            extent_index_add(disk->index, number, NULL, 0);
            return;
        } else {
            extents[count++] = next;
        }
    }
    extent_index_add(disk->index, number, extents, count);
}

/* Adds a window to the index, unless that takes metadata that are fetched: nothing waits for an index. */
static void index_window(struct disk *disk, uint64_t number)
{
    uint64_t patience = disk->remote ? remote_file_set_patience(disk->remote, REMOTE_NO_PATIENCE) : 0;
    map_window(disk, number);
    if (disk->remote)
        remote_file_set_patience(disk->remote, patience);
}

/* Reads `sectors` from the window's sector `first` on. */
static int read_window(struct disk *disk, const struct extent_window *window, struct disk_cursor *cursor,
                       uint32_t first, uint32_t sectors)
{
    const struct indexed_extent *extent = window->extents;
    while (first >= extent->sectors)
        first -= extent++->sectors;
    for (; sectors; extent++, first = 0) {
        uint32_t count = extent->sectors - first < sectors ? extent->sectors - first : sectors;
        uint64_t length = (uint64_t)count * DISK_SECTOR_SIZE;
        int error = 0;
        if (extent->image == EXTENT_ZERO)
            disk_cursor_zero(cursor, length);
        else
            error = disk_file_read(disk->images[extent->image]->file, cursor, length,
                                   extent->offset + (uint64_t)first * DISK_SECTOR_SIZE);
        if (error)
            return error;
        sectors -= count;
    }
    return 0;
}

static int read_sectors(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    if (!disk->index)
        return read_mapped(disk, cursor, sector, sectors);
    int brought = disk->streaming ? streaming_bring(disk, sector, sectors) : 0;
    if (brought)
        return brought;
    while (sectors) {
        uint64_t number = sector / EXTENT_WINDOW_SECTORS;
        uint32_t first = (uint32_t)(sector % EXTENT_WINDOW_SECTORS);
        uint32_t count = EXTENT_WINDOW_SECTORS - first < sectors ? EXTENT_WINDOW_SECTORS - first : sectors;
        const struct extent_window *window = extent_index_find(disk->index, number);
        if (!window && extent_index_wants(disk->index, number)) {
            index_window(disk, number);
            window = extent_index_find(disk->index, number);
        }
        int error = window ? read_window(disk, window, cursor, first, count) : read_mapped(disk, cursor, sector, count);
        if (error)
            return error;
        sector += count;
        sectors -= count;
    }
    return 0;
}

/* Waits for the reads that are under way. */
static int finish(const struct disk *disk, int error)
{
    return disk_file_finish(disk_top(disk)->file, error);
}

/* ---- Writing ---- */

static int write_image(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    struct disk_image *image = disk_top(disk);
    uint64_t changes = image->changes;
    int error = image->operations->write(image, cursor, sector, sectors);
    if (disk->index && image->changes != changes)
        extent_index_forget(disk->index, sector, sectors);
    return error;
}

/* Writes sectors of which the first or the last is a part of a unit of the image: the rest of it is read before. */
static int write_parts(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    uint32_t unit = disk_top(disk)->write_unit;
    uint64_t begin = sector / unit * unit, end = (sector + sectors + unit - 1) / unit * unit;
    if (end > disk->sectors)
        end = disk->sectors;
    uint8_t *buffer = malloc((end - begin) * DISK_SECTOR_SIZE);
    if (!buffer)
        return ENOMEM;
    struct iovec vector = {.iov_base = buffer, .iov_len = (end - begin) * DISK_SECTOR_SIZE};
    struct disk_cursor whole = {.vector = &vector};
    int error = finish(disk, read_sectors(disk, &whole, begin, (uint32_t)(end - begin)));
    if (!error) {
        disk_cursor_get(cursor, buffer + (sector - begin) * DISK_SECTOR_SIZE, (size_t)sectors * DISK_SECTOR_SIZE);
        whole = (struct disk_cursor){.vector = &vector};
        error = write_image(disk, &whole, begin, (uint32_t)(end - begin));
    }
    free(buffer);
    return error;
}

static int write_sectors(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors)
{
    uint32_t unit = disk_top(disk)->write_unit;
    uint64_t end = sector + sectors;
    if (sector % unit == 0 && (end % unit == 0 || end == disk->sectors))
        return write_image(disk, cursor, sector, sectors);
    return write_parts(disk, cursor, sector, sectors);
}

int disk_store(struct disk *disk, const void *bytes, uint64_t sector, uint32_t sectors)
{
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = (size_t)sectors * DISK_SECTOR_SIZE};
    struct disk_cursor cursor = {.vector = &vector};
    return finish(disk, write_sectors(disk, &cursor, sector, sectors));
}

static int discard_sectors(struct disk *disk, uint64_t sector, uint32_t sectors)
{
    struct disk_image *image = disk_top(disk);
    uint64_t begin = (sector + image->write_unit - 1) / image->write_unit * image->write_unit;
    uint64_t end =
        sector + sectors == disk->sectors ? disk->sectors : (sector + sectors) / image->write_unit * image->write_unit;
    if (!image->operations->discard || begin >= end)
        return 0;
    uint64_t changes = image->changes;
    int error = image->operations->discard(image, begin, (uint32_t)(end - begin));
    if (disk->index && image->changes != changes)
        extent_index_forget(disk->index, begin, end - begin);
    return error;
}

/* ---- Requests ---- */

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

static int perform(struct disk *disk, const struct disk_request *request)
{
    struct disk_cursor cursor = {.vector = request->vector};
    switch (request->operation) {
    case DISK_READ:
        return finish(disk, read_sectors(disk, &cursor, request->sector, request->sectors));
    case DISK_WRITE:
        return finish(disk, write_sectors(disk, &cursor, request->sector, request->sectors));
    default:
        return discard_sectors(disk, request->sector, request->sectors);
    }
}

static int execute(struct disk *disk, const struct disk_request *request)
{
    struct disk_image *top = disk_top(disk);
    if (request->operation == DISK_FLUSH)
        return disk->read_only ? 0 : as_seen_by_issuer(top->operations->flush(top));
    if (request->operation > DISK_DISCARD || request->sectors == 0 || request->sector > disk->sectors ||
        request->sectors > disk->sectors - request->sector ||
        (request->operation != DISK_DISCARD && !vector_fits(request)))
        return EINVAL;
    if (request->operation != DISK_READ && disk->read_only)
        return EROFS;
    return as_seen_by_issuer(perform(disk, request));
}

void disk_execute(struct disk *disk, struct disk_request *request)
{
    request->error = execute(disk, request);
    if (disk->remote)
        remote_file_request_ended(disk->remote);
}

void disk_set_transfers(struct disk *disk, struct disk_transfers *transfers)
{
    for (uint32_t i = 0; i < disk->image_count; i++)
        if (disk->images[i]->file != disk->remote)
            disk->images[i]->file->transfers = transfers;
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

int disk_transfer(struct disk *disk, enum disk_operation operation, void *buffer, uint64_t sector, uint32_t sectors)
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
    uint64_t next = disk->sectors;
    for (uint32_t i = 0; i < disk->image_count && next > sector; i++) {
        struct disk_image *image = disk->images[i];
        if (sector >= image->sectors)
            break;
        uint64_t found = image->operations->next_present(image, sector);
        if (found < next && found < image->sectors)
            next = found;
    }
    return next;
}
