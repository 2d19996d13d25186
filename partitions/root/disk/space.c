/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/space.h"

#include <errno.h>
#include <fcntl.h>

/* Space is allocated, or written, this much at a time. */
#define ALLOCATION_STEP (64ull << 20)
#define ZEROS_STEP      (16u << 10)

/* For file systems without fallocate(2). */
static int write_zeros(struct disk_file *file, uint64_t offset, uint64_t length)
{
    static const uint8_t zeros[ZEROS_STEP];
    while (length) {
        size_t piece = length < sizeof(zeros) ? (size_t)length : sizeof(zeros);
        int error = disk_file_write_buffer(file, zeros, piece, offset);
        if (error)
            return error;
        offset += piece;
        length -= piece;
    }
    return 0;
}

int disk_allocate_space(struct disk_file *file, uint64_t begin, uint64_t end, const struct disk_progress *progress)
{
    for (uint64_t offset = begin; offset < end;) {
        uint64_t piece = end - offset < ALLOCATION_STEP ? end - offset : ALLOCATION_STEP;
        int error = 0;
        if (fallocate(file->descriptor, 0, (off_t)offset, (off_t)piece) < 0)
            error = errno == EOPNOTSUPP ? write_zeros(file, offset, piece) : errno;
        if (error && error != EINTR)
            return error;
        if (!error)
            offset += piece;
        if (!disk_progress_step(progress, offset, end))
            return ECANCELED;
    }
    return 0;
}
