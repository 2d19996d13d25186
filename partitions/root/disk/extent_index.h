/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The index of a chain: for parts of the disk that are read again and again, which image has which sectors and where,
 * so that reading costs the same however long the chain is. It forgets what was read least recently, so that its memory
 * stays within EXTENT_INDEX_BYTES. Used by one thread at a time.
 */
#ifndef DISK_EXTENT_INDEX_H
#define DISK_EXTENT_INDEX_H

#include <stdbool.h>
#include <stdint.h>

/* The disk is indexed in windows of so many sectors, 2 MiB. */
#define EXTENT_WINDOW_SECTORS 4096u
/* A window with more extents is not indexed. */
#define EXTENT_WINDOW_EXTENTS 256u
#define EXTENT_INDEX_BYTES    (768u << 10)

/* An extent that is in no image, or zeros in one. */
#define EXTENT_ZERO UINT32_MAX

struct indexed_extent {
    uint64_t offset;  /* byte of the image's file */
    uint32_t sectors; /* extents follow each other from the window's first sector on */
    uint32_t image;   /* its number in the chain, or EXTENT_ZERO */
};

struct extent_window {
    uint64_t number; /* sector / EXTENT_WINDOW_SECTORS */
    struct extent_window *next_in_bucket, *newer, *older;
    uint32_t count;
    struct indexed_extent extents[];
};

struct extent_index;

/* NULL if there is no memory. */
struct extent_index *extent_index_create(void);
void extent_index_destroy(struct extent_index *index);

/* The window, which stays until the next call; NULL: it is not there. */
const struct extent_window *extent_index_find(struct extent_index *index, uint64_t number);

/* Whether a window that was not found is worth adding: it was asked for before, and has not too many extents. */
bool extent_index_wants(struct extent_index *index, uint64_t number);

/* Adds a window, which is not there; `count` 0: it has too many extents. Without memory it is not added. */
void extent_index_add(struct extent_index *index, uint64_t number, const struct indexed_extent *extents,
                      uint32_t count);

/* Forgets the windows of these sectors, which are not 0: they are elsewhere now. */
void extent_index_forget(struct extent_index *index, uint64_t sector, uint64_t sectors);

#endif
