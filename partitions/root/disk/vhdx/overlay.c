/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/overlay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Something that replaces what is below. */
struct patch {
    uint64_t offset;
    uint64_t length;
    const uint8_t *bytes; /* NULL: zeros */
};

struct overlay {
    struct disk_file file; /* first */
    struct disk_file *below;
    struct vhdx_replay replay;
    uint32_t count;
    struct patch *patches; /* in the order of the file, not over each other; room for two for each update, and one */
};

static struct overlay *to_overlay(struct disk_file *file)
{
    return (struct overlay *)file;
}

static uint64_t end_of(const struct patch *patch)
{
    return patch->offset + patch->length;
}

/* The first patch that ends behind `offset`; `count` if none does. */
static uint32_t find_patch(const struct overlay *overlay, uint64_t offset)
{
    uint32_t first = 0, last = overlay->count;
    while (first < last) {
        uint32_t middle = first + (last - first) / 2;
        if (end_of(&overlay->patches[middle]) <= offset)
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

static struct patch cut_front(struct patch patch, uint64_t offset)
{
    uint64_t cut = offset - patch.offset;
    return (struct patch){offset, patch.length - cut, patch.bytes ? patch.bytes + cut : NULL};
}

/* Puts a patch over those that are there: they are cut, split or dropped. */
static int add_patch(void *context, uint64_t offset, uint64_t length, const uint8_t *bytes)
{
    struct overlay *overlay = context;
    if (!length)
        return 0;
    uint64_t end = offset + length;
    uint32_t first = find_patch(overlay, offset);
    uint32_t last = first;
    while (last < overlay->count && overlay->patches[last].offset < end)
        last++;

    struct patch between[3];
    uint32_t count = 0;
    if (first < last && overlay->patches[first].offset < offset) {
        between[count] = overlay->patches[first];
        between[count++].length = offset - overlay->patches[first].offset;
    }
    between[count++] = (struct patch){offset, length, bytes};
    if (first < last && end_of(&overlay->patches[last - 1]) > end)
        between[count++] = cut_front(overlay->patches[last - 1], end);

    memmove(&overlay->patches[first + count], &overlay->patches[last],
            (overlay->count - last) * sizeof(*overlay->patches));
    memcpy(&overlay->patches[first], between, count * sizeof(*between));
    overlay->count += count - (last - first);
    return 0;
}

static int overlay_size(struct disk_file *file, uint64_t *size)
{
    struct overlay *overlay = to_overlay(file);
    if (overlay->below->operations->size(overlay->below, size) < 0)
        return -1;
    if (*size < overlay->replay.last_end)
        *size = overlay->replay.last_end;
    const struct patch *last = overlay->count ? &overlay->patches[overlay->count - 1] : NULL;
    if (last && *size < end_of(last))
        *size = end_of(last);
    return 0;
}

/* What is below; zeros where it ends and the replay would make it longer. */
static ssize_t read_below(struct overlay *overlay, struct iovec piece, uint64_t offset)
{
    ssize_t moved = overlay->below->operations->read(overlay->below, &piece, 1, offset);
    if (moved != 0)
        return moved;
    uint64_t size;
    if (overlay_size(&overlay->file, &size) < 0)
        return -1;
    if (offset >= size)
        return 0;
    if (piece.iov_len > size - offset)
        piece.iov_len = (size_t)(size - offset);
    memset(piece.iov_base, 0, piece.iov_len);
    return (ssize_t)piece.iov_len;
}

/* As much as is alike; the caller asks again. */
static ssize_t overlay_read(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    struct overlay *overlay = to_overlay(file);
    while (count && !vector->iov_len) {
        vector++;
        count--;
    }
    if (!count)
        return 0;
    struct iovec piece = *vector;
    uint32_t index = find_patch(overlay, offset);
    const struct patch *patch = index < overlay->count ? &overlay->patches[index] : NULL;
    bool patched = patch && patch->offset <= offset;
    uint64_t most = !patch ? UINT64_MAX : patched ? end_of(patch) - offset : patch->offset - offset;
    if (piece.iov_len > most)
        piece.iov_len = (size_t)most;
    if (!patched)
        return read_below(overlay, piece, offset);
    if (patch->bytes)
        memcpy(piece.iov_base, patch->bytes + (offset - patch->offset), piece.iov_len);
    else
        memset(piece.iov_base, 0, piece.iov_len);
    return (ssize_t)piece.iov_len;
}

static int refuse(void)
{
    errno = EROFS;
    return -1;
}

static ssize_t overlay_write(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    (void)file;
    (void)vector;
    (void)count;
    (void)offset;
    return refuse();
}

static int overlay_synchronize(struct disk_file *file)
{
    (void)file;
    return refuse();
}

static int overlay_truncate(struct disk_file *file, uint64_t size)
{
    (void)file;
    (void)size;
    return refuse();
}

static int overlay_punch(struct disk_file *file, uint64_t offset, uint64_t length)
{
    (void)file;
    (void)offset;
    (void)length;
    return refuse();
}

static uint64_t overlay_next_data(struct disk_file *file, uint64_t offset)
{
    uint64_t size;
    return overlay_size(file, &size) == 0 && offset >= size ? UINT64_MAX : offset;
}

static void overlay_close(struct disk_file *file)
{
    struct overlay *overlay = to_overlay(file);
    vhdx_replay_free(&overlay->replay);
    free(overlay->patches);
    free(overlay);
}

static const struct disk_file_operations overlay_operations = {
    .read = overlay_read,
    .write = overlay_write,
    .synchronize = overlay_synchronize,
    .truncate = overlay_truncate,
    .punch = overlay_punch,
    .size = overlay_size,
    .next_data = overlay_next_data,
    .close = overlay_close,
};

static int count_update(void *context, uint64_t offset, uint64_t length, const uint8_t *bytes)
{
    uint32_t *count = context;
    (void)offset;
    (void)length;
    (void)bytes;
    return ++*count > VHDX_OVERLAY_UPDATES ? EOPNOTSUPP : 0;
}

struct disk_file *vhdx_overlay_create(struct disk_file *below, struct vhdx_replay *replay, int *result)
{
    uint32_t updates = 0;
    *result = vhdx_replay_each(replay, count_update, &updates);
    if (*result)
        return NULL;
    struct overlay *overlay = calloc(1, sizeof(*overlay));
    struct patch *patches = calloc((size_t)2 * updates + 1, sizeof(*patches));
    if (!overlay || !patches) {
        free(overlay);
        free(patches);
        *result = ENOMEM;
        return NULL;
    }
    overlay->file = (struct disk_file){.operations = &overlay_operations, .name = below->name, .descriptor = -1};
    overlay->below = below;
    overlay->patches = patches;
    overlay->replay = *replay;
    vhdx_replay_each(replay, add_patch, overlay);
    return &overlay->file;
}
