/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/memory_io.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "partitions/root/disk/io_backend.h"
#include "partitions/root/disk/transfer.h"

static struct memory_file *memory;
static struct disk_io_operation *begun[DISK_IO_DEPTH];
static unsigned count, most;
static uint32_t chance = 1;

static int64_t memory_perform(const struct disk_io_operation *operation)
{
    assert_int_equal(operation->kind, DISK_IO_READ);
    ssize_t result =
        memory->file.operations->read(&memory->file, operation->vector, operation->count, operation->offset);
    return result < 0 ? -errno : result;
}

static void memory_begin(struct disk_io_queue *queue, struct disk_io_operation *operation)
{
    (void)queue;
    begun[count++] = operation;
    if (count > most)
        most = count;
}

/* Ends one of those that have begun. */
static void memory_wait(struct disk_io_queue *queue)
{
    chance = chance * 1664525 + 1013904223;
    unsigned chosen = (chance >> 16) % count;
    struct disk_io_operation *operation = begun[chosen];
    begun[chosen] = begun[--count];
    disk_io_finished(queue, operation, memory_perform(operation));
}

static const struct disk_io_backend memory_io = {
    .perform = memory_perform,
    .begin = memory_begin,
    .wait = memory_wait,
};

static struct disk_io io = {.backend = &memory_io};
static struct disk_io_queue queue = {.io = &io};
static struct disk_transfers transfers;

void memory_io_attach(struct disk *disk, struct memory_file *file)
{
    memory = file;
    disk_transfers_initialize(&transfers, &queue);
    disk_set_transfers(disk, &transfers);
}

unsigned memory_io_most(void)
{
    unsigned result = most;
    most = 0;
    return result;
}
