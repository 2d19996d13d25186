/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extents of a request that are read from a file, all under way at once by asynchronous I/O. Each is read as a whole:
 * what a short transfer leaves is asked for again.
 */
#ifndef DISK_TRANSFER_H
#define DISK_TRANSFER_H

#include "partitions/root/disk/cursor.h"
#include "partitions/root/disk/io.h"

/* Pieces handed to the system at once: no command of Linux's libata has more. */
#define DISK_TRANSFER_PIECES 128

struct disk_transfer {
    struct disk_io_operation operation;
    struct disk_cursor cursor; /* what is left */
    uint64_t length;
    struct iovec pieces[DISK_TRANSFER_PIECES];
};

struct disk_transfers {
    struct disk_io_queue *queue;
    int error;     /* the first since disk_transfers_end */
    unsigned busy; /* a bit for each slot; those that are never used stay untouched memory */
    struct disk_transfer slots[DISK_IO_DEPTH];
};

void disk_transfers_initialize(struct disk_transfers *transfers, struct disk_io_queue *queue);

/* Begins to read `length` bytes, which are not 0. */
void disk_transfers_read(struct disk_transfers *transfers, int descriptor, const struct disk_cursor *cursor,
                         uint64_t length, uint64_t offset);

/* Waits for all, and tells what has gone wrong since the last time: 0 or an errno; EIO if a file ends too early. */
int disk_transfers_end(struct disk_transfers *transfers);

#endif
