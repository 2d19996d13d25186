/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Failures of the host: no space, I/O errors, short transfers. The same work is done again and again, each
 * time with another change of the file failing; whatever fails, the image stays sound, and a request that
 * failed for want of space succeeds when it is issued again. All that with the extents of a request read one
 * after the other, and at once.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/check.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/vhd/vhd.h"
#include "tests/unit/memory_file.h"
#include "tests/unit/memory_io.h"

#define SECTORS    64u
#define BLOCK_SIZE 4096u
#define DISK_BYTES (SECTORS * DISK_SECTOR_SIZE)

/* The work: requests that allocate, overwrite, cross blocks, and flush. `sectors` 0 is a flush, 2000 a close
 * and open. */
enum { FLUSH = 0, REOPEN = 2000 };
static const struct {
    uint32_t sector, sectors;
} steps[] = {
    {3,  2     },
    {40, 8     },
    {0,  FLUSH },
    {5,  20    },
    {4,  1     },
    {0,  REOPEN},
    {60, 4     },
    {20, 16    },
    {0,  FLUSH },
    {0,  64    },
    {0,  FLUSH },
};

static bool asynchronous;
static uint8_t expected[DISK_BYTES];
static uint8_t buffer[DISK_BYTES];

static void print_finding(void *context, enum disk_check_level level, const char *text)
{
    (void)context;
    if (level == DISK_CHECK_ERROR)
        print_error("%s\n", text);
}

static void expect_sound(struct memory_file *memory)
{
    struct disk_check_result result;
    struct disk_error error;
    assert_true(disk_check_file(&memory->file, print_finding, NULL, &result, &error));
    assert_int_equal(result.count[DISK_CHECK_ERROR], 0);
}

static void expect_content(struct disk *disk)
{
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, SECTORS), 0);
    assert_memory_equal(buffer, expected, sizeof(buffer));
}

/* Opening writes what is left to recover, and may fail as often as the file does. */
static struct disk *must_open(struct memory_file *memory)
{
    struct disk_error error;
    struct disk *disk;
    for (size_t attempt = 0; !(disk = disk_open_file(&memory->file, 0, &error)) && attempt < memory->fail_count; attempt++)
        memory->file.failed = false;
    if (!disk)
        print_error("%s\n", error.text);
    assert_non_null(disk);
    if (asynchronous)
        memory_io_attach(disk, memory);
    return disk;
}

static int do_step(struct memory_file *memory, struct disk **disk, size_t step)
{
    if (steps[step].sectors == FLUSH)
        return disk_transfer(*disk, DISK_FLUSH, NULL, 0, 0);
    if (steps[step].sectors == REOPEN) {
        int error = disk_close(*disk);
        memory->file.failed = false; /* as a new opening of a real file has it */
        *disk = must_open(memory);
        return error;
    }
    uint8_t *bytes = expected + (size_t)steps[step].sector * DISK_SECTOR_SIZE;
    memset(bytes, (int)step + 1, (size_t)steps[step].sectors * DISK_SECTOR_SIZE);
    return disk_transfer(*disk, DISK_WRITE, bytes, steps[step].sector, steps[step].sectors);
}

/* Makes an image and half-filled bitmaps in it, so that filling blocks is part of the work. */
static void make_image(struct memory_file *memory)
{
    memory_file_initialize(memory);
    assert_int_equal(disk_create_in(&memory->file, DISK_BYTES, DISK_FORMAT_DYNAMIC, BLOCK_SIZE), 0);
    struct disk *disk = must_open(memory);
    memset(buffer, 0xee, sizeof(buffer));
    assert_int_equal(disk_transfer(disk, DISK_WRITE, buffer, 16, 8), 0);
    assert_int_equal(disk_close(disk), 0);
    size_t bitmap = (size_t)vhd_load_entry(memory->bytes + 1536 + 2 * 4) * DISK_SECTOR_SIZE;
    memory->bytes[bitmap] = 0x3c;
    memset(expected, 0, sizeof(expected));
    memset(expected + 18 * DISK_SECTOR_SIZE, 0xee, 4 * DISK_SECTOR_SIZE);
    memory_file_reset(memory);
}

/* Does the work with `count` changes from number `fail_at` on failing; false if there were not so many
 * changes. */
static bool work_with_failure(size_t fail_at, size_t count, int error, bool short_transfers)
{
    struct memory_file memory;
    make_image(&memory);
    memory.fail_at = fail_at;
    memory.fail_count = count;
    memory.fail_error = error;
    memory.short_transfers = short_transfers;
    struct disk *disk = must_open(&memory);
    for (size_t step = 0; step < sizeof(steps) / sizeof(steps[0]); step++) {
        for (unsigned attempt = 0;; attempt++) {
            int result = do_step(&memory, &disk, step);
            expect_sound(&memory);
            if (result == 0)
                break;
            assert_true(attempt <= count);
            if (steps[step].sectors == REOPEN)
                break;
            /* A lost synchronization is for ever, until the disk is opened anew. */
            if (memory.file.failed) {
                assert_int_equal(result, EIO);
                assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), EIO);
                disk_close(disk);
                memory.file.failed = false;
                disk = must_open(&memory);
                continue;
            }
            assert_int_equal(result, error);
        }
        expect_content(disk);
    }
    bool reached = memory.changes >= fail_at;
    memory.fail_at = 0;
    assert_int_equal(disk_close(disk), 0);
    expect_sound(&memory);
    disk = must_open(&memory);
    expect_content(disk);
    disk_close(disk);
    memory_file_release(&memory);
    assert_true(!asynchronous || memory_io_most() > 4);
    return reached;
}

static void each_change_fails(int error, size_t count, bool short_transfers)
{
    size_t fail_at = 1;
    while (work_with_failure(fail_at, count, error, short_transfers))
        fail_at++;
    assert_true(fail_at > 20); /* the work is what it seems */
    print_message("%zu changes failed in turn\n", fail_at - 1);
}

static void no_space_once(void **state)
{
    (void)state;
    each_change_fails(ENOSPC, 1, false);
}

static void no_space_for_long(void **state)
{
    (void)state;
    each_change_fails(ENOSPC, 7, false);
}

static void error_once(void **state)
{
    (void)state;
    each_change_fails(EIO, 1, false);
}

static void short_transfers_and_no_space(void **state)
{
    (void)state;
    each_change_fails(ENOSPC, 2, true);
}

/* A file system that fills up for real: the file can grow to some size only, and later further. */
static void full_file_system(void **state)
{
    (void)state;
    for (size_t spare = 0; spare < 3 * BLOCK_SIZE; spare += 256) {
        struct memory_file memory;
        make_image(&memory);
        memory.limit = memory.size + spare;
        struct disk *disk = must_open(&memory);
        unsigned refused = 0;
        for (size_t step = 0; step < sizeof(steps) / sizeof(steps[0]); step++) {
            int result = do_step(&memory, &disk, step);
            while (result) {
                assert_int_equal(result, ENOSPC);
                refused++;
                expect_sound(&memory);
                memory.limit += 700;
                result = do_step(&memory, &disk, step);
            }
            expect_content(disk);
        }
        assert_true(refused > 0);
        assert_int_equal(disk_close(disk), 0);
        expect_sound(&memory);
        memory_file_release(&memory);
    }
}

static void quota_counts_as_space(void **state)
{
    (void)state;
    struct memory_file memory;
    make_image(&memory);
    memory.fail_at = memory.fail_count = 1;
    memory.fail_error = EDQUOT;
    struct disk *disk = must_open(&memory);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, buffer, 0, 1), ENOSPC);
    disk_close(disk);
    memory_file_release(&memory);
}

static void unreadable_file(void **state)
{
    (void)state;
    struct memory_file memory;
    make_image(&memory);
    struct disk *disk = must_open(&memory);
    memory.fail_reads = true;
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 16, 1), EIO); /* the table */
    memory.fail_reads = false;
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, 1), 0);
    memory.fail_reads = true;
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 16, 1), EIO); /* the bitmap */
    assert_int_equal(disk_transfer(disk, DISK_WRITE, buffer, 16, 1), EIO);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, 1), 0); /* nothing of it is in the file, which is known */
    memory.fail_reads = false;
    expect_content(disk);
    disk_close(disk);

    struct disk_error error;
    memory.fail_reads = true;
    assert_null(disk_open_file(&memory.file, 0, &error));
    assert_int_equal(error.code, EIO);
    memory_file_release(&memory);
}

static int one_after_the_other(void **state)
{
    (void)state;
    asynchronous = false;
    return 0;
}

static int at_once(void **state)
{
    (void)state;
    asynchronous = true;
    return 0;
}

#define both_ways(function)                                                                                            \
    cmocka_unit_test_setup(function, one_after_the_other), {#function ", at once", function, at_once, NULL, NULL}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(no_space_once),         both_ways(no_space_for_long),
        both_ways(error_once),            both_ways(short_transfers_and_no_space),
        both_ways(full_file_system),      both_ways(quota_counts_as_space),
        both_ways(unreadable_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
