/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks of every format beside a plain array: random requests, scattered in memory, of any length and at any place,
 * with flushes, TRIM, and closing and opening in between, some over a parent that is fetched; everything that is read
 * is what the array has. The environment's MODEL_OPERATIONS says how many requests each format gets.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/check.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/remote_file.h"
#include "partitions/root/disk/streaming.h"
#include "tests/unit/fake_fetch.h"
#include "tests/unit/scratch.h"

#define MIB             (1024u * 1024)
#define SECTORS         (11u * MIB / DISK_SECTOR_SIZE + 8)
#define LARGEST_REQUEST 5000u
#define PIECES          7
#define OPERATIONS      6000u
#define LARGEST_IMAGE   (64u * MIB)

struct shape {
    const char *name;
    const char *ending;
    enum disk_format format;
    uint32_t block_size, logical_sector;
    unsigned children; /* so many differencing disks over it, each written to after the other */
    bool remote;       /* the disk itself is fetched then, by a loam-fetch of the test */
};

static const struct shape shapes[] = {
    {"raw",                                 ".img",  DISK_FORMAT_RAW,     0,         0,    0, false},
    {"fixed VHD",                           ".vhd",  DISK_FORMAT_FIXED,   0,         0,    0, false},
    {"dynamic VHD",                         ".vhd",  DISK_FORMAT_DYNAMIC, 0,         0,    0, false},
    {"dynamic VHD, small blocks",           ".vhd",  DISK_FORMAT_DYNAMIC, 4096,      0,    0, false},
    {"dynamic VHD, large blocks",           ".vhd",  DISK_FORMAT_DYNAMIC, 4u * MIB,  0,    0, false},
    {"differencing VHD",                    ".vhd",  DISK_FORMAT_FIXED,   0,         0,    1, false},
    {"three differencing VHDs",             ".vhd",  DISK_FORMAT_DYNAMIC, 64u << 10, 0,    3, false},
    {"fixed VHDX",                          ".vhdx", DISK_FORMAT_FIXED,   0,         0,    0, false},
    {"dynamic VHDX",                        ".vhdx", DISK_FORMAT_DYNAMIC, 1u * MIB,  0,    0, false},
    {"dynamic VHDX, large sectors",         ".vhdx", DISK_FORMAT_DYNAMIC, 2u * MIB,  4096, 0, false},
    {"differencing VHDX",                   ".vhdx", DISK_FORMAT_DYNAMIC, 1u * MIB,  0,    1, false},
    {"two VHDXs, large sectors",            ".vhdx", DISK_FORMAT_FIXED,   0,         4096, 2, false},
    {"VHD that is fetched",                 ".vhd",  DISK_FORMAT_DYNAMIC, 64u << 10, 0,    1, true },
    {"VHDX that is fetched",                ".vhdx", DISK_FORMAT_DYNAMIC, 1u * MIB,  0,    1, true },
    {"VHDX that is fetched, large sectors", ".vhdx", DISK_FORMAT_FIXED,   0,         4096, 1, true },
};

static struct disk_error error;
static uint8_t model[SECTORS * DISK_SECTOR_SIZE], buffer[(LARGEST_REQUEST + 1) * DISK_SECTOR_SIZE];
static uint64_t random_state;
static unsigned operations;

static uint32_t below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % limit;
}

static unsigned flags_of(const struct shape *shape)
{
    return shape->format == DISK_FORMAT_RAW ? DISK_OPEN_RAW : 0;
}

/* ---- A parent that is fetched ---- */

static struct fake_fetch fetch;
static uint8_t *remote; /* what is at its URL; NULL: the disk has none */
static size_t remote_size;

static void put_at_url(const char *path)
{
    FILE *stream = fopen(path, "rb");
    remote = malloc(LARGEST_IMAGE);
    assert_non_null(stream);
    assert_non_null(remote);
    remote_size = fread(remote, 1, LARGEST_IMAGE, stream);
    assert_in_range(remote_size, 1, LARGEST_IMAGE - 1);
    fclose(stream);
    close(fake_fetch_start(&fetch, remote, remote_size));
    fake_fetch_hang_up(&fetch);
}

static void take_from_url(void)
{
    if (!remote)
        return;
    close(fake_fetch_restart(&fetch));
    fake_fetch_stop(&fetch);
    free(remote);
    remote = NULL;
}

static struct disk *open_over_url(const char *path)
{
    struct remote_source source = {.url = "https://example.org/disk", .size = remote_size};
    strcpy(source.validator, fetch.validator);
    struct disk_file *files[] = {
        image_file_open(path, 0, &error),
        remote_file_open(fake_fetch_restart(&fetch), &source, true, &error),
    };
    return disk_open_files(files, 2, 0, &error);
}

/* ---- Requests ---- */

static struct disk *must_open(const struct shape *shape, const char *path)
{
    struct disk *disk = remote ? open_over_url(path) : disk_open(path, flags_of(shape), &error);
    if (!disk)
        print_error("%s\n", error.text);
    assert_non_null(disk);
    return disk;
}

/* Mostly short ones, sometimes long ones; in few places, so that they meet. */
static void choose(uint32_t *first, uint32_t *count)
{
    uint32_t most = below(50) == 0 ? LARGEST_REQUEST : below(4) == 0 ? 200 : 16;
    *count = 1 + below(most);
    *first = below(3) == 0 ? below(SECTORS - *count) : below(8) * 2500 % (SECTORS - *count) + below(300);
    if (*first > SECTORS - *count)
        *first = SECTORS - *count;
}

/* Carries a request out on the buffer, whose memory is cut into pieces anywhere. */
static void perform(struct disk *disk, enum disk_operation operation, uint32_t first, uint32_t count)
{
    struct iovec vector[PIECES];
    struct disk_request request = {
        .operation = operation, .sector = first, .sectors = count, .vector = vector, .vector_count = PIECES};
    size_t left = (size_t)count * DISK_SECTOR_SIZE, done = 0;
    for (int i = 0; i < PIECES; i++) {
        size_t piece = i == PIECES - 1 ? left : below((uint32_t)left + 1);
        vector[i] = (struct iovec){buffer + done, piece};
        done += piece;
        left -= piece;
    }
    if (operation == DISK_DISCARD)
        request.vector_count = 0;
    disk_execute(disk, &request);
    assert_int_equal(request.error, 0);
}

static void write_some(struct disk *disk, uint32_t first, uint32_t count)
{
    uint8_t *bytes = model + (size_t)first * DISK_SECTOR_SIZE;
    uint64_t value = below(6) ? random_state | 1 : 0; /* zeros are contents like others */
    for (size_t i = 0; i < (size_t)count * DISK_SECTOR_SIZE; i += sizeof(value), value = value ? value * 3 + i : 0)
        memcpy(bytes + i, &value, sizeof(value));
    memcpy(buffer, bytes, (size_t)count * DISK_SECTOR_SIZE);
    perform(disk, DISK_WRITE, first, count);
}

static void read_some(struct disk *disk, uint32_t first, uint32_t count)
{
    perform(disk, DISK_READ, first, count);
    assert_memory_equal(buffer, model + (size_t)first * DISK_SECTOR_SIZE, (size_t)count * DISK_SECTOR_SIZE);
}

/* Each sector is as before or zeros, and stays so. */
static void discard_some(struct disk *disk, uint32_t first, uint32_t count)
{
    static const uint8_t zeros[DISK_SECTOR_SIZE];
    perform(disk, DISK_DISCARD, first, count);
    perform(disk, DISK_READ, first, count);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *was = model + (size_t)(first + i) * DISK_SECTOR_SIZE, *is = buffer + (size_t)i * DISK_SECTOR_SIZE;
        assert_true(memcmp(is, zeros, DISK_SECTOR_SIZE) == 0 || memcmp(is, was, DISK_SECTOR_SIZE) == 0);
        memcpy(was, is, DISK_SECTOR_SIZE);
    }
}

static void expect_all(struct disk *disk)
{
    for (uint32_t first = 0, count; first < SECTORS; first += count) {
        count = SECTORS - first < LARGEST_REQUEST ? SECTORS - first : LARGEST_REQUEST;
        read_some(disk, first, count);
    }
}

static void must_close(struct disk *disk)
{
    assert_int_equal(disk_close(disk), 0);
    if (remote)
        fake_fetch_hang_up(&fetch);
}

static struct disk *reopen(struct disk *disk, const struct shape *shape, const char *path)
{
    must_close(disk);
    disk = must_open(shape, path);
    expect_all(disk);
    return disk;
}

static void print_finding(void *context, enum disk_check_level level, const char *text)
{
    (void)context;
    if (level != DISK_CHECK_NOTE)
        print_error("%s\n", text);
}

static void expect_sound(const struct shape *shape, const char *path)
{
    struct disk_check_result result;
    if (shape->format == DISK_FORMAT_RAW)
        return;
    assert_true(disk_check(path, print_finding, NULL, &result, &error));
    assert_int_equal(result.count[DISK_CHECK_WARNING] + result.count[DISK_CHECK_ERROR], 0);
}

static void work(const struct shape *shape, const char *path)
{
    struct disk *disk = must_open(shape, path);
    expect_all(disk);
    for (unsigned i = 0; i < operations / (shape->children + 1); i++) {
        uint32_t first, count, dice = below(1000);
        choose(&first, &count);
        if (below(5) == 0)
            streaming_prefetch(disk);
        if (dice < 2)
            disk = reopen(disk, shape, path);
        else if (dice < 6)
            assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), 0);
        else if (dice < 30)
            discard_some(disk, first, count);
        else if (dice < 500)
            write_some(disk, first, count);
        else
            read_some(disk, first, count);
    }
    expect_all(disk);
    must_close(disk);
    expect_sound(shape, path);
}

static void is_an_array(void **state)
{
    const struct shape *shape = *state;
    const struct disk_create_options options = {
        .block_size = shape->block_size, .logical_sector = shape->logical_sector, .sparse = true};
    char path[2][32];
    assert_int_equal(scratch_setup(NULL), 0);
    random_state = (uint64_t)(shape - shapes);
    memset(model, 0, sizeof(model));
    snprintf(path[0], sizeof(path[0]), "0%s", shape->ending);
    assert_true(disk_create(path[0], (uint64_t)SECTORS * DISK_SECTOR_SIZE, shape->format, &options, &error));
    work(shape, path[0]);
    for (unsigned child = 1; child <= shape->children; child++) {
        snprintf(path[child % 2], sizeof(path[0]), "%u%s", child, shape->ending);
        assert_true(disk_create_child(path[child % 2], path[(child + 1) % 2], NULL, &error));
        if (shape->remote)
            put_at_url(path[(child + 1) % 2]);
        work(shape, path[child % 2]);
    }
    take_from_url();
    assert_int_equal(scratch_teardown(NULL), 0);
}

int main(void)
{
    struct CMUnitTest tests[sizeof(shapes) / sizeof(shapes[0])];
    const char *wanted = getenv("MODEL_OPERATIONS");
    operations = wanted ? (unsigned)strtoul(wanted, NULL, 10) : OPERATIONS;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        tests[i] =
            (struct CMUnitTest){.name = shapes[i].name, .test_func = is_an_array, .initial_state = (void *)&shapes[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
