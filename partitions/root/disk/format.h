/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of a disk: what a format provides to disk.c and open.c. */
#ifndef DISK_FORMAT_H
#define DISK_FORMAT_H

#include "partitions/root/disk/disk.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/open.h"

/* Ranges are checked before; `cursor` covers the sectors exactly. 0 or an errno. */
struct disk_format_operations {
    int (*read)(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors);
    int (*write)(struct disk *disk, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors);
    /* First sector from `sector` on that may hold something other than zeros; the disk's size if there is
     * none. */
    uint64_t (*next_data)(struct disk *disk, uint64_t sector);
    int (*close)(struct disk *disk); /* puts the image in order and frees everything but the file */
};

struct disk {
    const struct disk_format_operations *operations;
    struct disk_file *file;
    enum disk_format format;
    uint64_t sectors;
    struct disk_geometry geometry;
    bool read_only;
    bool active; /* requests are being worked off */
    struct disk_request *first, *last;
    void (*submit)(void *queue, struct disk_request *request); /* NULL: requests are executed at once */
    void *queue;
};

/*
 * For programs: one request, done when it returns; 0 or an errno as in struct disk_request. Not while others
 * are under way.
 */
int disk_transfer(struct disk *disk, enum disk_operation operation, void *buffer, uint64_t sector,
                  uint32_t sectors);
uint64_t disk_next_data(struct disk *disk, uint64_t sector);

#endif
