/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a differencing VHDX says of its parent, and how that is changed. */
#include <errno.h>
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
#include "partitions/root/disk/vhdx/edit.h"
#include "partitions/root/disk/vhdx/item.h"
#include "partitions/root/disk/parent_paths.h"
#include "partitions/root/disk/vhdx/parent.h"
#include "tests/unit/disk_change.h"
#include "tests/unit/scratch.h"
#include "tests/unit/vhdx_fixture.h"

#define SIZE (3ull << 20)

static struct disk_error error;
static struct disk_reconnect_result result;

static void expect_error(int code, const char *text)
{
    if (error.code != code || !strstr(error.text, text))
        print_error("got %d, %s; not %d, %s\n", error.code, error.text, code, text);
    assert_int_equal(error.code, code);
    assert_non_null(strstr(error.text, text));
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

/* A chain of three: 0.vhdx has 1 in sector 1, 1.vhdx 2 in sector 2, 2.vhdx 3 in sector 3. */
static void make_chain(void)
{
    assert_true(disk_create("0.vhdx", SIZE, DISK_FORMAT_DYNAMIC, NULL, &error));
    write_sector("0.vhdx", 1, 1);
    assert_true(disk_create_child("1.vhdx", "0.vhdx", NULL, &error));
    write_sector("1.vhdx", 2, 2);
    assert_true(disk_create_child("2.vhdx", "1.vhdx", NULL, &error));
    write_sector("2.vhdx", 3, 3);
}

static void expect_contents(const char *name, unsigned images)
{
    uint8_t bytes[DISK_SECTOR_SIZE];
    struct disk_check_result checked;
    struct disk *disk = disk_open(name, DISK_OPEN_READ_ONLY, &error);
    if (!disk)
        fail_msg("%s", error.text);
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
        fail_msg("%s", error.text);
}

/* ---- Files ---- */

/* The middle of a chain goes on being its child's parent: it is the same disk. */
static void files_moved(void **state)
{
    (void)state;
    make_chain();
    assert_int_equal(mkdir("a", 0700), 0);
    assert_int_equal(rename("0.vhdx", "a/other name.vhdx"), 0);
    assert_null(disk_open("1.vhdx", 0, &error));
    expect_error(ENOLINK, "loam disk reconnect --parent PARENT 1.vhdx");
    assert_false(disk_reconnect("1.vhdx", NULL, NULL, NULL, &error));
    expect_error(ENOLINK, "give its place: loam disk reconnect --parent PARENT");
    const struct disk_reconnect_options dry_run = {.dry_run = true};
    assert_true(disk_reconnect("1.vhdx", "a/other name.vhdx", &dry_run, &result, &error));
    assert_null(disk_open("1.vhdx", 0, &error));
    must_reconnect("1.vhdx", "a/other name.vhdx");
    assert_true(result.moved && !result.changed && !result.other_identity);
    expect_contents("1.vhdx", 2);
    expect_contents("2.vhdx", 3);

    /* The relative name holds when all is moved, and the absolute one when the child is. */
    assert_int_equal(mkdir("b", 0700), 0);
    assert_int_equal(rename("1.vhdx", "b/1.vhdx"), 0);
    expect_contents("b/1.vhdx", 2);
    must_reconnect("b/1.vhdx", NULL);
    assert_true(!result.moved || result.parent[0] == '/');
    assert_int_equal(rename("a", "b/a"), 0);
    must_reconnect("b/1.vhdx", "b/a/other name.vhdx");
    must_reconnect("2.vhdx", "b/1.vhdx");
    expect_contents("2.vhdx", 3);
    must_reconnect("2.vhdx", NULL);
    assert_false(result.moved);
}

static void other_disks(void **state)
{
    (void)state;
    make_chain();
    const struct disk_create_options sparse = {.sparse = true};
    assert_true(disk_create("other.vhdx", SIZE, DISK_FORMAT_FIXED, &sparse, &error));
    assert_true(disk_create("large.vhdx", 2 * SIZE, DISK_FORMAT_DYNAMIC, NULL, &error));
    assert_true(disk_create("old.vhd", SIZE, DISK_FORMAT_DYNAMIC, NULL, &error));
    assert_true(disk_create_child("old child.vhd", "old.vhd", NULL, &error));
    assert_int_equal(system("cp 1.vhdx copy.vhdx"), 0);
    static const struct {
        const char *child, *parent;
        bool force;
        int code;
        const char *text;
    } cases[] = {
        {"1.vhdx",        "other.vhdx", false, ENOLINK, "other.vhdx is not the disk that it was made from; if it is a"  },
        {"1.vhdx",        "large.vhdx", true,  ENOLINK, "1.vhdx: it has 3145728 bytes and its parent large.vhdx 6291456"},
        {"1.vhdx",        "old.vhd",    true,  EINVAL,  "1.vhdx: a VHDX, whose parent has to be one, too, and old.vhd"  },
        {"old child.vhd", "0.vhdx",     true,  EINVAL,  "old child.vhd: a VHD, whose parent has to be one, too, and 0." },
        {"1.vhdx",        "1.vhdx",     true,  EINVAL,  "1.vhdx: 1.vhdx is the disk itself"                             },
        {"1.vhdx",        "copy.vhdx",  true,  EINVAL,  "1.vhdx: copy.vhdx is the disk itself"                          },
        {"other.vhdx",    "1.vhdx",     true,  EINVAL,  "other.vhdx: no differencing disk"                              },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct disk_reconnect_options options = {.other_identity = cases[i].force};
        assert_false(disk_reconnect(cases[i].child, cases[i].parent, &options, NULL, &error));
        expect_error(cases[i].code, cases[i].text);
    }
    /* A parent that was written to is another disk. */
    write_sector("0.vhdx", 1, 1);
    assert_false(disk_reconnect("1.vhdx", NULL, NULL, NULL, &error));
    expect_error(ENOLINK, "is not the disk that it was made from");
    const struct disk_reconnect_options force = {.other_identity = true};
    assert_true(disk_reconnect("1.vhdx", "0.vhdx", &force, &result, &error));
    assert_true(result.other_identity && !result.moved);
    expect_contents("2.vhdx", 3);
}

static void disks_in_use(void **state)
{
    (void)state;
    make_chain();
    struct disk *disk = disk_open("2.vhdx", DISK_OPEN_READ_ONLY, &error);
    assert_non_null(disk);
    assert_false(disk_reconnect("1.vhdx", NULL, NULL, NULL, &error));
    expect_error(EBUSY, "1.vhdx: in use by process");
    disk_close(disk);
    disk = disk_open("0.vhdx", 0, &error);
    assert_non_null(disk);
    assert_false(disk_reconnect("1.vhdx", NULL, NULL, NULL, &error));
    expect_error(EBUSY, "0.vhdx: in use by process");
    disk_close(disk);
}

/* ---- The locator ---- */

static struct memory_file parent, child;

static void read_link(struct parent_link *link)
{
    struct vhdx_edit edit;
    assert_true(vhdx_edit_begin(&edit, &child.file, DISK_OPEN_READ_ONLY, &error));
    assert_true(edit.image->disk.operations->read_parent(&edit.image->disk, link, &error));
    assert_int_equal(vhdx_edit_end(&edit), 0);
}

static bool set_identifiers(struct disk_file *file, const uint8_t *identifier, const uint8_t *alternative)
{
    struct vhdx_edit edit;
    if (!vhdx_edit_begin(&edit, file, 0, &error))
        fail_msg("%s", error.text);
    int set = vhdx_set_parent_identifiers(edit.image, identifier, alternative);
    int closed = vhdx_edit_end(&edit);
    return !set && !closed;
}

/* Paths and what is unknown stay. */
static void identifiers(void **state)
{
    (void)state;
    static struct parent_link before, after;
    static const uint8_t first[16] = {1, 2, 3}, second[16] = {0xff, 0xfe, [15] = 7}, none[16];
    memory_file_initialize(&child);
    vhdx_fixture_create(&child, DISK_FORMAT_DIFFERENCING, SIZE, 512);
    read_link(&before);
    assert_true(set_identifiers(&child.file, first, second));
    read_link(&after);
    assert_memory_equal(after.identifier, first, sizeof(first));
    assert_memory_equal(after.alternative, second, sizeof(second));
    assert_int_equal(after.names, before.names);
    for (unsigned i = 0; i < before.names; i++)
        assert_string_equal(after.name[i], before.name[i]);
    assert_true(set_identifiers(&child.file, second, NULL));
    read_link(&after);
    assert_memory_equal(after.identifier, second, sizeof(second));
    assert_memory_equal(after.alternative, none, sizeof(none));
    assert_int_equal(vhdx_fixture_check(&child).count[DISK_CHECK_ERROR], 0);
    memory_file_release(&child);
}

/* The entry of the metadata table of an item, from the region's beginning. */
static uint8_t *item_entry(enum vhdx_item_kind kind)
{
    for (uint8_t *entry = child.bytes + VHDX_FIXTURE_METADATA + VHDX_METADATA_HEADER;; entry += VHDX_METADATA_ENTRY) {
        struct vhdx_item item;
        vhdx_item_decode(entry, &item);
        if (vhdx_item_kind(&item) == kind)
            return entry;
    }
}

/* Moves an item to another byte of the region. */
static void move_item(enum vhdx_item_kind kind, uint32_t to)
{
    struct vhdx_item item;
    uint8_t *entry = item_entry(kind), *region = child.bytes + VHDX_FIXTURE_METADATA;
    vhdx_item_decode(entry, &item);
    memmove(region + to, region + item.offset, item.length);
    vhdx_item_encode(kind, to, item.length, entry);
}

/* A locator that becomes longer goes where there is room; where there is none, it stays as it was. */
static bool reconnect_to(struct disk_file *file, const uint8_t *identifier, const struct parent_paths *paths)
{
    struct vhdx_parent new = {.relative_path = paths->relative, .absolute_path = paths->absolute};
    memcpy(new.identifier, identifier, sizeof(new.identifier));
    return vhdx_reconnect(file, &new, &error);
}

static void no_room(void **state)
{
    (void)state;
    static struct parent_link link;
    static const uint8_t first[16] = {1}, second[16] = {2};
    struct vhdx_item before, after;
    memory_file_initialize(&child);
    vhdx_fixture_create(&child, DISK_FORMAT_DIFFERENCING, SIZE, 512);
    vhdx_item_decode(item_entry(VHDX_ITEM_PARENT_LOCATOR), &before);
    move_item(VHDX_ITEM_DISK_ID, before.offset + before.length);
    assert_true(set_identifiers(&child.file, first, second));
    vhdx_item_decode(item_entry(VHDX_ITEM_PARENT_LOCATOR), &after);
    assert_int_equal(after.offset, before.offset + before.length + 16);
    read_link(&link);
    assert_memory_equal(link.alternative, second, sizeof(second));

    /* Something fills the region. */
    vhdx_item_decode(item_entry(VHDX_ITEM_PARENT_LOCATOR), &before);
    uint8_t *table = child.bytes + VHDX_FIXTURE_METADATA,
            *entry = table + VHDX_METADATA_HEADER + 6 * VHDX_METADATA_ENTRY;
    uint32_t end = before.offset + before.length;
    vhdx_item_encode(VHDX_ITEM_DISK_ID, end, (1u << 20) - end, entry);
    entry[0] ^= 1;
    entry[24] = 0;
    table[10]++;
    assert_true(set_identifiers(&child.file, second, first)); /* which is as long */
    read_link(&link);
    assert_memory_equal(link.identifier, second, sizeof(second));
    struct parent_paths paths = {.relative = "a/longer/path/than/that/which/it/has/now.vhdx", .absolute = "/a/b"};
    memset(paths.relative, 'x', sizeof(paths.relative) - 1);
    assert_false(reconnect_to(&child.file, second, &paths));
    expect_error(ENAMETOOLONG, "cannot be written into it");
    assert_int_equal(vhdx_fixture_check(&child).count[DISK_CHECK_ERROR], 0);
    read_link(&link);
    assert_memory_equal(link.identifier, second, sizeof(second));
    memory_file_release(&child);
}

/* ---- Crashes ---- */

static bool attempt_reconnection(void *context, struct disk_file *file)
{
    static struct parent_paths paths;
    const unsigned *length = context;
    struct vhdx_edit edit;
    uint8_t identifier[16];
    assert_true(vhdx_edit_begin(&edit, &parent.file, DISK_OPEN_READ_ONLY, &error));
    memcpy(identifier, edit.image->disk.identifier, sizeof(identifier));
    vhdx_edit_end(&edit);
    snprintf(paths.absolute, sizeof(paths.absolute), "/%0*u/parent.vhdx", (int)*length, *length);
    snprintf(paths.relative, sizeof(paths.relative), "../%0*u/parent.vhdx", (int)*length, *length);
    return reconnect_to(file, identifier, &paths);
}

static void reconnect_image(void *context, struct disk_file *file)
{
    assert_true(attempt_reconnection(context, file));
}

/* A child that is closed, or left as a killed process leaves it. */
static void make_child(bool close)
{
    static uint8_t bytes[9 * DISK_SECTOR_SIZE];
    struct vhdx_parent link = {.relative_path = "p.vhdx", .absolute_path = "/p.vhdx"};
    struct memory_file left;
    memory_file_initialize(&left);
    memory_file_initialize(&parent);
    memory_file_initialize(&child);
    vhdx_fixture_create(&parent, DISK_FORMAT_DYNAMIC, SIZE, 512);
    struct vhdx_edit edit;
    assert_true(vhdx_edit_begin(&edit, &parent.file, DISK_OPEN_READ_ONLY, &error));
    memcpy(link.identifier, edit.image->disk.identifier, sizeof(link.identifier));
    vhdx_edit_end(&edit);
    const struct vhdx_creation creation = {
        .format = DISK_FORMAT_DIFFERENCING, .size = SIZE, .block_size = 1u << 20, .parent = &link};
    assert_int_equal(vhdx_create(&child.file, &creation), 0);
    memory_file_reset(&child);

    struct disk_file *files[] = {&child.file, &parent.file};
    struct disk *disk = disk_open_files(files, 2, 0, &error);
    assert_non_null(disk);
    memset(bytes, 0x33, sizeof(bytes));
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 12, 9), 0);
    assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), 0);
    assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, 4000, 9), 0);
    memory_file_set(&left, child.bytes, child.size);
    assert_int_equal(disk_close(disk), 0);
    if (!close)
        memory_file_set(&child, left.bytes, left.size);
    memory_file_release(&left);
    memory_file_reset(&child);
    child.file.dirty = false;
}

static void old_or_new(void **state)
{
    (void)state;
    static const unsigned lengths[] = {1, 300, 7, 600};
    uint64_t played = 0;
    for (unsigned closed = 0; closed < 2; closed++) {
        make_child(closed);
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            unsigned length = lengths[i];
            const struct disk_change change = {
                .make = reconnect_image, .attempt = attempt_reconnection, .context = &length, .parent = &parent};
            if (i < 2)
                played += disk_change_fail(&change, &child, i ? ENOSPC : EIO);
            played += disk_change_play(&change, &child);
            disk_change_expect_sound(&child);
        }
        memory_file_release(&child);
        memory_file_release(&parent);
    }
    print_message("%llu media played\n", (unsigned long long)played);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(files_moved),     scratch_test(other_disks), scratch_test(disks_in_use),
        cmocka_unit_test(identifiers), cmocka_unit_test(no_room), cmocka_unit_test(old_or_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
