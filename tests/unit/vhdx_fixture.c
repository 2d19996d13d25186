/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/vhdx_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/vhdx/check.h"
#include "partitions/root/disk/vhdx/image.h"

static const struct vhdx_parent some_parent = {
    .identifier = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .relative_path = "../parents/parent.vhdx",
    .absolute_path = "/srv/parents/parent.vhdx",
};

void vhdx_fixture_create(struct memory_file *memory, enum disk_format format, uint64_t size, uint32_t logical_sector)
{
    const struct vhdx_creation creation = {
        .format = format,
        .size = size,
        .block_size = 1u << 20,
        .logical_sector = logical_sector,
        .parent = format == DISK_FORMAT_DIFFERENCING ? &some_parent : NULL,
    };
    assert_null(vhdx_creation_fault(&creation));
    assert_int_equal(vhdx_create(&memory->file, &creation), 0);
    assert_int_equal(memory->size, vhdx_created_size(&creation));
    memory_file_reset(memory);
}

void vhdx_fixture_begin(struct vhdx_fixture *fixture, const struct memory_file *memory)
{
    *fixture = (struct vhdx_fixture){.cache = metadata_cache_create()};
    assert_non_null(fixture->cache);
    memory_file_initialize(&fixture->memory);
    memory_file_set(&fixture->memory, memory->bytes, memory->size);
}

void vhdx_fixture_end(struct vhdx_fixture *fixture)
{
    if (fixture->image)
        vhdx_fixture_kill(fixture);
    metadata_cache_destroy(fixture->cache);
    memory_file_release(&fixture->memory);
}

void vhdx_fixture_open(struct vhdx_fixture *fixture, unsigned flags)
{
    struct disk_error error;
    assert_null(fixture->image);
    fixture->image = vhdx_open(&fixture->memory.file, flags, fixture->cache, &error);
    if (!fixture->image)
        print_error("%s\n", error.text);
    assert_non_null(fixture->image);
}

int vhdx_fixture_close(struct vhdx_fixture *fixture)
{
    int error = fixture->image->operations->close(fixture->image);
    fixture->image = NULL;
    assert_int_equal(metadata_cache_held_count(fixture->cache), 0);
    return error;
}

/* Closing frees memory; nothing that it does reaches the file. */
void vhdx_fixture_kill(struct vhdx_fixture *fixture)
{
    struct memory_file *memory = &fixture->memory;
    size_t fail_at = memory->fail_at, fail_count = memory->fail_count, changes = memory->changes;
    int fail_error = memory->fail_error;
    memory->fail_at = 1;
    memory->fail_count = SIZE_MAX;
    memory->fail_error = 5;
    vhdx_fixture_close(fixture);
    memory->fail_at = fail_at;
    memory->fail_count = fail_count;
    memory->fail_error = fail_error;
    memory->changes = changes;
    memory->file.failed = memory->file.dirty = false;
}

static int read_extent(struct vhdx_fixture *fixture, const struct disk_extent *extent, uint8_t *bytes, uint64_t sector)
{
    size_t length = (size_t)extent->sectors * DISK_SECTOR_SIZE;
    if (extent->kind == DISK_EXTENT_DATA)
        return disk_file_read_buffer(&fixture->memory.file, bytes, length, extent->offset);
    if (extent->kind == DISK_EXTENT_ABSENT && fixture->parent)
        memcpy(bytes, fixture->parent + sector * DISK_SECTOR_SIZE, length);
    else
        memset(bytes, 0, length);
    return 0;
}

int vhdx_fixture_read(struct vhdx_fixture *fixture, void *buffer, uint64_t sector, uint32_t sectors)
{
    uint8_t *bytes = buffer;
    while (sectors) {
        struct disk_extent extent;
        int error = fixture->image->operations->map(fixture->image, sector, sectors, &extent);
        if (error)
            return error;
        assert_true(extent.sectors >= 1 && extent.sectors <= sectors);
        error = read_extent(fixture, &extent, bytes, sector);
        if (error)
            return error;
        bytes += (size_t)extent.sectors * DISK_SECTOR_SIZE;
        sector += extent.sectors;
        sectors -= extent.sectors;
    }
    return 0;
}

int vhdx_fixture_write(struct vhdx_fixture *fixture, const void *buffer, uint64_t sector, uint32_t sectors)
{
    const struct iovec vector = {.iov_base = (void *)buffer, .iov_len = (size_t)sectors * DISK_SECTOR_SIZE};
    struct disk_cursor cursor = {.vector = &vector};
    return fixture->image->operations->write(fixture->image, &cursor, sector, sectors);
}

int vhdx_fixture_discard(struct vhdx_fixture *fixture, uint64_t sector, uint32_t sectors)
{
    return fixture->image->operations->discard(fixture->image, sector, sectors);
}

int vhdx_fixture_flush(struct vhdx_fixture *fixture)
{
    return fixture->image->operations->flush(fixture->image);
}

static void count_finding(void *context, enum disk_check_level level, const char *text)
{
    struct disk_check_result *result = context;
    result->count[level]++;
    if (level == DISK_CHECK_ERROR)
        print_message("%s\n", text);
}

struct disk_check_result vhdx_fixture_check(struct memory_file *memory)
{
    struct disk_check_result result = {0};
    struct disk_error error;
    bool done = vhdx_check(&memory->file, count_finding, &result, &error);
    if (!done)
        print_error("%s\n", error.text);
    assert_true(done);
    return result;
}
