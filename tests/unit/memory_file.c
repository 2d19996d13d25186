/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/memory_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_TRANSFER 700u

static char memory_name[] = "memory";

static struct memory_file *to_memory(struct disk_file *file)
{
    return (struct memory_file *)file;
}

static void *must(void *pointer)
{
    if (!pointer)
        abort();
    return pointer;
}

void memory_file_resize(struct memory_file *memory, size_t size)
{
    if (size > memory->capacity) {
        size_t capacity = size + size / 2 + 4096;
        memory->bytes = must(realloc(memory->bytes, capacity));
        memory->capacity = capacity;
    }
    if (size > memory->size)
        memset(memory->bytes + memory->size, 0, size - memory->size);
    memory->size = size;
}

static void put(struct memory_file *memory, const uint8_t *bytes, size_t length, uint64_t offset)
{
    if (offset + length > memory->size)
        memory_file_resize(memory, offset + length);
    memcpy(memory->bytes + offset, bytes, length);
}

/* Counts a change; true if it is to fail. */
static bool fails(struct memory_file *memory)
{
    memory->changes++;
    if (!memory->fail_at || memory->changes < memory->fail_at ||
        memory->changes - memory->fail_at >= memory->fail_count)
        return false;
    errno = memory->fail_error;
    return true;
}

static void record(struct memory_file *memory, enum memory_change_kind kind, uint64_t offset,
                   const uint8_t *bytes, size_t length)
{
    if (!memory->logging)
        return;
    if (memory->log_count == memory->log_capacity) {
        memory->log_capacity = memory->log_capacity * 2 + 64;
        memory->log = must(realloc(memory->log, memory->log_capacity * sizeof(*memory->log)));
    }
    struct memory_change *change = &memory->log[memory->log_count++];
    *change = (struct memory_change){.kind = kind, .offset = offset, .length = length};
    if (length) {
        change->bytes = must(malloc(length));
        memcpy(change->bytes, bytes, length);
    }
}

static ssize_t memory_read(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    struct memory_file *memory = to_memory(file);
    memory->reads++;
    if (memory->fail_reads) {
        errno = EIO;
        return -1;
    }
    size_t done = 0;
    for (int i = 0; i < count && offset + done < memory->size; i++) {
        size_t piece = vector[i].iov_len;
        if (piece > memory->size - offset - done)
            piece = memory->size - offset - done;
        if (memory->short_transfers && piece > SHORT_TRANSFER - done)
            piece = SHORT_TRANSFER - done;
        memcpy(vector[i].iov_base, memory->bytes + offset + done, piece);
        done += piece;
        if (piece < vector[i].iov_len)
            break;
    }
    return (ssize_t)done;
}

static ssize_t memory_write(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    struct memory_file *memory = to_memory(file);
    if (fails(memory))
        return -1;
    size_t done = 0;
    for (int i = 0; i < count; i++) {
        size_t piece = vector[i].iov_len;
        if (memory->limit && offset + done + piece > memory->limit)
            piece = offset + done < memory->limit ? memory->limit - offset - done : 0;
        if (memory->short_transfers && piece > SHORT_TRANSFER - done)
            piece = SHORT_TRANSFER - done;
        if (piece) {
            put(memory, vector[i].iov_base, piece, offset + done);
            record(memory, MEMORY_WRITE, offset + done, vector[i].iov_base, piece);
        }
        done += piece;
        if (piece < vector[i].iov_len)
            break;
    }
    if (done)
        return (ssize_t)done;
    errno = ENOSPC;
    return -1;
}

static int memory_synchronize(struct disk_file *file)
{
    struct memory_file *memory = to_memory(file);
    if (fails(memory))
        return -1;
    record(memory, MEMORY_SYNCHRONIZE, 0, NULL, 0);
    return 0;
}

static int memory_truncate(struct disk_file *file, uint64_t size)
{
    struct memory_file *memory = to_memory(file);
    if (fails(memory))
        return -1;
    if (memory->limit && size > memory->limit) {
        errno = ENOSPC;
        return -1;
    }
    memory_file_resize(memory, size);
    record(memory, MEMORY_TRUNCATE, size, NULL, 0);
    return 0;
}

/* A hole is zeros, which may reach the medium a sector at a time. */
static int memory_punch(struct disk_file *file, uint64_t offset, uint64_t length)
{
    struct memory_file *memory = to_memory(file);
    if (fails(memory))
        return -1;
    if (offset >= memory->size)
        return 0;
    if (length > memory->size - offset)
        length = memory->size - offset;
    memset(memory->bytes + offset, 0, length);
    record(memory, MEMORY_WRITE, offset, memory->bytes + offset, length);
    return 0;
}

static int memory_size(struct disk_file *file, uint64_t *size)
{
    *size = to_memory(file)->size;
    return 0;
}

static uint64_t memory_next_data(struct disk_file *file, uint64_t offset)
{
    return offset < to_memory(file)->size ? offset : UINT64_MAX;
}

static void memory_close(struct disk_file *file)
{
    (void)file; /* the test's own, and looked at after the disk is closed */
}

static const struct disk_file_operations memory_operations = {
    .read = memory_read,
    .write = memory_write,
    .synchronize = memory_synchronize,
    .truncate = memory_truncate,
    .punch = memory_punch,
    .size = memory_size,
    .next_data = memory_next_data,
    .close = memory_close,
};

static void forget_log(struct memory_file *memory)
{
    for (size_t i = 0; i < memory->log_count; i++)
        free(memory->log[i].bytes);
    memory->log_count = 0;
}

void memory_file_initialize(struct memory_file *memory)
{
    *memory = (struct memory_file){
        .file = {.operations = &memory_operations, .name = memory_name, .descriptor = -1},
    };
}

void memory_file_release(struct memory_file *memory)
{
    forget_log(memory);
    free(memory->log);
    free(memory->bytes);
}

void memory_file_reset(struct memory_file *memory)
{
    forget_log(memory);
    memory->file.dirty = memory->file.failed = false;
    memory->limit = memory->changes = memory->fail_at = memory->fail_count = memory->reads = 0;
    memory->fail_reads = memory->short_transfers = memory->logging = false;
}

void memory_file_set(struct memory_file *memory, const uint8_t *bytes, size_t size)
{
    memory_file_reset(memory);
    memory_file_resize(memory, size);
    if (size)
        memcpy(memory->bytes, bytes, size);
}

void memory_file_apply(struct memory_file *memory, const struct memory_change *change, size_t skip,
                       size_t length)
{
    if (change->kind == MEMORY_WRITE)
        put(memory, change->bytes + skip, length, change->offset + skip);
    else if (change->kind == MEMORY_TRUNCATE)
        memory_file_resize(memory, change->offset);
}
