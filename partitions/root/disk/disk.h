/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk as a device sees it: sectors of 512 bytes, whatever images are behind it. A disk knows images and nothing of
 * IDE.
 */
#ifndef DISK_DISK_H
#define DISK_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define DISK_SECTOR_SIZE 512u

struct disk;
struct disk_transfers;

struct disk_geometry {
    uint16_t cylinders;
    uint8_t heads;
    uint8_t sectors_per_track;
};

/* DISCARD: the sectors' contents are not needed any more. They read as before or as zeros until they are written. */
enum disk_operation { DISK_READ, DISK_WRITE, DISK_FLUSH, DISK_DISCARD };

/*
 * One request. The issuer fills everything above `error`, keeps it and the memory that `vector` names alive
 * until `done` is called, and may issue the next from within `done`. `vector` covers exactly `sectors` * 512
 * bytes; a DISCARD has none.
 */
struct disk_request {
    enum disk_operation operation;
    uint64_t sector;
    uint32_t sectors;
    const struct iovec *vector;
    int vector_count;
    void (*done)(struct disk_request *request);
    void *device;
    int error;                 /* 0 or an errno: EIO, ENOSPC (no space on the host), EROFS, EINVAL (out of range) */
    struct disk_request *next; /* the backend's, while the request is with it */
};

/*
 * Hands a request over. `done` is called exactly once, from this call or later, possibly on another thread
 * (the worker's glue takes the device lock there). A failed write leaves the image valid; it may be issued
 * again.
 */
void disk_submit(struct disk *disk, struct disk_request *request);

/*
 * By default disk_submit executes requests before it returns. With a queue set, it hands them to `submit`,
 * which takes over its promise and has disk_execute do the work on a thread of its own, one request at a
 * time. To be set before the first request; the queue must be idle when the disk is closed.
 */
void disk_set_queue(struct disk *disk, void (*submit)(void *queue, struct disk_request *request), void *queue);

/*
 * The extents of a request are read by asynchronous I/O from now on, which is that of the thread that executes
 * requests; NULL: one after the other. While the disk is idle.
 */
void disk_set_transfers(struct disk *disk, struct disk_transfers *transfers);

/* Carries a request out and fills `error`; does not call `done`. For queues. */
void disk_execute(struct disk *disk, struct disk_request *request);

uint64_t disk_sectors(const struct disk *disk);
struct disk_geometry disk_geometry(const struct disk *disk);
bool disk_read_only(const struct disk *disk);

#endif
