/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compacting: what is given up, that contents stay, and that the image is sound whenever the power fails. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/check.h"
#include "partitions/root/disk/compact.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/vhd/create.h"
#include "tests/unit/disk_change.h"
#include "tests/unit/power_failure.h"
#include "tests/unit/scratch.h"

#define KIB      1024u
#define MIB      (1024u * KIB)
#define SECTORS  (9u * MIB / DISK_SECTOR_SIZE + 3)
#define LONG_AGO 1500000000

static struct disk_error error;
static struct disk_compact_result result;
static uint8_t expected[SECTORS * DISK_SECTOR_SIZE], buffer[SECTORS * DISK_SECTOR_SIZE];

static void expect_sound(const char *name)
{
    struct disk_check_result found;
    assert_true(disk_check(name, NULL, NULL, &found, &error));
    for (unsigned level = 0; level < DISK_CHECK_LEVELS; level++)
        assert_int_equal(found.count[level], 0);
}

static struct disk *must_open(const char *name, unsigned flags)
{
    struct disk *disk = disk_open(name, flags, &error);
    if (!disk)
        fail_msg("%s", error.text);
    return disk;
}

static void expect_content(const char *name, unsigned flags)
{
    struct disk *disk = must_open(name, DISK_OPEN_READ_ONLY | flags);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, SECTORS), 0);
    disk_close(disk);
    assert_memory_equal(buffer, expected, sizeof(expected));
}

static void write_value(const char *name, unsigned flags, uint64_t offset, uint64_t length, int value)
{
    struct disk *disk = must_open(name, flags);
    memset(expected + offset, value, length);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, expected + offset, offset / DISK_SECTOR_SIZE,
                                   (uint32_t)(length / DISK_SECTOR_SIZE)),
                     0);
    assert_int_equal(disk_close(disk), 0);
}

static void must_create(const char *name, enum disk_format format, uint32_t block_size)
{
    const struct disk_create_options options = {.sparse = true, .block_size = block_size};
    memset(expected, 0, sizeof(expected));
    assert_true(disk_create(name, sizeof(expected), format, &options, &error));
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

/* Blocks of 64 KiB in the order of the file 0 to 99; those from 10 to 59 become zeros. */
static void make_dynamic(void)
{
    must_create("a.vhd", DISK_FORMAT_DYNAMIC, 64 * KIB);
    for (unsigned i = 0; i < 100; i++)
        write_value("a.vhd", 0, i * 64 * KIB, 64 * KIB, (int)i + 1);
    write_value("a.vhd", 0, 10 * 64 * KIB, 50 * 64 * KIB, 0);
}

static void blocks_of_zeros(void **state)
{
    (void)state;
    const struct disk_compact_options dry_run = {.dry_run = true};
    make_dynamic();
    uint64_t before = file_size("a.vhd");
    must_compact("a.vhd", &dry_run);
    struct disk_compact_result planned = result;
    assert_int_equal(file_size("a.vhd"), before);

    must_compact("a.vhd", NULL);
    assert_int_equal(result.given_up, 50);
    assert_int_equal(result.moved, 40);
    assert_int_equal(result.before, before);
    assert_int_equal(result.after, file_size("a.vhd"));
    assert_memory_equal(&planned, &result, sizeof(result));
    assert_true(before - result.after >= 50 * 64 * KIB);
    expect_content("a.vhd", 0);
    expect_sound("a.vhd");

    must_compact("a.vhd", NULL);
    assert_int_equal(result.given_up + result.moved, 0);
    assert_int_equal(result.before, result.after);

    write_value("a.vhd", 0, 20 * 64 * KIB, 64 * KIB, 5); /* it still grows */
    expect_content("a.vhd", 0);
    expect_sound("a.vhd");
}

static void nothing_left(void **state)
{
    (void)state;
    must_create("a.vhd", DISK_FORMAT_DYNAMIC, 2 * MIB);
    uint64_t empty = file_size("a.vhd");
    write_value("a.vhd", 0, 0, sizeof(expected), 3);
    write_value("a.vhd", 0, 0, sizeof(expected), 0);
    must_compact("a.vhd", NULL);
    assert_int_equal(file_size("a.vhd"), empty);
    expect_content("a.vhd", 0);
    expect_sound("a.vhd");
}

/* Zeros over the parent's data are needed, and data that the parent has too are not. */
static void differencing(void **state)
{
    (void)state;
    must_create("p.vhd", DISK_FORMAT_DYNAMIC, 64 * KIB);
    for (unsigned i = 0; i < 20; i++)
        write_value("p.vhd", 0, i * 64 * KIB, 64 * KIB, (int)i + 1);
    const struct disk_create_options options = {.block_size = 64 * KIB};
    assert_true(disk_create_child("a.vhd", "p.vhd", &options, &error));
    for (unsigned i = 0; i < 20; i++)
        write_value("a.vhd", 0, i * 64 * KIB + 4096, 8192, i < 5 ? 0 : i < 15 ? (int)i + 1 : 99);
    write_value("a.vhd", 0, 100 * 64 * KIB, 64 * KIB, 0);
    must_compact("a.vhd", NULL);
    assert_int_equal(result.given_up, 11);
    expect_content("a.vhd", 0);
    expect_sound("a.vhd");
}

/* Its children still know it. */
static void parents_time_stays(void **state)
{
    (void)state;
    const struct timespec times[2] = {{.tv_sec = LONG_AGO}, {.tv_sec = LONG_AGO}};
    make_dynamic();
    assert_int_equal(utimensat(AT_FDCWD, "a.vhd", times, 0), 0);
    assert_true(disk_create_child("c.vhd", "a.vhd", NULL, &error));
    must_compact("a.vhd", NULL);
    expect_content("c.vhd", 0);
}

static void raw(void **state)
{
    (void)state;
    struct stat before, after;
    const struct disk_compact_options options = {.raw = true}, dry_run = {.raw = true, .dry_run = true};
    must_create("a.raw", DISK_FORMAT_RAW, 0);
    write_value("a.raw", DISK_OPEN_RAW, 0, sizeof(expected), 1);
    write_value("a.raw", DISK_OPEN_RAW, MIB, 5 * MIB + 4096, 0);
    assert_int_equal(stat("a.raw", &before), 0);
    must_compact("a.raw", &dry_run);
    assert_int_equal(result.before - result.after, 5 * MIB + 4096);
    must_compact("a.raw", &options);
    assert_int_equal(stat("a.raw", &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(result.after, (uint64_t)after.st_blocks * 512);
    if (after.st_blocks == before.st_blocks)
        print_message("no holes on this file system\n");
    else
        assert_true((before.st_blocks - after.st_blocks) * 512 >= (blkcnt_t)(5 * MIB));
    expect_content("a.raw", DISK_OPEN_RAW);
}

static void refused(void **state)
{
    (void)state;
    must_create("f.vhd", DISK_FORMAT_FIXED, 0);
    assert_false(disk_compact("f.vhd", NULL, &result, &error));
    assert_int_equal(error.code, EOPNOTSUPP);
    assert_non_null(strstr(error.text, "f.vhd: a fixed disk, which has its full size on purpose"));
    make_dynamic();
    struct disk *user = must_open("a.vhd", DISK_OPEN_READ_ONLY);
    assert_false(disk_compact("a.vhd", NULL, &result, &error));
    assert_int_equal(error.code, EBUSY);
    disk_close(user);
    assert_false(disk_compact("none", NULL, &result, &error));
    assert_int_equal(error.code, ENOENT);
}

static void cancelled(void **state)
{
    (void)state;
    volatile sig_atomic_t cancel = 0;
    struct scratch_progress seen = {.cancel = &cancel, .cancel_at = 30};
    const struct disk_compact_options options = {
        .progress = {.report = scratch_progress, .context = &seen, .cancel = &cancel}
    };
    make_dynamic();
    assert_false(disk_compact("a.vhd", &options, &result, &error));
    assert_int_equal(error.code, ECANCELED);
    expect_content("a.vhd", 0);
    must_compact("a.vhd", NULL);
    assert_int_equal(result.given_up, 50);
}

/* ---- Power failures ---- */

enum { SMALL = 160, BLOCK = 4096, SMALL_BLOCKS = SMALL * DISK_SECTOR_SIZE / BLOCK };

struct compacting {
    struct memory_file *parent;
    struct disk_compact_result result;
};

static void make_compact(void *context, struct disk_file *file)
{
    struct compacting *compacting = context;
    static const struct disk_compact_options options;
    struct disk_file *files[] = {file, compacting->parent ? &compacting->parent->file : NULL};
    if (!disk_compact_files(files, compacting->parent ? 2 : 1, &options, &compacting->result, &error))
        fail_msg("%s", error.text);
}

static void write_blocks(struct disk_file *const *files, unsigned count, bool zeros)
{
    struct disk *disk = disk_open_files(files, count, 0, &error);
    uint8_t bytes[BLOCK];
    assert_non_null(disk);
    for (unsigned i = 0; i < SMALL_BLOCKS; i++) {
        uint32_t block = power_failure_below(SMALL_BLOCKS), sectors = 1 + power_failure_below(BLOCK / DISK_SECTOR_SIZE);
        memset(bytes, zeros ? 0 : (int)i + 1, sizeof(bytes));
        assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, (uint64_t)block * BLOCK / DISK_SECTOR_SIZE,
                                       zeros ? BLOCK / DISK_SECTOR_SIZE : sectors),
                         0);
    }
    assert_int_equal(disk_close(disk), 0);
}

static void play(bool with_parent, uint64_t seed)
{
    struct memory_file memory, parent;
    struct compacting compacting = {.parent = with_parent ? &parent : NULL};
    const struct disk_change change = {
        .make = make_compact, .context = &compacting, .parent = with_parent ? &parent : NULL};
    power_failure_seed(seed);
    memory_file_initialize(&memory);
    memory_file_initialize(&parent);
    if (with_parent) {
        struct vhd_child child = {
            .size = SMALL * DISK_SECTOR_SIZE, .block_size = BLOCK, .relative_path = "p", .absolute_path = "/p"};
        assert_int_equal(disk_create_in(&parent.file, SMALL * DISK_SECTOR_SIZE, DISK_FORMAT_DYNAMIC, BLOCK), 0);
        write_blocks((struct disk_file *[]){&parent.file}, 1, true);
        memcpy(child.identifier, parent.bytes + 68, sizeof(child.identifier));
        assert_int_equal(vhd_create_child(&memory.file, &child), 0);
    } else {
        assert_int_equal(disk_create_in(&memory.file, SMALL * DISK_SECTOR_SIZE, DISK_FORMAT_DYNAMIC, BLOCK), 0);
    }
    struct disk_file *files[] = {&memory.file, &parent.file};
    write_blocks(files, with_parent ? 2 : 1, false);
    write_blocks(files, with_parent ? 2 : 1, true);
    memory.file.dirty = false;
    assert_true(disk_change_play(&change, &memory) > 50);
    assert_true(compacting.result.given_up > 0 && compacting.result.moved > 0);
    disk_change_expect_sound(&memory);
    memory_file_release(&memory);
    memory_file_release(&parent);
}

static void power_failures(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        play(false, seed);
        play(true, seed);
    }
}

/* A write, a synchronization or a truncation that fails leaves the image as it was; then it can be done again. */
static void failures(void **state)
{
    (void)state;
    struct memory_file memory, copy;
    power_failure_seed(7);
    memory_file_initialize(&memory);
    memory_file_initialize(&copy);
    assert_int_equal(disk_create_in(&memory.file, SMALL * DISK_SECTOR_SIZE, DISK_FORMAT_DYNAMIC, BLOCK), 0);
    write_blocks((struct disk_file *[]){&memory.file}, 1, false);
    write_blocks((struct disk_file *[]){&memory.file}, 1, true);
    struct disk_state before = disk_state_capture(&memory, NULL, 0);
    bool done = false;
    for (size_t i = 1; !done; i++) {
        static const struct disk_compact_options options;
        struct disk_file *files[] = {&copy.file};
        memory_file_set(&copy, memory.bytes, memory.size);
        copy.fail_at = i;
        copy.fail_count = 1;
        copy.fail_error = EIO;
        done = disk_compact_files(files, 1, &options, &result, &error);
        assert_true(done || error.code == EIO);
        memory_file_reset(&copy);
        struct disk_state after = disk_state_capture(&copy, NULL, 0);
        assert_true(disk_state_equal(&before, &after));
        disk_state_release(&after);
        done = done && i > 20;
        assert_true(i < 1000);
    }
    disk_state_release(&before);
    memory_file_release(&memory);
    memory_file_release(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(blocks_of_zeros),
        scratch_test(nothing_left),
        scratch_test(differencing),
        scratch_test(parents_time_stays),
        scratch_test(raw),
        scratch_test(refused),
        scratch_test(cancelled),
        cmocka_unit_test(power_failures),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
