/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/block_copy.h"

#include <errno.h>

#include "partitions/root/disk/source.h"

/* Zeros of at least so many bytes become holes. */
#define HOLE_BYTES (64u << 10)

static int write_part(struct disk_file *file, const uint8_t *bytes, size_t length, uint64_t offset)
{
    int error = EOPNOTSUPP;
    if (disk_is_zero(bytes, length))
        error = disk_file_punch(file, offset, length);
    return error == EOPNOTSUPP ? disk_file_write_buffer(file, bytes, length, offset) : error;
}

int block_copy(struct disk_file *file, uint64_t from, uint64_t to, uint64_t length, uint8_t *buffer)
{
    int error = 0;
    for (uint64_t done = 0, piece; done < length && !error; done += piece) {
        piece = length - done < BLOCK_COPY_BUFFER ? length - done : BLOCK_COPY_BUFFER;
        error = disk_file_read_padded(file, buffer, piece, from + done);
        for (uint64_t part = 0; part < piece && !error; part += HOLE_BYTES)
            error = write_part(file, buffer + part, piece - part < HOLE_BYTES ? piece - part : HOLE_BYTES,
                               to + done + part);
    }
    return error;
}
