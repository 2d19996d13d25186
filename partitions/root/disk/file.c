/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/transfer.h"

static ssize_t system_read(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    return preadv(file->descriptor, vector, count, (off_t)offset);
}

static ssize_t system_write(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    return pwritev(file->descriptor, vector, count, (off_t)offset);
}

static int system_synchronize(struct disk_file *file)
{
    return fdatasync(file->descriptor);
}

static int system_truncate(struct disk_file *file, uint64_t size)
{
    return ftruncate(file->descriptor, (off_t)size);
}

static int system_punch(struct disk_file *file, uint64_t offset, uint64_t length)
{
    return fallocate(file->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
}

static int system_size(struct disk_file *file, uint64_t *size)
{
    off_t end = lseek(file->descriptor, 0, SEEK_END); /* fstat knows no block device's size */
    if (end < 0)
        return -1;
    *size = (uint64_t)end;
    return 0;
}

static uint64_t system_next_data(struct disk_file *file, uint64_t offset)
{
    off_t found = lseek(file->descriptor, (off_t)offset, SEEK_DATA);
    if (found >= 0)
        return (uint64_t)found;
    return errno == ENXIO ? UINT64_MAX : offset;
}

static void system_close(struct disk_file *file)
{
    close(file->descriptor);
    free(file->name);
    free(file);
}

static const struct disk_file_operations system_operations = {
    .read = system_read,
    .write = system_write,
    .synchronize = system_synchronize,
    .truncate = system_truncate,
    .punch = system_punch,
    .size = system_size,
    .next_data = system_next_data,
    .close = system_close,
};

struct disk_file *disk_file_wrap(int descriptor, const char *name)
{
    struct disk_file *file = calloc(1, sizeof(*file));
    char *copy = strdup(name);
    if (!file || !copy) {
        free(file);
        free(copy);
        close(descriptor);
        return NULL;
    }
    file->operations = &system_operations;
    file->descriptor = descriptor;
    file->name = copy;
    return file;
}

void disk_file_close(struct disk_file *file)
{
    file->operations->close(file);
}

static int transfer(struct disk_file *file,
                    ssize_t (*operation)(struct disk_file *, const struct iovec *, int, uint64_t),
                    struct disk_cursor *cursor, uint64_t length, uint64_t offset)
{
    while (length) {
        struct iovec pieces[DISK_TRANSFER_PIECES];
        int count = disk_cursor_peek(cursor, length, pieces, DISK_TRANSFER_PIECES);
        ssize_t moved = operation(file, pieces, count, offset);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0)
            return errno;
        if (moved == 0)
            return EIO; /* the end of the file, where there should be data */
        disk_cursor_advance(cursor, (uint64_t)moved);
        length -= (uint64_t)moved;
        offset += (uint64_t)moved;
    }
    return 0;
}

int disk_file_read(struct disk_file *file, struct disk_cursor *cursor, uint64_t length, uint64_t offset)
{
    if (!file->transfers)
        return transfer(file, file->operations->read, cursor, length, offset);
    if (length)
        disk_transfers_read(file->transfers, file->descriptor, cursor, length, offset);
    disk_cursor_advance(cursor, length);
    return 0;
}

int disk_file_finish(struct disk_file *file, int error)
{
    int later = file->transfers ? disk_transfers_end(file->transfers) : 0;
    return error ? error : later;
}

int disk_file_write(struct disk_file *file, struct disk_cursor *cursor, uint64_t length, uint64_t offset)
{
    if (file->failed)
        return EIO;
    file->dirty = true;
    return transfer(file, file->operations->write, cursor, length, offset);
}

int disk_file_read_buffer(struct disk_file *file, void *buffer, size_t length, uint64_t offset)
{
    struct iovec vector = {.iov_base = buffer, .iov_len = length};
    struct disk_cursor cursor = {.vector = &vector};
    return transfer(file, file->operations->read, &cursor, length, offset);
}

int disk_file_read_padded(struct disk_file *file, void *buffer, size_t length, uint64_t offset)
{
    uint8_t *bytes = buffer;
    while (length) {
        struct iovec piece = {.iov_base = bytes, .iov_len = length};
        ssize_t moved = file->operations->read(file, &piece, 1, offset);
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0)
            return errno;
        if (moved == 0)
            break;
        bytes += moved;
        length -= (size_t)moved;
        offset += (uint64_t)moved;
    }
    memset(bytes, 0, length);
    return 0;
}

int disk_file_write_buffer(struct disk_file *file, const void *buffer, size_t length, uint64_t offset)
{
    struct iovec vector = {.iov_base = (void *)buffer, .iov_len = length};
    struct disk_cursor cursor = {.vector = &vector};
    return disk_file_write(file, &cursor, length, offset);
}

int disk_file_truncate(struct disk_file *file, uint64_t size)
{
    if (file->failed)
        return EIO;
    file->dirty = true;
    int result;
    do
        result = file->operations->truncate(file, size);
    while (result < 0 && errno == EINTR);
    return result < 0 ? errno : 0;
}

int disk_file_punch(struct disk_file *file, uint64_t offset, uint64_t length)
{
    if (file->failed)
        return EIO;
    file->dirty = true;
    int result;
    do
        result = file->operations->punch(file, offset, length);
    while (result < 0 && errno == EINTR);
    return result < 0 ? errno : 0;
}

int disk_file_size(struct disk_file *file, uint64_t *size)
{
    return file->operations->size(file, size) < 0 ? errno : 0;
}

int disk_file_share(struct disk_file *file, const struct disk_file *from, uint64_t length)
{
    const struct file_clone_range range = {.src_fd = from->descriptor, .src_length = length};
    if (file->failed)
        return EIO;
    if (file->descriptor < 0 || from->descriptor < 0 || ioctl(file->descriptor, FICLONERANGE, &range) < 0)
        return EOPNOTSUPP;
    file->dirty = true;
    return 0;
}

bool disk_file_is_at(const struct disk_file *file, const char *path)
{
    struct stat own, other;
    return fstat(file->descriptor, &own) == 0 && host_files->status(path, &other) == 0 && own.st_dev == other.st_dev &&
           own.st_ino == other.st_ino;
}

int64_t disk_file_modified(const struct disk_file *file)
{
    struct stat status;
    return file->descriptor >= 0 && fstat(file->descriptor, &status) == 0 ? (int64_t)status.st_mtime : -1;
}

int disk_file_synchronize(struct disk_file *file)
{
    if (file->failed)
        return EIO;
    if (!file->dirty || file->deferred)
        return 0;
    int result;
    do
        result = file->operations->synchronize(file);
    while (result < 0 && errno == EINTR);
    if (result < 0) {
        file->failed = true;
        return EIO;
    }
    file->dirty = false;
    return 0;
}

void disk_file_defer(struct disk_file *file)
{
    file->deferred = true;
}
