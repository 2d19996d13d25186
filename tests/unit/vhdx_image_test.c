/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX images against a plain array: random work, with closing, killing and opening in between, on all kinds of images;
 * and what is particular to states of blocks.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/vhdx/headers.h"
#include "partitions/root/disk/vhdx/image.h"
#include "partitions/root/disk/vhdx/log_entry.h"
#include "tests/unit/vhdx_fixture.h"

#define MIB             (1u << 20)
#define SECTORS_PER_MIB (MIB / DISK_SECTOR_SIZE)
#define MOST_SECTORS    (9u * SECTORS_PER_MIB)
#define LARGEST_REQUEST 3000u

static uint8_t expected[MOST_SECTORS * DISK_SECTOR_SIZE];
static uint8_t flushed[MOST_SECTORS * DISK_SECTOR_SIZE];
static uint8_t parent[MOST_SECTORS * DISK_SECTOR_SIZE];
static uint8_t buffer[MOST_SECTORS * DISK_SECTOR_SIZE];
static uint64_t random_state;

static uint32_t below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % limit);
}

/* A sector's contents say what they are. */
static void fill(uint8_t *bytes, uint32_t sectors)
{
    for (uint32_t i = 0; i < sectors; i++)
        memset(bytes + (size_t)i * DISK_SECTOR_SIZE, (int)below(256), DISK_SECTOR_SIZE);
}

static void expect_contents(struct vhdx_fixture *fixture)
{
    uint32_t sectors = (uint32_t)fixture->image->sectors;
    assert_int_equal(vhdx_fixture_read(fixture, buffer, 0, sectors), 0);
    for (uint32_t i = 0; i < sectors; i++)
        if (memcmp(buffer + (size_t)i * DISK_SECTOR_SIZE, expected + (size_t)i * DISK_SECTOR_SIZE, DISK_SECTOR_SIZE))
            fail_msg("sector %u differs", i);
}

static void write_some(struct vhdx_fixture *fixture)
{
    uint32_t unit = fixture->image->write_unit;
    uint32_t units = (uint32_t)fixture->image->sectors / unit;
    uint32_t count = 1 + below(below(4) ? 20 : LARGEST_REQUEST / unit);
    if (count > units)
        count = units;
    uint32_t first = below(units - count + 1) * unit;
    uint8_t *bytes = expected + (size_t)first * DISK_SECTOR_SIZE;
    fill(bytes, count * unit);
    assert_int_equal(vhdx_fixture_write(fixture, bytes, first, count * unit), 0);
}

static bool is_zero(const uint8_t *bytes)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, DISK_SECTOR_SIZE - 1) == 0;
}

/* Sectors that are given back read as before or as zeros, and the file has no bytes more or less. */
static void discard_some(struct vhdx_fixture *fixture)
{
    uint32_t unit = fixture->image->write_unit;
    uint32_t count = (1 + below(LARGEST_REQUEST / unit)) * unit;
    uint32_t first = below((uint32_t)fixture->image->sectors / unit) * unit;
    if (count > fixture->image->sectors - first)
        count = (uint32_t)fixture->image->sectors - first;
    size_t size = fixture->memory.size;
    assert_int_equal(vhdx_fixture_discard(fixture, first, count), 0);
    assert_int_equal(fixture->memory.size, size);
    assert_int_equal(vhdx_fixture_read(fixture, buffer, first, count), 0);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *was = expected + (size_t)(first + i) * DISK_SECTOR_SIZE;
        const uint8_t *is = buffer + (size_t)i * DISK_SECTOR_SIZE;
        assert_true(is_zero(is) || memcmp(is, was, DISK_SECTOR_SIZE) == 0);
        memcpy(was, is, DISK_SECTOR_SIZE);
    }
}

static void look_read_only(struct vhdx_fixture *fixture)
{
    struct vhdx_fixture other;
    vhdx_fixture_begin(&other, &fixture->memory);
    other.parent = fixture->parent;
    vhdx_fixture_open(&other, DISK_OPEN_READ_ONLY);
    expect_contents(&other);
    assert_int_equal(vhdx_fixture_close(&other), 0);
    assert_int_equal(other.memory.changes, 0);
    assert_memory_equal(other.memory.bytes, fixture->memory.bytes, fixture->memory.size);
    vhdx_fixture_end(&other);
}

/* A killed process loses nothing of an image without a parent, and nothing that was flushed of any. */
static void kill_and_open(struct vhdx_fixture *fixture)
{
    uint32_t sectors = (uint32_t)fixture->image->sectors;
    bool differencing = fixture->image->differencing;
    vhdx_fixture_kill(fixture);
    assert_int_equal(vhdx_fixture_check(&fixture->memory).count[DISK_CHECK_ERROR], 0);
    if (!differencing) {
        look_read_only(fixture);
        vhdx_fixture_open(fixture, 0);
        return;
    }
    vhdx_fixture_open(fixture, 0);
    assert_int_equal(vhdx_fixture_read(fixture, buffer, 0, sectors), 0);
    for (size_t at = 0; at < (size_t)sectors * DISK_SECTOR_SIZE; at += DISK_SECTOR_SIZE) {
        bool as_written = memcmp(buffer + at, expected + at, DISK_SECTOR_SIZE) == 0;
        assert_true(as_written || memcmp(buffer + at, flushed + at, DISK_SECTOR_SIZE) == 0);
    }
    memcpy(expected, buffer, (size_t)sectors * DISK_SECTOR_SIZE);
}

static void work(struct vhdx_fixture *fixture, unsigned steps)
{
    memcpy(flushed, expected, sizeof(flushed));
    for (unsigned i = 0; i < steps; i++) {
        uint32_t dice = below(20);
        if (dice == 0) {
            assert_int_equal(vhdx_fixture_close(fixture), 0);
            struct disk_check_result result = vhdx_fixture_check(&fixture->memory);
            assert_int_equal(result.count[DISK_CHECK_ERROR] + result.count[DISK_CHECK_WARNING], 0);
            look_read_only(fixture);
            vhdx_fixture_open(fixture, 0);
        } else if (dice == 1) {
            kill_and_open(fixture);
        } else if (dice < 5) {
            assert_int_equal(vhdx_fixture_flush(fixture), 0);
        } else if (dice == 5) {
            discard_some(fixture);
            continue;
        } else {
            write_some(fixture);
            continue;
        }
        memcpy(flushed, expected, sizeof(flushed));
        expect_contents(fixture);
    }
    expect_contents(fixture);
}

static void random_work(enum disk_format format, uint32_t sectors, uint32_t logical_sector, unsigned steps)
{
    struct memory_file memory;
    struct vhdx_fixture fixture;
    random_state = sectors + logical_sector + (uint32_t)format;
    memset(expected, 0, sizeof(expected));
    memory_file_initialize(&memory);
    vhdx_fixture_create(&memory, format, (uint64_t)sectors * DISK_SECTOR_SIZE, logical_sector);
    vhdx_fixture_begin(&fixture, &memory);
    if (format == DISK_FORMAT_DIFFERENCING) {
        fill(parent, MOST_SECTORS);
        memcpy(expected, parent, sizeof(expected));
        fixture.parent = parent;
    }
    vhdx_fixture_open(&fixture, 0);
    assert_int_equal(fixture.image->format, format);
    assert_int_equal(fixture.image->sectors, sectors);
    work(&fixture, steps);
    assert_int_equal(vhdx_fixture_close(&fixture), 0);
    assert_int_equal(vhdx_fixture_check(&fixture.memory).count[DISK_CHECK_NOTE], 0);
    vhdx_fixture_end(&fixture);
    memory_file_release(&memory);
}

static void fixed_image(void **state)
{
    (void)state;
    random_work(DISK_FORMAT_FIXED, 3 * SECTORS_PER_MIB + 5, 512, 100);
}

static void dynamic_image(void **state)
{
    (void)state;
    random_work(DISK_FORMAT_DYNAMIC, MOST_SECTORS - 7, 512, 200);
}

static void differencing_image(void **state)
{
    (void)state;
    random_work(DISK_FORMAT_DIFFERENCING, MOST_SECTORS - 1, 512, 250);
}

static void dynamic_image_of_4k_sectors(void **state)
{
    (void)state;
    random_work(DISK_FORMAT_DYNAMIC, 5 * SECTORS_PER_MIB + 8, 4096, 100);
}

static void differencing_image_of_4k_sectors(void **state)
{
    (void)state;
    random_work(DISK_FORMAT_DIFFERENCING, 8 * SECTORS_PER_MIB + 16, 4096, 200);
}

/* An image to look at, of 4 MiB. */
static void begin_small(struct vhdx_fixture *fixture, enum disk_format format)
{
    struct memory_file memory;
    memory_file_initialize(&memory);
    vhdx_fixture_create(&memory, format, 4 * MIB, 512);
    vhdx_fixture_begin(fixture, &memory);
    memory_file_release(&memory);
}

static void set_entry(struct vhdx_fixture *fixture, uint32_t index, enum vhdx_block_state state, uint64_t offset)
{
    vhdx_entry_encode((struct vhdx_entry){.state = state, .offset = offset},
                      fixture->memory.bytes + VHDX_FIXTURE_BAT + (size_t)index * VHDX_ENTRY_SIZE);
}

static struct disk_extent map(struct vhdx_fixture *fixture, uint64_t sector)
{
    struct disk_extent extent;
    assert_int_equal(fixture->image->operations->map(fixture->image, sector, UINT32_MAX, &extent), 0);
    return extent;
}

static void states_of_blocks(void **state)
{
    (void)state;
    struct vhdx_fixture fixture;
    begin_small(&fixture, DISK_FORMAT_DIFFERENCING);
    set_entry(&fixture, 0, VHDX_BLOCK_ZERO, 0);
    set_entry(&fixture, 1, VHDX_BLOCK_UNMAPPED, 77 * MIB); /* a place that is nowhere and not used */
    set_entry(&fixture, 2, VHDX_BLOCK_UNDEFINED, 0);
    vhdx_fixture_open(&fixture, 0);
    for (uint32_t block = 0; block < 3; block++) {
        struct disk_extent extent = map(&fixture, block * SECTORS_PER_MIB + 3);
        assert_int_equal(extent.kind, DISK_EXTENT_ZERO);
        assert_int_equal(extent.sectors, SECTORS_PER_MIB - 3);
    }
    assert_int_equal(map(&fixture, 3 * SECTORS_PER_MIB).kind, DISK_EXTENT_ABSENT);

    /* They become fully present, and what was not written of them are zeros. */
    fill(buffer, 2);
    assert_int_equal(vhdx_fixture_write(&fixture, buffer, SECTORS_PER_MIB + 9, 2), 0);
    assert_int_equal(map(&fixture, SECTORS_PER_MIB).kind, DISK_EXTENT_DATA);
    assert_int_equal(map(&fixture, SECTORS_PER_MIB).sectors, SECTORS_PER_MIB);
    assert_int_equal(vhdx_fixture_read(&fixture, expected, SECTORS_PER_MIB, 12), 0);
    assert_memory_equal(expected + 9 * DISK_SECTOR_SIZE, buffer, 2 * DISK_SECTOR_SIZE);
    assert_int_equal(expected[8 * DISK_SECTOR_SIZE], 0);
    vhdx_fixture_end(&fixture);
}

/* Blocks whose entries are damaged cannot be read or written, and the others can. */
static void damaged_entries(void **state)
{
    (void)state;
    static const struct {
        enum vhdx_block_state state;
        uint64_t offset;
    } cases[] = {
        {4,                            0                    },
        {5,                            VHDX_FIXTURE_BLOCKS  },
        {VHDX_BLOCK_PARTIALLY_PRESENT, VHDX_FIXTURE_BLOCKS  }, /* in an image without parent */
        {VHDX_BLOCK_FULLY_PRESENT,     0                    },
        {VHDX_BLOCK_FULLY_PRESENT,     VHDX_FIXTURE_LOG     },
        {VHDX_BLOCK_FULLY_PRESENT,     VHDX_FIXTURE_METADATA},
        {VHDX_BLOCK_FULLY_PRESENT,     VHDX_FIXTURE_BAT     },
        {VHDX_BLOCK_FULLY_PRESENT,     5 * MIB              }, /* the file's end */
        {VHDX_BLOCK_FULLY_PRESENT,     UINT64_MAX << 20     },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vhdx_fixture fixture;
        struct disk_extent extent;
        begin_small(&fixture, DISK_FORMAT_DYNAMIC);
        memory_file_resize(&fixture.memory, 5 * MIB);
        set_entry(&fixture, 1, cases[i].state, cases[i].offset);
        set_entry(&fixture, 2, VHDX_BLOCK_FULLY_PRESENT, VHDX_FIXTURE_BLOCKS);
        struct disk_check_result result = vhdx_fixture_check(&fixture.memory);
        assert_int_equal(result.count[DISK_CHECK_ERROR], 1);
        vhdx_fixture_open(&fixture, 0);
        assert_int_equal(fixture.image->operations->map(fixture.image, SECTORS_PER_MIB, 1, &extent), EIO);
        assert_int_equal(vhdx_fixture_write(&fixture, buffer, SECTORS_PER_MIB, 1), EIO);
        assert_int_equal(vhdx_fixture_write(&fixture, buffer, 2 * SECTORS_PER_MIB, 1), 0);
        assert_int_equal(fixture.image->operations->next_present(fixture.image, 0), SECTORS_PER_MIB);
        assert_int_equal(vhdx_fixture_close(&fixture), 0);
        vhdx_fixture_end(&fixture);
    }
}

/* Two blocks at one place, a block over a bitmap, a chunk whose bitmap is missing: only the check sees all of it. */
static void entries_that_contradict(void **state)
{
    (void)state;
    struct vhdx_fixture fixture;
    uint32_t bitmap = 4096; /* the chunk's entry: 2^23 * 512 bytes / 1 MiB */
    begin_small(&fixture, DISK_FORMAT_DIFFERENCING);
    memory_file_resize(&fixture.memory, 7 * MIB);
    set_entry(&fixture, 0, VHDX_BLOCK_FULLY_PRESENT, 4 * MIB);
    set_entry(&fixture, 1, VHDX_BLOCK_FULLY_PRESENT, 5 * MIB);
    set_entry(&fixture, bitmap, VHDX_BLOCK_FULLY_PRESENT, 6 * MIB);
    assert_int_equal(vhdx_fixture_check(&fixture.memory).count[DISK_CHECK_ERROR], 0);
    set_entry(&fixture, 1, VHDX_BLOCK_FULLY_PRESENT, 4 * MIB);
    assert_int_equal(vhdx_fixture_check(&fixture.memory).count[DISK_CHECK_ERROR], 1);
    set_entry(&fixture, 1, VHDX_BLOCK_PARTIALLY_PRESENT, 5 * MIB);
    set_entry(&fixture, bitmap, VHDX_BLOCK_FULLY_PRESENT, 5 * MIB);
    assert_int_equal(vhdx_fixture_check(&fixture.memory).count[DISK_CHECK_ERROR], 1);
    set_entry(&fixture, bitmap, VHDX_BLOCK_NOT_PRESENT, 0);
    assert_int_equal(vhdx_fixture_check(&fixture.memory).count[DISK_CHECK_ERROR], 1);

    struct disk_extent extent;
    vhdx_fixture_open(&fixture, 0);
    assert_int_equal(fixture.image->operations->map(fixture.image, SECTORS_PER_MIB, 1, &extent), EIO);
    assert_int_equal(vhdx_fixture_write(&fixture, buffer, SECTORS_PER_MIB, 1), EIO);
    vhdx_fixture_end(&fixture);
}

/* Bits that an earlier life of a block has left do not count when it is written for the first time in this one. */
static void bits_of_an_earlier_life(void **state)
{
    (void)state;
    struct vhdx_fixture fixture;
    begin_small(&fixture, DISK_FORMAT_DIFFERENCING);
    memory_file_resize(&fixture.memory, 5 * MIB);
    set_entry(&fixture, 4096, VHDX_BLOCK_FULLY_PRESENT, 4 * MIB);
    memset(fixture.memory.bytes + 4 * MIB, 0xff, MIB);
    fill(parent, 4 * SECTORS_PER_MIB);
    fixture.parent = parent;
    memcpy(expected, parent, 4 * MIB);
    vhdx_fixture_open(&fixture, 0);
    expect_contents(&fixture);
    fill(expected + 5 * DISK_SECTOR_SIZE, 3);
    assert_int_equal(vhdx_fixture_write(&fixture, expected + 5 * DISK_SECTOR_SIZE, 5, 3), 0);
    expect_contents(&fixture);
    assert_int_equal(vhdx_fixture_flush(&fixture), 0);
    vhdx_fixture_kill(&fixture);
    vhdx_fixture_open(&fixture, 0);
    expect_contents(&fixture);
    vhdx_fixture_end(&fixture);
}

/* Nothing is written by opening and closing; the first write gives the image new identifiers. */
static void identifiers(void **state)
{
    (void)state;
    struct vhdx_fixture fixture;
    struct vhdx_headers before, after;
    begin_small(&fixture, DISK_FORMAT_DYNAMIC);
    assert_true(vhdx_headers_read(&fixture.memory.file, &before, NULL));
    vhdx_fixture_open(&fixture, 0);
    assert_memory_equal(fixture.image->identifier, before.header.data_write_guid, VHDX_GUID_SIZE);
    assert_int_equal(vhdx_fixture_flush(&fixture), 0);
    assert_int_equal(vhdx_fixture_close(&fixture), 0);
    assert_int_equal(fixture.memory.changes, 0);

    vhdx_fixture_open(&fixture, 0);
    assert_int_equal(vhdx_fixture_write(&fixture, buffer, 0, 1), 0);
    assert_true(vhdx_headers_read(&fixture.memory.file, &after, NULL));
    assert_memory_equal(fixture.image->identifier, after.header.data_write_guid, VHDX_GUID_SIZE);
    assert_memory_not_equal(after.header.data_write_guid, before.header.data_write_guid, VHDX_GUID_SIZE);
    assert_memory_not_equal(after.header.file_write_guid, before.header.file_write_guid, VHDX_GUID_SIZE);
    assert_memory_not_equal(after.header.log_guid, vhdx_zero_guid, VHDX_GUID_SIZE);
    assert_int_equal(vhdx_fixture_close(&fixture), 0);

    /* Either header alone says that the log is empty. */
    for (unsigned copy = 0; copy < VHDX_HEADERS; copy++) {
        struct vhdx_fixture other;
        vhdx_fixture_begin(&other, &fixture.memory);
        other.memory.bytes[VHDX_HEADER_OFFSET(copy)] = 0;
        assert_true(vhdx_headers_read(&other.memory.file, &before, NULL));
        assert_memory_equal(before.header.log_guid, vhdx_zero_guid, VHDX_GUID_SIZE);
        assert_memory_equal(before.header.data_write_guid, after.header.data_write_guid, VHDX_GUID_SIZE);
        assert_int_equal(vhdx_fixture_check(&other.memory).count[DISK_CHECK_WARNING], 1);
        vhdx_fixture_end(&other);
    }
    vhdx_fixture_end(&fixture);
}

static void parent_of_a_differencing_image(void **state)
{
    (void)state;
    static struct parent_link link;
    static const uint8_t identifier[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    struct vhdx_fixture fixture;
    struct disk_error error;
    begin_small(&fixture, DISK_FORMAT_DIFFERENCING);
    vhdx_fixture_open(&fixture, DISK_OPEN_READ_ONLY);
    assert_true(fixture.image->differencing);
    assert_true(vhdx_read_parent(fixture.image, &link, &error));
    assert_memory_equal(link.identifier, identifier, sizeof(identifier));
    assert_int_equal(link.names, 2);
    assert_string_equal(link.name[0], "../parents/parent.vhdx");
    assert_string_equal(link.name[1], "/srv/parents/parent.vhdx");
    vhdx_fixture_end(&fixture);
}

static void next_present_block(void **state)
{
    (void)state;
    struct vhdx_fixture fixture;
    begin_small(&fixture, DISK_FORMAT_DYNAMIC);
    vhdx_fixture_open(&fixture, 0);
    assert_int_equal(fixture.image->operations->next_present(fixture.image, 0), 4 * SECTORS_PER_MIB);
    assert_int_equal(vhdx_fixture_write(&fixture, buffer, 2 * SECTORS_PER_MIB + 5, 1), 0);
    assert_int_equal(fixture.image->operations->next_present(fixture.image, 7), 2 * SECTORS_PER_MIB);
    assert_int_equal(vhdx_fixture_flush(&fixture), 0);
    assert_int_equal(fixture.image->operations->next_present(fixture.image, 0), 2 * SECTORS_PER_MIB);
    assert_int_equal(fixture.image->operations->next_present(fixture.image, 2 * SECTORS_PER_MIB + 9),
                     2 * SECTORS_PER_MIB + 9);
    assert_int_equal(fixture.image->operations->next_present(fixture.image, 3 * SECTORS_PER_MIB), 4 * SECTORS_PER_MIB);
    vhdx_fixture_end(&fixture);
}

/* What is discarded in a block is a hole of the file, if the image is not a fixed one. */
static void discarded_sectors(void **state)
{
    (void)state;
    static const enum disk_format formats[] = {DISK_FORMAT_DYNAMIC, DISK_FORMAT_FIXED};
    for (unsigned i = 0; i < 2; i++) {
        struct vhdx_fixture fixture;
        begin_small(&fixture, formats[i]);
        vhdx_fixture_open(&fixture, 0);
        assert_int_equal(vhdx_fixture_discard(&fixture, 0, SECTORS_PER_MIB), 0);
        assert_int_equal(fixture.memory.changes, 0);
        memset(expected, 0x77, MIB);
        assert_int_equal(vhdx_fixture_write(&fixture, expected, 0, SECTORS_PER_MIB), 0);
        assert_int_equal(vhdx_fixture_discard(&fixture, 8, 16), 0);
        if (formats[i] == DISK_FORMAT_DYNAMIC)
            memset(expected + 8 * DISK_SECTOR_SIZE, 0, 16 * DISK_SECTOR_SIZE);
        assert_int_equal(vhdx_fixture_read(&fixture, buffer, 0, SECTORS_PER_MIB), 0);
        assert_memory_equal(buffer, expected, MIB);
        vhdx_fixture_end(&fixture);
    }
}

/* A differencing disk with bits all over it: more than the cache may hold, and more than one entry of the log. */
static void more_bits_than_fit(void **state)
{
    (void)state;
    enum { GIB_OF_DISK = 2, STEP = 4096 };
    struct memory_file memory;
    struct vhdx_fixture fixture;
    uint64_t sectors = (uint64_t)GIB_OF_DISK << 30 >> 9;
    const struct vhdx_parent named = {.relative_path = "p.vhdx"};
    const struct vhdx_creation creation = {.format = DISK_FORMAT_DIFFERENCING,
                                           .size = sectors * DISK_SECTOR_SIZE,
                                           .block_size = 256 * MIB,
                                           .parent = &named};
    memory_file_initialize(&memory);
    assert_int_equal(vhdx_create(&memory.file, &creation), 0);
    vhdx_fixture_begin(&fixture, &memory);
    vhdx_fixture_open(&fixture, 0);
    /* In the first block only, so that the file stays small; 128 sectors of bitmap. */
    for (uint32_t sector = 0; sector < 256 * SECTORS_PER_MIB; sector += STEP) {
        memset(buffer, (int)(sector / STEP) + 1, DISK_SECTOR_SIZE);
        assert_int_equal(vhdx_fixture_write(&fixture, buffer, sector + 7, 1), 0);
        assert_true(metadata_cache_held_count(fixture.cache) < METADATA_CACHE_HELD);
    }
    assert_int_equal(vhdx_fixture_flush(&fixture), 0);
    assert_int_equal(metadata_cache_held_count(fixture.cache), 0);
    vhdx_fixture_kill(&fixture);
    vhdx_fixture_open(&fixture, DISK_OPEN_READ_ONLY);
    for (uint32_t sector = 0; sector < 256 * SECTORS_PER_MIB; sector += STEP) {
        assert_int_equal(map(&fixture, sector + 6).kind, DISK_EXTENT_ABSENT);
        assert_int_equal(map(&fixture, sector + 7).kind, DISK_EXTENT_DATA);
        assert_int_equal(map(&fixture, sector + 7).sectors, 1);
    }
    vhdx_fixture_end(&fixture);
    memory_file_release(&memory);
}

/* The log goes round more than once, and is never lost. */
static void log_goes_round(void **state)
{
    (void)state;
    struct vhdx_fixture fixture;
    begin_small(&fixture, DISK_FORMAT_DIFFERENCING);
    memset(expected, 0, 4 * MIB);
    vhdx_fixture_open(&fixture, 0);
    for (uint32_t i = 0; i < 700; i++) {
        uint32_t sector = i * 11 % (4 * SECTORS_PER_MIB);
        memset(expected + (size_t)sector * DISK_SECTOR_SIZE, (int)i % 255 + 1, DISK_SECTOR_SIZE);
        assert_int_equal(vhdx_fixture_write(&fixture, expected + (size_t)sector * DISK_SECTOR_SIZE, sector, 1), 0);
        assert_int_equal(vhdx_fixture_flush(&fixture), 0);
        if (i % 50)
            continue;
        look_read_only(&fixture);
    }
    vhdx_fixture_kill(&fixture);
    vhdx_fixture_open(&fixture, 0);
    expect_contents(&fixture);
    vhdx_fixture_end(&fixture);
}

/* No entry of the log that is in use says that the file is longer, wherever in the log it is. */
static void expect_no_longer_file(struct memory_file *medium)
{
    struct vhdx_headers headers;
    struct disk_error error;
    assert_true(vhdx_headers_read(&medium->file, &headers, &error));
    for (uint32_t at = 0; at < headers.header.log_length; at += VHDX_LOG_SECTOR) {
        struct vhdx_log_header entry;
        uint32_t checksum;
        if (vhdx_log_header_decode(medium->bytes + headers.header.log_offset + at, &entry, &checksum) &&
            vhdx_same_guid(entry.guid, headers.header.log_guid))
            assert_true(entry.flushed_end <= medium->size);
    }
}

/* QEMU takes entries that are left behind for current, and refuses a file that is shorter than they say. */
static void room_given_back(void **state)
{
    (void)state;
    static const uint8_t bytes[DISK_SECTOR_SIZE] = {1};
    struct vhdx_fixture fixture;
    struct memory_file medium;
    begin_small(&fixture, DISK_FORMAT_DYNAMIC);
    memory_file_initialize(&medium);
    memory_file_set(&medium, fixture.memory.bytes, fixture.memory.size);
    fixture.memory.logging = true;
    vhdx_fixture_open(&fixture, 0);
    assert_int_equal(vhdx_fixture_write(&fixture, bytes, 0, 1), 0);
    size_t room = fixture.memory.size;
    assert_int_equal(vhdx_fixture_close(&fixture), 0);
    assert_true(fixture.memory.size < room);
    for (size_t i = 0; i < fixture.memory.log_count; i++) {
        memory_file_apply(&medium, &fixture.memory.log[i], 0, fixture.memory.log[i].length);
        expect_no_longer_file(&medium);
    }
    memory_file_release(&medium);
    vhdx_fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_image),
        cmocka_unit_test(dynamic_image),
        cmocka_unit_test(differencing_image),
        cmocka_unit_test(dynamic_image_of_4k_sectors),
        cmocka_unit_test(differencing_image_of_4k_sectors),
        cmocka_unit_test(states_of_blocks),
        cmocka_unit_test(damaged_entries),
        cmocka_unit_test(entries_that_contradict),
        cmocka_unit_test(bits_of_an_earlier_life),
        cmocka_unit_test(identifiers),
        cmocka_unit_test(parent_of_a_differencing_image),
        cmocka_unit_test(next_present_block),
        cmocka_unit_test(discarded_sectors),
        cmocka_unit_test(more_bits_than_fit),
        cmocka_unit_test(log_goes_round),
        cmocka_unit_test(room_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
