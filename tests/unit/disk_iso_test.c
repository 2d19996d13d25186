/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images of optical discs: what is whole is opened for reading, what is not is refused in one line. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "partitions/root/disk/open.h"
#include "tests/unit/scratch.h"

#define BLOCK 2048u

/* A file "disc" of `size` bytes whose primary volume descriptor tells `blocks` of `block_size` bytes. */
static void make_disc(uint64_t size, uint32_t blocks, uint16_t block_size)
{
    uint8_t descriptor[BLOCK] = {1, 'C', 'D', '0', '0', '1', 1};
    int file = open("disc", O_RDWR | O_CREAT | O_TRUNC, 0600);

    assert_true(file >= 0);
    for (unsigned i = 0; i < 4; i++) {
        descriptor[80 + i] = blocks >> (8 * i) & 0xff;
        descriptor[87 - i] = descriptor[80 + i];
    }
    for (unsigned i = 0; i < 2; i++) {
        descriptor[128 + i] = block_size >> (8 * i) & 0xff;
        descriptor[131 - i] = descriptor[128 + i];
    }
    assert_int_equal(pwrite(file, descriptor, BLOCK, 16 * BLOCK), BLOCK);
    assert_int_equal(ftruncate(file, (off_t)size), 0);
    close(file);
}

static void expect_opened(uint64_t size)
{
    struct disk_error error;
    struct disk *disk = disk_open("disc", DISK_OPEN_ISO, &error);

    assert_non_null(disk);
    assert_int_equal(disk_sectors(disk), size / 512);
    assert_true(disk_read_only(disk));
    assert_int_equal(disk_close(disk), 0);
}

static void expect_refused(int code, const char *text)
{
    struct disk_error error;

    assert_null(disk_open("disc", DISK_OPEN_ISO, &error));
    assert_int_equal(error.code, code);
    assert_string_equal(error.text, text);
    assert_null(strchr(error.text, '\n'));
}

static void test_whole(void **state)
{
    (void)state;
    make_disc(100 * BLOCK, 100, BLOCK);
    expect_opened(100 * BLOCK);
    /* More than the file system uses: padding, or another system behind it. */
    make_disc(250 * BLOCK, 100, BLOCK);
    expect_opened(250 * BLOCK);
    make_disc(100 * BLOCK, 400, 512);
    expect_opened(100 * BLOCK);
}

/* No file system, or another one; too small for any; a descriptor that says nothing sensible. */
static void test_other(void **state)
{
    int file;

    (void)state;
    make_disc(100 * BLOCK, 100, BLOCK);
    file = open("disc", O_RDWR);
    assert_int_equal(pwrite(file, "BEA01", 5, 16 * BLOCK + 1), 5);
    close(file);
    assert_int_equal(truncate("disc", 50 * BLOCK), 0);
    expect_opened(50 * BLOCK);
    make_disc(16 * BLOCK, 100, BLOCK);
    expect_opened(16 * BLOCK);
    make_disc(50 * BLOCK, 100, 0);
    expect_opened(50 * BLOCK);
    make_disc(50 * BLOCK, 100, 4096);
    expect_opened(50 * BLOCK);
}

static void test_truncated(void **state)
{
    (void)state;
    make_disc(99 * BLOCK, 100, BLOCK);
    expect_refused(EUCLEAN,
                   "disc: truncated: the file has 202752 bytes, and the file system in it 204800; copy it again");
    make_disc(99 * BLOCK, 400, 512);
    expect_refused(EUCLEAN,
                   "disc: truncated: the file has 202752 bytes, and the file system in it 204800; copy it again");
    make_disc(100 * BLOCK, 0xffffffff, BLOCK);
    expect_refused(
        EUCLEAN, "disc: truncated: the file has 204800 bytes, and the file system in it 8796093020160; copy it again");
}

static void test_size(void **state)
{
    (void)state;
    make_disc(100 * BLOCK + 512, 100, BLOCK);
    expect_refused(EINVAL, "disc: no whole disc image: its size of 205312 bytes is not a multiple of 2048; it may not "
                           "have been copied to the end");
    make_disc(100 * BLOCK - 1, 100, BLOCK);
    expect_refused(EINVAL, "disc: no whole disc image: its size of 204799 bytes is not a multiple of 2048; it may not "
                           "have been copied to the end");
    make_disc(0, 100, BLOCK);
    expect_refused(EINVAL, "disc: no disc image: it is empty");
}

/* By descriptor, opened for reading only; and several at a time. */
static void test_shared(void **state)
{
    struct disk_error error;
    struct disk *first;
    struct disk *second;

    (void)state;
    make_disc(100 * BLOCK, 100, BLOCK);
    first = disk_open("disc", DISK_OPEN_ISO, &error);
    second = disk_open_descriptor(open("disc", O_RDONLY), "name", DISK_OPEN_ISO, &error);
    assert_non_null(first);
    assert_non_null(second);
    disk_close(first);
    disk_close(second);
    make_disc(99 * BLOCK, 100, BLOCK);
    assert_null(disk_open_descriptor(open("disc", O_RDONLY), "name", DISK_OPEN_ISO, &error));
    assert_int_equal(strncmp(error.text, "name: truncated", 15), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(test_whole), scratch_test(test_other),  scratch_test(test_truncated),
        scratch_test(test_size),  scratch_test(test_shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
