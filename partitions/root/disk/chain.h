/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of a disk: the chain of its images, and what programs do with a disk besides requests. */
#ifndef DISK_CHAIN_H
#define DISK_CHAIN_H

#include "partitions/root/disk/disk.h"
#include "partitions/root/disk/extent_index.h"
#include "partitions/root/disk/image.h"

/* Images of a chain; every one is an open file. */
#define DISK_CHAIN_MAXIMUM 1024u

struct streaming;

struct disk {
    struct disk_image **images; /* a child before its parent; only the first is written to */
    uint32_t image_count;
    struct remote_source *unopened; /* see disk_unopened_source */
    struct disk_file *remote;       /* of the last image, if it is fetched from a URL; NULL: all are local */
    struct streaming *streaming;    /* what was fetched is kept in the first image; NULL: nothing is to be kept */
    struct metadata_cache *cache;
    struct extent_index *index; /* NULL: the chain is one image, and needs none */
    uint64_t sectors;
    struct disk_geometry geometry;
    bool read_only;
    bool active; /* requests are being worked off */
    struct disk_request *first, *last;
    void (*submit)(void *queue, struct disk_request *request); /* NULL: requests are executed at once */
    void *queue;
};

/* A disk without images, with a cache for them; NULL without memory. */
struct disk *disk_new(void);

/*
 * Adds an image to the end of the chain, which it belongs to from then on. The first gives the disk its size and
 * geometry. False without memory, and the image stays the caller's.
 */
bool disk_add(struct disk *disk, struct disk_image *image);

/* Closes the images, and their files unless they are the caller's, and frees the disk. 0, or the errno of what was not
 * written. */
int disk_free(struct disk *disk, bool close_files);

/* The image that is written to. */
struct disk_image *disk_top(const struct disk *disk);

/*
 * For programs: one request, done when it returns; 0 or an errno as in struct disk_request. Not while others
 * are under way.
 */
int disk_transfer(struct disk *disk, enum disk_operation operation, void *buffer, uint64_t sector, uint32_t sectors);

/* Writes to the first image, as a request does, but takes nothing for durable. 0 or an errno. */
int disk_store(struct disk *disk, const void *bytes, uint64_t sector, uint32_t sectors);

/* First sector from `sector` on that may hold something other than zeros; the disk's size if there is none. */
uint64_t disk_next_data(struct disk *disk, uint64_t sector);

/* What is at `sector` and how far the same goes, `sectors` at most, and the number of the image that has it, which is
 * image_count for ABSENT. 0 or an errno. */
int disk_map(struct disk *disk, uint64_t sector, uint32_t sectors, struct disk_extent *extent, uint32_t *image);

#endif
