/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asynchronous I/O: operations of one thread on files, under way together, by io_uring or, where the kernel or its
 * administrator does not offer that, by a pool of threads.
 *
 * A process has a struct disk_io, and each of its threads that does I/O a queue, which it uses alone. What has to be
 * made for it, rings and threads, is made by disk_io_start and disk_io_open. Afterwards a sandbox may forbid everything
 * but preadv, preadv2, pwritev, fdatasync, fallocate, futex and io_uring_enter, and what closes a file and frees
 * memory.
 */
#ifndef DISK_IO_H
#define DISK_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Operations of a queue that are under way at a time; more wait for their turn. */
#define DISK_IO_DEPTH 8u

struct disk_io_backend;
struct disk_io_queue;

extern const struct disk_io_backend disk_io_uring;
extern const struct disk_io_backend disk_io_threads;

struct disk_io {
    const struct disk_io_backend *backend;
    void *shared; /* the back end's, for all queues */
};

enum disk_io_kind { DISK_IO_READ, DISK_IO_WRITE, DISK_IO_SYNCHRONIZE, DISK_IO_ALLOCATE };

/*
 * One operation. The issuer fills everything above `result`, and keeps it and the memory that `vector` names alive
 * until `done` is called, from which it may issue it again.
 */
struct disk_io_operation {
    enum disk_io_kind kind;
    int descriptor;
    const struct iovec *vector; /* reads and writes: at most IOV_MAX pieces */
    int count;
    uint64_t offset;
    uint64_t length; /* ALLOCATE: as fallocate has them */
    int mode;
    void (*done)(struct disk_io_operation *operation);
    void *owner;
    int64_t result;                 /* bytes moved, which may be fewer than were asked for; 0; or a negative errno */
    struct disk_io_operation *next; /* the queue's, while the operation is with it */
    struct disk_io_queue *queue;
};

/* `backend` NULL: io_uring if it can be had with all that is needed, threads otherwise. 0 or an errno. */
int disk_io_start(struct disk_io *io, const struct disk_io_backend *backend);
/* When all queues are closed. */
void disk_io_end(struct disk_io *io);
/* "io_uring" or "threads". */
const char *disk_io_name(const struct disk_io *io);

/* A queue for one thread, in *queue; 0 or an errno. It may be made by another one. */
int disk_io_open(struct disk_io *io, struct disk_io_queue **queue);
/* Drains it first. */
void disk_io_close(struct disk_io_queue *queue);

/* Takes an operation. In which order those that wait or are under way take effect is open. */
void disk_io_submit(struct disk_io_queue *queue, struct disk_io_operation *operation);

/*
 * Waits until an operation has ended, and calls `done` of all that have. False: there was none. An operation that is
 * alone is carried out on the spot, since its thread would only wait for it.
 */
bool disk_io_wait(struct disk_io_queue *queue);

/* Waits until all have ended. */
void disk_io_drain(struct disk_io_queue *queue);

#endif
