/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks that grow and shrink: contents, footers, refusals, and power failures at every moment. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/check.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/resize.h"
#include "partitions/root/disk/vhd/vhd.h"
#include "partitions/root/disk/vhd/resize.h"
#include "tests/unit/disk_change.h"
#include "tests/unit/scratch.h"

#define KIB 1024ull
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)
#define TIB (GIB * KIB)

static struct disk_error error;

static void expect_error(int code, const char *text)
{
    if (error.code != code || !strstr(error.text, text))
        print_error("got %d, %s; not %d, %s\n", error.code, error.text, code, text);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, text));
}

/* ---- In memory, with power failures ---- */

#define MOST_SECTORS 2048u
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
    struct disk *disk = disk_open_file(&memory->file, 0, &error);
    assert_non_null(disk);
    assert_int_equal(disk_sectors(disk), sectors);
    assert_int_equal(disk_transfer(disk, DISK_READ, buffer, 0, sectors), 0);
    assert_memory_equal(buffer, expected, (size_t)sectors * DISK_SECTOR_SIZE);
    assert_int_equal(disk_close(disk), 0);
    disk_change_expect_sound(memory);
}

static void resize_image(void *context, struct disk_file *file)
{
    const uint32_t *sectors = context;
    const struct disk_progress progress = {0};
    const struct vhd_resize resize = {.size = (uint64_t)*sectors * DISK_SECTOR_SIZE, .progress = &progress};
    if (!vhd_resize(file, &resize, &error)) {
        print_error("%s\n", error.text);
        fail();
    }
}

/* What others may have left: the end of the file, and bytes where the disk is not. */
enum condition { SOUND, OLD_FOOTER, ODD_GAP, GAP };

static void spoil(struct memory_file *memory, enum condition condition)
{
    static const size_t gaps[] = {[ODD_GAP] = 700, [GAP] = 2048};
    size_t size = memory->size;
    if (condition == OLD_FOOTER)
        memory_file_resize(memory, size - 1);
    if (condition < ODD_GAP)
        return;
    size_t gap = gaps[condition];
    memory_file_resize(memory, size + gap);
    memmove(memory->bytes + size + gap - VHD_FOOTER_SIZE, memory->bytes + size - VHD_FOOTER_SIZE, VHD_FOOTER_SIZE);
    memset(memory->bytes + size - VHD_FOOTER_SIZE, 0x5a, gap);
}

/* In the last block of a dynamic image, where the disk is not. */
static void spoil_last_block(struct memory_file *memory, uint32_t sectors, uint32_t block_size)
{
    uint32_t block = (sectors - 1) / (block_size / DISK_SECTOR_SIZE);
    uint32_t used = sectors - block * (block_size / DISK_SECTOR_SIZE);
    struct vhd_metadata metadata;
    assert_true(vhd_metadata_read(&memory->file, &metadata, &error));
    uint32_t place = vhd_load_entry(memory->bytes + metadata.header.table_offset + block * 4);
    if (place == VHD_UNALLOCATED || used * DISK_SECTOR_SIZE == block_size)
        return;
    uint8_t *data = memory->bytes + ((size_t)place + 1 + used) * DISK_SECTOR_SIZE;
    memset(data, 0xa5, block_size - used * DISK_SECTOR_SIZE);
}

static const struct {
    enum disk_format format;
    enum condition condition;
    uint32_t block_size;
    uint32_t sizes[6]; /* sectors, one after the other */
} cases[] = {
    {DISK_FORMAT_FIXED,   SOUND,      0,     {64, 65, 100, 64, 1}  },
    {DISK_FORMAT_FIXED,   SOUND,      0,     {64, 200, 20, 21}     },
    {DISK_FORMAT_FIXED,   OLD_FOOTER, 0,     {20, 21, 40}          },
    {DISK_FORMAT_FIXED,   OLD_FOOTER, 0,     {20, 19}              },
    {DISK_FORMAT_FIXED,   ODD_GAP,    0,     {20, 21, 40}          },
    {DISK_FORMAT_FIXED,   ODD_GAP,    0,     {20, 22, 40}          },
    {DISK_FORMAT_FIXED,   ODD_GAP,    0,     {20, 10}              },
    {DISK_FORMAT_FIXED,   GAP,        0,     {20, 22, 24, 40}      },
    {DISK_FORMAT_FIXED,   GAP,        0,     {20, 24, 25}          },
    {DISK_FORMAT_FIXED,   GAP,        0,     {20, 10}              },
    {DISK_FORMAT_DYNAMIC, SOUND,      4096,  {64, 72, 80, 60, 80}  },
    {DISK_FORMAT_DYNAMIC, SOUND,      4096,  {61, 63, 64, 65, 1500}},
    {DISK_FORMAT_DYNAMIC, SOUND,      4096,  {61, 13, 61, 1}       },
    {DISK_FORMAT_DYNAMIC, GAP,        4096,  {61, 13, 2000}        },
    {DISK_FORMAT_DYNAMIC, OLD_FOOTER, 4096,  {61, 62, 13}          },
    {DISK_FORMAT_DYNAMIC, SOUND,      512,   {40, 300, 39, 301}    },
    {DISK_FORMAT_DYNAMIC, SOUND,      65536, {200, 513, 300, 1700} },
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
        assert_int_equal(
            disk_create_in(&memory.file, (uint64_t)sectors * DISK_SECTOR_SIZE, cases[i].format, cases[i].block_size),
            0);
        write_sectors(&memory, 0, sectors < 5 ? sectors : 5);
        spoil(&memory, cases[i].condition);
        for (unsigned j = 1; j < 6 && cases[i].sizes[j]; j++) {
            uint32_t next = cases[i].sizes[j];
            uint32_t written = sectors < 9 ? sectors : 9;
            write_sectors(&memory, sectors - written, written);
            if (cases[i].format == DISK_FORMAT_DYNAMIC)
                spoil_last_block(&memory, sectors, cases[i].block_size);
            memory_file_reset(&memory);
            const struct disk_change change = {.make = resize_image, .context = &next};
            played += disk_change_play(&change, &memory);
            memset(expected + (size_t)next * DISK_SECTOR_SIZE, 0, sizeof(expected) - (size_t)next * DISK_SECTOR_SIZE);
            sectors = next;
            expect_content(&memory, sectors);
        }
        write_sectors(&memory, 0, sectors);
        expect_content(&memory, sectors);
        memory_file_release(&memory);
    }
    print_message("%llu media played\n", (unsigned long long)played);
}

/* Whatever fails, the disk is the old or the new one, and the next attempt succeeds. */
static void failures(void **state)
{
    (void)state;
    static const enum disk_format formats[] = {DISK_FORMAT_FIXED, DISK_FORMAT_DYNAMIC};
    static const uint32_t sizes[][2] = {
        {30,  200},
        {200, 30 }
    };
    const struct disk_progress progress = {0};
    for (unsigned kind = 0; kind < 4; kind++) {
        bool reached = true;
        uint32_t old = sizes[kind / 2][0], new = sizes[kind / 2][1];
        const struct vhd_resize resize = {.size = (uint64_t) new *DISK_SECTOR_SIZE, .progress = &progress};
        for (size_t fail_at = 1; reached; fail_at++) {
            struct memory_file memory;
            memory_file_initialize(&memory);
            memset(expected, 0, sizeof(expected));
            assert_int_equal(disk_create_in(&memory.file, (uint64_t)old * DISK_SECTOR_SIZE, formats[kind % 2], 4096),
                             0);
            write_sectors(&memory, 0, 30);
            size_t length = memory.size;
            memory_file_reset(&memory);
            memory.fail_at = fail_at;
            memory.fail_count = 1;
            memory.fail_error = ENOSPC;
            bool done = vhd_resize(&memory.file, &resize, &error);
            reached = memory.changes >= fail_at;
            assert_true(done || reached);
            bool stuck = memory.file.failed; /* nothing can be done about it any more */
            memory_file_reset(&memory);
            struct disk_state found = disk_state_capture(&memory, NULL, 0);
            assert_true(found.usable && (found.sectors == new || (!done && found.sectors == old)));
            assert_true(found.sectors == new || new < old || stuck || memory.size == length);
            expect_content(&memory, (uint32_t)found.sectors);
            disk_state_release(&found);
            assert_true(vhd_resize(&memory.file, &resize, &error));
            expect_content(&memory, new);
            memory_file_release(&memory);
        }
    }
}

static void footers(void **state)
{
    (void)state;
    static const char *const creators[] = {"qemu", "vpc ", "win ", "tap"};
    for (size_t i = 0; i < sizeof(creators) / sizeof(creators[0]); i++) {
        struct memory_file memory;
        struct vhd_metadata metadata;
        uint32_t sectors = 204801;
        uint64_t old = 2880 * DISK_SECTOR_SIZE;
        memory_file_initialize(&memory);
        assert_int_equal(disk_create_in(&memory.file, old, DISK_FORMAT_DYNAMIC, 4096 * 512), 0);
        memcpy(memory.bytes + 28, creators[i], strlen(creators[i]));
        memory.bytes[300] = 0x77; /* reserved; what others keep there stays */
        vhd_footer_seal(memory.bytes);
        assert_true(vhd_metadata_read(&memory.file, &metadata, &error));
        uint64_t size = metadata.disk_size;
        resize_image(&sectors, &memory.file);
        assert_true(vhd_metadata_read(&memory.file, &metadata, &error));
        assert_int_equal(metadata.disk_size, sectors * 512ull);
        assert_int_equal(metadata.footer.current_size, sectors * 512ull);
        assert_int_equal(metadata.footer.original_size, old);
        assert_int_equal(metadata.footer.geometry.cylinders, 1003);
        assert_int_equal(metadata.footer.geometry.heads, 12);
        assert_int_equal(metadata.footer.geometry.sectors_per_track, 17);
        assert_memory_equal(metadata.footer.creator_application, i < 2 ? "win " : creators[i], strlen(creators[i]));
        assert_int_equal(memory.bytes[300], 0x77);
        assert_false(metadata.footers_differ);
        assert_in_range(size, old - 64 * 512, old);
        memory_file_release(&memory);
    }
}

/* ---- Files ---- */

static void must_create(const char *name, uint64_t size, enum disk_format format)
{
    const struct disk_create_options options = {.sparse = true};
    assert_true(disk_create(name, size, format, &options, &error));
}

static void write_file(const char *name, uint64_t sector, bool raw)
{
    uint8_t bytes[DISK_SECTOR_SIZE] = {[100] = 1};
    struct disk *disk = disk_open(name, raw ? DISK_OPEN_RAW : 0, &error);
    assert_non_null(disk);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, sector, 1), 0);
    assert_int_equal(disk_close(disk), 0);
}

static const struct {
    const char *name;
    enum disk_format format;
} files[] = {
    {"raw.img",      DISK_FORMAT_RAW    },
    {"fixed.vhd",    DISK_FORMAT_FIXED  },
    {"fixed.vhdx",   DISK_FORMAT_FIXED  },
    {"dynamic.vhd",  DISK_FORMAT_DYNAMIC},
    {"dynamic.vhdx", DISK_FORMAT_DYNAMIC},
};
#define FULL_FILES 3u /* of them have all of their space */

static void data_are_not_cut_off(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        const char *name = files[i].name;
        bool raw = files[i].format == DISK_FORMAT_RAW;
        struct disk_resize_options options = {.raw = raw, .sparse = true};
        struct disk_resize_result result;
        struct stat before, after;
        must_create(name, 20 * MIB, files[i].format);
        write_file(name, 3, raw);
        write_file(name, 30000, raw);
        write_file(name, 40000, raw);
        assert_false(disk_resize(name, 10 * MIB, &options, &result, &error));
        expect_error(ENOTEMPTY, "holds data, the first at byte 15360100 (sector 30000): shrink partitions and file "
                                "systems first; to lose it: loam disk resize --discard-data ");
        options.discard_data = options.dry_run = true;
        assert_int_equal(stat(name, &before), 0);
        assert_true(disk_resize(name, 10 * MIB, &options, &result, &error));
        assert_int_equal(stat(name, &after), 0);
        assert_true(before.st_size == after.st_size && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
        options.discard_data = options.dry_run = false;
        assert_true(disk_resize(name, 40001 * 512, &options, &result, &error)); /* zeros from there on */
        options.discard_data = true;
        assert_true(disk_resize(name, 10 * MIB, &options, &result, &error));
        assert_int_equal(result.old_size, 40001 * 512);
        assert_int_equal(result.format, files[i].format);
        options.discard_data = false;
        assert_true(disk_resize(name, 20 * MIB, &options, &result, &error)); /* zeros again */
        assert_true(disk_resize(name, 2 * MIB, &options, &result, &error));
    }
}

static void space(void **state)
{
    (void)state;
    for (size_t i = 0; i < FULL_FILES; i++) {
        struct stat status;
        struct scratch_progress seen = {0};
        struct disk_resize_options options = {
            .raw = i == 0, .progress = {scratch_progress, &seen, NULL}
        };
        must_create(files[i].name, MIB, files[i].format);
        assert_true(disk_resize(files[i].name, 100 * MIB, &options, NULL, &error));
        assert_int_equal(stat(files[i].name, &status), 0);
        assert_true((uint64_t)status.st_blocks * 512 >= 96 * MIB); /* a VHDX had a block of 32 MiB already */
        assert_true(seen.calls > 1 && seen.last == seen.total);
    }
}

/* Stopped while it gets its space: it is as long as before. */
static void cancelled(void **state)
{
    (void)state;
    for (size_t i = 0; i < FULL_FILES; i++) {
        volatile sig_atomic_t cancel = 0;
        struct scratch_progress seen = {.cancel = &cancel, .cancel_at = 1};
        const struct disk_resize_options options = {
            .raw = i == 0, .progress = {scratch_progress, &seen, &cancel}
        };
        struct stat before, after;
        must_create(files[i].name, MIB, files[i].format);
        assert_int_equal(stat(files[i].name, &before), 0);
        assert_false(disk_resize(files[i].name, 100 * MIB, &options, NULL, &error));
        expect_error(ECANCELED, "cannot be resized: cancelled");
        assert_int_equal(stat(files[i].name, &after), 0);
        assert_int_equal(before.st_size, after.st_size);
        struct disk *disk = disk_open(files[i].name, i == 0 ? DISK_OPEN_RAW : 0, &error);
        assert_non_null(disk);
        assert_int_equal(disk_sectors(disk), MIB / 512);
        disk_close(disk);
    }
}

static void refusals(void **state)
{
    (void)state;
    must_create("dynamic.vhd", 20 * MIB, DISK_FORMAT_DYNAMIC);
    must_create("fixed.vhd", 20 * MIB, DISK_FORMAT_FIXED);
    must_create("raw.img", 20 * MIB, DISK_FORMAT_RAW);
    must_create("damaged.vhd", 20 * MIB, DISK_FORMAT_DYNAMIC);
    write_file("damaged.vhd", 1, false);
    assert_int_equal(truncate("damaged.vhd", MIB), 0);
    const struct disk_create_options large_sectors = {.logical_sector = 4096};
    must_create("dynamic.vhdx", 20 * MIB, DISK_FORMAT_DYNAMIC);
    assert_true(disk_create("4k.vhdx", 20 * MIB, DISK_FORMAT_DYNAMIC, &large_sectors, &error));
    must_create("damaged.vhdx", 20 * MIB, DISK_FORMAT_DYNAMIC);
    write_file("damaged.vhdx", 1, false);
    assert_int_equal(truncate("damaged.vhdx", 5 * MIB), 0);
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, "fixed.vhd", times, 0), 0);
    assert_true(disk_create_child("child.vhdx", "dynamic.vhdx", NULL, &error));
    assert_true(disk_create_child("child.vhd", "fixed.vhd", NULL, &error));
    static const struct {
        const char *name;
        uint64_t size;
        bool raw;
        int code;
        const char *text;
    } refused[] = {
        {"dynamic.vhd",  0,              false, EINVAL,      "a multiple of 512, and not 0"                                },
        {"dynamic.vhd",  1000,           false, EINVAL,      "a multiple of 512, and not 0"                                },
        {"dynamic.vhd",  2041 * GIB,     false, EFBIG,       "a VHD has at most 2040 GiB"                                  },
        {"fixed.vhd",    2040 * GIB + 1, false, EINVAL,      "a multiple of 512"                                           },
        {"fixed.vhd",    2041 * GIB,     false, EFBIG,       "a VHD has at most 2040 GiB"                                  },
        {"raw.img",      MIB,            false, EMEDIUMTYPE, "raw.img: not a VHD"                                          },
        {"raw.img",      1000,           true,  EINVAL,      "a multiple of 512"                                           },
        {"missing",      MIB,            false, ENOENT,      "missing"                                                     },
        {"child.vhd",    40 * MIB,       false, EOPNOTSUPP,  "a differencing disk, which has its parent's size: merge it " },
        {"dynamic.vhdx", 65 * TIB,       false, EINVAL,      "a size of more than 64 TiB"                                  },
        {"4k.vhdx",      3 * MIB + 512,  false, EINVAL,      "a size that is not a multiple of the sector size"            },
        {"child.vhdx",   40 * MIB,       false, EOPNOTSUPP,  "a differencing disk, which has its parent's size: merge it " },
        {"damaged.vhdx", 40 * MIB,       false, EUCLEAN,     "mended with loam disk repair damaged.vhdx: the BAT entry at "},
        {"damaged.vhd",  40 * MIB,       false, EUCLEAN,     "mended with loam disk repair damaged.vhd: block 0 lies at "  },
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        for (unsigned dry_run = 0; dry_run < 2; dry_run++) {
            const struct disk_resize_options options = {.raw = refused[i].raw, .dry_run = dry_run};
            assert_false(disk_resize(refused[i].name, refused[i].size, &options, NULL, &error));
            expect_error(refused[i].code, refused[i].text);
        }
    }
    struct disk *disk = disk_open("fixed.vhd", DISK_OPEN_READ_ONLY, &error);
    assert_false(disk_resize("fixed.vhd", 40 * MIB, NULL, NULL, &error));
    expect_error(EBUSY, "fixed.vhd: in use by process");
    disk_close(disk);

    /* A child of a disk that has been resized is refused. */
    const struct disk_resize_options sparse = {.sparse = true};
    assert_true(disk_resize("fixed.vhd", 40 * MIB, &sparse, NULL, &error));
    assert_null(disk_open("child.vhd", 0, &error));
    expect_error(ENOLINK, "was changed after it was made");
    assert_true(disk_resize("dynamic.vhdx", 40 * MIB, &sparse, NULL, &error));
    assert_null(disk_open("child.vhdx", 0, &error));
    expect_error(ENOLINK, "or written to since it was made");
}

static void ignore_finding(void *context, enum disk_check_level level, const char *text)
{
    (void)context;
    (void)level;
    (void)text;
}

static void grow_to(const char *name, uint64_t most)
{
    const uint64_t sizes[] = {most, 10 * MIB, most};
    const struct disk_resize_options options = {.sparse = true};
    struct disk_check_result result;
    must_create(name, 10 * MIB, DISK_FORMAT_DYNAMIC);
    write_file(name, 9, false);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct disk *disk;
        assert_true(disk_resize(name, sizes[i], &options, NULL, &error));
        assert_true(disk_check(name, ignore_finding, NULL, &result, &error));
        assert_int_equal(result.count[DISK_CHECK_ERROR] + result.count[DISK_CHECK_WARNING], 0);
        disk = disk_open(name, 0, &error);
        assert_non_null(disk);
        assert_int_equal(disk_sectors(disk), sizes[i] / 512);
        disk_close(disk);
        if (i == 0) {
            write_file(name, sizes[i] / 512 - 1, false);
            assert_false(disk_resize(name, 10 * MIB, &options, NULL, &error));
            expect_error(ENOTEMPTY, "what would be cut off holds data");
            const struct disk_resize_options discard = {.discard_data = true};
            assert_true(disk_resize(name, 10 * MIB, &discard, NULL, &error));
        }
    }
}

static void largest(void **state)
{
    (void)state;
    grow_to("dynamic.vhd", 2040 * GIB);
    grow_to("dynamic.vhdx", 64 * TIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_or_new), cmocka_unit_test(failures),
        cmocka_unit_test(footers),    scratch_test(data_are_not_cut_off),
        scratch_test(space),          scratch_test(cancelled),
        scratch_test(refusals),       scratch_test(largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
