/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of asynchronous I/O: what a back end provides to io.c. */
#ifndef DISK_IO_BACKEND_H
#define DISK_IO_BACKEND_H

#include "partitions/root/disk/io.h"

struct disk_io_backend {
    const char *name;
    /* What all queues share, in io->shared; 0 or an errno. */
    int (*start)(struct disk_io *io);
    void (*end)(struct disk_io *io);
    /* 0 or an errno. */
    int (*open)(struct disk_io_queue *queue);
    void (*close)(struct disk_io_queue *queue);
    /* One that is alone, on the spot; its result. */
    int64_t (*perform)(const struct disk_io_operation *operation);
    /* Takes an operation, of which there are never more than DISK_IO_DEPTH. */
    void (*begin)(struct disk_io_queue *queue, struct disk_io_operation *operation);
    /* Waits until at least one has ended, and calls disk_io_finished for all that have. */
    void (*wait)(struct disk_io_queue *queue);
};

struct disk_io_queue {
    struct disk_io *io;
    void *own;                              /* the back end's */
    struct disk_io_operation *first, *last; /* which the back end has not got yet */
    unsigned under_way;                     /* which it has */
};

/* Carries an operation out by a system call; its result. */
int64_t disk_io_perform(const struct disk_io_operation *operation);

void disk_io_finished(struct disk_io_queue *queue, struct disk_io_operation *operation, int64_t result);

#endif
