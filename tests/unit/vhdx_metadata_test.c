/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VHDX says of itself: each field damaged by itself is refused with words that name it, its place and its value;
 * what may be strange is not.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/vhdx/check.h"
#include "partitions/root/disk/vhdx/image.h"
#include "partitions/root/disk/vhdx/item.h"
#include "tests/unit/vhdx_fixture.h"

#define MIB (1u << 20)

/* Places in the images that are made here: the current header, the region table that counts, and so on. */
enum {
    HEADER = 0x20000,
    OTHER_HEADER = 0x10000,
    REGIONS = 0x30000,
    OTHER_REGIONS = 0x40000,
    BAT_REGION = REGIONS + 16,
    METADATA_REGION = BAT_REGION + 32,
    NEW_REGION = METADATA_REGION + 32,
    METADATA = VHDX_FIXTURE_METADATA,
    ITEMS = METADATA + 32, /* parameters, size, logical and physical sector, identifier, locator */
    CONTENTS = METADATA + 0x10000,
    LOCATOR = CONTENTS + 8 + 8 + 4 + 4 + 16,
};
#define ITEM(index) (ITEMS + 32 * (index))

/* clang-format off: it cannot align nested tables */

/* A change of a number, of 1, 2, 4 or 8 bytes; the checksums are right afterwards unless it is unsealed. */
struct change {
    uint32_t at;
    uint32_t size; /* 0: none */
    uint64_t value;
};
enum { MOST_CHANGES = 4 };

struct damage {
    struct change changes[MOST_CHANGES];
    bool unsealed;
    int code; /* 0: the image can be opened all the same */
    const char *text;
};

static void seal(struct memory_file *memory)
{
    for (unsigned copy = 0; copy < VHDX_HEADERS; copy++) {
        vhdx_header_seal(memory->bytes + VHDX_HEADER_OFFSET(copy));
        vhdx_regions_seal(memory->bytes + VHDX_REGIONS_OFFSET(copy));
    }
}

static void apply(struct memory_file *memory, const struct damage *damage)
{
    for (unsigned i = 0; i < MOST_CHANGES && damage->changes[i].size; i++)
        for (uint32_t byte = 0; byte < damage->changes[i].size; byte++)
            memory->bytes[damage->changes[i].at + byte] = (uint8_t)(damage->changes[i].value >> 8 * byte);
    if (!damage->unsealed)
        seal(memory);
}

/* Whether the file can be opened for reading, and its parent be read. */
static bool use(struct vhdx_fixture *fixture, struct disk_error *error)
{
    static struct parent_link link;
    struct disk_image *image = vhdx_open(&fixture->memory.file, DISK_OPEN_READ_ONLY, fixture->cache, error);
    if (!image)
        return false;
    bool done = !image->differencing || vhdx_read_parent(image, &link, error);
    image->operations->close(image);
    return done;
}

struct finding {
    unsigned errors;
    char first[512];
};

static void keep_error(void *context, enum disk_check_level level, const char *text)
{
    struct finding *finding = context;
    if (level == DISK_CHECK_ERROR && finding->errors++ == 0)
        strncpy(finding->first, text, sizeof(finding->first) - 1);
}

/* The check says the same as whoever opens the image. */
static void expect_finding(struct vhdx_fixture *fixture, const struct damage *damage)
{
    struct finding finding = {0};
    struct disk_error error = {0};
    bool done = vhdx_check(&fixture->memory.file, keep_error, &finding, &error);
    if (damage->code == EUCLEAN) {
        assert_true(done);
        assert_string_equal(finding.first, damage->text);
    } else if (damage->code) {
        assert_false(done);
        assert_int_equal(error.code, damage->code);
    } else {
        assert_true(done);
        assert_int_equal(finding.errors, 0);
    }
}

static void try_all(const struct damage *damages, size_t count)
{
    struct memory_file memory;
    struct vhdx_fixture fixture;
    memory_file_initialize(&memory);
    vhdx_fixture_create(&memory, DISK_FORMAT_DIFFERENCING, 3 * MIB, 512);
    vhdx_fixture_begin(&fixture, &memory);
    unsigned wrong = 0;
    for (size_t i = 0; i < count; i++) {
        struct disk_error error = {0};
        memory_file_set(&fixture.memory, memory.bytes, memory.size);
        apply(&fixture.memory, &damages[i]);
        bool used = use(&fixture, &error);
        bool right = used == (damages[i].code == 0) && error.code == damages[i].code &&
                     (used || strcmp(error.text + error.reason, damages[i].text) == 0);
        if (!right)
            print_error("case %zu: %d, %s\n", i, error.code, error.code ? error.text + error.reason : "");
        else
            expect_finding(&fixture, &damages[i]);
        wrong += !right;
    }
    assert_int_equal(wrong, 0);
    vhdx_fixture_end(&fixture);
    memory_file_release(&memory);
}
#define try_table(damages) try_all(damages, sizeof(damages) / sizeof((damages)[0]))

static void headers(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {{{0, 1, 'V'}}, .code = EMEDIUMTYPE, .text = "not a VHDX: it does not begin with \"vhdxfile\""},
        {{{8, 8, 0x1234}}, .text = NULL}, /* the creator may be anything */
        {{{HEADER, 1, 0}}, .text = NULL}, /* one header is enough */
        {{{OTHER_HEADER, 1, 0}}, .text = NULL},
        {{{OTHER_HEADER + 80, 1, 1}}, .unsealed = true},
        {{{HEADER, 1, 0}, {OTHER_HEADER, 1, 0}},
         .code = EUCLEAN,
         .text =
             "a damaged VHDX: Signature at byte 65536 is wrong, and so is Signature at byte 131072: it has no valid "
             "header"},
        {{{HEADER + 80, 1, 1}, {OTHER_HEADER, 1, 0}},
         .unsealed = true,
         .code = EUCLEAN,
         .text = "a damaged VHDX: Signature at byte 65536 is wrong, and so is Checksum at byte 131076: it has no valid "
                 "header"},
        {{{HEADER + 8, 8, 1}, {HEADER + 80, 1, 1}},
         .code = EUCLEAN,
         .text =
             "a damaged VHDX: SequenceNumber at byte 131080 is 1, and so is that of the other header, which differs"},
        {{{HEADER + 8, 8, 1}}, .text = NULL}, /* two that are the same are as good as one */
        {{{HEADER + 8, 8, 0}, {HEADER + 66, 2, 7}}, .text = NULL}, /* not the current one any more */
        {{{HEADER + 64, 2, 5}}, .text = NULL}, /* the log's version does not count while it is empty */
        {{{HEADER + 64, 2, 5}, {HEADER + 48, 1, 1}},
         .code = EOPNOTSUPP,
         .text = "a VHDX whose log, of version 5 (at byte 131136), is to be replayed; only version 0 can be"},
        {{{HEADER + 66, 2, 2}},
         .code = EOPNOTSUPP,
         .text = "a VHDX of version 2 (at byte 131138); only version 1 can be used"},
        {{{HEADER + 68, 4, 0}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: LogLength at byte 131140 is 0, not a multiple of 1 MiB and at least 1 MiB"},
        {{{HEADER + 68, 4, MIB + 4096}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: LogLength at byte 131140 is 1052672, not a multiple of 1 MiB and at least 1 MiB"},
        {{{HEADER + 72, 8, 0}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: LogOffset at byte 131144 is 0, not a multiple of 1 MiB and at least 1 MiB"},
        {{{HEADER + 72, 8, MIB + 512}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: LogOffset at byte 131144 is 1049088, not a multiple of 1 MiB and at least 1 MiB"},
        {{{HEADER + 72, 8, UINT64_MAX - MIB + 1}},
         .code = EUCLEAN,
         .text =
             "a damaged VHDX: LogOffset at byte 131144 is 18446744073708503040, from where the log of 1048576 bytes "
             "reaches beyond the file's end at 4194304"},
        {{{HEADER + 68, 4, 0xfff00000}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: LogOffset at byte 131144 is 1048576, from where the log of 4293918720 bytes reaches "
                 "beyond the file's end at 4194304"},
        {{{HEADER + 80, 4, 5}}, .text = NULL}, /* reserved: to be ignored */
        {{{HEADER + 48, 1, 1}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: LogGuid at byte 131120 is set, and the log has no valid sequence of entries with it"},
    };
    try_table(damages);
}

static void regions(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {{{REGIONS, 1, 0}}, .text = NULL}, /* one table is enough */
        {{{OTHER_REGIONS, 1, 0}}, .text = NULL},
        {{{REGIONS, 1, 0}, {OTHER_REGIONS + 100, 1, 9}},
         .unsealed = true,
         .code = EUCLEAN,
         .text =
             "a damaged VHDX: Signature at byte 196608 is wrong, and so is Checksum at byte 262148: it has no valid "
             "region table"},
        {{{REGIONS + 8, 4, 2048}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: EntryCount at byte 196616 is 2048, more than 2047"},
        {{{REGIONS + 12, 4, 5}}, .text = NULL}, /* reserved: to be ignored */
        {{{BAT_REGION + 16, 8, 0}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: FileOffset at byte 196640 is 0, not a multiple of 1 MiB and at least 1 MiB"},
        {{{BAT_REGION + 16, 8, 3 * MIB + 1}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: FileOffset at byte 196640 is 3145729, not a multiple of 1 MiB and at least 1 MiB"},
        {{{BAT_REGION + 16, 8, 4 * MIB}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: FileOffset at byte 196640 is 4194304, from where the region of 1048576 bytes reaches "
                 "beyond the file's end at 4194304"},
        {{{BAT_REGION + 24, 4, 1000}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Length at byte 196648 is 1000, not a multiple of 1 MiB"},
        {{{BAT_REGION + 24, 4, 0}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Length at byte 196648 is 0, and it is that of the BAT"},
        {{{BAT_REGION + 28, 4, 0}}, .text = NULL}, /* as QEMU has it */
        {{{BAT_REGION + 28, 4, 2}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Required at byte 196652 is 2, neither 0 nor 1"},
        {{{BAT_REGION, 1, 0x67}},
         .code = EOPNOTSUPP,
         .text =
             "a VHDX with the region {2dc27767-f623-4200-9d64-115e9bfd4a08}, which is required (at byte 196652) and "
             "not known"},
        {{{BAT_REGION, 1, 0x67}, {BAT_REGION + 28, 4, 0}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: the region table at byte 196608 is without the region of the BAT"},
        {{{METADATA_REGION, 1, 0}, {METADATA_REGION + 28, 4, 0}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: the region table at byte 196608 is without the region of the metadata"},
        {{{METADATA_REGION + 16, 8, 3 * MIB}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: FileOffset at byte 196672 is 3145728, where the region lies over the region that is "
                 "located at byte 196640"},
        {{{METADATA_REGION + 16, 8, MIB}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: FileOffset at byte 196672 is 1048576, where the region lies over the log that is "
                 "located at byte 131144"},
        {{{REGIONS + 8, 4, 3}, {NEW_REGION, 1, 9}, {NEW_REGION + 16, 8, MIB}}, .text = NULL}, /* unknown, empty */
        {{{REGIONS + 8, 4, 4}, {NEW_REGION, 1, 9}, {NEW_REGION + 16, 8, MIB}, {NEW_REGION + 32 + 16, 8, MIB}},
         .text = NULL},
        {{{REGIONS + 8, 4, 4}, {NEW_REGION + 16, 8, MIB}, {NEW_REGION + 32 + 16, 8, MIB}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Guid at byte 196720 is the same as that at byte 196688"},
    };
    try_table(damages);
}

static void items(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {{{METADATA, 1, 'M'}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Signature at byte 2097152 is not \"metadata\""},
        {{{METADATA + 8, 2, 1}}, .code = EUCLEAN, .text = "a damaged VHDX: Reserved at byte 2097160 is not zero"},
        {{{METADATA + 31, 1, 1}}, .code = EUCLEAN, .text = "a damaged VHDX: Reserved at byte 2097160 is not zero"},
        {{{METADATA + 10, 2, 2048}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: EntryCount at byte 2097162 is 2048, more than 2047"},
        {{{METADATA + 10, 2, 4}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: the metadata table at byte 2097152 is without a VirtualDiskId"},
        {{{METADATA + 10, 2, 5}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: the metadata table at byte 2097152 is without a ParentLocator"},
        {{{ITEM(0), 1, 0}},
         .code = EOPNOTSUPP,
         .text = "a VHDX with the metadata item {caa16700-fa36-4d43-b3b6-33f0aa44e76b}, which is required (at byte "
                 "2097208) and not known"},
        {{{ITEM(0), 1, 0}, {ITEM(0) + 24, 1, 0}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: the metadata table at byte 2097152 is without a FileParameters"},
        {{{ITEM(0) + 24, 1, 5}},
         .code = EOPNOTSUPP,
         .text = "a VHDX with the metadata item {caa16737-fa36-4d43-b3b6-33f0aa44e76b}, which is required (at byte "
                 "2097208) and not known"}, /* a user's */
        {{{ITEM(1) + 16, 4, 0xffff}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Offset at byte 2097232 is 65535, less than 64 KiB"},
        {{{ITEM(1) + 16, 4, MIB - 7}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Offset at byte 2097232 is 1048569, from where the item of 8 bytes reaches beyond the "
                 "region's 1048576"},
        {{{ITEM(1) + 16, 4, UINT32_MAX}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Offset at byte 2097232 is 4294967295, from where the item of 8 bytes reaches beyond "
                 "the region's 1048576"},
        {{{ITEM(1) + 16, 4, 0x10004}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Offset at byte 2097232 is 65540, where the item lies over the one that is located at "
                 "byte 2097200"},
        {{{ITEM(1) + 20, 4, MIB + 1}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Length at byte 2097236 is 1048577, more than 1 MiB"},
        {{{ITEM(1) + 20, 4, 9}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Length at byte 2097236 is 9, and a VirtualDiskSize has 8 bytes"},
        {{{ITEM(1) + 20, 4, 0}},
         .code = EUCLEAN,
         .text =
             "a damaged VHDX: Offset at byte 2097232 is 65544, and not 0 as it must be for an item without contents"},
        {{{ITEM(1) + 24, 4, 14}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Reserved at byte 2097240 is not zero (0xe)"},
        {{{ITEM(1) + 28, 4, 3}}, .code = EUCLEAN, .text = "a damaged VHDX: Reserved2 at byte 2097244 is 3, not 0"},
        {{{METADATA + 10, 2, 8}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: ItemId at byte 2097408 is the same as that at byte 2097376"},
        {{{METADATA + 10, 2, 7}}, .text = NULL}, /* unknown, empty, not required */
        {{{METADATA + 10, 2, 2047}, {ITEM(6), 1, 1}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: ItemId at byte 2097440 is the same as that at byte 2097408"},
        {{{ITEM(5) + 20, 4, 19}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: Length at byte 2097364 is 19, and a ParentLocator has at least 20 bytes"},
    };
    try_table(damages);
}

static void contents_of_items(void **state)
{
    (void)state;
    static const struct damage damages[] = {
        {{{CONTENTS, 4, MIB / 2}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: BlockSize at byte 2162688 is 524288, not a power of two from 1 MiB to 256 MiB"},
        {{{CONTENTS, 4, 3 * MIB}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: BlockSize at byte 2162688 is 3145728, not a power of two from 1 MiB to 256 MiB"},
        {{{CONTENTS, 4, 512 * MIB}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: BlockSize at byte 2162688 is 536870912, not a power of two from 1 MiB to 256 MiB"},
        {{{CONTENTS, 4, 256 * MIB}}, .text = NULL},
        {{{CONTENTS + 4, 4, 3}}, .text = NULL}, /* LeaveBlocksAllocated does not count with a parent */
        {{{CONTENTS + 4, 4, 6}}, .code = EUCLEAN, .text = "a damaged VHDX: Reserved at byte 2162692 is not zero (0x6)"},
        {{{CONTENTS + 4, 4, 0}}, .text = NULL}, /* no parent */
        {{{CONTENTS + 8, 8, 0}},
         .code = EUCLEAN,
         .text =
             "a damaged VHDX: VirtualDiskSize at byte 2162696 is 0, not a multiple of 512 that is at most 64 TiB, and "
             "not 0"},
        {{{CONTENTS + 8, 8, 1000}},
         .code = EUCLEAN,
         .text =
             "a damaged VHDX: VirtualDiskSize at byte 2162696 is 1000, not a multiple of 512 that is at most 64 TiB, "
             "and not 0"},
        {{{CONTENTS + 8, 8, (64ull << 40) + 512}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: VirtualDiskSize at byte 2162696 is 70368744178176, not a multiple of 512 that is at "
                 "most 64 TiB, and not 0"},
        {{{CONTENTS + 8, 8, 512ull << 30}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: the BAT's region, at byte 3145728, has 1048576 bytes, too few for the disk's 524416 "
                 "entries"},
        {{{CONTENTS + 16, 4, 1024}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: LogicalSectorSize at byte 2162704 is 1024, neither 512 nor 4096"},
        {{{CONTENTS + 16, 4, 4096}}, .text = NULL},
        {{{CONTENTS + 20, 4, 0}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: PhysicalSectorSize at byte 2162708 is 0, neither 512 nor 4096"},
    };
    try_table(damages);
}

/* The locator has entries for parent_linkage, relative_path and absolute_win32_path, in this order, and texts from byte
 * 80 of it on: "parent_linkage" is 28 bytes, its value 76, "relative_path" 26. */
static void parent_locators(void **state)
{
    (void)state;
    enum { TEXTS = 20 + 6 * 12, LINKAGE = TEXTS + 28, PATH = LINKAGE + 76 + 26 };
    static const struct damage damages[] = {
        {{{LOCATOR, 1, 0}},
         .code = EOPNOTSUPP,
         .text =
             "a differencing VHDX whose parent, of type {b04aef00-d19e-4a81-b789-25b8e9445913} (LocatorType at byte "
             "2162728), is no VHDX"},
        {{{LOCATOR + 16, 2, 1}}, .code = EUCLEAN, .text = "a damaged VHDX: Reserved at byte 2162744 is 1, not 0"},
        {{{LOCATOR + 18, 2, 0}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: the parent locator at byte 2162728 is without a parent_linkage"},
        {{{LOCATOR + 18, 2, 1}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: the parent locator at byte 2162728 is without any path"},
        {{{LOCATOR + 18, 2, 2}}, .text = NULL},
        {{{LOCATOR + 18, 2, 4}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: KeyLength at byte 2162792 is 0, not the length of a text of UTF-16"},
        {{{LOCATOR + 20, 4, 0}},
         .code = EUCLEAN,
         .text =
             "a damaged VHDX: KeyOffset at byte 2162748 is 0, from where the text of 28 bytes does not lie within the "
             "item of 364"},
        {{{LOCATOR + 24, 4, UINT32_MAX}},
         .code = EUCLEAN,
         .text =
             "a damaged VHDX: ValueOffset at byte 2162752 is 4294967295, from where the text of 76 bytes does not lie "
             "within the item of 364"},
        {{{LOCATOR + 28, 2, 7}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: KeyLength at byte 2162756 is 7, not the length of a text of UTF-16"},
        {{{LOCATOR + 30, 2, 0}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: ValueLength at byte 2162758 is 0, not the length of a text of UTF-16"},
        {{{LOCATOR + TEXTS, 2, 'P'}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: the parent locator at byte 2162728 is without a parent_linkage"},
        {{{LOCATOR + LINKAGE, 2, '('}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: parent_linkage at byte 2162848 is no GUID in braces"},
        {{{LOCATOR + LINKAGE + 2, 2, 'g'}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: parent_linkage at byte 2162848 is no GUID in braces"},
        {{{LOCATOR + LINKAGE + 2, 2, 'A'}}, .text = NULL},
        {{{LOCATOR + PATH, 2, 0}}, .code = EUCLEAN, .text = "a damaged VHDX: relative_path at byte 2162950 is no path"},
        {{{LOCATOR + PATH, 2, '\n'}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: relative_path at byte 2162950 is no path"},
        {{{LOCATOR + PATH, 2, 0xd800}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: relative_path at byte 2162950 is no path"},
        {{{LOCATOR + 32, 4, TEXTS}, {LOCATOR + 40, 2, 28}},
         .code = EUCLEAN,
         .text = "a damaged VHDX: a key at byte 2162820 is the same as that at byte 2162820"},
    };
    try_table(damages);
}

/* A file that ends anywhere is refused, and no byte behind its end is looked at. */
static void short_files(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        int code;
        const char *text;
    } cases[] = {
        {0, EMEDIUMTYPE, "not a VHDX: it has only 0 bytes"},
        {519, EMEDIUMTYPE, "not a VHDX: it has only 519 bytes"},
        {520, EUCLEAN, "a damaged VHDX: the file ends at byte 520, within the header section"},
        {MIB - 1, EUCLEAN, "a damaged VHDX: the file ends at byte 1048575, within the header section"},
        {MIB, EUCLEAN,
         "a damaged VHDX: LogOffset at byte 131144 is 1048576, from where the log of 1048576 bytes reaches beyond the "
         "file's end at 1048576"},
        {2 * MIB, EUCLEAN,
         "a damaged VHDX: FileOffset at byte 196640 is 3145728, from where the region of 1048576 bytes reaches beyond "
         "the file's end at 2097152"},
        {4 * MIB - 1, EUCLEAN,
         "a damaged VHDX: FileOffset at byte 196640 is 3145728, from where the region of 1048576 bytes reaches beyond "
         "the file's end at 4194303"},
    };
    struct memory_file memory;
    struct vhdx_fixture fixture;
    memory_file_initialize(&memory);
    vhdx_fixture_create(&memory, DISK_FORMAT_DYNAMIC, 3 * MIB, 512);
    vhdx_fixture_begin(&fixture, &memory);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct disk_error error = {0};
        memory_file_set(&fixture.memory, memory.bytes, cases[i].size);
        assert_false(use(&fixture, &error));
        assert_int_equal(error.code, cases[i].code);
        assert_string_equal(error.text + error.reason, cases[i].text);
    }
    vhdx_fixture_end(&fixture);
    memory_file_release(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),           cmocka_unit_test(regions),         cmocka_unit_test(items),
        cmocka_unit_test(contents_of_items), cmocka_unit_test(parent_locators), cmocka_unit_test(short_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
