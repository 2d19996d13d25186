/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "partitions/root/disk/io_backend.h"

static int64_t call(const struct disk_io_operation *operation)
{
    switch (operation->kind) {
    case DISK_IO_READ:
        return preadv(operation->descriptor, operation->vector, operation->count, (off_t)operation->offset);
    case DISK_IO_WRITE:
        return pwritev(operation->descriptor, operation->vector, operation->count, (off_t)operation->offset);
    case DISK_IO_SYNCHRONIZE:
        return fdatasync(operation->descriptor);
    default:
        return fallocate(operation->descriptor, operation->mode, (off_t)operation->offset, (off_t)operation->length);
    }
}

int64_t disk_io_perform(const struct disk_io_operation *operation)
{
    int64_t result;
    do
        result = call(operation);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

void disk_io_end(struct disk_io *io)
{
    io->backend->end(io);
}

const char *disk_io_name(const struct disk_io *io)
{
    return io->backend->name;
}

int disk_io_open(struct disk_io *io, struct disk_io_queue **queue)
{
    struct disk_io_queue *made = calloc(1, sizeof(*made));
    if (!made)
        return ENOMEM;
    made->io = io;
    int error = io->backend->open(made);
    if (error)
        free(made);
    else
        *queue = made;
    return error;
}

void disk_io_close(struct disk_io_queue *queue)
{
    disk_io_drain(queue);
    queue->io->backend->close(queue);
    free(queue);
}

void disk_io_submit(struct disk_io_queue *queue, struct disk_io_operation *operation)
{
    operation->queue = queue;
    operation->next = NULL;
    if (queue->first)
        queue->last->next = operation;
    else
        queue->first = operation;
    queue->last = operation;
}

static struct disk_io_operation *take(struct disk_io_queue *queue)
{
    struct disk_io_operation *operation = queue->first;
    queue->first = operation->next;
    queue->under_way++;
    return operation;
}

void disk_io_finished(struct disk_io_queue *queue, struct disk_io_operation *operation, int64_t result)
{
    queue->under_way--;
    operation->result = result;
    operation->done(operation);
}

bool disk_io_wait(struct disk_io_queue *queue)
{
    const struct disk_io_backend *backend = queue->io->backend;
    if (!queue->under_way && queue->first && !queue->first->next) {
        struct disk_io_operation *alone = take(queue);
        disk_io_finished(queue, alone, backend->perform(alone));
        return true;
    }
    while (queue->first && queue->under_way < DISK_IO_DEPTH)
        backend->begin(queue, take(queue));
    if (!queue->under_way)
        return false;
    backend->wait(queue);
    return true;
}

void disk_io_drain(struct disk_io_queue *queue)
{
    while (disk_io_wait(queue))
        continue;
}
