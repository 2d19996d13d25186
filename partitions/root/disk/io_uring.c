/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations by io_uring: a ring for each queue. System call filters do not see what a ring is asked for, so each ring
 * is restricted, for good, to what the filter allows its thread anyway: the four operations on descriptors that the
 * process has open, without flags, and no registration of anything.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "partitions/root/disk/io_backend.h"

static const uint8_t allowed[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE};

#define ALLOWED (sizeof(allowed) / sizeof(allowed[0]))

/* Whether the kernel knows all of them; it knows how to restrict a ring then. */
static int probe(struct io_uring *ring)
{
    struct io_uring_probe *known = io_uring_get_probe_ring(ring);
    int error = known ? 0 : EOPNOTSUPP;
    for (unsigned i = 0; !error && i < ALLOWED; i++)
        if (!io_uring_opcode_supported(known, allowed[i]))
            error = EOPNOTSUPP;
    io_uring_free_probe(known);
    return error;
}

/* By hand: version 2.3 of the library lacks the calls that its header has for these two. */
static int restrict_ring(const struct io_uring *ring)
{
    struct io_uring_restriction restrictions[ALLOWED] = {0};
    for (unsigned i = 0; i < ALLOWED; i++) {
        restrictions[i].opcode = IORING_RESTRICTION_SQE_OP;
        restrictions[i].sqe_op = allowed[i];
    }
    unsigned descriptor = (unsigned)ring->ring_fd;
    int result = io_uring_register(descriptor, IORING_REGISTER_RESTRICTIONS, restrictions, ALLOWED);
    if (!result)
        result = io_uring_register(descriptor, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    return -result;
}

static int make_ring(struct io_uring *ring)
{
    int error = -io_uring_queue_init(DISK_IO_DEPTH, ring, IORING_SETUP_R_DISABLED);
    if (error)
        return error;
    error = probe(ring);
    if (!error)
        error = restrict_ring(ring);
    if (error)
        io_uring_queue_exit(ring);
    return error;
}

/* There is nothing to share; but whether there will be rings has to be known now. */
static int uring_start(struct disk_io *io)
{
    (void)io;
    struct io_uring ring;
    int error = make_ring(&ring);
    if (!error)
        io_uring_queue_exit(&ring);
    return error;
}

static void uring_end(struct disk_io *io)
{
    (void)io;
}

static int uring_open(struct disk_io_queue *queue)
{
    struct io_uring *ring = malloc(sizeof(*ring));
    int error = ring ? make_ring(ring) : ENOMEM;
    if (error)
        free(ring);
    else
        queue->own = ring;
    return error;
}

static void uring_close(struct disk_io_queue *queue)
{
    io_uring_queue_exit(queue->own);
    free(queue->own);
}

/* There is an entry for each operation that can be under way. */
static void uring_begin(struct disk_io_queue *queue, struct disk_io_operation *operation)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(queue->own);
    int descriptor = operation->descriptor;
    unsigned count = (unsigned)operation->count;
    switch (operation->kind) {
    case DISK_IO_READ:
        io_uring_prep_readv(entry, descriptor, operation->vector, count, operation->offset);
        break;
    case DISK_IO_WRITE:
        io_uring_prep_writev(entry, descriptor, operation->vector, count, operation->offset);
        break;
    case DISK_IO_SYNCHRONIZE:
        io_uring_prep_fsync(entry, descriptor, IORING_FSYNC_DATASYNC);
        break;
    case DISK_IO_ALLOCATE:
        io_uring_prep_fallocate(entry, descriptor, operation->mode, (off_t)operation->offset, (off_t)operation->length);
        break;
    }
    io_uring_sqe_set_data(entry, operation);
}

/* Hands over what has begun, and waits for the end of one. The kernel may want for memory for a while. */
static void enter(struct io_uring *ring)
{
    int result;
    do
        result = io_uring_submit_and_wait(ring, 1);
    while (result == -EINTR || result == -EAGAIN || result == -EBUSY);
    if (result < 0)
        abort(); /* nobody knows what is under way, so nobody may use the memory again */
}

static void uring_wait(struct disk_io_queue *queue)
{
    struct io_uring_cqe *completion;
    enter(queue->own);
    while (io_uring_peek_cqe(queue->own, &completion) == 0) {
        struct disk_io_operation *operation = io_uring_cqe_get_data(completion);
        int64_t result = completion->res;
        io_uring_cqe_seen(queue->own, completion);
        /* What the kernel could not do without waiting. */
        if (result == -EAGAIN || result == -EINTR)
            result = disk_io_perform(operation);
        disk_io_finished(queue, operation, result);
    }
}

const struct disk_io_backend disk_io_uring = {
    .name = "io_uring",
    .start = uring_start,
    .end = uring_end,
    .open = uring_open,
    .close = uring_close,
    .perform = disk_io_perform,
    .begin = uring_begin,
    .wait = uring_wait,
};
