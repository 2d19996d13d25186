/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Converting disks: between all formats, sparsely, and without leaving anything when it fails. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/check.h"
#include "partitions/root/disk/convert.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/info.h"
#include "tests/unit/scratch.h"

#define MIB (1024ull * 1024)
/* Not a multiple of a block, nor of a page. */
#define DISK_BYTES   (9 * MIB + 1536)
#define DISK_SECTORS ((uint32_t)(DISK_BYTES / DISK_SECTOR_SIZE))

static struct disk_error error;
static uint8_t *content; /* DISK_BYTES */
static uint8_t *buffer;

static void expect_error(int code, const char *text)
{
    if (error.code != code || !strstr(error.text, text))
        print_error("got %d, %s; not %d, %s\n", error.code, error.text, code, text);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, text));
}

static unsigned raw_flag(enum disk_format format)
{
    return format == DISK_FORMAT_RAW ? DISK_OPEN_RAW : 0;
}

static struct disk *must_open(const char *name, unsigned flags)
{
    struct disk *disk = disk_open(name, flags, &error);
    if (!disk)
        print_error("%s\n", error.text);
    assert_non_null(disk);
    return disk;
}

static void make_source(const char *name, enum disk_format format)
{
    const struct disk_create_options options = {.sparse = true};
    assert_true(disk_create(name, DISK_BYTES, format, &options, &error));
    struct disk *disk = must_open(name, raw_flag(format));
    for (uint32_t sector = 0; sector < DISK_SECTORS; sector++) {
        static const uint8_t zeros[DISK_SECTOR_SIZE];
        uint8_t *bytes = content + (size_t)sector * DISK_SECTOR_SIZE;
        if (memcmp(bytes, zeros, sizeof(zeros)) != 0)
            assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, sector, 1), 0);
    }
    assert_int_equal(disk_close(disk), 0);
}

static void expect_content(const char *name, enum disk_format format)
{
    struct disk *disk = must_open(name, DISK_OPEN_READ_ONLY | raw_flag(format));
    assert_int_equal(disk_format(disk), format);
    assert_int_equal(disk_sectors(disk), DISK_SECTORS);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, DISK_SECTORS), 0);
    assert_memory_equal(buffer, content, DISK_BYTES);
    disk_close(disk);
}

static void no_finding(void *context, enum disk_check_level level, const char *text)
{
    (void)context;
    print_error("%d: %s\n", level, text);
    fail();
}

/* Single sectors here and there, a written stretch, zeros that were written, and the last sector. */
static int make_content(void **state)
{
    content = calloc(1, DISK_BYTES);
    buffer = malloc(DISK_BYTES);
    for (uint32_t sector = 0; sector < DISK_SECTORS; sector += 1111)
        content[(size_t)sector * DISK_SECTOR_SIZE + sector % DISK_SECTOR_SIZE] = (uint8_t)(sector | 1);
    for (size_t i = 5 * MIB; i < 5 * MIB + 200000; i++)
        content[i] = (uint8_t)(i * 31 >> 3);
    content[DISK_BYTES - 1] = 0xaa;
    return scratch_setup(state);
}

static int free_content(void **state)
{
    free(content);
    free(buffer);
    return scratch_teardown(state);
}

static void every_format_to_every_format(void **state)
{
    (void)state;
    static struct scratch_progress seen;
    for (enum disk_format from = DISK_FORMAT_RAW; from <= DISK_FORMAT_DYNAMIC; from++) {
        make_source("source", from);
        for (enum disk_format to = DISK_FORMAT_RAW; to <= DISK_FORMAT_DYNAMIC; to++) {
            seen = (struct scratch_progress){0};
            const struct disk_convert_options options = {
                .block_size = 64 << 10,
                .progress = {.report = scratch_progress, .context = &seen},
            };
            if (!disk_convert("source", "destination", to, &options, &error)) {
                print_error("%s\n", error.text);
                fail();
            }
            assert_int_equal(seen.last, DISK_BYTES);
            expect_content("destination", to);
            struct disk_check_result result;
            if (to != DISK_FORMAT_RAW)
                assert_true(disk_check("destination", no_finding, NULL, &result, &error));
            struct disk_info info;
            assert_true(disk_info("destination", raw_flag(to), &info, &error));
            assert_true(info.file_space < 2 * MIB);
            if (to == DISK_FORMAT_DYNAMIC)
                assert_true(info.allocated_blocks < 30 && info.file_size < 3 * MIB);
            assert_int_equal(unlink("destination"), 0);
        }
        assert_int_equal(unlink("source"), 0);
    }
    assert_int_equal(scratch_files(), 0);
}

/* What is all zeros takes no space even where the source has it written. */
static void written_zeros(void **state)
{
    (void)state;
    memset(content, 0, DISK_BYTES);
    const struct disk_create_options options = {.sparse = false};
    assert_true(disk_create("source", DISK_BYTES, DISK_FORMAT_RAW, &options, &error));
    struct disk *disk = must_open("source", DISK_OPEN_RAW);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, content, 0, DISK_SECTORS), 0);
    disk_close(disk);
    assert_true(disk_convert("source", "destination", DISK_FORMAT_DYNAMIC, NULL, &error));
    struct disk_info info;
    assert_true(disk_info("destination", 0, &info, &error));
    assert_int_equal(info.allocated_blocks, 0);
    expect_content("destination", DISK_FORMAT_DYNAMIC);
}

static void nothing_is_overwritten(void **state)
{
    (void)state;
    make_source("source", DISK_FORMAT_DYNAMIC);
    make_source("other", DISK_FORMAT_FIXED);
    assert_false(disk_convert("source", "other", DISK_FORMAT_RAW, NULL, &error));
    expect_error(EEXIST, "other: exists already");
    expect_content("other", DISK_FORMAT_FIXED);

    const struct disk_convert_options options = {.replace = true};
    assert_false(disk_convert("source", "source", DISK_FORMAT_RAW, &options, &error));
    expect_error(EINVAL, "source: is the disk that is to be converted");
    assert_false(disk_convert("source", "./source", DISK_FORMAT_RAW, NULL, &error));
    expect_error(EINVAL, "source: is the disk that is to be converted");

    struct disk *disk = must_open("other", 0);
    assert_false(disk_convert("source", "other", DISK_FORMAT_RAW, &options, &error));
    expect_error(EBUSY, "other: in use by process");
    assert_false(disk_convert("other", "new", DISK_FORMAT_RAW, NULL, &error));
    expect_error(EBUSY, "other: in use by process");
    disk_close(disk);
    assert_int_equal(scratch_files(), 2);

    assert_true(disk_convert("source", "other", DISK_FORMAT_RAW, &options, &error));
    expect_content("other", DISK_FORMAT_RAW);
    assert_int_equal(scratch_files(), 2);
}

/* The name is taken while the work goes on. */
static void take_name(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    (void)done;
    (void)total;
    int descriptor = open("destination", O_WRONLY | O_CREAT, 0600);
    assert_true(descriptor >= 0);
    close(descriptor);
}

static void nothing_is_left(void **state)
{
    (void)state;
    make_source("source", DISK_FORMAT_DYNAMIC);
    volatile sig_atomic_t cancel = 0;
    struct scratch_progress seen = {.cancel = &cancel, .cancel_at = 2};
    struct disk_convert_options options = {
        .progress = {.report = scratch_progress, .context = &seen, .cancel = &cancel},
    };
    for (enum disk_format to = DISK_FORMAT_RAW; to <= DISK_FORMAT_DYNAMIC; to++) {
        cancel = 0;
        seen.calls = 0;
        seen.last = 0;
        assert_false(disk_convert("source", "destination", to, &options, &error));
        expect_error(ECANCELED, "destination: cancelled");
        assert_int_equal(scratch_files(), 1);
    }
    options.progress = (struct disk_progress){.report = take_name};
    assert_false(disk_convert("source", "destination", DISK_FORMAT_RAW, &options, &error));
    expect_error(EEXIST, "destination: exists already");
    struct stat status;
    assert_int_equal(stat("destination", &status), 0);
    assert_int_equal(status.st_size, 0);
    assert_int_equal(unlink("destination"), 0);
    options.replace = true; /* not what was not there when the work began */
    assert_false(disk_convert("source", "destination", DISK_FORMAT_RAW, &options, &error));
    expect_error(EEXIST, "destination: exists already");
    options.replace = false;
    assert_int_equal(scratch_files(), 2);
    assert_int_equal(unlink("destination"), 0);

    /* A source with a block that cannot be read. */
    assert_int_equal(stat("source", &status), 0);
    assert_int_equal(truncate("source", status.st_size / 2), 0);
    options.progress = (struct disk_progress){0};
    assert_false(disk_convert("source", "destination", DISK_FORMAT_RAW, &options, &error));
    expect_error(EIO, "source: reading sectors ");
    assert_int_equal(scratch_files(), 1);
}

/* A file system without space for it, as far as a limit of the process can play one. */
static void no_space(void **state)
{
    (void)state;
    make_source("source", DISK_FORMAT_DYNAMIC);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 3 * MIB, .rlim_max = before.rlim_max};
    for (enum disk_format to = DISK_FORMAT_RAW; to <= DISK_FORMAT_DYNAMIC; to++) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        bool done = disk_convert("source", "destination", to, NULL, &error);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_false(done);
        assert_non_null(strstr(error.text, "destination: "));
        assert_int_equal(scratch_files(), 1);
    }
}

static void refused_sources(void **state)
{
    (void)state;
    assert_false(disk_convert("missing", "destination", DISK_FORMAT_RAW, NULL, &error));
    expect_error(ENOENT, "missing: ");

    /* No VHD, so it is taken for a raw image; no whole sectors, so it is none. */
    int descriptor = open("odd", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(descriptor, "hello", 5), 5);
    close(descriptor);
    assert_false(disk_convert("odd", "destination", DISK_FORMAT_DYNAMIC, NULL, &error));
    expect_error(EINVAL, "odd: no raw image: its size of 5 bytes is not a multiple of 512");
    assert_int_equal(unlink("odd"), 0);

    /* A damaged VHD is not taken for a raw image, unless that is asked for. */
    make_source("source", DISK_FORMAT_FIXED);
    descriptor = open("source", O_WRONLY);
    assert_int_equal(pwrite(descriptor, "!", 1, (off_t)DISK_BYTES + 300), 1);
    close(descriptor);
    assert_false(disk_convert("source", "destination", DISK_FORMAT_RAW, NULL, &error));
    expect_error(EUCLEAN, "source: a damaged VHD: its footer has wrong checksum");
    const struct disk_convert_options options = {.source_raw = true};
    assert_true(disk_convert("source", "destination", DISK_FORMAT_RAW, &options, &error));
    struct disk_info info;
    assert_true(disk_info("destination", DISK_OPEN_RAW, &info, &error));
    assert_int_equal(info.size, DISK_BYTES + 512);

    /* A raw image larger than any VHD. */
    assert_int_equal(truncate("destination", (off_t)(2041 * 1024 * MIB)), 0);
    assert_false(disk_convert("destination", "new", DISK_FORMAT_DYNAMIC, NULL, &error));
    expect_error(EFBIG, "new: a size of 2191507062784 bytes is too large: a VHD has at most 2040 GiB");
    assert_int_equal(scratch_files(), 2);
}

/* A differencing disk is copied with what its parents have. */
static void chain(void **state)
{
    (void)state;
    make_source("parent", DISK_FORMAT_DYNAMIC);
    assert_true(disk_create_child("source", "parent", NULL, &error));
    memset(content + 3 * MIB, 0, 2 * MIB); /* zeros over the parent's data, and data over its zeros */
    memset(content + 7 * MIB, 9, 1 * MIB);
    struct disk *disk = must_open("source", 0);
    for (uint64_t offset = 3 * MIB; offset < 8 * MIB; offset += 64 << 10)
        if (offset < 5 * MIB || offset >= 7 * MIB)
            assert_int_equal(
                disk_transfer(disk, DISK_WRITE, content + offset, offset / DISK_SECTOR_SIZE, (64 << 10) / 512), 0);
    assert_int_equal(disk_close(disk), 0);
    for (enum disk_format to = DISK_FORMAT_RAW; to <= DISK_FORMAT_DYNAMIC; to++) {
        if (!disk_convert("source", "destination", to, NULL, &error))
            fail_msg("%s", error.text);
        expect_content("destination", to);
        assert_int_equal(unlink("destination"), 0);
    }
}

/* A large and almost empty disk is a matter of a moment. */
static void largest_disk(void **state)
{
    (void)state;
    const struct disk_create_options options = {.sparse = true};
    assert_true(disk_create("source", 2040 * 1024 * MIB, DISK_FORMAT_DYNAMIC, &options, &error));
    struct disk *disk = must_open("source", 0);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, content + 5 * MIB, disk_sectors(disk) - 100, 100), 0);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, content + 5 * MIB, 1u << 31, 100), 0);
    assert_int_equal(disk_close(disk), 0);
    assert_true(disk_convert("source", "fixed", DISK_FORMAT_FIXED, NULL, &error));
    assert_true(disk_convert("fixed", "destination", DISK_FORMAT_DYNAMIC, NULL, &error));
    disk = must_open("destination", DISK_OPEN_READ_ONLY);
    assert_int_equal(disk_sectors(disk), 2040 * 1024 * 2048ull);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, disk_sectors(disk) - 100, 100), 0);
    assert_memory_equal(buffer, content + 5 * MIB, 51200);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 1u << 31, 100), 0);
    assert_memory_equal(buffer, content + 5 * MIB, 51200);
    disk_close(disk);
}

int main(void)
{
#define CONVERT_TEST(function) cmocka_unit_test_setup_teardown(function, make_content, free_content)
    const struct CMUnitTest tests[] = {
        CONVERT_TEST(every_format_to_every_format),
        CONVERT_TEST(written_zeros),
        CONVERT_TEST(nothing_is_overwritten),
        CONVERT_TEST(nothing_is_left),
        CONVERT_TEST(no_space),
        CONVERT_TEST(refused_sources),
        CONVERT_TEST(chain),
        CONVERT_TEST(largest_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
