/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that executes the requests of one disk at a time, so that neither a VP nor the machine waits for the host's
 * storage. A request's `done` is called on it with the device lock held. Between requests it fetches ahead what the
 * disk has at a URL (disk/streaming.h).
 */
#ifndef WORKER_DISK_QUEUE_H
#define WORKER_DISK_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include "partitions/root/disk/disk.h"
#include "partitions/root/disk/transfer.h"

struct disk_queue {
    struct disk *disk; /* NULL: none */
    pthread_mutex_t *device_lock;
    pthread_t thread;
    struct disk_io_queue *io;
    struct disk_transfers transfers;

    pthread_mutex_t lock; /* taken after the device lock; none is taken under it */
    pthread_cond_t changed;
    struct disk_request *first, *last;
    bool busy;  /* a request is being executed, or something fetched ahead */
    bool ahead; /* something may be fetched ahead */
    bool ending;
};

/* Starts the thread of a zeroed queue. It has no disk yet; extents of requests are moved by `io`. 0 or an errno. */
int disk_queue_start(struct disk_queue *queue, struct disk_io *io, pthread_mutex_t *device_lock);

/*
 * Puts itself in front of `disk`, once everything has been executed that the disk before it was asked for, which is the
 * caller's again then. NULL: no disk. Without the device lock.
 */
void disk_queue_serve(struct disk_queue *queue, struct disk *disk);

/* Executes what is there and ends the thread; without the device lock. The disk stays the caller's. */
void disk_queue_end(struct disk_queue *queue);

#endif
