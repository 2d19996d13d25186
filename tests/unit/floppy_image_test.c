/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which files are images of floppy disks, and what they hold. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/floppy_image.h"
#include "partitions/root/disk/chain.h"
#include "tests/unit/memory_file.h"
#include "tests/unit/scratch.h"

static struct disk_error error;

static void make_file(const char *name, uint64_t size)
{
    int descriptor = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(ftruncate(descriptor, (off_t)size), 0);
    close(descriptor);
}

static void fill(uint8_t *data, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(i * 7 + i / 256 + seed + 1);
}

static void every_size(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        struct disk_geometry geometry;
        bool read_only;
    } cases[] = {
        {160 * 1024,  {40, 1, 8},  false},
        {180 * 1024,  {40, 1, 9},  false},
        {320 * 1024,  {40, 2, 8},  false},
        {360 * 1024,  {40, 2, 9},  false},
        {720 * 1024,  {80, 2, 9},  false},
        {1228800,     {80, 2, 15}, false},
        {1474560,     {80, 2, 18}, false},
        {1720320,     {80, 2, 21}, false},
        {2880 * 1024, {80, 2, 36}, false},
        {1,           {40, 1, 8},  true },
        {512,         {40, 1, 8},  true },
        {368640 + 1,  {80, 2, 9},  true },
        {1296384,     {80, 2, 18}, true }, /* GRUB's */
        {1474559,     {80, 2, 18}, true },
        {1474561,     {80, 2, 21}, true },
        {2949119,     {80, 2, 36}, true },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_file("a.img", cases[i].size);
        struct disk *disk = floppy_image_open("a.img", 0, &error);
        assert_non_null(disk);
        struct disk_geometry geometry = disk_geometry(disk);
        assert_memory_equal(&geometry, &cases[i].geometry, sizeof(geometry));
        assert_int_equal(disk_sectors(disk), geometry.cylinders * geometry.heads * geometry.sectors_per_track);
        assert_int_equal(disk_read_only(disk), cases[i].read_only);
        assert_int_equal(disk_format(disk), DISK_FORMAT_RAW);
        assert_int_equal(disk_close(disk), 0);
    }
}

static void refused_sizes(void **state)
{
    (void)state;
    make_file("a.img", 0);
    assert_null(floppy_image_open("a.img", 0, &error));
    assert_int_equal(error.code, EMEDIUMTYPE);
    assert_non_null(strstr(error.text, "a.img: empty"));
    assert_non_null(strstr(error.text, "1.44"));
    make_file("a.img", 2949121);
    assert_null(floppy_image_open("a.img", DISK_OPEN_READ_ONLY, &error));
    assert_int_equal(error.code, EMEDIUMTYPE);
    assert_non_null(strstr(error.text, "a.img: with 2949121 bytes too large"));
    assert_non_null(strstr(error.text, "2.88 MB"));
    assert_null(strchr(error.text, '\n'));
    assert_null(floppy_image_open("none.img", 0, &error));
    assert_int_equal(error.code, ENOENT);
    assert_null(floppy_image_open(".", DISK_OPEN_READ_ONLY, &error));
    assert_int_equal(error.code, EISDIR);
}

static void a_whole_image_is_written(void **state)
{
    (void)state;
    uint8_t data[1024], seen[1024];
    fill(data, sizeof(data), 0);
    make_file("a.img", 1474560);
    struct disk *disk = floppy_image_open("a.img", 0, &error);
    assert_non_null(disk);
    assert_null(floppy_image_open("a.img", 0, &error)); /* it is locked */
    assert_int_equal(error.code, EBUSY);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, data, 2878, 2), 0);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, data, 2879, 2), EINVAL);
    assert_int_equal(disk_close(disk), 0);
    disk = floppy_image_open_descriptor(open("a.img", O_RDONLY), "name", DISK_OPEN_READ_ONLY, &error);
    assert_non_null(disk);
    assert_int_equal(disk_transfer(disk, DISK_READ, seen, 2878, 2), 0);
    assert_memory_equal(seen, data, sizeof(data));
    assert_int_equal(disk_transfer(disk, DISK_WRITE, data, 0, 2), EROFS);
    assert_int_equal(disk_close(disk), 0);
}

/* 700 bytes: the second sector is partly there, all others are not. */
static void a_short_image_ends_with_zeros(void **state)
{
    (void)state;
    struct memory_file memory;
    uint8_t data[700], seen[2048];
    memory_file_initialize(&memory);
    fill(data, sizeof(data), 3);
    memory_file_set(&memory, data, sizeof(data));
    struct disk *disk = floppy_image_open_file(&memory.file, 0, &error);
    assert_non_null(disk);
    memset(seen, 0xaa, sizeof(seen));
    assert_int_equal(disk_transfer(disk, DISK_READ, seen, 0, 4), 0);
    assert_memory_equal(seen, data, sizeof(data));
    for (size_t i = sizeof(data); i < sizeof(seen); i++)
        assert_int_equal(seen[i], 0);
    memset(seen, 0xaa, sizeof(seen));
    assert_int_equal(disk_transfer(disk, DISK_READ, seen, 1, 1), 0);
    assert_memory_equal(seen, data + 512, sizeof(data) - 512);
    assert_int_equal(seen[sizeof(data) - 512], 0);
    assert_int_equal(seen[511], 0);
    memset(seen, 0xaa, sizeof(seen));
    assert_int_equal(disk_transfer(disk, DISK_READ, seen, 318, 2), 0);
    for (size_t i = 0; i < 1024; i++)
        assert_int_equal(seen[i], 0);
    assert_int_equal(disk_transfer(disk, DISK_READ, seen, 319, 2), EINVAL);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, seen, 0, 1), EROFS);
    assert_int_equal(memory.changes, 0);
    assert_int_equal(disk_next_data(disk, 2), 320);
    memory.fail_reads = true;
    assert_int_equal(disk_transfer(disk, DISK_READ, seen, 0, 1), EIO);
    assert_int_equal(disk_transfer(disk, DISK_READ, seen, 2, 1), 0); /* is not in the file */
    assert_int_equal(disk_close(disk), 0);
    memory_file_release(&memory);
}

static void every_short_length(void **state)
{
    (void)state;
    struct memory_file memory;
    uint8_t data[1536], seen[1536];
    memory_file_initialize(&memory);
    fill(data, sizeof(data), 5);
    for (size_t size = 1; size <= sizeof(data); size++) {
        memory_file_set(&memory, data, size);
        struct disk *disk = floppy_image_open_file(&memory.file, 0, &error);
        assert_non_null(disk);
        memset(seen, 0xaa, sizeof(seen));
        assert_int_equal(disk_transfer(disk, DISK_READ, seen, 0, 3), 0);
        assert_memory_equal(seen, data, size);
        for (size_t i = size; i < sizeof(seen); i++)
            assert_int_equal(seen[i], 0);
        disk_close(disk);
    }
    memory_file_release(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(every_size),
        scratch_test(refused_sizes),
        scratch_test(a_whole_image_is_written),
        scratch_test(a_short_image_ends_with_zeros),
        scratch_test(every_short_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
