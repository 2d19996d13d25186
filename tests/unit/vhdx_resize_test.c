/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VHDX images that grow and shrink: contents, a BAT that moves, power failures and failures of calls at every moment.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/vhdx/resize.h"
#include "tests/unit/disk_change.h"
#include "tests/unit/power_failure.h"
#include "tests/unit/vhdx_fixture.h"

#define MIB             (1u << 20)
#define SECTORS_PER_MIB (MIB / DISK_SECTOR_SIZE)
#define MOST_SECTORS    (4u * SECTORS_PER_MIB)

static struct disk_error error;
static uint8_t expected[MOST_SECTORS * DISK_SECTOR_SIZE], buffer[MOST_SECTORS * DISK_SECTOR_SIZE];

static void write_sectors(struct memory_file *memory, uint32_t first, uint32_t sectors)
{
    struct disk *disk = disk_open_file(&memory->file, 0, &error);
    assert_non_null(disk);
    for (uint32_t i = first; i < first + sectors; i++)
        memset(expected + (size_t)i * DISK_SECTOR_SIZE, (int)(i % 251 + 1), DISK_SECTOR_SIZE);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, expected + (size_t)first * DISK_SECTOR_SIZE, first, sectors), 0);
    assert_int_equal(disk_close(disk), 0);
}

static void expect_content(struct memory_file *memory, uint32_t sectors)
{
    struct disk *disk = disk_open_file(&memory->file, DISK_OPEN_READ_ONLY, &error);
    assert_non_null(disk);
    assert_int_equal(disk_sectors(disk), sectors);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, sectors), 0);
    assert_memory_equal(buffer, expected, (size_t)sectors * DISK_SECTOR_SIZE);
    assert_int_equal(disk_close(disk), 0);
    disk_change_expect_sound(memory);
}

static bool attempt_resize(void *context, struct disk_file *file)
{
    const uint64_t *size = context;
    const struct disk_progress progress = {0};
    const struct vhdx_resize resize = {.size = *size, .progress = &progress};
    return vhdx_resize(file, &resize, &error);
}

static void resize_image(void *context, struct disk_file *file)
{
    if (!attempt_resize(context, file))
        fail_msg("%s", error.text);
}

/*
 * What others may have left in the place of a block where the disk is not, and in entries that it does not have; or,
 * with `cut`, that the file ends where the disk does.
 */
static void spoil(struct memory_file *memory, uint32_t sectors, bool cut)
{
    uint32_t used = sectors % SECTORS_PER_MIB, blocks = (sectors - 1) / SECTORS_PER_MIB + 1;
    uint64_t entry;
    memcpy(&entry, memory->bytes + VHDX_FIXTURE_BAT + (blocks - 1) * VHDX_ENTRY_SIZE, sizeof(entry));
    uint8_t *block = memory->bytes + (entry >> 20 << 20);
    if (cut && entry && used && block + MIB == memory->bytes + memory->size)
        memory_file_resize(memory, memory->size - MIB + (size_t)used * DISK_SECTOR_SIZE);
    else if (entry && used)
        memset(block + (size_t)used * DISK_SECTOR_SIZE, 0xa5, MIB - (size_t)used * DISK_SECTOR_SIZE);
    memset(memory->bytes + VHDX_FIXTURE_BAT + blocks * VHDX_ENTRY_SIZE, 0x5a, 5 * VHDX_ENTRY_SIZE);
}

static const struct {
    enum disk_format format;
    uint32_t logical_sector;
    uint32_t sizes[5]; /* sectors, one after the other */
} cases[] = {
    {DISK_FORMAT_DYNAMIC, 512,  {64, 2049, 2050, 5000, 1}},
    {DISK_FORMAT_DYNAMIC, 512,  {5000, 2048, 4096, 5}    },
    {DISK_FORMAT_DYNAMIC, 4096, {4096, 4104, 16, 5000}   },
    {DISK_FORMAT_FIXED,   512,  {64, 65, 5000, 2049}     },
    {DISK_FORMAT_FIXED,   4096, {4096, 8192, 8}          },
};

static void old_or_new(void **state)
{
    (void)state;
    uint64_t played = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct memory_file memory;
        uint32_t sectors = cases[i].sizes[0];
        memory_file_initialize(&memory);
        memset(expected, 0, sizeof(expected));
        vhdx_fixture_create(&memory, cases[i].format, (uint64_t)sectors * DISK_SECTOR_SIZE, cases[i].logical_sector);
        write_sectors(&memory, 0, 8);
        for (unsigned j = 1; j < 5 && cases[i].sizes[j]; j++) {
            uint64_t size = (uint64_t)cases[i].sizes[j] * DISK_SECTOR_SIZE;
            uint32_t written = sectors < 16 ? sectors : 16;
            write_sectors(&memory, sectors - written, written);
            spoil(&memory, sectors, j % 2);
            memory_file_reset(&memory);
            memory.file.dirty = false;
            const struct disk_change change = {
                .make = resize_image, .attempt = attempt_resize, .context = &size, .any_identifier = true};
            if (j == 1)
                played += disk_change_fail(&change, &memory, i % 2 ? ENOSPC : EIO);
            played += disk_change_play(&change, &memory);
            memset(expected + size, 0, sizeof(expected) - size);
            sectors = cases[i].sizes[j];
            expect_content(&memory, sectors);
        }
        write_sectors(&memory, 0, sectors);
        expect_content(&memory, sectors);
        memory_file_release(&memory);
    }
    print_message("%llu media played\n", (unsigned long long)played);
}

/* ---- A BAT that moves ---- */

#define GIB        (1024ull * MIB)
#define SMALL_SIZE (128 * GIB) /* whose BAT has one MiB */
#define LARGE_SIZE (400 * GIB)

static const uint64_t places[] = {7, 3 * SECTORS_PER_MIB + 5, SMALL_SIZE / DISK_SECTOR_SIZE - 1};
#define PLACES (sizeof(places) / sizeof(places[0]))

static void write_places(struct memory_file *memory)
{
    struct disk *disk = disk_open_file(&memory->file, 0, &error);
    assert_non_null(disk);
    for (size_t i = 0; i < PLACES; i++) {
        memset(buffer, (int)i + 1, DISK_SECTOR_SIZE);
        assert_int_equal(disk_transfer(disk, DISK_WRITE, buffer, places[i], 1), 0);
    }
    assert_int_equal(disk_close(disk), 0);
}

static void expect_places(struct memory_file *memory, uint64_t *size)
{
    struct disk *disk = disk_open_file(&memory->file, 0, &error);
    if (!disk)
        fail_msg("%s", error.text);
    *size = disk_sectors(disk) * DISK_SECTOR_SIZE;
    for (size_t i = 0; i < PLACES; i++) {
        assert_int_equal(disk_transfer(disk, DISK_READ, buffer, places[i], 1), 0);
        assert_true(buffer[0] == i + 1 && buffer[511] == i + 1);
    }
    assert_int_equal(disk_close(disk), 0);
    disk_change_expect_sound(memory);
}

static void expect_old_or_new(void *context, struct memory_file *medium, size_t point)
{
    uint64_t size, *new_media = context;
    (void)point;
    expect_places(medium, &size);
    assert_true(size == SMALL_SIZE || size == LARGE_SIZE);
    *new_media += size == LARGE_SIZE;
}

static void bat_moves(void **state)
{
    (void)state;
    struct memory_file memory, base;
    uint64_t size = LARGE_SIZE, found, new_media = 0;
    memory_file_initialize(&memory);
    memory_file_initialize(&base);
    vhdx_fixture_create(&memory, DISK_FORMAT_DYNAMIC, SMALL_SIZE, 512);
    write_places(&memory);
    power_failure_begin(&memory, &base);
    resize_image(&size, &memory.file);
    memory.logging = false;
    uint64_t played = power_failure_play(&memory, &base, expect_old_or_new, &new_media);
    assert_true(new_media > 0 && new_media < played);
    memory_file_reset(&memory);

    /* Blocks go behind it, and what is cut off is gone when it grows again. */
    struct disk *disk = disk_open_file(&memory.file, 0, &error);
    memset(buffer, 9, DISK_SECTOR_SIZE);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, buffer, LARGE_SIZE / DISK_SECTOR_SIZE - 1, 1), 0);
    assert_int_equal(disk_close(disk), 0);
    size_t length = memory.size;
    size = SMALL_SIZE;
    resize_image(&size, &memory.file);
    assert_int_equal(memory.size, length - MIB);
    size = LARGE_SIZE;
    resize_image(&size, &memory.file);
    expect_places(&memory, &found);
    assert_int_equal(found, LARGE_SIZE);
    disk = disk_open_file(&memory.file, DISK_OPEN_READ_ONLY, &error);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, LARGE_SIZE / DISK_SECTOR_SIZE - 1, 1), 0);
    assert_true(buffer[0] == 0 && buffer[511] == 0);
    disk_close(disk);
    memory_file_release(&memory);
    memory_file_release(&base);
    print_message("%llu media played\n", (unsigned long long)played);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_or_new),
        cmocka_unit_test(bat_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
