/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks whose parent is fetched: what is read is right, stored, and fetched once, whatever comes in between. The
 * parents are images that were made here, and that a loam-fetch of the test serves.
 */
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/remote_file.h"
#include "partitions/root/disk/streaming.h"
#include "tests/unit/fake_fetch.h"
#include "tests/unit/memory_file.h"
#include "tests/unit/power_failure.h"
#include "tests/unit/scratch.h"

#define MIB     (1024u * 1024)
#define SECTORS (6u * MIB / DISK_SECTOR_SIZE)
#define FIRST   1024u /* of those that tests read and write: where all have data */

struct shape {
    const char *name, *ending;
    enum disk_format format;
    uint32_t logical_sector;
    unsigned between; /* local images between the disk's own and the one that is fetched */
};

static const struct shape shapes[] = {
    {"fixed VHD",                   ".vhd",  DISK_FORMAT_FIXED,   0,    0},
    {"dynamic VHD",                 ".vhd",  DISK_FORMAT_DYNAMIC, 0,    0},
    {"fixed VHD, local parents",    ".vhd",  DISK_FORMAT_FIXED,   0,    2},
    {"dynamic VHDX",                ".vhdx", DISK_FORMAT_DYNAMIC, 0,    0},
    {"dynamic VHDX, large sectors", ".vhdx", DISK_FORMAT_DYNAMIC, 4096, 1},
    {"raw",                         ".vhdx", DISK_FORMAT_RAW,     0,    0},
};

static uint8_t expected[SECTORS * DISK_SECTOR_SIZE], buffer[SECTORS * DISK_SECTOR_SIZE], remote[16 * MIB];
static size_t remote_size;
static struct fake_fetch fetch;
static struct disk_error error;
static char names[4][32];
static unsigned name_count;
static struct disk *disk;
static bool reads_only;

/* ---- The disk ---- */

static void load_remote(const char *name)
{
    FILE *stream = fopen(name, "rb");
    assert_non_null(stream);
    remote_size = fread(remote, 1, sizeof(remote), stream);
    assert_in_range(remote_size, 1, sizeof(remote) - 1);
    fclose(stream);
}

/* With data but for two holes, which the formats that have blocks know of. */
static void make_parent(const struct shape *shape, const char *name)
{
    const struct disk_create_options options = {.logical_sector = shape->logical_sector, .block_size = MIB};
    assert_true(disk_create(name, sizeof(expected), shape->format, &options, &error));
    for (size_t i = 0; i < sizeof(expected); i++)
        expected[i] = (uint8_t)(i * 7 + i / 512 * 3 + i / 65536 + 1);
    memset(expected + 2 * MIB, 0, MIB);
    struct disk *parent = disk_open(name, shape->format == DISK_FORMAT_RAW ? DISK_OPEN_RAW : 0, &error);
    assert_non_null(parent);
    assert_int_equal(disk_transfer(parent, DISK_WRITE, expected, 0, 2 * MIB / DISK_SECTOR_SIZE), 0);
    assert_int_equal(
        disk_transfer(parent, DISK_WRITE, expected + 3 * MIB, 3 * MIB / DISK_SECTOR_SIZE, 3 * MIB / DISK_SECTOR_SIZE),
        0);
    assert_int_equal(disk_close(parent), 0);
}

static int start_fetch(const struct remote_source *source, struct disk_error *problem)
{
    (void)source, (void)problem;
    return fake_fetch_start(&fetch, remote, remote_size);
}

/* The child records the URL; those of images find their parents there all the same, by what they are. */
static void make_raw_chain(const struct shape *shape)
{
    const struct disk_create_options options = {.parent_raw = true};
    make_parent(shape, names[1]);
    load_remote(names[1]);
    struct host_files fetching = host_files_direct;
    fetching.open_source = start_fetch;
    host_files = &fetching;
    assert_true(disk_create_child(names[0], "http://example.org/parent", &options, &error));
    host_files = &host_files_direct;
    fake_fetch_stop(&fetch);
}

/* Each image between has sectors of its own. */
static void make_chain(const struct shape *shape)
{
    name_count = shape->between + 2;
    for (unsigned i = 0; i < name_count; i++)
        snprintf(names[i], sizeof(names[i]), "%u%s", name_count - 1 - i, shape->ending);
    if (shape->format == DISK_FORMAT_RAW) {
        make_raw_chain(shape);
        return;
    }
    make_parent(shape, names[name_count - 1]);
    for (unsigned i = name_count - 1; i-- > 0;) {
        assert_true(disk_create_child(names[i], names[i + 1], NULL, &error));
        if (i == 0)
            break;
        struct disk *between = disk_open(names[i], 0, &error);
        memset(expected + (FIRST + 100 * i) * DISK_SECTOR_SIZE, (int)(0xd0 + i), 24 * DISK_SECTOR_SIZE);
        assert_int_equal(
            disk_transfer(between, DISK_WRITE, expected + (FIRST + 100 * i) * DISK_SECTOR_SIZE, FIRST + 100 * i, 24),
            0);
        assert_int_equal(disk_close(between), 0);
    }
    load_remote(names[name_count - 1]);
}

static struct disk_file *source_file(int socket)
{
    struct remote_source source = {.url = "http://example.org/parent", .size = remote_size};
    strcpy(source.validator, fetch.validator);
    struct disk_file *file = remote_file_open(socket, &source, true, &error);
    assert_non_null(file);
    return file;
}

static void open_with(int socket)
{
    struct disk_file *files[4];
    for (unsigned i = 0; i < name_count - 1; i++)
        files[i] = image_file_open(names[i], i || reads_only ? DISK_OPEN_READ_ONLY : 0, &error);
    files[name_count - 1] = source_file(socket);
    disk = disk_open_files(files, name_count, reads_only ? DISK_OPEN_READ_ONLY : 0, &error);
    if (!disk)
        print_error("%s\n", error.text);
    assert_non_null(disk);
}

static void open_again(void)
{
    assert_int_equal(disk_close(disk), 0);
    fake_fetch_hang_up(&fetch);
    open_with(fake_fetch_restart(&fetch));
}

static int setup(void **state)
{
    if (scratch_setup(NULL) != 0)
        return -1;
    reads_only = false;
    make_chain(*state ? *state : shapes);
    int socket = fake_fetch_start(&fetch, remote, remote_size);
    fetch.window = REMOTE_WINDOW;
    fetch.metadata = memcmp(remote, "vhdxfile", 8) == 0 ? MIB : 0; /* [MS-VHDX] 2.1: what is at fixed places */
    open_with(socket);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (disk)
        disk_close(disk);
    disk = NULL;
    fake_fetch_stop(&fetch);
    return scratch_teardown(NULL);
}

/* ---- Requests ---- */

static void read_range(uint32_t first, uint32_t count)
{
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, first, count), 0);
    assert_memory_equal(buffer, expected + (size_t)first * DISK_SECTOR_SIZE, (size_t)count * DISK_SECTOR_SIZE);
}

static void write_range(uint32_t first, uint32_t count, int value)
{
    memset(expected + (size_t)first * DISK_SECTOR_SIZE, value, (size_t)count * DISK_SECTOR_SIZE);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, expected + (size_t)first * DISK_SECTOR_SIZE, first, count), 0);
}

static sem_t arrived;

static void something_arrived(void *context)
{
    (void)context;
    sem_post(&arrived);
}

static void fetch_rest(void)
{
    enum streaming_progress progress;
    remote_file_watch(streaming_source(disk), something_arrived, NULL);
    while ((progress = streaming_prefetch(disk)) != STREAMING_DONE)
        if (progress == STREAMING_WAITS)
            sem_wait(&arrived);
}

/* No sector of the parent's was sent twice but as metadata. */
static void expect_once(void)
{
    assert_in_range(fake_fetch_most_times(&fetch), 0, 1);
}

/* ---- Tests ---- */

static void is_right_and_fetched_once(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t first = i * 7919 % (SECTORS - 64);
        read_range(first, 1 + i % 64);
    }
    read_range(0, SECTORS);
    expect_once();
    uint64_t fetched = fetch.fetched;
    read_range(0, SECTORS);
    assert_int_equal(fetch.fetched, fetched);
    fetch_rest();
    assert_int_equal(fetch.fetched, fetched);
}

static void stays_after_opening_again(void **state)
{
    (void)state;
    read_range(FIRST, 100);
    read_range(SECTORS - 3000, 1000);
    open_again();
    read_range(FIRST, 100);
    read_range(SECTORS - 3000, 1000);
    read_range(0, SECTORS);
    expect_once();
}

/* All that has no place in the parent, and what is local, is not fetched. */
static void fetches_only_what_is_missing(void **state)
{
    const struct shape *shape = *state;
    struct remote_wait wait;
    write_range(4 * MIB / DISK_SECTOR_SIZE, 2048, 0x11);
    remote_file_look(streaming_source(disk), &wait);
    uint64_t before = wait.fetched;
    read_range(4 * MIB / DISK_SECTOR_SIZE, 2048);
    remote_file_look(streaming_source(disk), &wait);
    assert_int_equal(wait.fetched, before);
    if (shape->format == DISK_FORMAT_DYNAMIC)
        read_range(2 * MIB / DISK_SECTOR_SIZE, 2048);
    remote_file_look(streaming_source(disk), &wait);
    assert_in_range(wait.fetched, before, before + 2 * REMOTE_WINDOW); /* metadata */
}

static void the_rest_is_fetched_ahead(void **state)
{
    (void)state;
    read_range(FIRST, 10);
    write_range(SECTORS / 2 + 3, 1000, 0x77);
    fetch_rest();
    assert_int_equal(streaming_local(disk), sizeof(expected));
    expect_once();
    fake_fetch_hang_up(&fetch); /* nobody needs it any more */
    read_range(0, SECTORS);
    assert_int_equal(disk_close(disk), 0);
    open_with(fake_fetch_restart(&fetch));
    uint64_t fetched = fetch.fetched;
    read_range(0, SECTORS);
    fetch_rest();
    assert_in_range(fetch.fetched - fetched, 0, 4 * REMOTE_WINDOW); /* metadata */
}

/* What the guest writes while the sectors are on their way stays. */
static void a_write_wins(void **state)
{
    (void)state;
    fake_fetch_silence(&fetch, true);
    while (streaming_prefetch(disk) == STREAMING_MORE)
        continue;
    assert_int_equal(streaming_local(disk), 0);
    write_range(8, 16, 0xaa);
    write_range(504, 24, 0xbb);
    fake_fetch_silence(&fetch, false);
    read_range(0, 600);
    fetch_rest();
    read_range(0, SECTORS);
    open_again();
    read_range(0, SECTORS);
    expect_once();
}

/* While the source does not answer, what is local is read and written as ever. */
static void silence_stops_nobody_else(void **state)
{
    (void)state;
    write_range(FIRST, 512, 0x33);
    read_range(SECTORS - 2048, 512);
    fake_fetch_silence(&fetch, true);
    while (streaming_prefetch(disk) == STREAMING_MORE)
        continue;
    for (unsigned i = 0; i < 5; i++) {
        read_range(FIRST, 512);
        read_range(SECTORS - 2048, 512);
        write_range(FIRST + 512, 8, 0x44);
        read_range(FIRST + 512, 8);
        assert_int_equal(streaming_prefetch(disk), STREAMING_WAITS);
    }
    assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), 0);
    fake_fetch_silence(&fetch, false);
    read_range(0, SECTORS);
    expect_once();
}

static void discarded_sectors_are_not_fetched_again(void **state)
{
    (void)state;
    read_range(3 * MIB / DISK_SECTOR_SIZE, 2048);
    uint64_t fetched = fetch.fetched;
    assert_int_equal(disk_transfer(disk, DISK_DISCARD, NULL, 3 * MIB / DISK_SECTOR_SIZE, 1024), 0);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 3 * MIB / DISK_SECTOR_SIZE, 1024), 0);
    assert_int_equal(fetch.fetched, fetched);
}

static void reading_only_stores_nothing(void **state)
{
    (void)state;
    assert_int_equal(disk_close(disk), 0);
    fake_fetch_hang_up(&fetch);
    reads_only = true;
    open_with(fake_fetch_restart(&fetch));
    uint64_t fetched = fetch.fetched;
    read_range(0, SECTORS);
    assert_int_equal(streaming_prefetch(disk), STREAMING_DONE);
    read_range(0, SECTORS);
    assert_true(fetch.fetched - fetched > 2 * 5 * MIB);
}

static unsigned asked;

static void *interrupt(void *context)
{
    fake_fetch_await(&fetch, asked + 1);
    remote_file_interrupt(context, true);
    return NULL;
}

/* A read that nobody wants any more ends; what it has begun is of use later. */
static void an_interrupted_read_ends(void **state)
{
    pthread_t thread;
    (void)state;
    read_range(FIRST, 1); /* metadata */
    fake_fetch_silence(&fetch, true);
    asked = fetch.asked;
    assert_int_equal(pthread_create(&thread, NULL, interrupt, streaming_source(disk)), 0);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, SECTORS / 2, 100), EIO);
    pthread_join(thread, NULL);
    remote_file_interrupt(streaming_source(disk), false);
    fake_fetch_silence(&fetch, false);
    read_range(SECTORS / 2, 100);
    expect_once();
}

static void a_request_for_more_than_is_under_way_at_a_time(void **state)
{
    (void)state;
    fake_fetch_silence(&fetch, true);
    while (streaming_prefetch(disk) == STREAMING_MORE)
        continue;
    fake_fetch_silence(&fetch, false);
    read_range(1, SECTORS - 1);
    expect_once();
}

/* ---- A file that fails ---- */

static struct memory_file top;

static void open_in_memory(int socket)
{
    struct disk_file *files[] = {&top.file, source_file(socket)};
    disk = disk_open_files(files, 2, 0, &error);
    assert_non_null(disk);
}

static void close_in_memory(void)
{
    struct disk_file *source = streaming_source(disk);
    disk_free(disk, false);
    disk_file_close(source);
    disk = NULL;
}

static void move_to_memory(void)
{
    static uint8_t bytes[16 * MIB];
    assert_int_equal(disk_close(disk), 0);
    FILE *stream = fopen(names[0], "rb");
    assert_non_null(stream);
    size_t size = fread(bytes, 1, sizeof(bytes), stream);
    fclose(stream);
    memory_file_initialize(&top);
    memory_file_set(&top, bytes, size);
    fake_fetch_hang_up(&fetch);
    open_in_memory(fake_fetch_restart(&fetch));
}

static void without_space_it_is_tried_again(void **state)
{
    (void)state;
    move_to_memory();
    top.limit = top.size;
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, FIRST, 700), ENOSPC);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, FIRST, 700), ENOSPC);
    assert_int_equal(streaming_prefetch(disk), STREAMING_WAITS);
    uint64_t fetched = fetch.fetched;
    top.limit = 0;
    read_range(FIRST, 700);
    assert_int_equal(fetch.fetched, fetched);
    read_range(0, SECTORS);
    expect_once();
    close_in_memory();
    memory_file_release(&top);
}

static void what_cannot_be_stored_is_read_all_the_same(void **state)
{
    (void)state;
    move_to_memory();
    top.fail_at = top.changes + 1;
    top.fail_count = SIZE_MAX;
    top.fail_error = EIO;
    read_range(FIRST, 700);
    assert_int_equal(streaming_prefetch(disk), STREAMING_WAITS);
    read_range(0, SECTORS);
    top.fail_at = 0;
    close_in_memory();
    memory_file_release(&top);
}

/* Where power_failures_do_no_harm reads and writes, and a little beyond. */
static uint32_t place_of(uint32_t number)
{
    return number * 5009 % (SECTORS - 700);
}

/* Each sector is what it should be, or was to be written by then. */
static void expect_all_but_written(uint32_t first, uint32_t count)
{
    static const uint8_t written[] = {0x55, 0x55, 0x55, 0x55};
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, first, count), 0);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *is = buffer + (size_t)i * DISK_SECTOR_SIZE;
        const uint8_t *was = expected + (size_t)(first + i) * DISK_SECTOR_SIZE;
        if (memcmp(was, written, sizeof(written)) != 0)
            assert_memory_equal(is, was, DISK_SECTOR_SIZE);
    }
}

/* What a failure may leave reads as ever. */
static void expect_no_harm(void *context, struct memory_file *medium, size_t point)
{
    (void)context, (void)point;
    memory_file_set(&top, medium->bytes, medium->size);
    fake_fetch_hang_up(&fetch);
    open_in_memory(fake_fetch_restart(&fetch));
    for (uint32_t i = 0; i < 3; i++)
        expect_all_but_written(place_of(i), 700);
    close_in_memory();
}

static void power_failures_do_no_harm(void **state)
{
    struct memory_file before, logged;
    (void)state;
    move_to_memory();
    memory_file_initialize(&before);
    power_failure_begin(&top, &before);
    for (uint32_t i = 0; i < 3; i++) {
        read_range(place_of(i), 64);
        write_range(place_of(i) + 100, 9, 0x55);
        if (i == 1)
            assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), 0);
    }
    close_in_memory();
    logged = top;
    memory_file_initialize(&top);
    print_message("%llu failures\n", (unsigned long long)power_failure_play(&logged, &before, expect_no_harm, NULL));
    memory_file_release(&top);
    memory_file_release(&before);
    memory_file_release(&logged);
}

#define IN_EACH_SHAPE(test)                                                                                            \
    {#test " (fixed VHD)", test, setup, teardown, (void *)&shapes[0]},                                                 \
        {#test " (dynamic VHD)", test, setup, teardown, (void *)&shapes[1]},                                           \
        {#test " (local parents)", test, setup, teardown, (void *)&shapes[2]},                                         \
        {#test " (raw)", test, setup, teardown, (void *)&shapes[5]},                                                   \
        {#test " (VHDX)", test, setup, teardown, (void *)&shapes[3]},                                                  \
    {                                                                                                                  \
#test " (VHDX, large sectors)", test, setup, teardown, (void *)&shapes[4]                                      \
    }
#define IN_TWO_SHAPES(test)                                                                                            \
    {#test " (VHD)", test, setup, teardown, (void *)&shapes[0]},                                                       \
    {                                                                                                                  \
#test " (VHDX)", test, setup, teardown, (void *)&shapes[3]                                                     \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_EACH_SHAPE(is_right_and_fetched_once),
        IN_EACH_SHAPE(stays_after_opening_again),
        IN_EACH_SHAPE(fetches_only_what_is_missing),
        IN_EACH_SHAPE(the_rest_is_fetched_ahead),
        IN_EACH_SHAPE(a_write_wins),
        IN_EACH_SHAPE(silence_stops_nobody_else),
        IN_EACH_SHAPE(discarded_sectors_are_not_fetched_again),
        IN_EACH_SHAPE(reading_only_stores_nothing),
        IN_EACH_SHAPE(an_interrupted_read_ends),
        IN_EACH_SHAPE(a_request_for_more_than_is_under_way_at_a_time),
        IN_TWO_SHAPES(without_space_it_is_tried_again),
        IN_TWO_SHAPES(what_cannot_be_stored_is_read_all_the_same),
        IN_TWO_SHAPES(power_failures_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
