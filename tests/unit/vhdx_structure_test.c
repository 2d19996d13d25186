/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pure parts of the VHDX format: numbers, GUIDs, texts, and what stands in a parent locator. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/crc32c.h"
#include "partitions/root/disk/utf16.h"
#include "partitions/root/disk/vhdx/conflict.h"
#include "partitions/root/disk/vhdx/create.h"
#include "partitions/root/disk/vhdx/item.h"
#include "partitions/root/disk/vhdx/locator.h"
#include "partitions/root/disk/vhdx/log_entry.h"
#include "tests/unit/memory_file.h"

#define MIB (1u << 20)
#define TIB (1ull << 40)

/* The check value of the polynomial, and RFC 3720, appendix B.4. */
static void checksums(void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_by_table(0, "123456789", 9), 0xe3069283);
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
    for (size_t length = 0; length < sizeof(bytes); length++) {
        bytes[length] = (uint8_t)(length * 57);
        uint32_t parts = crc32c(crc32c(0, bytes, length / 3), bytes + length / 3, length - length / 3);
        assert_int_equal(parts, crc32c_by_table(0, bytes, length));
    }
}

static void guids(void **state)
{
    (void)state;
    char text[VHDX_GUID_TEXT + 1] = {0};
    uint8_t guid[VHDX_GUID_SIZE];
    vhdx_guid_print(vhdx_bat_region, text);
    assert_string_equal(text, "{2dc27766-f623-4200-9d64-115e9bfd4a08}");
    vhdx_guid_print(vhdx_metadata_region, text);
    assert_string_equal(text, "{8b7ca206-4790-4b9a-b8fe-575f050f886e}");
    assert_true(vhdx_guid_parse("{8B7CA206-4790-4b9a-B8FE-575F050F886E}", VHDX_GUID_TEXT, guid));
    assert_memory_equal(guid, vhdx_metadata_region, sizeof(guid));
    assert_false(vhdx_guid_parse(text, VHDX_GUID_TEXT - 1, guid));
    for (unsigned i = 0; i < VHDX_GUID_TEXT; i++) {
        char wrong[VHDX_GUID_TEXT + 1];
        memcpy(wrong, text, sizeof(wrong));
        wrong[i] = 'g';
        assert_false(vhdx_guid_parse(wrong, VHDX_GUID_TEXT, guid));
    }
}

/* Worked out by hand from the formulas of 2.5. */
static void layouts(void **state)
{
    (void)state;
    static const struct {
        struct vhdx_layout layout;
        uint32_t ratio, blocks, entries;
    } cases[] = {
        {{512, MIB, 512, false},                 4096,  1,        1                 },
        {{512, MIB, 512, true},                  4096,  1,        4097              },
        {{4096ull * MIB, MIB, 512, false},       4096,  4096,     4096              },
        {{4096ull * MIB + 512, MIB, 512, false}, 4096,  4097,     4098              },
        {{4096ull * MIB, MIB, 512, true},        4096,  4096,     4097              },
        {{4096ull * MIB + 512, MIB, 512, true},  4096,  4097,     8194              },
        {{64 * TIB, MIB, 512, false},            4096,  1u << 26, (1u << 26) + 16383},
        {{64 * TIB, MIB, 512, true},             4096,  1u << 26, (1u << 26) + 16384},
        {{64 * TIB, 32 * MIB, 512, false},       128,   1u << 21, (1u << 21) + 16383},
        {{64 * TIB, 256 * MIB, 512, true},       16,    1u << 18, (1u << 18) + 16384},
        {{64 * TIB, MIB, 4096, true},            32768, 1u << 26, (1u << 26) + 2048 },
        {{64 * TIB, 256 * MIB, 4096, false},     128,   1u << 18, (1u << 18) + 2047 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct vhdx_layout *layout = &cases[i].layout;
        assert_int_equal(vhdx_chunk_ratio(layout), cases[i].ratio);
        assert_int_equal(vhdx_blocks(layout), cases[i].blocks);
        assert_int_equal(vhdx_entries(layout), cases[i].entries);
        uint32_t last = cases[i].blocks - 1;
        assert_true(vhdx_payload_entry(layout, last) < cases[i].entries);
        assert_false(vhdx_is_bitmap_entry(layout, vhdx_payload_entry(layout, last)));
        assert_true(vhdx_is_bitmap_entry(layout, vhdx_bitmap_entry(layout, last)));
        if (layout->differencing)
            assert_int_equal(vhdx_bitmap_entry(layout, last), cases[i].entries - 1);
    }
    assert_int_equal(vhdx_payload_entry(&cases[8].layout, 127), 127);
    assert_int_equal(vhdx_payload_entry(&cases[8].layout, 128), 129);
    assert_int_equal(vhdx_bitmap_entry(&cases[8].layout, 127), 128);
    assert_int_equal(vhdx_bitmap_entry(&cases[8].layout, 128), 257);
    assert_int_equal(vhdx_block_bytes(&cases[3].layout, 4095), MIB);
    assert_int_equal(vhdx_block_bytes(&cases[3].layout, 4096), 512);
}

static void entries_of_the_bat(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x06, 0x00, 0x30, 0, 0, 0, 0, 0};
    static const uint8_t reserved[] = {0x0f, 0x80, 0x00, 0, 0, 0, 0, 0x80};
    uint8_t encoded[VHDX_ENTRY_SIZE];
    struct vhdx_entry entry = vhdx_entry_decode(bytes);
    assert_int_equal(entry.state, VHDX_BLOCK_FULLY_PRESENT);
    assert_int_equal(entry.offset, 3 * MIB);
    assert_int_equal(entry.reserved, 0);
    vhdx_entry_encode(entry, encoded);
    assert_memory_equal(encoded, bytes, sizeof(bytes));
    entry = vhdx_entry_decode(reserved);
    assert_int_equal(entry.state, VHDX_BLOCK_PARTIALLY_PRESENT);
    assert_int_equal(entry.offset, 1ull << 63);
    assert_int_not_equal(entry.reserved, 0);
}

/* A sector that says of itself what a data sector does is packed and unpacked like any other. */
static void data_sectors(void **state)
{
    (void)state;
    uint8_t sector[VHDX_LOG_SECTOR], before[VHDX_LOG_SECTOR], descriptor[VHDX_DESCRIPTOR_SIZE];
    struct vhdx_descriptor decoded;
    for (size_t i = 0; i < sizeof(sector); i++)
        sector[i] = (uint8_t)(i * 7);
    memcpy(sector, "data", 4);
    memcpy(before, sector, sizeof(sector));
    vhdx_data_pack(sector, 5 * MIB, 0x123456789abcdef0, descriptor);
    assert_true(vhdx_is_data_sector(sector, 0x123456789abcdef0));
    assert_false(vhdx_is_data_sector(sector, 0x123456789abcdef1));
    assert_false(vhdx_is_data_sector(sector, 0x123456799abcdef0));
    vhdx_descriptor_decode(descriptor, &decoded);
    assert_int_equal(decoded.kind, VHDX_DESCRIPTOR_DATA);
    assert_int_equal(decoded.offset, 5 * MIB);
    assert_int_equal(decoded.length, VHDX_LOG_SECTOR);
    assert_int_equal(decoded.sequence, 0x123456789abcdef0);
    vhdx_data_unpack(sector, descriptor);
    assert_memory_equal(sector, before, sizeof(sector));

    assert_int_equal(vhdx_log_descriptor_sectors(0), 1);
    assert_int_equal(vhdx_log_descriptor_sectors(126), 1);
    assert_int_equal(vhdx_log_descriptor_sectors(127), 2);
    assert_int_equal(vhdx_log_descriptor_sectors(126 + 128), 2);
    assert_int_equal(vhdx_log_descriptor_sectors(126 + 129), 3);
    assert_int_equal(vhdx_log_descriptor_sectors(UINT32_MAX), 33554433);
}

static void conflicts(void **state)
{
    (void)state;
    uint32_t first, second;
    struct vhdx_stretch apart[] = {
        {10, 5,  0},
        {0,  10, 1},
        {12, 0,  2},
        {15, 1,  3}
    };
    struct vhdx_stretch over[] = {
        {10, 5,  0},
        {0,  11, 1},
        {20, 1,  2}
    };
    assert_false(vhdx_find_overlap(apart, 4, &first, &second));
    assert_true(vhdx_find_overlap(over, 3, &first, &second));
    assert_int_equal(first, 1);
    assert_int_equal(second, 0);
    struct vhdx_key keys[] = {
        {{1}, 0, 0},
        {{2}, 0, 1},
        {{1}, 1, 2}
    };
    assert_false(vhdx_find_duplicate(keys, 3, &first, &second));
    keys[2].kind = keys[1].kind = 0;
    memcpy(keys[2].guid, keys[0].guid, VHDX_GUID_SIZE);
    assert_true(vhdx_find_duplicate(keys, 3, &first, &second));
}

static void texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t bytes[16];
        size_t length;
    } pairs[] = {
        {"",                     {0},                      0},
        {"a/Z",                  {'a', 0, '/', 0, 'Z', 0}, 6},
        {"\xc3\xa4\xe2\x82\xac", {0xe4, 0, 0xac, 0x20},    4},
        {"\xef\xbf\xbd",         {0xfd, 0xff},             2},
        {"\xf0\x9f\x92\xbe",     {0x3d, 0xd8, 0xbe, 0xdc}, 4},
        {"\xf4\x8f\xbf\xbf",     {0xff, 0xdb, 0xff, 0xdf}, 4},
    };
    char text[16];
    uint8_t bytes[16];
    size_t length;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        assert_true(utf16_decode(pairs[i].bytes, pairs[i].length, UTF16_LITTLE_ENDIAN, text, sizeof(text)));
        assert_string_equal(text, pairs[i].text);
        assert_true(utf16_encode(text, UTF16_LITTLE_ENDIAN, bytes, sizeof(bytes), &length));
        assert_int_equal(length, pairs[i].length);
        assert_memory_equal(bytes, pairs[i].bytes, length);
        /* The other order, in as little room as it takes, and in less. */
        assert_true(utf16_encode(text, UTF16_BIG_ENDIAN, bytes, length, &length));
        assert_true(utf16_decode(bytes, length, UTF16_BIG_ENDIAN, text, strlen(pairs[i].text) + 1));
        assert_string_equal(text, pairs[i].text);
        if (length == 0)
            continue;
        assert_false(utf16_decode(bytes, length, UTF16_BIG_ENDIAN, text, strlen(pairs[i].text)));
        assert_false(utf16_encode(pairs[i].text, UTF16_BIG_ENDIAN, bytes, length - 1, &length));
    }
}

static void malformed_texts(void **state)
{
    (void)state;
    static const char *const utf8[] = {
        "\x80",
        "\xc3",
        "\xc3(",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x80\xaf",
        "\xed\xa0\x80",
        "\xf0\x80\x80\x80",
        "\xf4\x90\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xff",
        "a\xe2\x82",
    };
    static const struct {
        uint8_t bytes[4];
        size_t length;
    } utf16[] = {
        {{'a'},                    1}, /* half a unit */
        {{0, 0},                   2}, /* a zero */
        {{0x3d, 0xd8},             2}, /* a high surrogate alone */
        {{0x3d, 0xd8, 'a', 0},     4}, /* and before something else */
        {{0xbe, 0xdc},             2}, /* a low surrogate alone */
        {{0xbe, 0xdc, 0x3d, 0xd8}, 4}  /* the wrong way round */
    };
    uint8_t bytes[32];
    char text[32];
    size_t length;
    for (size_t i = 0; i < sizeof(utf8) / sizeof(utf8[0]); i++)
        assert_false(utf16_encode(utf8[i], UTF16_LITTLE_ENDIAN, bytes, sizeof(bytes), &length));
    for (size_t i = 0; i < sizeof(utf16) / sizeof(utf16[0]); i++)
        assert_false(utf16_decode(utf16[i].bytes, utf16[i].length, UTF16_LITTLE_ENDIAN, text, sizeof(text)));
}

/* A locator with these paths, made by hand so that it may have any. */
static uint32_t make_locator(uint8_t *bytes, const char *const (*pairs)[2], uint16_t count)
{
    uint32_t end = VHDX_LOCATOR_HEADER + count * VHDX_LOCATOR_ENTRY;
    memcpy(bytes, vhdx_locator_type, VHDX_GUID_SIZE);
    little_endian_store16(bytes + 16, 0);
    little_endian_store16(bytes + 18, count);
    for (uint16_t i = 0; i < count; i++) {
        uint8_t *entry = bytes + VHDX_LOCATOR_HEADER + i * VHDX_LOCATOR_ENTRY;
        for (unsigned j = 0; j < 2; j++) {
            size_t length;
            assert_true(utf16_encode(pairs[i][j], UTF16_LITTLE_ENDIAN, bytes + end, 1000, &length));
            little_endian_store32(entry + 4 * j, end);
            little_endian_store16(entry + 8 + 2 * j, (uint16_t)length);
            end += (uint32_t)length;
        }
    }
    return end;
}

static void paths_of_windows(void **state)
{
    (void)state;
    static const struct {
        const char *key, *path;
        const char *name; /* NULL: of another computer */
    } cases[] = {
        {"relative_path",       "..\\..\\path2\\sub3\\parent.vhdx",                                        "../../path2/sub3/parent.vhdx"},
        {"relative_path",       ".\\parent.vhdx",                                                          "./parent.vhdx"               },
        {"relative_path",       "parent.vhdx",                                                             "parent.vhdx"                 },
        {"volume_path",         "\\\\?\\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\\path2\\parent.vhdx",
         "/path2/parent.vhdx"                                                                                                            },
        {"volume_path",         "\\\\?\\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}",                     NULL                          },
        {"absolute_win32_path", "\\\\?\\d:\\path2\\sub3\\parent.vhdx",                                     "/path2/sub3/parent.vhdx"     },
        {"absolute_win32_path", "d:\\parent.vhdx",                                                         "/parent.vhdx"                },
        {"absolute_win32_path", "d:",                                                                      NULL                          },
        {"absolute_win32_path", "\\\\?\\UNC\\server\\share\\parent.vhdx",                                  NULL                          },
        {"absolute_win32_path", "\\\\?\\MyServer\\MyShare\\parent.vhdx",                                   NULL                          },
        {"absolute_win32_path", "\\\\server\\share\\parent.vhdx",                                          NULL                          },
        {"absolute_win32_path", "\\parent.vhdx",                                                           "/parent.vhdx"                },
    };
    static struct parent_link link;
    struct memory_file memory;
    memory_file_initialize(&memory);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[4096];
        struct disk_error error;
        const char *const pairs[][2] = {
            {"other",           "thing"                                 },
            {cases[i].key,      cases[i].path                           },
            {"parent_linkage",  "{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}"},
            {"parent_linkage2", "{2DC27766-F623-4200-9D64-115E9BFD4A08}"},
        };
        uint32_t length = make_locator(bytes, pairs, 4);
        assert_true(vhdx_locator_decode(&memory.file, bytes, length, 0, &link, &error));
        assert_int_equal(link.identifier[0], 0xc3);
        assert_memory_equal(link.alternative, vhdx_bat_region, VHDX_GUID_SIZE);
        assert_int_equal(link.names, cases[i].name != NULL);
        if (cases[i].name)
            assert_string_equal(link.name[0], cases[i].name);
    }
    memory_file_release(&memory);
}

static void names_in_their_order(void **state)
{
    (void)state;
    static struct parent_link link;
    static const char *const pairs[][2] = {
        {"absolute_win32_path", "\\\\?\\C:\\a\\p.vhdx"                                          },
        {"parent_linkage",      "{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}"                        },
        {"volume_path",         "\\\\?\\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\\a\\p.vhdx"},
        {"relative_path",       "p.vhdx"                                                        },
    };
    struct memory_file memory;
    struct disk_error error;
    uint8_t bytes[4096];
    memory_file_initialize(&memory);
    uint32_t length = make_locator(bytes, pairs, 4);
    assert_true(vhdx_locator_decode(&memory.file, bytes, length, 0, &link, &error));
    assert_int_equal(link.names, 2); /* two are the same here */
    assert_string_equal(link.name[0], "p.vhdx");
    assert_string_equal(link.name[1], "/a/p.vhdx");
    memory_file_release(&memory);
}

static void locators_that_cannot_be(void **state)
{
    (void)state;
    static char long_path[40000];
    uint8_t bytes[1024];
    uint32_t length;
    struct vhdx_parent parent = {.relative_path = "\xff.vhdx"};
    assert_int_equal(vhdx_locator_encode(&parent, bytes, sizeof(bytes), &length), EILSEQ);
    memset(long_path, 'a', sizeof(long_path) - 1);
    parent.relative_path = long_path;
    assert_int_equal(vhdx_locator_encode(&parent, bytes, sizeof(bytes), &length), ENAMETOOLONG);
    assert_int_equal(vhdx_locator_encode(&parent, bytes, UINT32_MAX, &length), ENAMETOOLONG);
}

static void faults_of_creations(void **state)
{
    (void)state;
    static const struct {
        struct vhdx_creation creation;
        const char *fault;
    } cases[] = {
        {{.format = DISK_FORMAT_DYNAMIC, .size = 512},                               NULL                                                       },
        {{.format = DISK_FORMAT_DYNAMIC, .size = 64 * TIB, .block_size = 256 * MIB}, NULL                                                       },
        {{.format = DISK_FORMAT_DYNAMIC, .size = 64 * TIB + 512},                    "a size of more than 64 TiB"                               },
        {{.format = DISK_FORMAT_DYNAMIC},                                            "a size that is not a multiple of the sector size, or is 0"},
        {{.format = DISK_FORMAT_DYNAMIC, .size = 512, .logical_sector = 4096},
         "a size that is not a multiple of the sector size, or is 0"                                                                            },
        {{.format = DISK_FORMAT_DYNAMIC, .size = 512, .logical_sector = 1024},
         "a sector size that is neither 512 nor 4096"                                                                                           },
        {{.format = DISK_FORMAT_DYNAMIC, .size = 512, .block_size = 3 * MIB},
         "a block size that is not a power of two from 1 MiB to 256 MiB"                                                                        },
        {{.format = DISK_FORMAT_DYNAMIC, .size = 512, .block_size = MIB / 2},
         "a block size that is not a power of two from 1 MiB to 256 MiB"                                                                        },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *fault = vhdx_creation_fault(&cases[i].creation);
        if (cases[i].fault)
            assert_string_equal(fault, cases[i].fault);
        else
            assert_null(fault);
    }
    struct vhdx_creation large = {.format = DISK_FORMAT_FIXED, .size = 64 * TIB, .block_size = MIB};
    assert_int_equal(vhdx_created_size(&large), 64 * TIB + (3 + 513) * (uint64_t)MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums),
        cmocka_unit_test(guids),
        cmocka_unit_test(layouts),
        cmocka_unit_test(entries_of_the_bat),
        cmocka_unit_test(data_sectors),
        cmocka_unit_test(conflicts),
        cmocka_unit_test(texts),
        cmocka_unit_test(malformed_texts),
        cmocka_unit_test(paths_of_windows),
        cmocka_unit_test(names_in_their_order),
        cmocka_unit_test(locators_that_cannot_be),
        cmocka_unit_test(faults_of_creations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
