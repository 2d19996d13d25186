/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Failures of the host: no space, I/O errors, short transfers. The same work is done again and again, each time with
 * another change of the file failing; whatever fails, the image stays sound, and a request that failed for want of
 * space succeeds when it is issued again.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/vhdx/image.h"
#include "tests/unit/vhdx_fixture.h"

#define MIB             (1u << 20)
#define SECTORS_PER_MIB (MIB / DISK_SECTOR_SIZE)
#define DISK_BYTES      (3 * MIB)
#define SECTORS         (DISK_BYTES / DISK_SECTOR_SIZE)

/* The work: requests that allocate, overwrite, cross blocks, and flush. */
enum kind { WRITE, FLUSH, REOPEN };
static const struct {
    enum kind kind;
    uint32_t sector, sectors;
} steps[] = {
    {WRITE,  3,                    2  },
    {WRITE,  SECTORS_PER_MIB - 4,  8  },
    {FLUSH,  0,                    0  },
    {WRITE,  5,                    40 },
    {WRITE,  4,                    1  },
    {REOPEN, 0,                    0  },
    {WRITE,  SECTORS - 4,          4  },
    {WRITE,  SECTORS_PER_MIB + 20, 5  },
    {FLUSH,  0,                    0  },
    {FLUSH,  0,                    0  },
    {WRITE,  SECTORS_PER_MIB - 70, 150},
    {FLUSH,  0,                    0  },
};

static uint8_t parent[DISK_BYTES];
static uint8_t expected[DISK_BYTES];
static uint8_t flushed[DISK_BYTES];
static uint8_t earlier[DISK_BYTES]; /* before the step */
static uint8_t buffer[DISK_BYTES];
static enum disk_format format;
static struct memory_file pristine; /* the new image */
static struct vhdx_fixture fixture; /* on memory that is used again and again */

static void expect_sound(void)
{
    size_t changes = fixture.memory.changes;
    assert_int_equal(vhdx_fixture_check(&fixture.memory).count[DISK_CHECK_ERROR], 0);
    assert_int_equal(fixture.memory.changes, changes);
}

/* Where the work is done. */
static const struct {
    uint32_t sector, sectors;
} ranges[] = {
    {0,                    64 },
    {SECTORS_PER_MIB - 96, 192},
    {SECTORS - 8,          8  },
};
#define RANGES (sizeof(ranges) / sizeof(ranges[0]))

static void copy_ranges(uint8_t *to, const uint8_t *from)
{
    for (size_t i = 0; i < RANGES; i++) {
        size_t at = (size_t)ranges[i].sector * DISK_SECTOR_SIZE;
        memcpy(to + at, from + at, (size_t)ranges[i].sectors * DISK_SECTOR_SIZE);
    }
}

static void read_ranges(void)
{
    for (size_t i = 0; i < RANGES; i++)
        assert_int_equal(vhdx_fixture_read(&fixture, buffer + (size_t)ranges[i].sector * DISK_SECTOR_SIZE,
                                           ranges[i].sector, ranges[i].sectors),
                         0);
}

static void expect_content(void)
{
    read_ranges();
    for (size_t i = 0; i < RANGES; i++) {
        size_t at = (size_t)ranges[i].sector * DISK_SECTOR_SIZE;
        assert_memory_equal(buffer + at, expected + at, (size_t)ranges[i].sectors * DISK_SECTOR_SIZE);
    }
}

/* Opening replays a log, and may fail as often as the file does. */
static void must_open(void)
{
    for (;;) {
        struct disk_error error;
        fixture.memory.file.failed = false; /* as a new opening of a real file has it */
        fixture.image = vhdx_open(&fixture.memory.file, 0, fixture.cache, &error);
        if (fixture.image)
            return;
        assert_true(error.code == EIO || error.code == fixture.memory.fail_error);
        expect_sound();
        assert_true(fixture.memory.changes < fixture.memory.fail_at + fixture.memory.fail_count);
    }
}

static bool same_sector(const uint8_t *content, size_t at)
{
    return memcmp(buffer + at, content + at, DISK_SECTOR_SIZE) == 0;
}

/* What was not flushed may be lost with the process, of an image with a parent; a write that failed may be there. */
static void accept_losses(void)
{
    read_ranges();
    for (size_t i = 0; i < RANGES; i++) {
        size_t end = ((size_t)ranges[i].sector + ranges[i].sectors) * DISK_SECTOR_SIZE;
        for (size_t at = (size_t)ranges[i].sector * DISK_SECTOR_SIZE; at < end; at += DISK_SECTOR_SIZE) {
            assert_true(same_sector(expected, at) || same_sector(earlier, at) ||
                        (format == DISK_FORMAT_DIFFERENCING && same_sector(flushed, at)));
            memcpy(expected + at, buffer + at, DISK_SECTOR_SIZE);
        }
    }
}

static int do_step(size_t step)
{
    if (steps[step].kind == FLUSH)
        return vhdx_fixture_flush(&fixture);
    if (steps[step].kind == REOPEN) {
        int error = vhdx_fixture_close(&fixture);
        must_open();
        return error;
    }
    static uint8_t bytes[192 * DISK_SECTOR_SIZE];
    memset(bytes, (int)step + 1, (size_t)steps[step].sectors * DISK_SECTOR_SIZE);
    return vhdx_fixture_write(&fixture, bytes, steps[step].sector, steps[step].sectors);
}

static void note_write(size_t step)
{
    if (steps[step].kind == WRITE)
        memset(expected + (size_t)steps[step].sector * DISK_SECTOR_SIZE, (int)step + 1,
               (size_t)steps[step].sectors * DISK_SECTOR_SIZE);
}

/* A lost synchronization is for ever, until the disk is opened anew; the step is done again then. */
static void open_anew(void)
{
    assert_int_equal(vhdx_fixture_flush(&fixture), EIO);
    vhdx_fixture_kill(&fixture);
    expect_sound();
    must_open();
}

static void do_until_done(size_t step)
{
    int result;
    copy_ranges(earlier, expected);
    for (unsigned attempt = 0; (result = do_step(step)) != 0; attempt++) {
        expect_sound();
        assert_true(attempt <= fixture.memory.fail_count);
        if (steps[step].kind == REOPEN) {
            accept_losses();
            break;
        }
        note_write(step);
        assert_int_equal(result, fixture.memory.file.failed ? EIO : fixture.memory.fail_error);
        if (!fixture.memory.file.failed)
            continue;
        open_anew();
        accept_losses();
    }
    note_write(step);
    if (steps[step].kind != WRITE)
        copy_ranges(flushed, expected);
    expect_content();
}

/* Does the work with `count` changes from number `fail_at` on failing; false if there were not so many changes. */
static bool work_with_failure(size_t fail_at, size_t count, int error, bool short_transfers)
{
    memory_file_set(&fixture.memory, pristine.bytes, pristine.size);
    copy_ranges(expected, parent);
    copy_ranges(flushed, parent);
    fixture.memory.fail_at = fail_at;
    fixture.memory.fail_count = count;
    fixture.memory.fail_error = error;
    fixture.memory.short_transfers = short_transfers;
    must_open();
    for (size_t step = 0; step < sizeof(steps) / sizeof(steps[0]); step++)
        do_until_done(step);
    bool reached = fixture.memory.changes >= fail_at;
    fixture.memory.fail_at = 0;
    fixture.memory.short_transfers = false;
    assert_int_equal(vhdx_fixture_close(&fixture), 0);
    struct disk_check_result result = vhdx_fixture_check(&fixture.memory);
    assert_int_equal(result.count[DISK_CHECK_ERROR] + result.count[DISK_CHECK_WARNING], 0);
    vhdx_fixture_open(&fixture, DISK_OPEN_READ_ONLY);
    expect_content();
    assert_int_equal(vhdx_fixture_close(&fixture), 0);
    return reached;
}

static void each_change_fails(int error, size_t count)
{
    size_t fail_at = 1;
    while (work_with_failure(fail_at, count, error, false))
        fail_at++;
    assert_true(fail_at > 40); /* the work is what it seems */
    print_message("%zu changes failed in turn\n", fail_at - 1);
}

static void no_space_once(void **state)
{
    (void)state;
    each_change_fails(ENOSPC, 1);
}

static void no_space_for_long(void **state)
{
    (void)state;
    each_change_fails(ENOSPC, 7);
}

static void error_once(void **state)
{
    (void)state;
    each_change_fails(EIO, 1);
}

/* Transfers of 700 bytes: the work has thousands. */
static void short_transfers_and_no_space(void **state)
{
    (void)state;
    for (size_t fail_at = 1; work_with_failure(fail_at, 2, ENOSPC, true); fail_at += fail_at / 4 + 1)
        ;
}

/* A file system that fills up for real: the file can grow to some size only, and later further. */
static void full_file_system(void **state)
{
    (void)state;
    memory_file_set(&fixture.memory, pristine.bytes, pristine.size);
    copy_ranges(expected, parent);
    must_open();
    fixture.memory.limit = fixture.memory.size;
    unsigned refused = 0;
    for (size_t step = 0; step < sizeof(steps) / sizeof(steps[0]); step++) {
        int result = do_step(step);
        for (; result; refused++) {
            assert_int_equal(result, ENOSPC);
            expect_sound();
            fixture.memory.limit += MIB / 2 + 700;
            result = do_step(step);
        }
        note_write(step);
        expect_content();
    }
    assert_true(refused > 2);
    fixture.memory.limit = 0;
    assert_int_equal(vhdx_fixture_close(&fixture), 0);
    expect_sound();
}

static void unreadable_file(void **state)
{
    (void)state;
    struct disk_extent extent;
    memory_file_set(&fixture.memory, pristine.bytes, pristine.size);
    vhdx_fixture_open(&fixture, 0);
    fixture.memory.fail_reads = true;
    assert_int_equal(fixture.image->operations->map(fixture.image, 0, 1, &extent), EIO);
    assert_int_equal(vhdx_fixture_write(&fixture, buffer, 0, 1), EIO);
    fixture.memory.fail_reads = false;
    assert_int_equal(vhdx_fixture_write(&fixture, buffer, 0, 1), 0);
    assert_int_equal(fixture.image->operations->map(fixture.image, 0, 1, &extent), 0);
    assert_int_equal(extent.kind, DISK_EXTENT_DATA);
    assert_int_equal(vhdx_fixture_close(&fixture), 0);

    struct disk_error error;
    fixture.memory.fail_reads = true;
    assert_null(vhdx_open(&fixture.memory.file, 0, fixture.cache, &error));
    assert_int_equal(error.code, EIO);
}

static void set_up(void)
{
    memory_file_initialize(&pristine);
    vhdx_fixture_create(&pristine, format, DISK_BYTES, 512);
    vhdx_fixture_begin(&fixture, &pristine);
    memset(parent, format == DISK_FORMAT_DIFFERENCING ? 0xee : 0, sizeof(parent));
    fixture.parent = parent;
}

static int dynamic(void **state)
{
    (void)state;
    format = DISK_FORMAT_DYNAMIC;
    set_up();
    return 0;
}

static int differencing(void **state)
{
    (void)state;
    format = DISK_FORMAT_DIFFERENCING;
    set_up();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vhdx_fixture_end(&fixture);
    memory_file_release(&pristine);
    return 0;
}

#define both_formats(function)                                                                                         \
    {#function ", dynamic", function, dynamic, tear_down, NULL},                                                       \
    {                                                                                                                  \
#function ", differencing", function, differencing, tear_down, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_formats(no_space_once),    both_formats(no_space_for_long),
        both_formats(error_once),       both_formats(short_transfers_and_no_space),
        both_formats(full_file_system), both_formats(unreadable_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
