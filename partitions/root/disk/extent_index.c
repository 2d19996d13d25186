/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/extent_index.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096u
/* Windows whose last request is remembered: twice in a row makes one worth adding. */
#define ASKED 4096u

struct extent_index {
    struct extent_window *buckets[BUCKETS];
    struct extent_window *newest, *oldest;
    uint32_t bytes;        /* of all windows */
    uint32_t asked[ASKED]; /* the number of the window that was asked for, plus 1; windows that share a place forget
                              each other */
};

static uint64_t hash(uint64_t number)
{
    return number * 0x9e3779b97f4a7c15 >> 32;
}

static uint32_t bytes_of(uint32_t count)
{
    return (uint32_t)(sizeof(struct extent_window) + count * sizeof(struct indexed_extent));
}

struct extent_index *extent_index_create(void)
{
    return calloc(1, sizeof(struct extent_index));
}

static struct extent_window **link_of(struct extent_index *index, uint64_t number)
{
    struct extent_window **link = &index->buckets[hash(number) % BUCKETS];
    while (*link && (*link)->number != number)
        link = &(*link)->next_in_bucket;
    return link;
}

static void unlink_age(struct extent_index *index, const struct extent_window *window)
{
    *(window->newer ? &window->newer->older : &index->newest) = window->older;
    *(window->older ? &window->older->newer : &index->oldest) = window->newer;
}

static void link_newest(struct extent_index *index, struct extent_window *window)
{
    window->newer = NULL;
    window->older = index->newest;
    *(index->newest ? &index->newest->newer : &index->oldest) = window;
    index->newest = window;
}

static void remove_window(struct extent_index *index, struct extent_window *window)
{
    *link_of(index, window->number) = window->next_in_bucket;
    unlink_age(index, window);
    index->bytes -= bytes_of(window->count);
    free(window);
}

void extent_index_destroy(struct extent_index *index)
{
    if (!index)
        return;
    while (index->newest)
        remove_window(index, index->newest);
    free(index);
}

const struct extent_window *extent_index_find(struct extent_index *index, uint64_t number)
{
    struct extent_window *window = *link_of(index, number);
    if (!window)
        return NULL;
    if (index->newest != window) {
        unlink_age(index, window);
        link_newest(index, window);
    }
    return window->count ? window : NULL;
}

bool extent_index_wants(struct extent_index *index, uint64_t number)
{
    if (*link_of(index, number)) /* it has too many extents */
        return false;
    uint32_t *asked = &index->asked[hash(number) % ASKED];
    bool again = *asked == (uint32_t)(number + 1);
    *asked = (uint32_t)(number + 1);
    return again;
}

void extent_index_add(struct extent_index *index, uint64_t number, const struct indexed_extent *extents, uint32_t count)
{
    while (index->oldest && index->bytes + bytes_of(count) > EXTENT_INDEX_BYTES)
        remove_window(index, index->oldest);
    struct extent_window *window = malloc(bytes_of(count));
    if (!window)
        return;
    struct extent_window **bucket = &index->buckets[hash(number) % BUCKETS];
    *window = (struct extent_window){.number = number, .next_in_bucket = *bucket, .count = count};
    if (count)
        memcpy(window->extents, extents, count * sizeof(*extents));
    *bucket = window;
    link_newest(index, window);
    index->bytes += bytes_of(count);
}

void extent_index_forget(struct extent_index *index, uint64_t sector, uint64_t sectors)
{
    uint64_t last = (sector + sectors - 1) / EXTENT_WINDOW_SECTORS;
    for (uint64_t number = sector / EXTENT_WINDOW_SECTORS; number <= last; number++) {
        struct extent_window *window = *link_of(index, number);
        if (window)
            remove_window(index, window);
    }
}
