/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/overlay_file.h"

#include <errno.h>
#include <string.h>

static struct overlay_file *to_overlay(struct disk_file *file)
{
    return (struct overlay_file *)file;
}

/* Puts what the patch has into a piece of memory that was read from `offset` on. */
static void apply(const struct overlay_patch *patch, uint8_t *bytes, size_t length, uint64_t offset)
{
    uint64_t begin = patch->offset > offset ? patch->offset : offset;
    uint64_t end = patch->offset + patch->length;
    if (end > offset + length)
        end = offset + length;
    if (begin < end)
        memcpy(bytes + (begin - offset), patch->bytes + (begin - patch->offset), end - begin);
}

static ssize_t overlay_read(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    struct overlay_file *overlay = to_overlay(file);
    ssize_t moved = overlay->base->operations->read(overlay->base, vector, count, offset);
    size_t left = moved > 0 ? (size_t)moved : 0;
    for (int i = 0; i < count && left; i++) {
        size_t piece = vector[i].iov_len < left ? vector[i].iov_len : left;
        for (unsigned j = 0; j < overlay->count; j++)
            apply(&overlay->patches[j], vector[i].iov_base, piece, offset);
        offset += piece;
        left -= piece;
    }
    return moved;
}

static int overlay_size(struct disk_file *file, uint64_t *size)
{
    struct disk_file *base = to_overlay(file)->base;
    return base->operations->size(base, size);
}

static const struct disk_file_operations overlay_operations = {
    .read = overlay_read,
    .size = overlay_size,
};

void overlay_file_initialize(struct overlay_file *overlay, struct disk_file *base)
{
    *overlay = (struct overlay_file){
        .file = {.operations = &overlay_operations, .name = base->name, .descriptor = -1},
        .base = base,
    };
}

int overlay_file_patch(struct overlay_file *overlay, uint64_t offset, const void *bytes, size_t length)
{
    if (overlay->count == OVERLAY_PATCHES || length > OVERLAY_PATCH_SIZE)
        return ENOSPC;
    struct overlay_patch *patch = &overlay->patches[overlay->count++];
    patch->offset = offset;
    patch->length = length;
    memcpy(patch->bytes, bytes, length);
    return 0;
}
