/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Damaged VHDs: what is found, what is mended and how, and power failures while that is done. */
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
#include "partitions/root/disk/repair.h"
#include "partitions/root/disk/vhd/big_endian.h"
#include "partitions/root/disk/vhd/create.h"
#include "partitions/root/disk/vhd/repair.h"
#include "tests/unit/disk_change.h"
#include "tests/unit/power_failure.h"
#include "tests/unit/scratch.h"

#define SECTORS       45u /* of which the last block has 5 */
#define BLOCK_SECTORS 8u
#define BLOCKS        6u
#define BLOCK_SIZE    (BLOCK_SECTORS * DISK_SECTOR_SIZE)
#define HEADER        512
#define TABLE         1536
#define SAVED_STATE   84
#define CHECKSUM      64

static struct disk_error error;
static uint8_t expected[SECTORS * DISK_SECTOR_SIZE];

/* ---- Images ---- */

static void fill(uint8_t *bytes, uint32_t first, uint32_t sectors, int salt)
{
    for (uint32_t i = 0; i < sectors; i++)
        memset(bytes + (size_t)(first + i) * DISK_SECTOR_SIZE, (int)(first + i) + salt, DISK_SECTOR_SIZE);
}

/* All blocks are allocated, in their order. */
static void make_dynamic(struct memory_file *memory)
{
    memory_file_initialize(memory);
    assert_int_equal(disk_create_in(&memory->file, sizeof(expected), DISK_FORMAT_DYNAMIC, BLOCK_SIZE), 0);
    fill(expected, 0, SECTORS, 1);
    struct disk *disk = disk_open_file(&memory->file, 0, &error);
    assert_non_null(disk);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, expected, 0, SECTORS), 0);
    assert_int_equal(disk_close(disk), 0);
    memory_file_reset(memory);
}

static void make_fixed(struct memory_file *memory)
{
    memory_file_initialize(memory);
    fill(expected, 0, SECTORS, 1);
    assert_int_equal(disk_create_in(&memory->file, sizeof(expected), DISK_FORMAT_FIXED, 0), 0);
    memcpy(memory->bytes, expected, sizeof(expected));
    memory_file_reset(memory);
}

static uint32_t entry(const struct memory_file *memory, uint32_t block)
{
    return vhd_load_entry(memory->bytes + TABLE + block * 4);
}

static void set_entry(struct memory_file *memory, uint32_t block, uint32_t sector)
{
    vhd_store_entry(memory->bytes + TABLE + block * 4, sector);
}

/* ---- Damage ---- */

static uint8_t *end_footer(struct memory_file *memory)
{
    return memory->bytes + memory->size - VHD_FOOTER_SIZE;
}

static void nothing(struct memory_file *memory)
{
    (void)memory;
}

static void copy_torn(struct memory_file *memory)
{
    memset(memory->bytes, 0, 100);
}

static void copy_flipped(struct memory_file *memory)
{
    memory->bytes[50] ^= 1;
}

static void end_missing(struct memory_file *memory)
{
    memory_file_resize(memory, memory->size - VHD_FOOTER_SIZE);
}

static void footers_differ(struct memory_file *memory)
{
    end_footer(memory)[24] ^= 1;
    vhd_footer_seal(end_footer(memory));
}

static void footer_checksums(struct memory_file *memory)
{
    memory->bytes[CHECKSUM] ^= 0x10;
    end_footer(memory)[CHECKSUM + 3] ^= 0x10;
}

static void footer_sizes(struct memory_file *memory)
{
    memory->bytes[55] = 1;
    end_footer(memory)[55] = 1;
}

static void footers_gone(struct memory_file *memory)
{
    memory->bytes[0] = 0;
    memset(end_footer(memory), 0, 8);
}

static void saved_state(struct memory_file *memory)
{
    memory->bytes[SAVED_STATE] = end_footer(memory)[SAVED_STATE] = 1;
    vhd_footer_seal(memory->bytes);
    vhd_footer_seal(end_footer(memory));
}

static void fixed_saved_state(struct memory_file *memory)
{
    end_footer(memory)[SAVED_STATE] = 1;
    vhd_footer_seal(end_footer(memory));
}

static void fixed_checksum(struct memory_file *memory)
{
    end_footer(memory)[CHECKSUM] ^= 1;
}

static void fixed_size(struct memory_file *memory)
{
    end_footer(memory)[48 + 5] ^= 1;
}

static void header_checksum(struct memory_file *memory)
{
    memory->bytes[HEADER + 37] ^= 4;
}

static void header_block_size(struct memory_file *memory)
{
    memory->bytes[HEADER + 32 + 2] ^= 0x30; /* 8192 */
}

static void header_table(struct memory_file *memory)
{
    memory->bytes[HEADER + 16 + 6] ^= 0x40;
}

static void entry_outside(struct memory_file *memory)
{
    set_entry(memory, 1, 0x7fffffff);
}

static void entries_over_metadata(struct memory_file *memory)
{
    set_entry(memory, 0, 0);
    set_entry(memory, 1, 1);
    set_entry(memory, 2, 3);
}

static void entries_twice(struct memory_file *memory)
{
    set_entry(memory, 3, entry(memory, 1));
    set_entry(memory, 2, entry(memory, 1));
}

static void entries_overlap(struct memory_file *memory)
{
    set_entry(memory, 3, entry(memory, 1) + 4);
}

static void truncated_in_block(struct memory_file *memory)
{
    memory_file_resize(memory, entry(memory, 4) * DISK_SECTOR_SIZE + 3 * DISK_SECTOR_SIZE);
}

static void truncated_oddly(struct memory_file *memory)
{
    memory_file_resize(memory, entry(memory, 4) * DISK_SECTOR_SIZE + 3 * DISK_SECTOR_SIZE + 77);
}

static void truncated_in_bitmap(struct memory_file *memory)
{
    memory_file_resize(memory, entry(memory, 5) * DISK_SECTOR_SIZE + 100);
}

static void truncated_in_table(struct memory_file *memory)
{
    memory_file_resize(memory, TABLE + 3);
}

static void tail(struct memory_file *memory)
{
    size_t size = memory->size;
    memory_file_resize(memory, size + 5000);
    memset(memory->bytes + size, 0x5a, 5000);
}

static void many(struct memory_file *memory)
{
    copy_torn(memory);
    set_entry(memory, 0, 2);
    set_entry(memory, 3, entry(memory, 1));
    memory->bytes[memory->size - 430] = 1; /* saved state */
    end_footer(memory)[SAVED_STATE] = 1;
    vhd_footer_seal(end_footer(memory));
}

static const struct {
    void (*make)(struct memory_file *memory);
    void (*damage)(struct memory_file *memory);
    unsigned mended, lost, left;
    const char *text;               /* of a finding */
    uint32_t lost_first, lost_last; /* sectors; 0, 0: none */
    uint32_t copies, original;      /* a bit for each block that has the contents of another one, and that one */
    uint32_t unknown;               /* a bit for each block that has any contents */
} cases[] = {
    {make_dynamic, nothing,               0, 0, 0, NULL,                                                                   0,  0,  0,    0, 0   },
    {make_dynamic, copy_torn,             1, 0, 0, "the copy of the footer at the start is missing",                       0,  0,  0,    0, 0   },
    {make_dynamic, copy_flipped,          1, 0, 0, "the copy of the footer at the start is damaged",                       0,  0,  0,    0, 0   },
    {make_dynamic, end_missing,           1, 0, 0, "the footer at the end is missing",                                     0,  0,  0,    0, 0   },
    {make_dynamic, footers_differ,        1, 0, 0, "the footer at the end is not the same as the copy",                    0,  0,  0,    0, 0   },
    {make_dynamic, footer_checksums,      2, 0, 0, "the footer has a wrong checksum, and nothing else wrong",              0,  0,  0,    0, 0   },
    {make_dynamic, footer_sizes,          0, 0, 1, "its footer has wrong checksum, and so the copy at its start",          0,  0,  0,    0, 0   },
    {make_dynamic, saved_state,           1, 0, 0, "belongs to a saved virtual machine",                                   0,  0,  0,    0, 0   },
    {make_dynamic, header_checksum,       1, 0, 0, "the header at byte 512 has a wrong checksum, and nothing else",        0,  0,  0,
     0,                                                                                                                                     0   },
    {make_dynamic, header_block_size,     0, 0, 1, "the header at byte 512 has a wrong checksum, and other fields",        0,  0,  0,
     0,                                                                                                                                     0   },
    {make_dynamic, header_table,          0, 0, 1, "the header at byte 512 has a wrong checksum, and other fields",        0,  0,  0,    0,
     0                                                                                                                                          },
    {make_dynamic, entry_outside,         0, 1, 0,
     "block 1 lies at byte 1099511627264, beyond the end of the file's data: "
     "sectors 8 to 15 are lost",                                                                                           8,  15, 0,    0, 0   },
    {make_dynamic, entries_over_metadata, 0, 3, 0,
     "block 2 lies at byte 1536, over the block allocation table: sectors 16 to "
     "23 are lost",                                                                                                        0,  23, 0,    0, 0   },
    {make_dynamic, entries_twice,         2, 0, 0, "blocks 1 and 2 lie over each other at byte 7680: each keeps",          0,  0,  0x0c, 1,
     0                                                                                                                                          },
    {make_dynamic, entries_overlap,       1, 0, 0, "blocks 1 and 3 lie over each other at byte 9728: each keeps",          0,  0,  0,    0,
     0x08                                                                                                                                       },
    {make_dynamic, truncated_in_block,    1, 2, 0, "block 4, at byte 22016, goes beyond the file's end: sectors 34 to 39",
     34,                                                                                                                       44, 0,    0, 0   },
    {make_dynamic, truncated_oddly,       1, 2, 0, "block 4, at byte 22016, goes beyond the file's end: sectors 34 to 39", 40,
     44,                                                                                                                           0,    0, 0x10},
    {make_dynamic, truncated_in_bitmap,   1, 1, 0, "sectors 40 to 44 are lost",                                            40, 44, 0,    0, 0   },
    {make_dynamic, truncated_in_table,    0, 0, 1, "does not lie within the file",                                         0,  0,  0,    0, 0   },
    {make_dynamic, tail,                  2, 0, 0, "5512 bytes behind the last block are not used",                        0,  0,  0,    0, 0   },
    {make_dynamic, many,                  3, 1, 0, "block 0 lies at byte 1024, over the header",                           0,  7,  0x08, 1, 0   },
    {make_fixed,   nothing,               0, 0, 0, NULL,                                                                   0,  0,  0,    0, 0   },
    {make_fixed,   fixed_saved_state,     1, 0, 0, "belongs to a saved virtual machine",                                   0,  0,  0,    0, 0   },
    {make_fixed,   fixed_checksum,        1, 0, 0, "the footer has a wrong checksum, and nothing else wrong",              0,  0,  0,    0, 0   },
    {make_fixed,   fixed_size,            0, 0, 1, "its footer has wrong checksum",                                        0,  0,  0,    0, 0   },
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

/* ---- Findings ---- */

static char found[4096];

static void keep_finding(void *context, enum disk_repair_kind kind, const char *text)
{
    (void)context;
    (void)kind;
    snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s\n", text);
}

static void expect_findings(size_t i, const uint64_t *count)
{
    if (count[DISK_REPAIR_MENDED] != cases[i].mended || count[DISK_REPAIR_LOST] != cases[i].lost ||
        count[DISK_REPAIR_LEFT] != cases[i].left || (cases[i].text && !strstr(found, cases[i].text)))
        print_error("case %zu: %s", i, found);
    assert_int_equal(count[DISK_REPAIR_MENDED], cases[i].mended);
    assert_int_equal(count[DISK_REPAIR_LOST], cases[i].lost);
    assert_int_equal(count[DISK_REPAIR_LEFT], cases[i].left);
    assert_true(!cases[i].text || strstr(found, cases[i].text));
}

static void expect_content(struct memory_file *memory, size_t i)
{
    static uint8_t bytes[SECTORS * DISK_SECTOR_SIZE];
    disk_change_expect_sound(memory);
    struct disk *disk = disk_open_file(&memory->file, 0, &error);
    assert_non_null(disk);
    assert_int_equal(disk_transfer(disk, DISK_READ, bytes, 0, SECTORS), 0);
    for (uint32_t block = 0; block < BLOCKS; block++) {
        size_t length = block == BLOCKS - 1 ? sizeof(bytes) % BLOCK_SIZE : BLOCK_SIZE;
        if (cases[i].copies & 1u << block)
            memcpy(expected + block * BLOCK_SIZE, expected + cases[i].original * BLOCK_SIZE, length);
        if (cases[i].unknown & 1u << block)
            memcpy(expected + block * BLOCK_SIZE, bytes + block * BLOCK_SIZE, length);
    }
    if (cases[i].lost_last)
        memset(expected + cases[i].lost_first * DISK_SECTOR_SIZE, 0,
               (cases[i].lost_last - cases[i].lost_first + 1) * DISK_SECTOR_SIZE);
    assert_memory_equal(bytes, expected, sizeof(expected));
    fill(expected, 0, SECTORS, 100);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, expected, 0, SECTORS), 0);
    assert_int_equal(disk_transfer(disk, DISK_READ, bytes, 0, SECTORS), 0);
    assert_memory_equal(bytes, expected, sizeof(expected));
    assert_int_equal(disk_close(disk), 0);
    disk_change_expect_sound(memory);
}

/* ---- In memory ---- */

static void look_at(struct memory_file *memory, uint64_t *count)
{
    struct vhd_repair repair;
    struct disk_repair_findings findings = {.report = keep_finding};
    found[0] = '\0';
    assert_true(vhd_repair_look(&repair, &memory->file, &findings, &error));
    vhd_repair_free(&repair);
    memcpy(count, findings.count, sizeof(findings.count));
    assert_int_equal(memory->changes, 0);
}

static void repair_image(void *context, struct disk_file *file)
{
    struct vhd_repair repair;
    struct disk_repair_findings findings = {0};
    const struct disk_progress progress = {0};
    uint64_t *count = context;
    assert_true(vhd_repair_look(&repair, file, &findings, &error));
    if (!repair.hopeless && vhd_repair_is_needed(&repair) && !vhd_repair_mend(&repair, &progress, &error)) {
        print_error("%s\n", error.text);
        fail();
    }
    memcpy(count, findings.count, sizeof(findings.count));
    vhd_repair_free(&repair);
}

static void mended_at_a_stroke(void **state)
{
    (void)state;
    uint64_t played = 0;
    for (size_t i = 0; i < CASES; i++) {
        struct memory_file memory;
        uint64_t count[DISK_REPAIR_KINDS];
        cases[i].make(&memory);
        cases[i].damage(&memory);
        memory_file_reset(&memory);
        look_at(&memory, count);
        expect_findings(i, count);
        const struct disk_change change = {.make = repair_image, .context = count, .any_header = true};
        if (!cases[i].mended && !cases[i].lost) {
            repair_image(count, &memory.file);
            assert_int_equal(memory.changes, 0);
        } else {
            played += disk_change_play(&change, &memory);
            expect_content(&memory, i);
        }
        memory_file_release(&memory);
    }
    print_message("%llu media played\n", (unsigned long long)played);
}

/* A repair that was interrupted is taken up: each change fails in turn, and the next attempt mends all. */
static void failures(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        bool reached = !cases[i].left;
        for (size_t fail_at = 1; reached; fail_at++) {
            struct memory_file memory;
            struct vhd_repair repair;
            struct disk_repair_findings findings = {0};
            const struct disk_progress progress = {0};
            uint64_t count[DISK_REPAIR_KINDS];
            cases[i].make(&memory);
            cases[i].damage(&memory);
            memory_file_reset(&memory);
            memory.fail_at = fail_at;
            memory.fail_count = 1;
            memory.fail_error = ENOSPC;
            assert_true(vhd_repair_look(&repair, &memory.file, &findings, &error));
            bool done = !vhd_repair_is_needed(&repair) || vhd_repair_mend(&repair, &progress, &error);
            vhd_repair_free(&repair);
            reached = memory.changes >= fail_at;
            assert_true(done || reached);
            memory_file_reset(&memory);
            repair_image(count, &memory.file);
            assert_int_equal(count[DISK_REPAIR_LEFT], 0);
            expect_content(&memory, i);
            memory_file_release(&memory);
        }
    }
}

static void not_a_vhd(void **state)
{
    (void)state;
    struct memory_file memory;
    struct vhd_repair repair;
    struct disk_repair_findings findings = {0};
    make_dynamic(&memory);
    footers_gone(&memory);
    assert_false(vhd_repair_look(&repair, &memory.file, &findings, &error));
    assert_int_equal(error.code, EMEDIUMTYPE);
    vhd_repair_free(&repair);
    memory_file_release(&memory);
}

/* What a killed process has written to a differencing disk, whose bits are only in the log, outlasts a repair. */
static void log_is_kept(void **state)
{
    (void)state;
    static uint8_t bytes[SECTORS * DISK_SECTOR_SIZE];
    struct memory_file memory, parent, left;
    struct vhd_child child = {
        .size = sizeof(expected), .block_size = BLOCK_SIZE, .relative_path = "p.vhd", .absolute_path = "/p.vhd"};
    uint64_t count[DISK_REPAIR_KINDS];
    make_fixed(&parent);
    memcpy(child.identifier, parent.bytes + sizeof(expected) + 68, sizeof(child.identifier));
    memory_file_initialize(&memory);
    memory_file_initialize(&left);
    assert_int_equal(vhd_create_child(&memory.file, &child), 0);
    struct disk_file *files[] = {&memory.file, &parent.file};
    struct disk *disk = disk_open_files(files, 2, 0, &error);
    assert_non_null(disk);
    for (uint32_t block = 0; block < BLOCKS; block++) {
        fill(expected, block * BLOCK_SECTORS + 2, 2, 100);
        assert_int_equal(disk_transfer(disk, DISK_WRITE, expected + (block * BLOCK_SECTORS + 2) * DISK_SECTOR_SIZE,
                                       block * BLOCK_SECTORS + 2, 2),
                         0);
    }
    memory_file_set(&left, memory.bytes, memory.size);
    assert_int_equal(disk_close(disk), 0);
    set_entry(&left, 4, entry(&left, 1)); /* of which the log has nothing more to say */

    repair_image(count, &left.file);
    assert_int_equal(count[DISK_REPAIR_MENDED], 1);
    files[0] = &left.file;
    disk = disk_open_files(files, 2, 0, &error);
    assert_non_null(disk);
    assert_int_equal(disk_transfer(disk, DISK_READ, bytes, 0, SECTORS), 0);
    assert_memory_equal(bytes, expected, 4 * BLOCK_SIZE);
    assert_memory_equal(bytes + 5 * BLOCK_SIZE, expected + 5 * BLOCK_SIZE, 5 * DISK_SECTOR_SIZE);
    assert_int_equal(disk_close(disk), 0);
    memory_file_release(&memory);
    memory_file_release(&parent);
    memory_file_release(&left);
}

static void repair_again(void *context, struct memory_file *medium, size_t point)
{
    uint64_t count[DISK_REPAIR_KINDS];
    (void)context;
    (void)point;
    repair_image(count, &medium->file);
    disk_change_expect_sound(medium);
}

/*
 * A parent locator beyond the end of the file, over which a new block would come to lie, and what a guest writes there
 * would be the parent's path: the image is not written to until a repair has left the locator out.
 */
static void repair_stray_locator(uint64_t offset, uint32_t length)
{
    struct memory_file memory, parent;
    struct vhd_child child = {
        .size = sizeof(expected), .block_size = BLOCK_SIZE, .relative_path = "p.vhd", .absolute_path = "/p.vhd"};
    uint64_t count[DISK_REPAIR_KINDS];
    make_fixed(&parent);
    memcpy(child.identifier, parent.bytes + sizeof(expected) + 68, sizeof(child.identifier));
    memory_file_initialize(&memory);
    assert_int_equal(vhd_create_child(&memory.file, &child), 0);
    uint8_t *locator = memory.bytes + HEADER + 576 + 24; /* the second */
    big_endian_store32(locator + 8, length);
    big_endian_store64(locator + 16, offset);
    vhd_header_seal(memory.bytes + HEADER);
    memory_file_reset(&memory);

    struct disk_file *files[] = {&memory.file, &parent.file};
    struct disk *disk = disk_open_files(files, 2, DISK_OPEN_READ_ONLY, &error);
    assert_non_null(disk);
    assert_int_equal(disk_close(disk), 0);
    assert_null(disk_open_files(files, 2, 0, &error));
    assert_int_equal(error.code, EUCLEAN);
    assert_non_null(strstr(error.text, "loam disk repair"));
    assert_int_equal(memory.changes, 0);

    look_at(&memory, count);
    assert_int_equal(count[DISK_REPAIR_MENDED], 2); /* and what has been kept free for it is not used */
    assert_non_null(strstr(found, "a parent locator, at byte"));
    struct memory_file base;
    memory_file_initialize(&base);
    power_failure_begin(&memory, &base);
    repair_image(count, &memory.file);
    memory.logging = false;
    power_failure_play(&memory, &base, repair_again, NULL);
    memory_file_release(&base);
    memory_file_reset(&memory);
    disk_change_expect_sound(&memory);
    disk = disk_open_files(files, 2, 0, &error);
    assert_non_null(disk);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, expected, 0, SECTORS), 0);
    assert_int_equal(disk_close(disk), 0);
    disk_change_expect_sound(&memory);
    memory_file_release(&memory);
    memory_file_release(&parent);
}

static void stray_locators(void **state)
{
    (void)state;
    repair_stray_locator(1 << 20, 14);
    repair_stray_locator(UINT64_MAX, 14);
    repair_stray_locator(0, 1 << 20);
}

/* ---- Files ---- */

static void write_file(const char *name, const struct memory_file *memory)
{
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, memory->bytes, memory->size), (ssize_t)memory->size);
    close(file);
}

static bool is_file(const char *name, const struct memory_file *memory)
{
    static uint8_t bytes[1 << 20];
    int file = open(name, O_RDONLY);
    assert_true(file >= 0);
    ssize_t length = read(file, bytes, sizeof(bytes));
    close(file);
    return (size_t)length == memory->size && memcmp(bytes, memory->bytes, memory->size) == 0;
}

static void files_and_their_backups(void **state)
{
    (void)state;
    const struct disk_repair_options dry_run = {.dry_run = true, .drop_damaged = true};
    const struct disk_repair_options drop = {.drop_damaged = true};
    for (size_t i = 0; i < CASES; i++) {
        struct memory_file memory;
        struct disk_repair_result result;
        struct disk_check_result checked;
        bool mendable = !cases[i].left, needed = cases[i].mended || cases[i].lost;
        cases[i].make(&memory);
        cases[i].damage(&memory);
        write_file("a.vhd", &memory);

        found[0] = '\0';
        assert_true(disk_repair("a.vhd", &dry_run, keep_finding, NULL, &result, &error));
        expect_findings(i, result.count);
        assert_true(!result.changed && is_file("a.vhd", &memory));
        if (cases[i].lost) {
            assert_true(disk_repair("a.vhd", NULL, NULL, NULL, &result, &error));
            expect_findings(i, result.count);
            assert_true(!result.changed && is_file("a.vhd", &memory));
        }
        found[0] = '\0';
        assert_true(disk_repair("a.vhd", &drop, keep_finding, NULL, &result, &error));
        expect_findings(i, result.count);
        assert_int_equal(result.changed, mendable && needed);
        assert_int_equal(access("a.vhd.repair-backup", F_OK) == 0, result.changed);
        if (result.changed) {
            assert_true(disk_check("a.vhd", NULL, NULL, &checked, &error));
            assert_false(is_file("a.vhd", &memory));
            assert_string_equal(result.backup, "a.vhd.repair-backup");
            found[0] = '\0';
            assert_true(disk_repair("a.vhd", NULL, keep_finding, NULL, &result, &error)); /* nothing is left to do */
            if (found[0])
                print_error("case %zu, afterwards: %s", i, found);
            assert_int_equal(result.count[DISK_REPAIR_MENDED] + result.count[DISK_REPAIR_LOST], 0);
            assert_true(disk_repair_undo("a.vhd", "a.vhd.repair-backup", &error));
        }
        assert_true(is_file("a.vhd", &memory));
        assert_int_equal(scratch_files(), 1);
        memory_file_release(&memory);
    }
}

static void expect_error(int code, const char *text)
{
    if (error.code != code || !strstr(error.text, text))
        print_error("got %d, %s; not %d, %s\n", error.code, error.text, code, text);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, text));
}

static void refusals(void **state)
{
    (void)state;
    struct memory_file memory;
    struct disk_repair_result result;
    const struct disk_repair_options no_backup = {.no_backup = true};
    make_dynamic(&memory);
    write_file("sound.vhd", &memory);
    tail(&memory);
    write_file("a.vhd", &memory);
    struct disk *disk = disk_open("a.vhd", DISK_OPEN_READ_ONLY, &error);
    assert_non_null(disk);
    assert_false(disk_repair("a.vhd", NULL, NULL, NULL, NULL, &error));
    expect_error(EBUSY, "a.vhd: in use by process");
    disk_close(disk);
    assert_false(disk_repair("missing", NULL, NULL, NULL, NULL, &error));
    expect_error(ENOENT, "missing");

    /* Backups of earlier attempts stay. */
    write_file("a.vhd.repair-backup", &memory);
    assert_true(disk_repair("a.vhd", NULL, NULL, NULL, &result, &error));
    assert_string_equal(result.backup, "a.vhd.repair-backup-2");
    assert_false(disk_repair_undo("a.vhd", "a.vhd.repair-backup", &error));
    expect_error(EUCLEAN, "a.vhd.repair-backup: not what a repair has saved, or damaged");
    assert_false(disk_repair_undo("a.vhd", "missing", &error));
    expect_error(ENOENT, "missing");
    int file = open("a.vhd.repair-backup-2", O_RDWR);
    assert_int_equal(pwrite(file, "x", 1, 100), 1);
    close(file);
    assert_false(disk_repair_undo("a.vhd", "a.vhd.repair-backup-2", &error));
    expect_error(EUCLEAN, "not what a repair has saved, or damaged");

    write_file("b.vhd", &memory);
    assert_true(disk_repair("b.vhd", &no_backup, NULL, NULL, &result, &error));
    assert_true(result.changed && !result.backup[0]);
    assert_int_equal(access("b.vhd.repair-backup", F_OK), -1);
    memory_file_release(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mended_at_a_stroke),
        cmocka_unit_test(failures),
        cmocka_unit_test(not_a_vhd),
        cmocka_unit_test(log_is_kept),
        cmocka_unit_test(stray_locators),
        scratch_test(files_and_their_backups),
        scratch_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
