/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connecting differencing disks with their parents again. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/check.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/reconnect.h"
#include "partitions/root/disk/vhd/create.h"
#include "partitions/root/disk/vhd/reconnect.h"
#include "partitions/root/disk/vhd/rewrite.h"
#include "tests/unit/disk_change.h"
#include "tests/unit/scratch.h"

#define SIZE (64ull << 10)

static struct disk_error error;
static struct disk_reconnect_result result;

static void expect_error(int code, const char *text)
{
    if (error.code != code || !strstr(error.text, text))
        print_error("got %d, %s; not %d, %s\n", error.code, error.text, code, text);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, text));
}

static void must_create(const char *name, uint64_t size, enum disk_format format)
{
    const struct disk_create_options options = {.sparse = true};
    assert_true(disk_create(name, size, format, &options, &error));
}

static void write_sector(const char *name, uint64_t sector, uint8_t value)
{
    uint8_t bytes[DISK_SECTOR_SIZE];
    struct disk *disk = disk_open(name, 0, &error);
    assert_non_null(disk);
    memset(bytes, value, sizeof(bytes));
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, sector, 1), 0);
    assert_int_equal(disk_close(disk), 0);
}

/* A chain of three: 0.vhd has 1 in sector 1, 1.vhd 2 in sector 2, 2.vhd 3 in sector 3. */
static void make_chain(void)
{
    must_create("0.vhd", SIZE, DISK_FORMAT_DYNAMIC);
    write_sector("0.vhd", 1, 1);
    assert_true(disk_create_child("1.vhd", "0.vhd", NULL, &error));
    write_sector("1.vhd", 2, 2);
    assert_true(disk_create_child("2.vhd", "1.vhd", NULL, &error));
    write_sector("2.vhd", 3, 3);
}

static void expect_contents(const char *name, unsigned images)
{
    uint8_t bytes[DISK_SECTOR_SIZE];
    struct disk_check_result checked;
    struct disk *disk = disk_open(name, 0, &error);
    if (!disk)
        print_error("%s\n", error.text);
    assert_non_null(disk);
    assert_int_equal(disk->image_count, images);
    for (unsigned i = 1; i <= images; i++) {
        assert_int_equal(disk_transfer(disk, DISK_READ, bytes, i, 1), 0);
        assert_int_equal(bytes[17], i);
    }
    assert_int_equal(disk_close(disk), 0);
    assert_true(disk_check(name, NULL, NULL, &checked, &error));
    assert_int_equal(checked.count[DISK_CHECK_WARNING] + checked.count[DISK_CHECK_ERROR], 0);
}

static void must_reconnect(const char *child, const char *parent)
{
    if (!disk_reconnect(child, parent, NULL, &result, &error))
        print_error("%s\n", error.text);
    else
        return;
    fail();
}

/* ---- Files ---- */

static void parent_moved(void **state)
{
    (void)state;
    make_chain();
    assert_int_equal(mkdir("a", 0700), 0);
    assert_int_equal(rename("0.vhd", "a/other name.vhd"), 0);
    assert_null(disk_open("1.vhd", 0, &error));
    expect_error(ENOLINK, "loam disk reconnect --parent PARENT 1.vhd");
    assert_false(disk_reconnect("1.vhd", NULL, NULL, NULL, &error));
    expect_error(ENOLINK, "1.vhd: its parent 0.vhd is not there; give its place: loam disk reconnect --parent PARENT");
    must_reconnect("1.vhd", "a/other name.vhd");
    assert_true(result.moved && !result.changed && !result.other_identity);
    assert_non_null(strstr(result.parent, "/a/other name.vhd"));
    expect_contents("1.vhd", 2);
    expect_contents("2.vhd", 3);

    /* The relative name holds when all is moved, and the absolute one when the child is. */
    assert_int_equal(mkdir("b", 0700), 0);
    assert_int_equal(rename("a", "b/a"), 0);
    assert_int_equal(rename("1.vhd", "b/1.vhd"), 0);
    expect_contents("b/1.vhd", 2);
    must_reconnect("b/1.vhd", NULL);
    assert_int_equal(rename("b/1.vhd", "1.vhd"), 0);
    expect_contents("1.vhd", 2);
}

/* Either may come first: the middle's own time stays as its child has noted it. */
static void middle_moved(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 2; order++) {
        make_chain();
        assert_int_equal(mkdir("a", 0700), 0);
        assert_int_equal(rename("1.vhd", "a/m.vhd"), 0);
        assert_int_equal(mkdir("z", 0700), 0);
        assert_int_equal(rename("0.vhd", "z/base.vhd"), 0);
        if (order == 0)
            must_reconnect("a/m.vhd", "z/base.vhd");
        must_reconnect("2.vhd", "a/m.vhd");
        if (order == 1)
            must_reconnect("a/m.vhd", "z/base.vhd");
        expect_contents("2.vhd", 3);
        assert_int_equal(unlink("2.vhd") | unlink("a/m.vhd") | unlink("z/base.vhd") | rmdir("a") | rmdir("z"), 0);
    }
}

static void time_changed(void **state)
{
    (void)state;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    const struct disk_reconnect_options dry_run = {.dry_run = true};
    make_chain();
    assert_int_equal(utimensat(AT_FDCWD, "0.vhd", times, 0), 0);
    assert_null(disk_open("1.vhd", 0, &error));
    expect_error(ENOLINK, "loam disk reconnect ");
    assert_true(disk_reconnect("1.vhd", NULL, &dry_run, &result, &error));
    assert_true(result.changed && !result.moved);
    assert_null(disk_open("1.vhd", 0, &error));
    must_reconnect("1.vhd", NULL);
    assert_true(result.changed && !result.moved);
    expect_contents("1.vhd", 2);
    must_reconnect("1.vhd", NULL);
    assert_true(!result.changed && !result.moved);
}

static void other_disks(void **state)
{
    (void)state;
    const struct disk_reconnect_options force = {.other_identity = true};
    make_chain();
    must_create("other.vhd", SIZE, DISK_FORMAT_FIXED);
    must_create("large.vhd", 2 * SIZE, DISK_FORMAT_DYNAMIC);
    must_create("raw.img", SIZE, DISK_FORMAT_RAW);
    assert_int_equal(unlink("0.vhd"), 0);
    static const struct {
        const char *child, *parent;
        bool force;
        int code;
        const char *text;
    } cases[] = {
        {"1.vhd",     "other.vhd", false, ENOLINK,
         "1.vhd: other.vhd is not the disk that it was made from; if it is a copy"         },
        {"1.vhd",     "large.vhd", true,  ENOLINK,
         "1.vhd: it has 65536 bytes and its parent large.vhd 131072, which was resi"       },
        {"1.vhd",     "raw.img",   true,  EMEDIUMTYPE, "raw.img: not a VHD"                },
        {"1.vhd",     "missing",   true,  ENOENT,      "missing: "                         },
        {"1.vhd",     "1.vhd",     true,  EINVAL,      "1.vhd: 1.vhd is the disk itself"   },
        {"1.vhd",     "copy.vhd",  true,  EINVAL,      "1.vhd: copy.vhd is the disk itself"},
        {"other.vhd", "1.vhd",     true,  EINVAL,      "other.vhd: no differencing disk"   },
        {"raw.img",   "1.vhd",     true,  EMEDIUMTYPE, "raw.img: not a VHD"                },
        {"missing",   NULL,        false, ENOENT,      "missing: "                         },
    };
    assert_int_equal(link("1.vhd", "copy"), 0);
    assert_int_equal(system("cp copy copy.vhd"), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct disk_reconnect_options options = {.other_identity = cases[i].force};
        assert_false(disk_reconnect(cases[i].child, cases[i].parent, &options, NULL, &error));
        expect_error(cases[i].code, cases[i].text);
    }
    write_sector("other.vhd", 1, 1);
    assert_true(disk_reconnect("1.vhd", "other.vhd", &force, &result, &error));
    assert_true(result.other_identity);
    expect_contents("1.vhd", 2);
}

static void disks_in_use(void **state)
{
    (void)state;
    make_chain();
    struct disk *disk = disk_open("2.vhd", DISK_OPEN_READ_ONLY, &error);
    assert_non_null(disk);
    assert_false(disk_reconnect("2.vhd", NULL, NULL, NULL, &error));
    expect_error(EBUSY, "2.vhd: in use by process");
    assert_false(disk_reconnect("1.vhd", NULL, NULL, NULL, &error));
    expect_error(EBUSY, "1.vhd: in use by process");
    disk_close(disk);
    disk = disk_open("0.vhd", 0, &error);
    assert_non_null(disk);
    assert_false(disk_reconnect("1.vhd", NULL, NULL, NULL, &error));
    expect_error(EBUSY, "0.vhd: in use by process");
    disk_close(disk);
}

/* ---- Crashes ---- */

static struct memory_file parent;

static void reconnect_image(void *context, struct disk_file *file)
{
    static struct parent_paths paths;
    const unsigned *length = context;
    struct vhd_new_parent new = {.timestamp = 1800000000 + *length, .paths = &paths};
    memcpy(new.identifier, parent.bytes + parent.size - VHD_FOOTER_SIZE + 68, sizeof(new.identifier));
    snprintf(paths.absolute, sizeof(paths.absolute), "/%0*u/parent.vhd", (int)*length, *length);
    snprintf(paths.relative, sizeof(paths.relative), "../%0*u/parent.vhd", (int)*length, *length);
    assert_true(vhd_reconnect(file, &new, &error));
}

/* As other programs make them: one locator, of an absolute path, without space for another. */
static void make_foreign(struct memory_file *memory)
{
    static const char path[] = "C\0:\0\\\0p\0.\0v\0h\0d\0";
    struct vhd_rewrite rewrite;
    uint64_t offset;
    assert_true(vhd_rewrite_begin(&rewrite, &memory->file, &error));
    assert_int_equal(vhd_rewrite_room(&rewrite, sizeof(path) - 1, &offset), 0);
    assert_int_equal(disk_file_write_buffer(&memory->file, path, sizeof(path) - 1, offset), 0);
    struct vhd_parent says = rewrite.metadata.parent;
    memset(says.locators, 0, sizeof(says.locators));
    says.locators[3] = (struct vhd_locator){VHD_PLATFORM_W2KU, 1, sizeof(path) - 1, offset};
    assert_true(vhd_parent_encode(rewrite.metadata.header_bytes, &says));
    vhd_header_seal(rewrite.metadata.header_bytes);
    assert_int_equal(vhd_rewrite_commit(&rewrite, &rewrite.metadata.footer, rewrite.metadata.header_bytes), 0);
}

/* A child that is not closed, as a killed process leaves it: its log is not lost. */
static void write_child(struct memory_file *memory, bool close)
{
    static uint8_t bytes[9 * DISK_SECTOR_SIZE];
    struct disk_file *files[] = {&memory->file, &parent.file};
    struct memory_file left;
    memset(bytes, 0x33, sizeof(bytes));
    memory_file_initialize(&left);
    struct disk *disk = disk_open_files(files, 2, 0, &error);
    assert_non_null(disk);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 12, 9), 0);
    memory_file_set(&left, memory->bytes, memory->size);
    assert_int_equal(disk_close(disk), 0);
    if (!close)
        memory_file_set(memory, left.bytes, left.size);
    memory_file_release(&left);
}

static void old_or_new(void **state)
{
    (void)state;
    static const unsigned lengths[] = {1, 60, 1, 300, 7, 600};
    uint64_t played = 0;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct memory_file memory;
        struct vhd_child child = {
            .size = SIZE, .block_size = 4096, .relative_path = "p.vhd", .absolute_path = "/p.vhd"};
        memory_file_initialize(&memory);
        memory_file_initialize(&parent);
        assert_int_equal(disk_create_in(&parent.file, SIZE, DISK_FORMAT_FIXED, 0), 0);
        memset(parent.bytes, 0x99, SIZE);
        memcpy(child.identifier, parent.bytes + SIZE + 68, sizeof(child.identifier));
        assert_int_equal(vhd_create_child(&memory.file, &child), 0);
        if (kind & 1)
            make_foreign(&memory);
        write_child(&memory, !(kind & 2));
        memory_file_reset(&memory);
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            unsigned length = lengths[i];
            const struct disk_change change = {.make = reconnect_image, .context = &length, .parent = &parent};
            played += disk_change_play(&change, &memory);
            write_child(&memory, true);
            disk_change_expect_sound(&memory);
            memory_file_reset(&memory);
        }
        memory_file_release(&memory);
        memory_file_release(&parent);
    }
    print_message("%llu media played\n", (unsigned long long)played);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(parent_moved), scratch_test(middle_moved), scratch_test(time_changed),
        scratch_test(other_disks),  scratch_test(disks_in_use), cmocka_unit_test(old_or_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
