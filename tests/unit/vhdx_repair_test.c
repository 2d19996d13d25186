/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Damaged VHDX images: what is found, what is mended and how, the way back, and interruptions while that is done. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/check.h"
#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/repair.h"
#include "partitions/root/disk/vhdx/item.h"
#include "partitions/root/disk/vhdx/repair.h"
#include "tests/unit/disk_change.h"
#include "tests/unit/power_failure.h"
#include "tests/unit/scratch.h"
#include "tests/unit/vhdx_fixture.h"

#define MIB             (1u << 20)
#define SECTORS_PER_MIB (MIB / DISK_SECTOR_SIZE)
#define BLOCKS          4u
#define SIZE            (BLOCKS * MIB)
#define BITMAP_ENTRY    4096u /* of the BAT */

static struct disk_error error;
static struct memory_file parent;

/* ---- Images ---- */

/* Each block of the parent holds 'p', and of an image beginning with 'a'; `left_open`: as a killed process leaves it.
 */
static void fill(struct memory_file *memory, bool with_parent, int first, bool left_open)
{
    static uint8_t bytes[MIB];
    struct memory_file left;
    struct disk_file *files[] = {&memory->file, &parent.file};
    struct disk *disk = disk_open_files(files, with_parent ? 2 : 1, 0, &error);
    assert_non_null(disk);
    for (unsigned i = 0; i < BLOCKS; i++) {
        memset(bytes, first == 'p' ? first : first + (int)i, sizeof(bytes));
        assert_int_equal(disk_transfer(disk, DISK_WRITE, bytes, i * SECTORS_PER_MIB, SECTORS_PER_MIB), 0);
    }
    assert_int_equal(disk_transfer(disk, DISK_FLUSH, NULL, 0, 0), 0);
    memory_file_initialize(&left);
    memory_file_set(&left, memory->bytes, memory->size);
    assert_int_equal(disk_close(disk), 0);
    if (left_open)
        memory_file_set(memory, left.bytes, left.size);
    memory_file_release(&left);
    memory_file_reset(memory);
    memory->file.dirty = false;
}

enum kind { DYNAMIC, DIFFERENCING, LEFT_OPEN };

static void make_image(struct memory_file *memory, enum kind kind)
{
    struct vhdx_parent link = {.relative_path = "p.vhdx"};
    const struct vhdx_creation creation = {
        .format = kind == DIFFERENCING ? DISK_FORMAT_DIFFERENCING : DISK_FORMAT_DYNAMIC,
        .size = SIZE,
        .block_size = MIB,
        .parent = &link,
    };
    memory_file_initialize(memory);
    memory_file_initialize(&parent);
    if (kind == DIFFERENCING) {
        vhdx_fixture_create(&parent, DISK_FORMAT_DYNAMIC, SIZE, 512);
        fill(&parent, false, 'p', false);
        struct disk *disk = disk_open_file(&parent.file, DISK_OPEN_READ_ONLY, &error);
        memcpy(link.identifier, disk_top(disk)->identifier, sizeof(link.identifier));
        disk_close(disk);
    }
    assert_int_equal(vhdx_create(&memory->file, &creation), 0);
    fill(memory, kind == DIFFERENCING, 'a', kind == LEFT_OPEN);
}

/* ---- Damage ---- */

static uint8_t *entry_at(struct memory_file *memory, uint32_t index)
{
    return memory->bytes + VHDX_FIXTURE_BAT + index * VHDX_ENTRY_SIZE;
}

static void header_0(struct memory_file *memory)
{
    memory->bytes[VHDX_HEADER_OFFSET(0) + 20] ^= 1;
}

static void header_1(struct memory_file *memory)
{
    memset(memory->bytes + VHDX_HEADER_OFFSET(1), 0, 8);
}

static void both_headers(struct memory_file *memory)
{
    header_0(memory);
    header_1(memory);
}

static void regions_0(struct memory_file *memory)
{
    memory->bytes[VHDX_REGIONS_OFFSET(0) + 50] ^= 1;
}

static void regions_1(struct memory_file *memory)
{
    memset(memory->bytes + VHDX_REGIONS_OFFSET(1), 0, VHDX_REGIONS_SIZE);
}

static void both_regions(struct memory_file *memory)
{
    regions_0(memory);
    regions_1(memory);
}

static void other_regions(struct memory_file *memory)
{
    memory->bytes[VHDX_REGIONS_OFFSET(1) + 1000] ^= 1;
    vhdx_regions_seal(memory->bytes + VHDX_REGIONS_OFFSET(1));
}

static void no_metadata(struct memory_file *memory)
{
    memory->bytes[VHDX_FIXTURE_METADATA] ^= 1;
}

static void reserved_bits(struct memory_file *memory)
{
    entry_at(memory, 1)[1] ^= 1;
}

static void undefined_state(struct memory_file *memory)
{
    entry_at(memory, 1)[0] ^= 3;
}

static void far_beyond(struct memory_file *memory)
{
    entry_at(memory, 1)[5] = 1;
}

static void over_metadata(struct memory_file *memory)
{
    little_endian_store64(entry_at(memory, 1), VHDX_FIXTURE_METADATA | VHDX_BLOCK_FULLY_PRESENT);
}

static void over_another(struct memory_file *memory)
{
    memcpy(entry_at(memory, 1), entry_at(memory, 0), VHDX_ENTRY_SIZE);
}

static void cut_off(struct memory_file *memory)
{
    memory_file_resize(memory, memory->size - MIB / 2);
}

static void cut_off_more(struct memory_file *memory)
{
    memory_file_resize(memory, memory->size - MIB - MIB / 2);
}

static void lost_log(struct memory_file *memory)
{
    memset(memory->bytes + VHDX_FIXTURE_LOG, 0, MIB);
}

static void nothing(struct memory_file *memory)
{
    (void)memory;
}

/* The file is as long as the log says, and a block is missing. */
static void cut_off_with_log(struct memory_file *memory)
{
    memory_file_resize(memory, VHDX_FIXTURE_BLOCKS + 3 * MIB + MIB / 2);
}

/* Of the table, of two items' entries, and of the file parameters, which are the first item. */
static void reserved_fields(struct memory_file *memory)
{
    uint8_t *region = memory->bytes + VHDX_FIXTURE_METADATA, *entries = region + VHDX_METADATA_HEADER;
    region[20] = 1;
    entries[28] = 1;
    entries[VHDX_METADATA_ENTRY + 25] = 1;
    region[VHDX_METADATA_TABLE_SIZE + VHDX_FILE_PARAMETERS_FLAGS + 1] = 1;
}

/* The locator is the last item. */
static void reserved_in_locator(struct memory_file *memory)
{
    struct vhdx_item item;
    uint8_t *region = memory->bytes + VHDX_FIXTURE_METADATA;
    vhdx_item_decode(region + VHDX_METADATA_HEADER + 5 * VHDX_METADATA_ENTRY, &item);
    assert_int_equal(vhdx_item_kind(&item), VHDX_ITEM_PARENT_LOCATOR);
    region[item.offset + VHDX_LOCATOR_RESERVED] = 1;
}

static void no_bitmap(struct memory_file *memory)
{
    memset(entry_at(memory, BITMAP_ENTRY), 0, VHDX_ENTRY_SIZE);
}

static void bitmap_beyond(struct memory_file *memory)
{
    entry_at(memory, BITMAP_ENTRY)[5] = 1;
}

/* What the blocks hold afterwards: a letter, '0' for zeros, '/' for half of it; NULL: it cannot be mended. */
static const struct damage {
    enum kind kind;
    void (*make)(struct memory_file *memory);
    const char *contents;
    unsigned mended, lost, left;
    const char *text; /* of a finding */
} damages[] = {
    {DYNAMIC,      nothing,             "abcd", 0, 0, 0, NULL                                            },
    {DYNAMIC,      header_0,            "abcd", 1, 0, 0, "the header at byte 65536 has a wrong checksum" },
    {DYNAMIC,      header_1,            "abcd", 1, 0, 0, "the header at byte 131072 is missing"          },
    {DYNAMIC,      both_headers,        NULL,   0, 0, 1, "it has no valid header"                        },
    {DYNAMIC,      regions_0,           "abcd", 1, 0, 0, "the region table at byte 196608 has a wrong"   },
    {DYNAMIC,      regions_1,           "abcd", 1, 0, 0, "the region table at byte 262144 is missing"    },
    {DYNAMIC,      both_regions,        NULL,   0, 0, 1, "it has no valid region table"                  },
    {DYNAMIC,      other_regions,       "abcd", 1, 0, 0, "differs from that at byte 196608, which counts"},
    {DYNAMIC,      no_metadata,         NULL,   0, 0, 1, "Signature at byte 2097152 is not \"metadata\"" },
    {DYNAMIC,      reserved_fields,     "abcd", 1, 0, 0, "4 reserved fields of the metadata are not zero"},
    {DIFFERENCING, reserved_in_locator, "abcd", 1, 0, 0, "1 reserved field of the metadata is not zero"  },
    {DYNAMIC,      reserved_bits,       "abcd", 1, 0, 0, "something in a reserved field"                 },
    {DYNAMIC,      undefined_state,     "a0cd", 0, 1, 0, "a state that is not defined"                   },
    {DYNAMIC,      far_beyond,          "a0cd", 0, 1, 0, "beyond the file's end"                         },
    {DYNAMIC,      over_metadata,       "a0cd", 0, 1, 0, "over something else"                           },
    {DYNAMIC,      over_another,        "a0cd", 0, 1, 0, "over something else"                           },
    {DYNAMIC,      cut_off,             "abc/", 0, 1, 0, "beyond the file's end"                         },
    {DYNAMIC,      cut_off_more,        "ab/0", 0, 2, 0, "beyond the file's end"                         },
    {LEFT_OPEN,    nothing,             "abcd", 1, 0, 0, "its log has 5 entries to be replayed"          },
    {LEFT_OPEN,    lost_log,            "abcd", 0, 1, 0, "the log has no valid sequence of entries"      },
    {LEFT_OPEN,    cut_off_with_log,    "abc/", 0, 1, 0, "its log says that it had"                      },
    {DIFFERENCING, nothing,             "abcd", 0, 0, 0, NULL                                            },
    {DIFFERENCING, undefined_state,     "apcd", 0, 1, 0, "a state that is not defined"                   },
    {DIFFERENCING, no_bitmap,           "pppp", 0, 1, 0, "has no sector bitmap"                          },
    {DIFFERENCING, bitmap_beyond,       "pppp", 0, 1, 0, "beyond the file's end"                         },
};
#define DAMAGES (sizeof(damages) / sizeof(damages[0]))

/* ---- What is mended ---- */

static bool heard;

static void listen_for(void *context, enum disk_repair_kind kind, const char *text)
{
    const struct damage *damage = context;
    (void)kind;
    heard |= damage->text && strstr(text, damage->text);
}

static void expect_contents(struct memory_file *memory, const struct damage *damage)
{
    static uint8_t bytes[MIB];
    struct disk_file *files[] = {&memory->file, &parent.file};
    struct disk *disk = disk_open_files(files, damage->kind == DIFFERENCING ? 2 : 1, 0, &error);
    assert_non_null(disk);
    for (unsigned i = 0; i < BLOCKS; i++) {
        char wanted = damage->contents[i];
        uint8_t value = wanted == '0' ? 0 : wanted == '/' ? (uint8_t)('a' + i) : (uint8_t)wanted;
        assert_int_equal(disk_transfer(disk, DISK_READ, bytes, i * SECTORS_PER_MIB, SECTORS_PER_MIB), 0);
        assert_int_equal(bytes[0], value);
        assert_int_equal(bytes[MIB / 2 - 1], value);
        assert_int_equal(bytes[MIB / 2], wanted == '/' ? 0 : value);
        assert_int_equal(bytes[MIB - 1], wanted == '/' ? 0 : value);
    }
    assert_int_equal(disk_close(disk), 0);
    disk_change_expect_sound(memory);
}

static void save_file(const char *name, const struct memory_file *memory)
{
    int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(file, memory->bytes, memory->size), (ssize_t)memory->size);
    close(file);
}

static void load_file(const char *name, struct memory_file *memory)
{
    int file = open(name, O_RDONLY);
    off_t size = lseek(file, 0, SEEK_END);
    uint8_t *bytes = malloc((size_t)size);
    assert_int_equal(pread(file, bytes, (size_t)size, 0), size);
    memory_file_set(memory, bytes, (size_t)size);
    free(bytes);
    close(file);
}

static void expect_file(const char *name, const struct memory_file *memory)
{
    struct memory_file found;
    memory_file_initialize(&found);
    load_file(name, &found);
    assert_int_equal(found.size, memory->size);
    assert_memory_equal(found.bytes, memory->bytes, memory->size);
    memory_file_release(&found);
}

/* Nothing is changed by looking, nor by a repair that would have to lose data or leave damage. */
static void look_at(const struct damage *damage, const struct memory_file *memory, bool dry_run)
{
    const struct disk_repair_options options = {.dry_run = dry_run};
    struct disk_repair_result result;
    heard = !damage->text;
    if (!disk_repair("a.vhdx", &options, listen_for, (void *)damage, &result, &error))
        fail_msg("%s", error.text);
    assert_int_equal(result.count[DISK_REPAIR_MENDED], damage->mended);
    assert_int_equal(result.count[DISK_REPAIR_LOST], damage->lost);
    assert_int_equal(result.count[DISK_REPAIR_LEFT], damage->left);
    assert_true(heard);
    expect_file("a.vhdx", memory);
}

static void mend_and_undo(const struct damage *damage, const struct memory_file *memory)
{
    const struct disk_repair_options options = {.drop_damaged = true};
    struct disk_repair_result result;
    struct memory_file mended;
    if (!disk_repair("a.vhdx", &options, NULL, NULL, &result, &error))
        fail_msg("%s", error.text);
    assert_int_equal(result.changed, damage->contents && damage->mended + damage->lost > 0);
    if (damage->contents) {
        memory_file_initialize(&mended);
        load_file("a.vhdx", &mended);
        expect_contents(&mended, damage);
        memory_file_release(&mended);
    }
    if (result.changed)
        assert_true(disk_repair_undo("a.vhdx", result.backup, &error));
    expect_file("a.vhdx", memory);
}

static void repair_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < DAMAGES; i++) {
        struct memory_file memory;
        make_image(&memory, damages[i].kind);
        damages[i].make(&memory);
        save_file("a.vhdx", &memory);
        look_at(&damages[i], &memory, true);
        if (damages[i].lost || damages[i].left)
            look_at(&damages[i], &memory, false);
        mend_and_undo(&damages[i], &memory);
        memory_file_release(&memory);
        memory_file_release(&parent);
    }
}

/* ---- Interruptions ---- */

static bool attempt_repair(void *context, struct disk_file *file)
{
    struct disk_repair_findings findings = {0};
    struct vhdx_repair *repair = malloc(sizeof(*repair));
    (void)context;
    assert_non_null(repair);
    bool done = vhdx_repair_look(repair, file, &findings, &error) &&
                (!vhdx_repair_is_needed(repair) || vhdx_repair_mend(repair, &error));
    vhdx_repair_free(repair);
    free(repair);
    return done;
}

static void repair_image(void *context, struct disk_file *file)
{
    if (!attempt_repair(context, file))
        fail_msg("%s", error.text);
}

static void interruptions(void **state)
{
    (void)state;
    uint64_t played = 0;
    for (size_t i = 0; i < DAMAGES; i++) {
        const struct damage *damage = &damages[i];
        struct memory_file memory;
        if (!damage->contents || damage->mended + damage->lost == 0)
            continue;
        make_image(&memory, damage->kind);
        damage->make(&memory);
        const struct disk_change change = {
            .make = repair_image,
            .attempt = attempt_repair,
            .parent = damage->kind == DIFFERENCING ? &parent : NULL,
            .any_identifier = true,
            .again = true,
        };
        power_failure_seed(i);
        if (i % 3 == 0)
            played += disk_change_fail(&change, &memory, EIO);
        played += disk_change_play(&change, &memory);
        expect_contents(&memory, damage);
        memory_file_release(&memory);
        memory_file_release(&parent);
    }
    print_message("%llu media played\n", (unsigned long long)played);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(repair_files),
        cmocka_unit_test(interruptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
