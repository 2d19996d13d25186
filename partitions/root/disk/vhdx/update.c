/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/update.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/disk/vhdx/commit.h"

int vhdx_update_begin(struct vhdx_update *update, struct vhdx_image *image)
{
    update->image = image;
    update->count = 0;
    update->pages = malloc((size_t)VHDX_LOG_UPDATES * VHDX_LOG_SECTOR);
    return update->pages ? 0 : ENOMEM;
}

void vhdx_update_free(struct vhdx_update *update)
{
    free(update->pages);
    update->pages = NULL;
}

static uint8_t *page_at(const struct vhdx_update *update, uint32_t index)
{
    return update->pages + (size_t)index * VHDX_LOG_SECTOR;
}

/* The page at `offset` as it will be; the last one is asked for most. */
static int find_page(struct vhdx_update *update, uint64_t offset, uint8_t **page)
{
    uint32_t index = update->count;
    while (index && update->offset[index - 1] != offset)
        index--;
    if (index) {
        *page = page_at(update, index - 1);
        return 0;
    }
    if (update->count == VHDX_LOG_UPDATES)
        return EOVERFLOW;
    *page = page_at(update, update->count);
    int error = disk_file_read_buffer(update->image->disk.file, *page, VHDX_LOG_SECTOR, offset);
    if (!error)
        update->offset[update->count++] = offset;
    return error;
}

int vhdx_update_write(struct vhdx_update *update, uint64_t offset, const void *bytes, size_t length)
{
    const uint8_t *from = bytes;
    while (length) {
        size_t within = offset % VHDX_LOG_SECTOR;
        size_t part = VHDX_LOG_SECTOR - within < length ? VHDX_LOG_SECTOR - within : length;
        uint8_t *page;
        int error = find_page(update, offset - within, &page);
        if (error)
            return error;
        memcpy(page + within, from, part);
        from += part;
        offset += part;
        length -= part;
    }
    return 0;
}

static int write_log(const struct vhdx_update *update)
{
    struct vhdx_image *image = update->image;
    struct vhdx_log_entry entry;
    int error = vhdx_make_log_room(image, update->count);
    if (error)
        return error;
    if (!vhdx_log_entry_begin(&entry, update->count))
        return ENOMEM;
    for (uint32_t i = 0; i < update->count; i++)
        memcpy(vhdx_log_entry_add(&entry, update->offset[i]), page_at(update, i), VHDX_LOG_SECTOR);
    return vhdx_log_write(&image->log, &entry, image->file_end, image->used_end);
}

static int place(const struct vhdx_update *update)
{
    struct vhdx_image *image = update->image;
    int error = 0;
    for (uint32_t i = 0; i < update->count && !error; i++) {
        metadata_cache_forget(image->disk.cache, image->disk.file, update->offset[i], VHDX_LOG_SECTOR);
        error = disk_file_write_buffer(image->disk.file, page_at(update, i), VHDX_LOG_SECTOR, update->offset[i]);
    }
    if (error)
        return error;
    vhdx_log_placed(&image->log);
    return vhdx_synchronize(image);
}

int vhdx_update_commit(struct vhdx_update *update)
{
    struct vhdx_image *image = update->image;
    if (!update->count)
        return 0;
    int error = write_log(update);
    if (error)
        return error;
    image->unplaced = true;
    error = vhdx_synchronize(image);
    if (!error)
        error = place(update);
    if (error)
        return error;
    image->unplaced = false;
    image->disk.changes++;
    update->count = 0;
    return 0;
}

int vhdx_update_write_part(struct vhdx_update *update, uint64_t offset, const void *bytes, size_t length)
{
    int error = vhdx_update_write(update, offset, bytes, length);
    if (error != EOVERFLOW)
        return error;
    error = vhdx_update_commit(update);
    return error ? error : vhdx_update_write(update, offset, bytes, length);
}
