/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/metadata_cache.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NONE    UINT16_MAX
#define BUCKETS METADATA_CACHE_SECTORS

_Static_assert(METADATA_CACHE_SECTORS < NONE && (BUCKETS & (BUCKETS - 1)) == 0, "entries are numbered by 16 bits");

struct entry {
    const struct disk_file *file; /* NULL: unused */
    uint64_t offset;
    uint16_t next; /* in the bucket */
    uint16_t newer, older;
    bool held;
};

/* Entries are taken in their order until all are used, so that those never needed stay untouched memory. */
struct metadata_cache {
    uint16_t buckets[BUCKETS];
    uint16_t newest, oldest;
    uint16_t used;
    uint16_t held;
    struct entry entries[METADATA_CACHE_SECTORS];
    uint8_t bytes[METADATA_CACHE_SECTORS][METADATA_SECTOR_SIZE];
};

struct metadata_cache *metadata_cache_create(void)
{
    struct metadata_cache *cache =
        mmap(NULL, sizeof(*cache), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (cache == MAP_FAILED)
        return NULL;
    memset(cache->buckets, 0xff, sizeof(cache->buckets));
    cache->newest = cache->oldest = NONE;
    return cache;
}

void metadata_cache_destroy(struct metadata_cache *cache)
{
    if (cache)
        munmap(cache, sizeof(*cache));
}

unsigned metadata_cache_held_count(const struct metadata_cache *cache)
{
    return cache->held;
}

/* ---- Where an entry is ---- */

static uint16_t *bucket_of(struct metadata_cache *cache, const struct disk_file *file, uint64_t offset)
{
    uint64_t hash = ((uintptr_t)file >> 4) + offset / METADATA_SECTOR_SIZE;
    return &cache->buckets[hash * 0x9e3779b97f4a7c15 >> 32 & (BUCKETS - 1)];
}

static uint16_t find(struct metadata_cache *cache, const struct disk_file *file, uint64_t offset)
{
    uint16_t number = *bucket_of(cache, file, offset);
    while (number != NONE && (cache->entries[number].offset != offset || cache->entries[number].file != file))
        number = cache->entries[number].next;
    return number;
}

static void unlink_age(struct metadata_cache *cache, uint16_t number)
{
    const struct entry *entry = &cache->entries[number];
    *(entry->newer == NONE ? &cache->newest : &cache->entries[entry->newer].older) = entry->older;
    *(entry->older == NONE ? &cache->oldest : &cache->entries[entry->older].newer) = entry->newer;
}

static void link_newest(struct metadata_cache *cache, uint16_t number)
{
    struct entry *entry = &cache->entries[number];
    entry->newer = NONE;
    entry->older = cache->newest;
    *(cache->newest == NONE ? &cache->oldest : &cache->entries[cache->newest].newer) = number;
    cache->newest = number;
}

static void touch(struct metadata_cache *cache, uint16_t number)
{
    if (cache->newest == number)
        return;
    unlink_age(cache, number);
    link_newest(cache, number);
}

static void insert(struct metadata_cache *cache, uint16_t number, const struct disk_file *file, uint64_t offset)
{
    uint16_t *bucket = bucket_of(cache, file, offset);
    cache->entries[number] = (struct entry){.file = file, .offset = offset, .next = *bucket};
    *bucket = number;
    link_newest(cache, number);
}

/* Takes an entry out of its bucket, and leaves it among the oldest for the next use. */
static void forget(struct metadata_cache *cache, uint16_t number)
{
    struct entry *entry = &cache->entries[number];
    uint16_t *link = bucket_of(cache, entry->file, entry->offset);
    while (*link != number)
        link = &cache->entries[*link].next;
    *link = entry->next;
    entry->file = NULL;
}

/* An entry for other contents; it is in no list. There is one, since not all may be held. */
static uint16_t take(struct metadata_cache *cache)
{
    if (cache->used < METADATA_CACHE_SECTORS)
        return cache->used++;
    uint16_t number = cache->oldest;
    while (cache->entries[number].held)
        number = cache->entries[number].newer;
    if (cache->entries[number].file)
        forget(cache, number);
    unlink_age(cache, number);
    return number;
}

/* ---- What it is used for ---- */

/* The entry of a sector, read if it has to be. */
static int load(struct metadata_cache *cache, struct disk_file *file, uint64_t offset, uint16_t *number)
{
    *number = find(cache, file, offset);
    if (*number != NONE) {
        touch(cache, *number);
        return 0;
    }
    *number = take(cache);
    insert(cache, *number, file, offset);
    int error = disk_file_read_padded(file, cache->bytes[*number], METADATA_SECTOR_SIZE, offset);
    if (error)
        forget(cache, *number);
    return error;
}

int metadata_cache_read(struct metadata_cache *cache, struct disk_file *file, uint64_t offset, const uint8_t **bytes)
{
    uint16_t number;
    int error = load(cache, file, offset, &number);
    *bytes = error ? NULL : cache->bytes[number];
    return error;
}

int metadata_cache_write(struct metadata_cache *cache, struct disk_file *file, uint64_t offset, const void *bytes,
                         size_t length)
{
    uint64_t start = offset % METADATA_SECTOR_SIZE;
    assert(start + length <= METADATA_SECTOR_SIZE);
    uint16_t number = find(cache, file, offset - start);
    int error = disk_file_write_buffer(file, bytes, length, offset);
    if (number == NONE)
        return error;
    if (!error)
        memcpy(cache->bytes[number] + start, bytes, length);
    else if (!cache->entries[number].held)
        forget(cache, number); /* nobody knows what is there now */
    return error;
}

int metadata_cache_hold(struct metadata_cache *cache, struct disk_file *file, uint64_t offset, uint8_t **bytes)
{
    uint16_t number;
    int error = load(cache, file, offset, &number);
    if (!error && !cache->entries[number].held) {
        if (cache->held == METADATA_CACHE_HELD)
            return ENOSPC;
        cache->entries[number].held = true;
        cache->held++;
    }
    *bytes = error ? NULL : cache->bytes[number];
    return error;
}

bool metadata_cache_is_held(struct metadata_cache *cache, const struct disk_file *file, uint64_t offset)
{
    uint16_t number = find(cache, file, offset);
    return number != NONE && cache->entries[number].held;
}

struct place {
    uint64_t offset;
    uint16_t number;
};

static int compare(const void *a, const void *b)
{
    uint64_t left = ((const struct place *)a)->offset, right = ((const struct place *)b)->offset;
    return (left > right) - (left < right);
}

int metadata_cache_held(struct metadata_cache *cache, const struct disk_file *file, metadata_cache_visit *visit,
                        void *context)
{
    struct place places[METADATA_CACHE_HELD];
    unsigned count = 0;
    for (uint16_t i = 0; i < cache->used && count < cache->held; i++)
        if (cache->entries[i].held && cache->entries[i].file == file)
            places[count++] = (struct place){cache->entries[i].offset, i};
    qsort(places, count, sizeof(places[0]), compare);
    int result = 0;
    for (unsigned i = 0; i < count && !result; i++)
        result = visit(context, places[i].offset, cache->bytes[places[i].number]);
    return result;
}

void metadata_cache_release(struct metadata_cache *cache, const struct disk_file *file)
{
    for (uint16_t i = 0; i < cache->used && cache->held; i++) {
        if (!cache->entries[i].held || cache->entries[i].file != file)
            continue;
        cache->entries[i].held = false;
        cache->held--;
    }
}

void metadata_cache_forget(struct metadata_cache *cache, const struct disk_file *file, uint64_t offset, uint64_t length)
{
    for (uint16_t i = 0; i < cache->used; i++) {
        const struct entry *entry = &cache->entries[i];
        if (entry->file == file && entry->offset + METADATA_SECTOR_SIZE > offset &&
            (entry->offset < offset || entry->offset - offset < length))
            forget(cache, i);
    }
}
