/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/cursor.h"

#include <string.h>

int disk_cursor_peek(const struct disk_cursor *cursor, uint64_t length, struct iovec *pieces, int most)
{
    const struct iovec *from = cursor->vector;
    size_t offset = cursor->offset;
    int count = 0;
    for (; length && count < most; from++, offset = 0) {
        size_t piece = from->iov_len - offset;
        if (piece > length)
            piece = length;
        if (!piece)
            continue;
        pieces[count++] = (struct iovec){.iov_base = (char *)from->iov_base + offset, .iov_len = piece};
        length -= piece;
    }
    return count;
}

void disk_cursor_advance(struct disk_cursor *cursor, uint64_t length)
{
    if (!length)
        return;
    while (length >= cursor->vector->iov_len - cursor->offset) {
        length -= cursor->vector->iov_len - cursor->offset;
        cursor->vector++;
        cursor->offset = 0;
        if (!length)
            return;
    }
    cursor->offset += length;
}

/* The piece at the cursor, `length` bytes at most, which the cursor is moved past. */
static struct iovec take(struct disk_cursor *cursor, uint64_t length)
{
    struct iovec piece;
    disk_cursor_peek(cursor, length, &piece, 1);
    disk_cursor_advance(cursor, piece.iov_len);
    return piece;
}

void disk_cursor_zero(struct disk_cursor *cursor, uint64_t length)
{
    while (length) {
        struct iovec piece = take(cursor, length);
        memset(piece.iov_base, 0, piece.iov_len);
        length -= piece.iov_len;
    }
}

void disk_cursor_put(struct disk_cursor *cursor, const void *bytes, size_t length)
{
    const uint8_t *from = bytes;
    while (length) {
        struct iovec piece = take(cursor, length);
        memcpy(piece.iov_base, from, piece.iov_len);
        from += piece.iov_len;
        length -= piece.iov_len;
    }
}

void disk_cursor_get(struct disk_cursor *cursor, void *bytes, size_t length)
{
    uint8_t *to = bytes;
    while (length) {
        struct iovec piece = take(cursor, length);
        memcpy(to, piece.iov_base, piece.iov_len);
        to += piece.iov_len;
        length -= piece.iov_len;
    }
}
