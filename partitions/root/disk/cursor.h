/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A place in a scattered buffer. */
#ifndef DISK_CURSOR_H
#define DISK_CURSOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct disk_cursor {
    const struct iovec *vector;
    size_t offset; /* into vector[0] */
};

/* The next pieces, `most` of them and `length` bytes together at most; the cursor stays. How many there are. */
int disk_cursor_peek(const struct disk_cursor *cursor, uint64_t length, struct iovec *pieces, int most);
void disk_cursor_advance(struct disk_cursor *cursor, uint64_t length);
/* Writes zeros, and moves the cursor past them. */
void disk_cursor_zero(struct disk_cursor *cursor, uint64_t length);
/* Copy to and from where the cursor is, and move it on. */
void disk_cursor_put(struct disk_cursor *cursor, const void *bytes, size_t length);
void disk_cursor_get(struct disk_cursor *cursor, void *bytes, size_t length);

#endif
