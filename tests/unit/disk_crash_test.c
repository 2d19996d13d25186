/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power failures while a disk is written to. Random work is done on an image whose file logs its changes, and each
 * failure is played. Each medium that may be left must open, hold for each sector the last flushed content or one
 * written since, and pass the check when it is closed.
 */
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
#include "partitions/root/disk/vhd/create.h"
#include "tests/unit/memory_file.h"
#include "tests/unit/power_failure.h"

#define MOST_SECTORS    512u
#define MOST_VERSIONS   64u
#define MOST_FLUSHES    256u
#define LARGEST_REQUEST 24u
#define GENERATIONS     3u

/* What was written to a sector, and how long the log was when it began. */
struct version {
    uint64_t value;
    size_t began;
};

struct model {
    uint32_t sectors;
    struct version versions[MOST_SECTORS][MOST_VERSIONS];
    uint32_t count[MOST_SECTORS]; /* at least 1: what the sector had at first */
    struct {
        size_t completed; /* length of the log */
        uint32_t count[MOST_SECTORS];
    } flushes[MOST_FLUSHES];
    uint32_t flush_count;
};

static struct model model;

/* A value fills its sector in a way that shows any mixing. 0 is a sector of zeros. */
static void fill_sector(uint8_t *bytes, uint64_t value)
{
    for (uint64_t i = 0; i < DISK_SECTOR_SIZE / 8; i++) {
        uint64_t word = value ? value * 0x100000001b3u + i : 0;
        memcpy(bytes + i * 8, &word, 8);
    }
}

static bool holds(const uint8_t *bytes, uint64_t value)
{
    uint8_t expected[DISK_SECTOR_SIZE];
    fill_sector(expected, value);
    return memcmp(bytes, expected, sizeof(expected)) == 0;
}

static void note_flush(size_t completed)
{
    assert_true(model.flush_count < MOST_FLUSHES);
    model.flushes[model.flush_count].completed = completed;
    memcpy(model.flushes[model.flush_count++].count, model.count, sizeof(model.count));
}

static void begin_model(uint32_t sectors, const uint64_t *values)
{
    model.sectors = sectors;
    model.flush_count = 0;
    for (uint32_t i = 0; i < sectors; i++) {
        model.versions[i][0] = (struct version){.value = values ? values[i] : 0};
        model.count[i] = 1;
    }
    note_flush(0);
}

/* The value that the sector may have after a failure at `point`, or a failed assertion. */
static uint64_t expect_allowed(const uint8_t *bytes, uint32_t sector, size_t point)
{
    uint32_t flush = model.flush_count - 1;
    while (model.flushes[flush].completed > point)
        flush--;
    for (uint32_t i = model.flushes[flush].count[sector] - 1; i < model.count[sector]; i++) {
        const struct version *version = &model.versions[sector][i];
        bool flushed = i == model.flushes[flush].count[sector] - 1;
        if ((flushed || version->began < point) && holds(bytes, version->value))
            return version->value;
    }
    print_error("sector %u after change %zu: neither flushed nor written\n", sector, point);
    fail();
    return 0;
}

static void print_finding(void *context, enum disk_check_level level, const char *text)
{
    (void)context;
    if (level == DISK_CHECK_ERROR)
        print_error("%s\n", text);
}

static void expect_sound(struct memory_file *memory, bool mended)
{
    struct disk_check_result result;
    struct disk_error error;
    assert_true(disk_check_file(&memory->file, print_finding, NULL, &result, &error));
    assert_int_equal(result.count[DISK_CHECK_ERROR], 0);
    if (mended)
        assert_int_equal(result.count[DISK_CHECK_WARNING], 0);
}

/* Of a differencing image; without bytes if there is none. */
static struct memory_file parent;

static struct disk *must_open(struct memory_file *memory)
{
    struct disk_error error;
    struct disk_file *files[] = {&memory->file, &parent.file};
    struct disk *disk = disk_open_files(files, parent.bytes ? 2 : 1, 0, &error);
    if (!disk)
        print_error("%s\n", error.text);
    assert_non_null(disk);
    return disk;
}

/* Opens a medium after a failure and compares it with the model; `values`, unless NULL, gets what it holds.
 */
static void expect_survived(struct memory_file *medium, size_t point, uint64_t *values)
{
    static uint8_t bytes[MOST_SECTORS * DISK_SECTOR_SIZE];
    expect_sound(medium, false);
    struct disk *disk = must_open(medium);
    assert_int_equal(disk_sectors(disk), model.sectors);
    assert_int_equal(disk_transfer(disk, DISK_READ, bytes, 0, model.sectors), 0);
    for (uint32_t sector = 0; sector < model.sectors; sector++) {
        uint64_t value = expect_allowed(bytes + (size_t)sector * DISK_SECTOR_SIZE, sector, point);
        if (values)
            values[sector] = value;
    }
    assert_int_equal(disk_close(disk), 0);
    expect_sound(medium, true);
}

static uint64_t media_played;

static void visit_medium(void *context, struct memory_file *medium, size_t point)
{
    (void)context;
    expect_survived(medium, point, NULL);
}

static uint64_t last_value;

static void write_some(struct disk *disk, const struct memory_file *memory)
{
    static uint8_t bytes[LARGEST_REQUEST * DISK_SECTOR_SIZE];
    uint32_t sectors = 1 + power_failure_below(LARGEST_REQUEST);
    if (sectors > model.sectors)
        sectors = model.sectors;
    uint32_t first = power_failure_below(model.sectors - sectors + 1);
    for (uint32_t i = 0; i < sectors; i++) {
        uint32_t sector = first + i;
        uint64_t value = ++last_value;
        fill_sector(bytes + (size_t)i * DISK_SECTOR_SIZE, value);
        assert_true(model.count[sector] < MOST_VERSIONS);
        model.versions[sector][model.count[sector]++] = (struct version){value, memory->log_count};
    }
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, first, sectors), 0);
}

static void flush(struct disk *disk, const struct memory_file *memory)
{
    assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), 0);
    note_flush(memory->log_count);
}

/* A process that is killed leaves all that it has written: so nothing that a request wrote is lost. */
static void expect_outlives_kill(const struct memory_file *memory)
{
    static uint8_t bytes[MOST_SECTORS * DISK_SECTOR_SIZE];
    struct memory_file left;
    memory_file_initialize(&left);
    memory_file_set(&left, memory->bytes, memory->size);
    struct disk *disk = must_open(&left);
    assert_int_equal(disk_transfer(disk, DISK_READ, bytes, 0, model.sectors), 0);
    for (uint32_t i = 0; i < model.sectors; i++)
        assert_true(holds(bytes + (size_t)i * DISK_SECTOR_SIZE, model.versions[i][model.count[i] - 1].value));
    assert_int_equal(disk_close(disk), 0);
    memory_file_release(&left);
}

/* Random work of `steps` requests on the image, which is open at the end; a power failure is what ends it. */
static struct disk *work(struct memory_file *memory, unsigned steps)
{
    struct disk *disk = must_open(memory);
    for (unsigned i = 0; i < steps; i++) {
        uint32_t dice = power_failure_below(16);
        if (dice < 3) {
            flush(disk, memory);
        } else if (dice == 3) {
            assert_int_equal(disk_close(disk), 0);
            note_flush(memory->log_count);
            disk = must_open(memory);
        } else {
            write_some(disk, memory);
            expect_outlives_kill(memory);
        }
    }
    return disk;
}

/*
 * Works on the image that `memory` holds, plays every failure, takes one of the media that a failure at the
 * end leaves, and goes on from there, several times over. `values` is what the image holds.
 */
static void live_and_fail(struct memory_file *memory, uint64_t *values, uint32_t sectors, unsigned steps)
{
    struct memory_file base, medium;
    memory_file_initialize(&base);
    memory_file_initialize(&medium);
    for (unsigned generation = 0; generation < GENERATIONS; generation++) {
        begin_model(sectors, values);
        power_failure_begin(memory, &base);
        struct disk *disk = work(memory, steps);
        media_played += power_failure_play(memory, &base, visit_medium, NULL);

        power_failure_choose(&medium, &base);
        memory_file_set(&base, medium.bytes, medium.size);
        expect_survived(&medium, memory->log_count, values);
        disk_close(disk);
        memory_file_set(memory, base.bytes, base.size);
    }
    memory_file_release(&base);
    memory_file_release(&medium);
}

static void make_image(struct memory_file *memory, uint32_t sectors, uint32_t block_size)
{
    memory_file_initialize(memory);
    assert_int_equal(
        disk_create_in(&memory->file, (uint64_t)sectors * DISK_SECTOR_SIZE, DISK_FORMAT_DYNAMIC, block_size), 0);
    memory->file.dirty = false;
    power_failure_seed(sectors + block_size);
    media_played = 0;
}

static void live_on_new_image(uint32_t sectors, uint32_t block_size, unsigned steps)
{
    static uint64_t values[MOST_SECTORS];
    struct memory_file memory;
    memset(values, 0, sizeof(values));
    make_image(&memory, sectors, block_size);
    live_and_fail(&memory, values, sectors, steps);
    memory_file_release(&memory);
    print_message("%llu media played\n", (unsigned long long)media_played);
}

static void small_blocks(void **state)
{
    (void)state;
    live_on_new_image(100, 4096, 48);
}

static void blocks_of_one_sector(void **state)
{
    (void)state;
    live_on_new_image(40, 512, 32);
}

/* Their places are aligned to the host's pages. */
static void aligned_blocks(void **state)
{
    (void)state;
    live_on_new_image(500, 64 << 10, 40);
}

static void make_child(struct memory_file *memory, uint32_t sectors, uint32_t block_size)
{
    struct vhd_child child = {
        .size = (uint64_t)sectors * DISK_SECTOR_SIZE,
        .block_size = block_size,
        .relative_path = "parent.vhd",
        .absolute_path = "/parent.vhd",
    };
    memory_file_initialize(memory);
    memcpy(child.identifier, parent.bytes + sectors * DISK_SECTOR_SIZE + 68, sizeof(child.identifier));
    assert_int_equal(vhd_create_child(&memory->file, &child), 0);
    memory->file.dirty = false;
    power_failure_seed(sectors + block_size);
    media_played = 0;
}

/* What is not written is the parent's, and must be until what was written has arrived. */
static void live_on_child(uint32_t sectors, uint32_t block_size, unsigned steps)
{
    static uint64_t values[MOST_SECTORS];
    static uint8_t bytes[MOST_SECTORS * DISK_SECTOR_SIZE];
    struct memory_file memory;
    memory_file_initialize(&parent);
    assert_int_equal(disk_create_in(&parent.file, (uint64_t)sectors * DISK_SECTOR_SIZE, DISK_FORMAT_FIXED, 0), 0);
    for (uint32_t i = 0; i < sectors; i++)
        fill_sector(bytes + (size_t)i * DISK_SECTOR_SIZE, values[i] = ++last_value);
    memcpy(parent.bytes, bytes, (size_t)sectors * DISK_SECTOR_SIZE);
    make_child(&memory, sectors, block_size);
    live_and_fail(&memory, values, sectors, steps);
    assert_memory_equal(parent.bytes, bytes, (size_t)sectors * DISK_SECTOR_SIZE);
    memory_file_release(&memory);
    memory_file_release(&parent);
    parent.bytes = NULL;
    print_message("%llu media played\n", (unsigned long long)media_played);
}

static void child_with_small_blocks(void **state)
{
    (void)state;
    live_on_child(100, 4096, 48);
}

static void child_with_aligned_blocks(void **state)
{
    (void)state;
    live_on_child(500, 64 << 10, 40);
}

/* A fixed image has nothing but its sectors to lose. */
static void fixed_image(void **state)
{
    (void)state;
    static uint64_t values[MOST_SECTORS];
    struct memory_file memory;
    memory_file_initialize(&memory);
    memset(values, 0, sizeof(values));
    assert_int_equal(disk_create_in(&memory.file, 64 * DISK_SECTOR_SIZE, DISK_FORMAT_FIXED, 0), 0);
    live_and_fail(&memory, values, 64, 24);
    memory_file_release(&memory);
}

/*
 * An image as others make it: bits are set only for sectors that were written, and the other sectors hold
 * anything. Behind the last block is the like, and no footer.
 */
static void image_of_others(void **state)
{
    (void)state;
    enum { SECTORS = 64, BLOCK_SECTORS = 8, TAIL = 3000 };
    static uint64_t values[MOST_SECTORS];
    static uint8_t bytes[SECTORS * DISK_SECTOR_SIZE];
    struct memory_file memory;
    make_image(&memory, SECTORS, BLOCK_SECTORS * DISK_SECTOR_SIZE);
    for (uint32_t i = 0; i < SECTORS; i++)
        fill_sector(bytes + (size_t)i * DISK_SECTOR_SIZE, values[i] = ++last_value);
    struct disk *disk = must_open(&memory);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 0, SECTORS), 0);
    assert_int_equal(disk_close(disk), 0);

    /* The table starts at byte 1536. */
    for (uint32_t block = 0; block < SECTORS / BLOCK_SECTORS; block++) {
        size_t bitmap = (size_t)vhd_load_entry(memory.bytes + 1536 + block * 4) * DISK_SECTOR_SIZE;
        uint8_t bits = (uint8_t)power_failure_below(256);
        memory.bytes[bitmap] = bits;
        for (uint32_t i = 0; i < BLOCK_SECTORS; i++) {
            if (bits & 0x80 >> i)
                continue;
            values[block * BLOCK_SECTORS + i] = 0;
            fill_sector(memory.bytes + bitmap + (1 + i) * DISK_SECTOR_SIZE, ++last_value);
        }
    }
    memory_file_resize(&memory, memory.size + TAIL);
    memset(memory.bytes + memory.size - TAIL - DISK_SECTOR_SIZE, 0x5a, TAIL + DISK_SECTOR_SIZE);
    live_and_fail(&memory, values, SECTORS, 24);
    memory_file_release(&memory);
    print_message("%llu media played\n", (unsigned long long)media_played);
}

/* Of the two footers only the one at the end is sound, and that is about to be moved before other bytes. */
static void damaged_copy(void **state)
{
    (void)state;
    enum { SECTORS = 40, TAIL = 2048 };
    static uint64_t values[MOST_SECTORS];
    struct memory_file memory;
    make_image(&memory, SECTORS, 4096);
    memset(values, 0, sizeof(values));
    size_t size = memory.size;
    memory_file_resize(&memory, size + TAIL);
    memmove(memory.bytes + size + TAIL - VHD_FOOTER_SIZE, memory.bytes + size - VHD_FOOTER_SIZE, VHD_FOOTER_SIZE);
    memset(memory.bytes + size - VHD_FOOTER_SIZE, 0x5a, TAIL);
    memory.bytes[40] ^= 1;
    live_and_fail(&memory, values, SECTORS, 6);
    memory_file_release(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_with_small_blocks),
        cmocka_unit_test(child_with_aligned_blocks),
        cmocka_unit_test(small_blocks),
        cmocka_unit_test(blocks_of_one_sector),
        cmocka_unit_test(aligned_blocks),
        cmocka_unit_test(fixed_image),
        cmocka_unit_test(image_of_others),
        cmocka_unit_test(damaged_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
