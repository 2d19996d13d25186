/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compacting VHDX: what is given up, that contents and identifiers stay, and that it is sound whenever it is
 * interrupted. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/check.h"
#include "partitions/root/disk/compact.h"
#include "partitions/root/disk/create.h"
#include "tests/unit/disk_change.h"
#include "tests/unit/power_failure.h"
#include "tests/unit/scratch.h"
#include "tests/unit/vhdx_fixture.h"

#define MIB             (1u << 20)
#define SECTORS_PER_MIB (MIB / DISK_SECTOR_SIZE)
#define SIZE            (9u * MIB + 3 * DISK_SECTOR_SIZE)

static struct disk_error error;
static struct disk_compact_result result;
static uint8_t expected[SIZE], buffer[SIZE];

static void expect_sound(const char *name)
{
    struct disk_check_result found;
    assert_true(disk_check(name, NULL, NULL, &found, &error));
    for (unsigned level = 0; level < DISK_CHECK_LEVELS; level++)
        assert_int_equal(found.count[level], 0);
}

static void expect_content(const char *name)
{
    struct disk *disk = disk_open(name, DISK_OPEN_READ_ONLY, &error);
    if (!disk)
        fail_msg("%s", error.text);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, SIZE / DISK_SECTOR_SIZE), 0);
    disk_close(disk);
    assert_memory_equal(buffer, expected, SIZE);
}

static void write_value(const char *name, uint64_t offset, uint64_t length, int value)
{
    struct disk *disk = disk_open(name, 0, &error);
    assert_non_null(disk);
    memset(expected + offset, value, length);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, expected + offset, offset / DISK_SECTOR_SIZE,
                                   (uint32_t)(length / DISK_SECTOR_SIZE)),
                     0);
    assert_int_equal(disk_close(disk), 0);
}

static void must_create(const char *name, uint32_t block_size)
{
    const struct disk_create_options options = {.block_size = block_size};
    memset(expected, 0, sizeof(expected));
    assert_true(disk_create(name, SIZE, DISK_FORMAT_DYNAMIC, &options, &error));
}

static void must_compact(const char *name, const struct disk_compact_options *options)
{
    if (!disk_compact(name, options, &result, &error))
        fail_msg("%s", error.text);
}

static uint64_t file_size(const char *name)
{
    struct stat status;
    assert_int_equal(stat(name, &status), 0);
    return (uint64_t)status.st_size;
}

static void blocks_of_zeros(void **state)
{
    (void)state;
    const struct disk_compact_options dry_run = {.dry_run = true};
    must_create("a.vhdx", MIB);
    for (unsigned i = 0; i < 10; i++)
        write_value("a.vhdx", (9 - i) * MIB, i ? MIB : 3 * DISK_SECTOR_SIZE, (int)i + 1);
    write_value("a.vhdx", 3 * MIB, 4 * MIB, 0);
    assert_true(disk_create_child("child.vhdx", "a.vhdx", NULL, &error));
    uint64_t before = file_size("a.vhdx");
    must_compact("a.vhdx", &dry_run);
    struct disk_compact_result planned = result;
    assert_int_equal(file_size("a.vhdx"), before);
    must_compact("a.vhdx", NULL);
    assert_memory_equal(&planned, &result, sizeof(result));
    assert_int_equal(result.given_up, 4);
    assert_int_equal(result.moved, 3);
    assert_int_equal(before - file_size("a.vhdx"), 4 * MIB);
    assert_int_equal(result.after, file_size("a.vhdx"));
    expect_content("a.vhdx");
    expect_sound("a.vhdx");
    expect_content("child.vhdx"); /* which knows it by its identifier */

    must_compact("a.vhdx", NULL);
    assert_int_equal(result.given_up + result.moved, 0);
    write_value("a.vhdx", 4 * MIB, 2 * MIB, 7); /* it still grows */
    expect_content("a.vhdx");
    expect_sound("a.vhdx");
}

static void nothing_left(void **state)
{
    (void)state;
    must_create("a.vhdx", 2 * MIB);
    uint64_t empty = file_size("a.vhdx");
    write_value("a.vhdx", 0, SIZE, 3);
    write_value("a.vhdx", 0, SIZE, 0);
    must_compact("a.vhdx", NULL);
    assert_int_equal(file_size("a.vhdx"), empty);
    expect_content("a.vhdx");
    expect_sound("a.vhdx");
}

/* Blocks of zeros need no place, even over the parent's data; those like the parent's need none, and no bitmap. */
static void differencing(void **state)
{
    (void)state;
    must_create("p.vhdx", 2 * MIB);
    for (unsigned i = 0; i < 5; i++)
        write_value("p.vhdx", i * MIB, MIB, (int)i + 1);
    const struct disk_create_options options = {.block_size = MIB};
    assert_true(disk_create_child("a.vhdx", "p.vhdx", &options, &error));
    uint64_t empty = file_size("a.vhdx");
    write_value("a.vhdx", 0, MIB, 0);
    write_value("a.vhdx", MIB, MIB, 2);
    write_value("a.vhdx", 2 * MIB + 4096, 8192, 99);
    write_value("a.vhdx", 3 * MIB + 4096, 8192, 4);
    write_value("a.vhdx", 7 * MIB, MIB, 0);
    must_compact("a.vhdx", NULL);
    assert_int_equal(result.given_up, 4);
    assert_int_equal(file_size("a.vhdx"), empty + 2 * MIB); /* a block and the bitmap */
    expect_content("a.vhdx");
    expect_sound("a.vhdx");
    write_value("a.vhdx", 3 * MIB + 1024, 512, 98); /* bits of an earlier life are gone */
    expect_content("a.vhdx");
    write_value("a.vhdx", 2 * MIB + 4096, 8192, 3);
    write_value("a.vhdx", 3 * MIB + 1024, 512, 4);
    must_compact("a.vhdx", NULL);
    assert_int_equal(result.given_up, 2);
    assert_int_equal(file_size("a.vhdx"), empty);
    expect_content("a.vhdx");
    expect_sound("a.vhdx");
}

static void refused(void **state)
{
    (void)state;
    const struct disk_create_options sparse = {.sparse = true};
    assert_true(disk_create("f.vhdx", MIB, DISK_FORMAT_FIXED, &sparse, &error));
    assert_false(disk_compact("f.vhdx", NULL, &result, &error));
    assert_int_equal(error.code, EOPNOTSUPP);
    must_create("a.vhdx", MIB);
    write_value("a.vhdx", 0, 3 * MIB, 1);
    struct disk *user = disk_open("a.vhdx", DISK_OPEN_READ_ONLY, &error);
    assert_false(disk_compact("a.vhdx", NULL, &result, &error));
    assert_int_equal(error.code, EBUSY);
    disk_close(user);
    volatile sig_atomic_t cancel = 1;
    const struct disk_compact_options stopped = {.progress = {.cancel = &cancel}};
    assert_false(disk_compact("a.vhdx", &stopped, &result, &error));
    assert_int_equal(error.code, ECANCELED);
    expect_content("a.vhdx");
    expect_sound("a.vhdx");
}

/* ---- In memory: large blocks beside bitmaps, and crashes ---- */

static struct memory_file parent;

static bool attempt_compaction(void *context, struct disk_file *file)
{
    static const struct disk_compact_options options;
    const bool *with_parent = context;
    struct disk_file *files[] = {file, &parent.file};
    return disk_compact_files(files, *with_parent ? 2 : 1, &options, &result, &error);
}

static void compact_image(void *context, struct disk_file *file)
{
    if (!attempt_compaction(context, file))
        fail_msg("%s", error.text);
}

static void make_image(struct memory_file *memory, uint32_t block_size, const struct disk_image *above)
{
    struct vhdx_parent link = {.relative_path = "p.vhdx"};
    const struct vhdx_creation creation = {
        .format = above ? DISK_FORMAT_DIFFERENCING : DISK_FORMAT_DYNAMIC,
        .size = 8 * MIB,
        .block_size = block_size,
        .parent = &link,
    };
    if (above)
        memcpy(link.identifier, above->identifier, sizeof(link.identifier));
    memory_file_initialize(memory);
    assert_int_equal(vhdx_create(&memory->file, &creation), 0);
    memory_file_reset(memory);
}

/* Something in each block, in this order, so that what is not needed lies between what is. */
static void write_blocks(struct memory_file *memory, bool with_parent, const char *values)
{
    static const unsigned order[] = {3, 1, 7, 0, 4, 6, 2, 5};
    struct disk_file *files[] = {&memory->file, &parent.file};
    struct disk *disk = disk_open_files(files, with_parent ? 2 : 1, 0, &error);
    uint8_t bytes[8 * DISK_SECTOR_SIZE];
    assert_non_null(disk);
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        char value = values[order[i]];
        if (value == ' ')
            continue;
        memset(bytes, value == '0' ? 0 : value, sizeof(bytes));
        assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, (uint64_t)order[i] * SECTORS_PER_MIB + 40, 8), 0);
    }
    assert_int_equal(disk_close(disk), 0);
    memory->file.dirty = false;
}

static const struct {
    const char *parent; /* of each block, the value that it has; NULL: no parent */
    const char *first, *second;
    uint32_t block_size;
    unsigned given_up, moved;
} crashes[] = {
    {NULL,       "abcdefgh", " 0 0    ", MIB,     2, 2},
    {NULL,       "ab  ef  ", "00  00  ", 2 * MIB, 2, 0},
    {"aa  a   ", "aaaba bb", "   00  0", MIB,     5, 2},
    {"aa      ", "aa      ", "        ", MIB,     2, 0},
};

static void interruptions(void **state)
{
    (void)state;
    uint64_t played = 0;
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
        struct memory_file memory;
        bool with_parent = crashes[i].parent;
        struct disk *disk = NULL;
        if (with_parent) {
            make_image(&parent, MIB, NULL);
            write_blocks(&parent, false, crashes[i].parent);
            disk = disk_open_file(&parent.file, DISK_OPEN_READ_ONLY, &error);
        }
        make_image(&memory, crashes[i].block_size, disk ? disk_top(disk) : NULL);
        if (disk)
            disk_close(disk);
        write_blocks(&memory, with_parent, crashes[i].first);
        write_blocks(&memory, with_parent, crashes[i].second);
        memory_file_reset(&memory);
        power_failure_seed(i);
        const struct disk_change change = {.make = compact_image,
                                           .attempt = attempt_compaction,
                                           .context = &with_parent,
                                           .parent = with_parent ? &parent : NULL};
        if (i % 2 == 0)
            played += disk_change_fail(&change, &memory, i ? EIO : ENOSPC);
        played += disk_change_play(&change, &memory);
        assert_int_equal(result.given_up, crashes[i].given_up);
        assert_int_equal(result.moved, crashes[i].moved);
        assert_int_equal(vhdx_fixture_check(&memory).count[DISK_CHECK_NOTE], 0);
        memory_file_release(&memory);
        if (with_parent)
            memory_file_release(&parent);
    }
    print_message("%llu media played\n", (unsigned long long)played);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(blocks_of_zeros), scratch_test(nothing_left),      scratch_test(differencing),
        scratch_test(refused),         cmocka_unit_test(interruptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
