/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Apart from io.c, so that programs without asynchronous I/O need no back ends. */
#include <stddef.h>

#include "partitions/root/disk/io_backend.h"

int disk_io_start(struct disk_io *io, const struct disk_io_backend *backend)
{
    *io = (struct disk_io){.backend = backend ? backend : &disk_io_uring};
    int error = io->backend->start(io);
    if (!error || backend)
        return error;
    io->backend = &disk_io_threads;
    return io->backend->start(io);
}
