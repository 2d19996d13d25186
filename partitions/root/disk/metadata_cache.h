/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Metadata of a disk's images in memory: sectors of 512 bytes of their files, a fixed number of them however large the
 * disk is. Those that are used least recently make room for others. Used by one thread at a time.
 */
#ifndef DISK_METADATA_CACHE_H
#define DISK_METADATA_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/disk/file.h"

#define METADATA_SECTOR_SIZE 512u
/* Sectors kept: with what describes them about 600 KiB. */
#define METADATA_CACHE_SECTORS 1024u
/* Of these so many may be held (metadata_cache_hold). */
#define METADATA_CACHE_HELD 512u

struct metadata_cache;

/* NULL if there is no memory, which is otherwise only touched as it is used. */
struct metadata_cache *metadata_cache_create(void);
void metadata_cache_destroy(struct metadata_cache *cache);

/*
 * The sector of the file at byte `offset`, a multiple of 512, in *bytes, which is good until the next call; zeros
 * behind the file's end. 0, or the errno of reading it.
 */
int metadata_cache_read(struct metadata_cache *cache, struct disk_file *file, uint64_t offset, const uint8_t **bytes);

/* Writes to one sector: to the file, and to what is kept of it. `offset` + `length` stay within the sector. */
int metadata_cache_write(struct metadata_cache *cache, struct disk_file *file, uint64_t offset, const void *bytes,
                         size_t length);

/*
 * The same sector to be changed in memory only: it is held there, and is what is read, until metadata_cache_release
 * lets go of it. *bytes is good until the next call. ENOSPC: as many are held as may be; release some first.
 */
int metadata_cache_hold(struct metadata_cache *cache, struct disk_file *file, uint64_t offset, uint8_t **bytes);

/* Calls `visit` for each sector of the file that is held, in the order of the file; stops at the first that is not 0.
 */
typedef int metadata_cache_visit(void *context, uint64_t offset, const uint8_t *bytes);
int metadata_cache_held(struct metadata_cache *cache, const struct disk_file *file, metadata_cache_visit *visit,
                        void *context);

/* The sectors of the file that are held are like others from now on, with the contents that they have. */
void metadata_cache_release(struct metadata_cache *cache, const struct disk_file *file);

/* Forgets what is kept of this part of the file, which is not held: it has been changed in another way. */
void metadata_cache_forget(struct metadata_cache *cache, const struct disk_file *file, uint64_t offset,
                           uint64_t length);

bool metadata_cache_is_held(struct metadata_cache *cache, const struct disk_file *file, uint64_t offset);

/* Sectors that are held, of all files. */
unsigned metadata_cache_held_count(const struct metadata_cache *cache);

#endif
