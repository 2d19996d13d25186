/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chains of differencing disks: what is read through them, how parents are found, and which are refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/path_name.h"
#include "tests/unit/scratch.h"

#define MIB     (1024u * 1024)
#define SECTORS (9u * MIB / DISK_SECTOR_SIZE + 3)

static struct disk_error error;
static uint8_t expected[SECTORS * DISK_SECTOR_SIZE], buffer[SECTORS * DISK_SECTOR_SIZE];
static uint64_t random_state;

static uint32_t below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % limit;
}

static void expect_error(int code, const char *text)
{
    if (error.code != code || !strstr(error.text, text))
        print_error("got %d, %s; not %d, %s\n", error.code, error.text, code, text);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, text));
}

static struct disk *must_open(const char *name, unsigned flags)
{
    struct disk *disk = disk_open(name, flags, &error);
    if (!disk)
        print_error("%s\n", error.text);
    assert_non_null(disk);
    return disk;
}

static void must_create(const char *name, enum disk_format format)
{
    const struct disk_create_options options = {.sparse = true};
    assert_true(disk_create(name, (uint64_t)SECTORS * DISK_SECTOR_SIZE, format, &options, &error));
}

static void must_create_child(const char *name, const char *parent, uint32_t block_size)
{
    const struct disk_create_options options = {.block_size = block_size};
    if (!disk_create_child(name, parent, &options, &error))
        print_error("%s\n", error.text);
    else
        return;
    fail();
}

/* ---- Contents ---- */

static void expect_content(struct disk *disk)
{
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, SECTORS), 0);
    assert_memory_equal(buffer, expected, sizeof(expected));
}

static void read_some(struct disk *disk, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        uint32_t count = 1 + below(40), first = below(SECTORS - count);
        assert_int_equal(disk_transfer(disk, DISK_READ, buffer, first, count), 0);
        assert_memory_equal(buffer, expected + first * DISK_SECTOR_SIZE, count * DISK_SECTOR_SIZE);
    }
}

static void write_some(struct disk *disk, unsigned times, uint32_t largest)
{
    for (unsigned i = 0; i < times; i++) {
        uint32_t count = 1 + below(largest), first = below(SECTORS - count);
        for (uint32_t j = 0; j < count * DISK_SECTOR_SIZE; j++)
            expected[first * DISK_SECTOR_SIZE + j] = (uint8_t)(i * 7 + j / DISK_SECTOR_SIZE + random_state);
        assert_int_equal(disk_transfer(disk, DISK_WRITE, expected + first * DISK_SECTOR_SIZE, first, count), 0);
        read_some(disk, 2);
    }
}

static uint64_t file_hash(const char *name)
{
    uint64_t hash = 0;
    uint8_t bytes[4096];
    int file = open(name, O_RDONLY);
    assert_true(file >= 0);
    for (ssize_t length; (length = read(file, bytes, sizeof(bytes))) > 0;)
        for (ssize_t i = 0; i < length; i++)
            hash = hash * 0x100000001b3u + bytes[i];
    close(file);
    return hash;
}

/* Six images of different block sizes, each written to here and there; nothing but the child ever changes. */
static void read_through_chain(const char *ending, const uint32_t *block_sizes)
{
    enum { CHILDREN = 5 };
    char names[CHILDREN + 1][16];
    uint64_t hashes[CHILDREN + 1];
    memset(expected, 0, sizeof(expected));
    for (unsigned i = 0; i <= CHILDREN; i++) {
        snprintf(names[i], sizeof(names[i]), "%u%s", i, ending);
        if (i)
            must_create_child(names[i], names[i - 1], block_sizes[i - 1]);
        else
            must_create(names[0], DISK_FORMAT_DYNAMIC);
        struct disk *disk = must_open(names[i], 0);
        assert_int_equal(disk->image_count, i + 1);
        expect_content(disk);
        write_some(disk, 60, 1 + i * 30);
        assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), 0);
        expect_content(disk);
        assert_int_equal(disk_close(disk), 0);
        disk = must_open(names[i], DISK_OPEN_READ_ONLY);
        expect_content(disk);
        read_some(disk, 300);
        assert_int_equal(disk_close(disk), 0);
        hashes[i] = file_hash(names[i]);
        for (unsigned j = 0; j < i; j++)
            assert_int_equal(file_hash(names[j]), hashes[j]);
    }
}

static void chain_of_vhds(void **state)
{
    (void)state;
    static const uint32_t block_sizes[] = {512u << 10, 4096, 4 * MIB, 64u << 10, 2 * MIB};
    read_through_chain(".vhd", block_sizes);
}

static void chain_of_vhdxs(void **state)
{
    (void)state;
    static const uint32_t block_sizes[] = {2 * MIB, 1 * MIB, 0, 4 * MIB, 1 * MIB};
    read_through_chain(".vhdx", block_sizes);
}

/* Its own sectors have 4 KiB, and requests begin and end anywhere. */
static void large_sectors(void **state)
{
    (void)state;
    const struct disk_create_options options = {.sparse = true, .logical_sector = 4096};
    uint64_t size = (uint64_t)SECTORS / 8 * 4096;
    assert_true(disk_create("0.vhdx", size, DISK_FORMAT_DYNAMIC, &options, &error));
    memset(expected, 0, sizeof(expected));
    for (unsigned i = 0; i < 2; i++) {
        if (i)
            must_create_child("1.vhdx", "0.vhdx", 0);
        struct disk *disk = must_open(i ? "1.vhdx" : "0.vhdx", 0);
        assert_int_equal(disk_top(disk)->write_unit, 8);
        assert_int_equal(disk_sectors(disk), size / DISK_SECTOR_SIZE);
        write_some(disk, 60, 20);
        assert_int_equal(disk_close(disk), 0);
    }
    struct disk *disk = must_open("1.vhdx", DISK_OPEN_READ_ONLY);
    read_some(disk, 500);
    disk_close(disk);
    assert_false(disk_create("2.vhd", size, DISK_FORMAT_DYNAMIC, &options, &error));
    expect_error(EINVAL, "only a VHDX, whose name ends with .vhdx, has them");
}

/* What a guest writes does not make another format of its disk. */
static void looks_like_both(void **state)
{
    (void)state;
    memset(buffer, 0, DISK_SECTOR_SIZE);
    memcpy(buffer, "vhdxfile", 8);
    must_create("a.vhd", DISK_FORMAT_FIXED);
    struct disk *disk = must_open("a.vhd", 0);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, buffer, 0, 1), 0);
    disk_close(disk);
    disk = must_open("a.vhd", 0);
    assert_int_equal(disk_top(disk)->container, DISK_CONTAINER_VHD);
    disk_close(disk);
    assert_int_equal(rename("a.vhd", "disk"), 0);
    assert_null(disk_open("disk", 0, &error));
    expect_error(EINVAL, "disk: it looks like a VHD and like a VHDX: give it a name that ends with what it is");

    must_create("b.vhdx", DISK_FORMAT_FIXED);
    int image = open("b.vhdx", O_RDWR), other = open("disk", O_RDONLY);
    assert_int_equal(lseek(other, -(off_t)DISK_SECTOR_SIZE, SEEK_END) < 0, 0);
    assert_int_equal(read(other, buffer, DISK_SECTOR_SIZE), DISK_SECTOR_SIZE);
    assert_int_equal(lseek(image, -(off_t)DISK_SECTOR_SIZE, SEEK_END) < 0, 0);
    assert_int_equal(write(image, buffer, DISK_SECTOR_SIZE), DISK_SECTOR_SIZE);
    close(image);
    close(other);
    disk = must_open("b.vhdx", 0);
    assert_int_equal(disk_top(disk)->container, DISK_CONTAINER_VHDX);
    disk_close(disk);
    assert_int_equal(rename("b.vhdx", "b"), 0);
    assert_null(disk_open("b", 0, &error));
    expect_error(EINVAL, "looks like");
}

static void children_are_what_their_parents_are(void **state)
{
    (void)state;
    must_create("base.vhd", DISK_FORMAT_FIXED);
    must_create("base.vhdx", DISK_FORMAT_FIXED);
    assert_false(disk_create_child("a.vhdx", "base.vhd", NULL, &error));
    expect_error(EOPNOTSUPP, "a.vhdx: its parent base.vhd is a VHD, so that it has to be one too");
    assert_false(disk_create_child("a.vhd", "base.vhdx", NULL, &error));
    expect_error(EOPNOTSUPP, "a.vhd: its parent base.vhdx is a VHDX, so that it has to be one too");
}

/* A fragmented disk that is larger than what the index and the cache hold. */
static void more_than_memory_holds(void **state)
{
    (void)state;
    enum { STEP = 9 };
    static uint8_t bytes[DISK_SECTOR_SIZE];
    const struct disk_create_options options = {.sparse = true};
    uint64_t sectors = 5ull << 30 >> 9;
    assert_true(disk_create("base.vhd", sectors * DISK_SECTOR_SIZE, DISK_FORMAT_DYNAMIC, &options, &error));
    struct disk *disk = must_open("base.vhd", 0);
    for (uint64_t block = 0; block < sectors / 4096; block += STEP) {
        memset(bytes, (int)(block % 251) + 1, sizeof(bytes));
        assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, block * 4096 + block % 4096, 1), 0);
    }
    disk_close(disk);
    must_create_child("child.vhd", "base.vhd", 0);
    disk = must_open("child.vhd", 0);
    for (uint64_t block = 0; block < sectors / 4096; block++) {
        memset(bytes, (int)(block % 241) + 2, sizeof(bytes));
        assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, block * 4096 + (block * 7 + 1) % 4096, 1), 0);
    }
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t block = 0; block < sectors / 4096; block += STEP) {
            assert_int_equal(disk_transfer(disk, DISK_READ, bytes, block * 4096 + (block * 7 + 1) % 4096, 1), 0);
            assert_int_equal(bytes[77], block % 241 + 2);
            assert_int_equal(disk_transfer(disk, DISK_READ, bytes, block * 4096 + block % 4096, 1), 0);
            assert_int_equal(bytes[99], (block * 7 + 1) % 4096 == block % 4096 ? block % 241 + 2 : block % 251 + 1);
        }
    }
    assert_int_equal(disk_close(disk), 0);
}

static void children_share_a_parent(void **state)
{
    (void)state;
    must_create("base.vhd", DISK_FORMAT_FIXED);
    must_create_child("a.vhd", "base.vhd", 0);
    must_create_child("b.vhd", "base.vhd", 0);
    struct disk *a = must_open("a.vhd", 0), *b = must_open("b.vhd", 0);
    memset(buffer, 0x11, DISK_SECTOR_SIZE);
    assert_int_equal(disk_transfer(a, DISK_WRITE, buffer, 5, 1), 0);
    assert_int_equal(disk_transfer(b, DISK_READ, buffer, 5, 1), 0);
    assert_int_equal(buffer[0], 0);
    assert_null(disk_open("base.vhd", 0, &error));
    expect_error(EBUSY, "in use");
    assert_null(disk_open("a.vhd", 0, &error));
    expect_error(EBUSY, "in use");
    assert_false(disk_create_child("c.vhd", "a.vhd", NULL, &error));
    expect_error(EBUSY, "in use");
    disk_close(a);
    disk_close(b);
    disk_close(must_open("base.vhd", 0));
}

/* ---- Finding the parent ---- */

static void expect_opens(const char *child)
{
    struct disk *disk = must_open(child, 0);
    assert_int_equal(disk->image_count, 2);
    disk_close(disk);
}

static void files_that_move(void **state)
{
    (void)state;
    assert_int_equal(mkdir("disks", 0700), 0);
    assert_int_equal(mkdir("disks/old", 0700), 0);
    must_create("disks/old/Base disk.vhd", DISK_FORMAT_DYNAMIC);
    must_create_child("disks/child.vhd", "disks/old/Base disk.vhd", 0);
    expect_opens("disks/child.vhd");

    assert_int_equal(rename("disks", "elsewhere"), 0); /* both: the relative name */
    expect_opens("elsewhere/child.vhd");
    assert_int_equal(symlink("elsewhere/child.vhd", "link.vhd"), 0);
    expect_opens("link.vhd");
    assert_int_equal(rename("elsewhere", "disks"), 0);
    assert_int_equal(rename("disks/child.vhd", "child.vhd"), 0); /* the child alone: the absolute one */
    expect_opens("child.vhd");
    assert_int_equal(rename("disks/old/Base disk.vhd", "BASE DISK.VHD"), 0); /* beside the child, in another case */
    expect_opens("child.vhd");
    assert_int_equal(rename("BASE DISK.VHD", "disks/other name.vhd"), 0);
    assert_null(disk_open("child.vhd", 0, &error));
    expect_error(ENOLINK, "its parent old/Base disk.vhd is not there; if it was moved, give its place: "
                          "loam disk reconnect --parent PARENT child.vhd");
}

static void parents_that_are_refused(void **state)
{
    (void)state;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    must_create("base.vhd", DISK_FORMAT_DYNAMIC);
    must_create_child("child.vhd", "base.vhd", 0);
    must_create_child("grandchild.vhd", "child.vhd", 0);

    assert_int_equal(utimensat(AT_FDCWD, "base.vhd", times, 0), 0);
    assert_null(disk_open("grandchild.vhd", 0, &error));
    expect_error(ENOLINK, "/base.vhd was changed after it was made; if only the file's time changed, as copying does: "
                          "loam disk reconnect ");
    assert_int_equal(unlink("base.vhd"), 0);
    must_create("base.vhd", DISK_FORMAT_DYNAMIC);
    assert_null(disk_open("child.vhd", 0, &error));
    expect_error(ENOLINK, "child.vhd: ");
    expect_error(ENOLINK, "base.vhd is not its parent, but another disk");
    assert_int_equal(truncate("base.vhd", 700), 0);
    assert_null(disk_open("child.vhd", 0, &error));
    expect_error(EUCLEAN, "base.vhd: a damaged VHD");

    must_create("raw.img", DISK_FORMAT_RAW);
    assert_false(disk_create_child("of raw.vhd", "raw.img", NULL, &error));
    expect_error(EMEDIUMTYPE, "raw.img: not a VHD");
    assert_false(disk_create_child("orphan.vhd", "child.vhd", NULL, &error));
    expect_error(EUCLEAN, "base.vhd");
    assert_int_equal(access("orphan.vhd", F_OK), -1);
}

/* The images, given as descriptors, as a worker has them. */
static void chains_that_are_given(void **state)
{
    (void)state;
    must_create("base.vhd", DISK_FORMAT_FIXED);
    must_create_child("child.vhd", "base.vhd", 0);
    must_create("other.vhd", DISK_FORMAT_FIXED);
    static const struct {
        const char *names[3];
        unsigned count;
        int code;
        const char *text;
    } cases[] = {
        {{"child.vhd", "base.vhd"},              2, 0,       ""                                                          },
        {{"child.vhd"},                          1, ENOLINK, "child.vhd: a differencing disk, whose parent was not given"},
        {{"child.vhd", "other.vhd"},             2, ENOLINK, "child.vhd: other.vhd is not its parent"                    },
        {{"child.vhd", "base.vhd", "other.vhd"}, 3, EINVAL,  "base.vhd: no differencing disk"                            },
        {{"base.vhd", "child.vhd"},              2, EINVAL,  "base.vhd: no differencing disk"                            },
        {{"child.vhd", "child.vhd"},             2, EBUSY,   "child.vhd: in use"                                         },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct disk_link links[3];
        for (unsigned j = 0; j < cases[i].count; j++)
            links[j] = (struct disk_link){.descriptor = open(cases[i].names[j], j ? O_RDONLY : O_RDWR),
                                          .name = cases[i].names[j]};
        struct disk *disk = disk_open_chain(links, cases[i].count, 0, &error);
        if (cases[i].code)
            expect_error(cases[i].code, cases[i].text);
        assert_int_equal(disk != NULL, cases[i].code == 0);
        if (disk)
            disk_close(disk);
        for (unsigned j = 0; j < cases[i].count; j++)
            assert_int_equal(fcntl(links[j].descriptor, F_GETFD), -1); /* closed in any case */
    }
}

/* ---- Names ---- */

static void names_of_other_systems(void **state)
{
    (void)state;
    static const struct {
        const char *text, *name; /* NULL: none */
    } windows[] =
        {
            {".\\parent.vhd",            "parent.vhd"          },
            {".\\.\\a b\\parent.vhd",    "a b/parent.vhd"      },
            {"..\\..\\p.vhd",            "../../p.vhd"         },
            {"C:\\Virtual Disks\\p.vhd", "/Virtual Disks/p.vhd"},
            {"\\\\?\\d:\\p.vhd",         "/p.vhd"              },
            {"p",                        "p"                   },
            {"",                         NULL                  },
            {"C:",                       NULL                  },
            {"\\\\server\\share\\p.vhd", NULL                  },
            {"a\nb",                     NULL                  },
    },
      urls[] = {
          {"file:///a/b.vhd", "/a/b.vhd"},
          {"file://localhost/a/b.vhd", "/a/b.vhd"},
          {"FILE:///a%20b/%C3%A4.vhd", "/a b/\xc3\xa4.vhd"},
          {"file://./b.vhd", "b.vhd"},
          {"file:///100%/b.vhd", "/100%/b.vhd"},
          {"file:///a%00b", NULL},
          {"file:///a%0ab", NULL},
          {"file://", NULL},
          {"http://a/b", NULL},
          {"/a/b", NULL},
      };
    char text[64];
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
        strcpy(text, windows[i].text);
        assert_int_equal(path_name_from_windows(text), windows[i].name != NULL);
        if (windows[i].name)
            assert_string_equal(text, windows[i].name);
    }
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        strcpy(text, urls[i].text);
        assert_int_equal(path_name_from_url(text), urls[i].name != NULL);
        if (urls[i].name)
            assert_string_equal(text, urls[i].name);
    }
}

static void names_for_other_systems(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *name;
    } cases[] = {
        {"/a/b", "/a/b/p",   "p"      },
        {"/a/b", "/a/c/p",   "../c/p" },
        {"/a/b", "/a/bc",    "../bc"  },
        {"/a/b", "/p",       "../../p"},
        {"/ab",  "/a/p",     "../a/p" },
        {"/",    "/p",       "p"      },
        {"/",    "/a/p",     "a/p"    },
        {"/a/b", "/a/b/c/p", "c/p"    },
    };
    char text[64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(path_name_relative(cases[i].from, cases[i].to, text, sizeof(text)));
        assert_string_equal(text, cases[i].name);
        assert_false(path_name_relative(cases[i].from, cases[i].to, text, strlen(cases[i].name)));
    }
    assert_true(path_name_to_windows("a/b", text, sizeof(text)));
    assert_string_equal(text, ".\\a\\b");
    assert_true(path_name_to_windows("../b", text, sizeof(text)));
    assert_string_equal(text, "..\\b");
    assert_false(path_name_to_windows("a/b", text, 5));
    assert_true(path_name_to_url("/a b/%", text, sizeof(text)));
    assert_string_equal(text, "file:///a%20b/%25");
    assert_false(path_name_to_url("/a b/%", text, strlen("file:///a%20b/%25")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(chain_of_vhds),
        scratch_test(chain_of_vhdxs),
        scratch_test(large_sectors),
        scratch_test(looks_like_both),
        scratch_test(children_are_what_their_parents_are),
        scratch_test(more_than_memory_holds),
        scratch_test(children_share_a_parent),
        scratch_test(files_that_move),
        scratch_test(parents_that_are_refused),
        scratch_test(chains_that_are_given),
        cmocka_unit_test(names_of_other_systems),
        cmocka_unit_test(names_for_other_systems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
