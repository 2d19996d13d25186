/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does to a disk what a guest was recorded to do (tests/disk_trace), until it is killed; for disk_kill_test.py.
 *
 * usage: disk_replay IMAGE FORMAT TRACE FIRST STOP CHANGES
 *   FORMAT is "raw", or anything else for what the image says itself. The requests are those of the trace from FIRST
 *   on, counted from 0. The number of requests of the trace that are complete is written to standard output after each
 *   of them, as four bytes.
 *   When STOP requests are complete and CHANGES system calls have changed a file since, the process stops in the midst
 *   of the next such call, with SIGSTOP, so that whoever waits for that can kill it there. If STOP is FIRST, the calls
 *   of opening the image count, too. Otherwise it closes the disk after the trace's last request.
 */
#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/open.h"

/* The log of the device mapper's log-writes target, least significant byte first. */
#define TRACE_MAGIC 0x6a736677736872u
enum { TRACE_FLUSH = 1u << 0, TRACE_FUA = 1u << 1, TRACE_DISCARD = 1u << 2 };

struct trace_head {
    uint64_t magic, version, entries;
    uint32_t sector_size;
};

struct trace_entry {
    uint64_t sector, sectors, flags, reserved;
};

struct trace {
    const uint8_t *bytes;
    uint64_t length, entries;
};

#define HOST_PAGE 4096u

static uint32_t completed, stop_at;
static unsigned long changes_left;

/* ---- Where to stop: the linker puts these in the place of the system's (--wrap) ---- */

ssize_t __wrap_pwritev64(int descriptor, const struct iovec *vector, int count, off_t offset);
ssize_t __real_pwritev64(int descriptor, const struct iovec *vector, int count, off_t offset);
int __wrap_ftruncate64(int descriptor, off_t size);
int __real_ftruncate64(int descriptor, off_t size);
int __wrap_fallocate64(int descriptor, int mode, off_t offset, off_t length);
int __real_fallocate64(int descriptor, int mode, off_t offset, off_t length);
int __wrap_fdatasync(int descriptor);
int __real_fdatasync(int descriptor);

/* Of a call that changes a file: whether it is the one to stop in. */
static bool stops_here(void)
{
    return completed >= stop_at && changes_left-- == 0;
}

/* A signal ends a write between two pages. */
static void write_half(int descriptor, const struct iovec *vector, int count, off_t offset)
{
    off_t length = 0;
    for (int i = 0; i < count; i++)
        length += (off_t)vector[i].iov_len;
    off_t left = (offset + length / 2) / HOST_PAGE * HOST_PAGE - offset;
    for (int i = 0; i < count && left > 0; i++) {
        struct iovec piece = vector[i];
        if ((off_t)piece.iov_len > left)
            piece.iov_len = (size_t)left;
        if (__real_pwritev64(descriptor, &piece, 1, offset) != (ssize_t)piece.iov_len)
            abort();
        offset += (off_t)piece.iov_len;
        left -= (off_t)piece.iov_len;
    }
}

ssize_t __wrap_pwritev64(int descriptor, const struct iovec *vector, int count, off_t offset)
{
    if (stops_here()) {
        write_half(descriptor, vector, count, offset);
        raise(SIGSTOP);
    }
    return __real_pwritev64(descriptor, vector, count, offset);
}

int __wrap_ftruncate64(int descriptor, off_t size)
{
    if (stops_here())
        raise(SIGSTOP);
    return __real_ftruncate64(descriptor, size);
}

int __wrap_fallocate64(int descriptor, int mode, off_t offset, off_t length)
{
    if (stops_here())
        raise(SIGSTOP);
    return __real_fallocate64(descriptor, mode, offset, length);
}

int __wrap_fdatasync(int descriptor)
{
    if (stops_here())
        raise(SIGSTOP);
    return __real_fdatasync(descriptor);
}

/* ---- The trace ---- */

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "disk_replay: %s: %s\n", what, why);
    exit(1);
}

static struct trace load_trace(const char *path)
{
    struct stat status;
    struct trace_head head;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &status) < 0 || (size_t)status.st_size < DISK_SECTOR_SIZE)
        fail(path, "no trace");
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED)
        fail(path, "cannot be mapped");
    memcpy(&head, bytes, sizeof(head));
    if (le64toh(head.magic) != TRACE_MAGIC || le32toh(head.sector_size) != DISK_SECTOR_SIZE)
        fail(path, "no trace of 512-byte sectors");
    return (struct trace){bytes, (uint64_t)status.st_size, le64toh(head.entries)};
}

static int apply(struct disk *disk, uint64_t flags, const uint8_t *data, uint64_t sector, uint32_t sectors)
{
    if (flags & TRACE_DISCARD)
        return disk_transfer(disk, DISK_DISCARD, NULL, sector, sectors);
    int error = sectors ? disk_transfer(disk, DISK_WRITE, (void *)data, sector, sectors) : 0;
    if (!error && flags & (TRACE_FLUSH | TRACE_FUA))
        error = disk_transfer(disk, DISK_FLUSH, NULL, 0, 0);
    return error;
}

/* Goes through the whole trace, and applies its entries from `first` on. */
static void replay(struct disk *disk, const struct trace *trace, uint64_t first)
{
    uint64_t at = DISK_SECTOR_SIZE;
    for (uint64_t i = 0; i < trace->entries; i++) {
        struct trace_entry entry;
        if (trace->length - at < DISK_SECTOR_SIZE)
            fail("trace", "it ends too early");
        memcpy(&entry, trace->bytes + at, sizeof(entry));
        at += DISK_SECTOR_SIZE;
        uint64_t flags = le64toh(entry.flags), sectors = le64toh(entry.sectors);
        uint64_t length = flags & TRACE_DISCARD ? 0 : sectors * DISK_SECTOR_SIZE;
        if (sectors > UINT32_MAX || length > trace->length - at)
            fail("trace", "an entry is too long");
        if (i >= first) {
            int error = apply(disk, flags, trace->bytes + at, le64toh(entry.sector), (uint32_t)sectors);
            if (error)
                fail("a request", strerror(error));
            completed = (uint32_t)i + 1;
            if (write(STDOUT_FILENO, &completed, sizeof(completed)) != (ssize_t)sizeof(completed))
                fail("report", "nobody reads it");
        }
        at += length;
    }
}

int main(int count, char **arguments)
{
    struct disk_error error;
    if (count != 7)
        fail("usage", "see the source");
    struct trace trace = load_trace(arguments[3]);
    completed = (uint32_t)strtoul(arguments[4], NULL, 10);
    stop_at = (uint32_t)strtoul(arguments[5], NULL, 10);
    changes_left = strtoul(arguments[6], NULL, 10);
    struct disk *disk = disk_open(arguments[1], strcmp(arguments[2], "raw") == 0 ? DISK_OPEN_RAW : 0, &error);
    if (!disk)
        fail("opening", error.text);
    replay(disk, &trace, completed);
    int result = disk_close(disk);
    if (result)
        fail("closing", strerror(result));
    return 0;
}
