/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Comparing disks: between formats, through chains, and of different sizes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/compare.h"
#include "partitions/root/disk/create.h"
#include "tests/unit/scratch.h"

#define SIZE    ((9u << 20) + 1536u)
#define SECTORS (SIZE / DISK_SECTOR_SIZE)

static struct disk_error error;

static void must_create(const char *name, uint64_t size, enum disk_format format)
{
    const struct disk_create_options options = {.sparse = true};
    assert_true(disk_create(name, size, format, &options, &error));
}

static void write_sector(const char *name, unsigned flags, uint64_t sector, uint8_t value, unsigned place)
{
    uint8_t bytes[DISK_SECTOR_SIZE] = {0};
    bytes[place] = value;
    struct disk *disk = disk_open(name, flags, &error);
    assert_non_null(disk);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, sector, 1), 0);
    assert_int_equal(disk_close(disk), 0);
}

static struct disk_compare_result compare(const char *a, const char *b)
{
    struct disk_compare_result result, mirrored;
    if (!disk_compare((const char *const[]){a, b}, NULL, &result, &error))
        fail_msg("%s", error.text);
    assert_true(disk_compare((const char *const[]){b, a}, NULL, &mirrored, &error));
    assert_int_equal(result.different_sectors, mirrored.different_sectors);
    assert_int_equal(result.first_difference, mirrored.first_difference);
    return result;
}

static void every_format(void **state)
{
    (void)state;
    static const char *const names[] = {"a.raw", "a.vhd", "b.vhd"};
    for (enum disk_format format = DISK_FORMAT_RAW; format <= DISK_FORMAT_DYNAMIC; format++) {
        must_create(names[format], SIZE, format);
        write_sector(names[format], format == DISK_FORMAT_RAW ? DISK_OPEN_RAW : 0, 7000, 1, 3);
    }
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = i + 1; j < 3; j++)
            assert_int_equal(compare(names[i], names[j]).different_sectors, 0);

    write_sector("b.vhd", 0, SECTORS - 1, 9, 511);
    write_sector("b.vhd", 0, 100, 9, 17);
    struct disk_compare_result result = compare("a.vhd", "b.vhd");
    assert_int_equal(result.different_sectors, 2);
    assert_int_equal(result.first_difference, 100 * DISK_SECTOR_SIZE + 17);
    assert_int_equal(result.size[0], SIZE);
}

/* Zeros that are written are equal to those that are not. */
static void zeros(void **state)
{
    (void)state;
    must_create("a.vhd", SIZE, DISK_FORMAT_DYNAMIC);
    must_create("b.vhd", SIZE, DISK_FORMAT_DYNAMIC);
    write_sector("b.vhd", 0, 5000, 0, 0);
    assert_int_equal(compare("a.vhd", "b.vhd").different_sectors, 0);
}

static void different_sizes(void **state)
{
    (void)state;
    must_create("small.vhd", SIZE, DISK_FORMAT_DYNAMIC);
    must_create("large.raw", 4 * SIZE, DISK_FORMAT_RAW);
    struct disk_compare_result result = compare("small.vhd", "large.raw");
    assert_int_equal(result.different_sectors, 0);
    assert_int_equal(result.size[1], 4 * SIZE);
    write_sector("large.raw", DISK_OPEN_RAW, SECTORS, 1, 0);
    result = compare("small.vhd", "large.raw");
    assert_int_equal(result.different_sectors, 1);
    assert_int_equal(result.first_difference, SIZE);

    const struct disk_compare_options strict = {.strict = true};
    assert_false(disk_compare((const char *const[]){"small.vhd", "large.raw"}, &strict, &result, &error));
    assert_int_equal(error.code, EINVAL);
    assert_string_equal(error.text, "small.vhd: has 9438720 bytes, and large.raw 37754880");
}

static void chains(void **state)
{
    (void)state;
    must_create("parent.vhd", SIZE, DISK_FORMAT_DYNAMIC);
    write_sector("parent.vhd", 0, 0, 1, 0);
    assert_true(disk_create_child("a.vhd", "parent.vhd", NULL, &error));
    assert_true(disk_create_child("b.vhd", "parent.vhd", NULL, &error));
    assert_int_equal(compare("a.vhd", "b.vhd").different_sectors, 0);
    assert_int_equal(compare("a.vhd", "parent.vhd").different_sectors, 0);
    write_sector("a.vhd", 0, 0, 0, 0); /* zeros over the parent's data */
    assert_int_equal(compare("a.vhd", "b.vhd").different_sectors, 1);
}

/* A disk of 2040 GiB with nothing in it is compared at once. */
static void holes(void **state)
{
    (void)state;
    must_create("a.vhd", 2040ull << 30, DISK_FORMAT_DYNAMIC);
    must_create("b.raw", 2040ull << 30, DISK_FORMAT_RAW);
    write_sector("a.vhd", 0, 1ull << 31, 1, 1);
    assert_int_equal(compare("a.vhd", "b.raw").first_difference, (1ull << 40) + 1);
}

static void problems(void **state)
{
    (void)state;
    struct disk_compare_result result;
    must_create("a.vhd", SIZE, DISK_FORMAT_DYNAMIC);
    must_create("b.vhd", SIZE, DISK_FORMAT_DYNAMIC);
    write_sector("a.vhd", 0, 0, 1, 1);
    assert_false(disk_compare((const char *const[]){"a.vhd", "none"}, NULL, &result, &error));
    assert_int_equal(error.code, ENOENT);
    struct disk *writer = disk_open("b.vhd", 0, &error);
    assert_false(disk_compare((const char *const[]){"a.vhd", "b.vhd"}, NULL, &result, &error));
    assert_int_equal(error.code, EBUSY);
    assert_int_equal(disk_close(writer), 0);

    volatile sig_atomic_t cancel = 0;
    struct scratch_progress seen = {.cancel = &cancel, .cancel_at = 1};
    const struct disk_compare_options options = {
        .progress = {.report = scratch_progress, .context = &seen, .cancel = &cancel}
    };
    assert_false(disk_compare((const char *const[]){"a.vhd", "b.vhd"}, &options, &result, &error));
    assert_int_equal(error.code, ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(every_format), scratch_test(zeros), scratch_test(different_sizes),
        scratch_test(chains),       scratch_test(holes), scratch_test(problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
