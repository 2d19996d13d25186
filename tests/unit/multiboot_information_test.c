/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a boot loader tells: good, poor and impossible. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/boot/multiboot/information.h"

#define KIB 1024ull
#define MIB (1024 * KIB)

static uint8_t bytes[4096];
static size_t size;
static struct multiboot2_information information;
static struct memory_map map;

static void put(const void *data, size_t length)
{
    memcpy(bytes + size, data, length);
    size += length;
}

static void put_tag(uint32_t type, const void *content, uint32_t length)
{
    const uint32_t header[] = {type, 8 + length};

    put(header, sizeof header);
    put(content, length);
    while (size % 8 != 0)
        bytes[size++] = 0xA5;
}

static void begin(void)
{
    size = 8;
}

/* Reads a copy that is exactly as long as it is: a byte more that is read is found by the address sanitizer.
 */
static const char *read_part(size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    const char *problem;

    assert_non_null(copy);
    memcpy(copy, bytes, length);
    problem = multiboot2_read(copy, length, &information);
    free(copy);
    return problem;
}

/* In place, so that what is pointed to stays. */
static const char *finish(void)
{
    put_tag(0, "", 0);
    read_part(size);
    return multiboot2_read(bytes, size, &information);
}

static void put_module(uint32_t first, uint32_t end, const char *command_line)
{
    uint8_t content[64];

    memcpy(content, &first, 4);
    memcpy(content + 4, &end, 4);
    memcpy(content + 8, command_line, strlen(command_line) + 1);
    put_tag(3, content, 8 + (uint32_t)strlen(command_line) + 1);
}

struct region {
    uint64_t base, length;
    uint32_t type, reserved;
};

static void put_memory(const struct region *regions, unsigned count)
{
    uint8_t content[3600];
    const uint32_t header[] = {sizeof *regions, 0};

    memcpy(content, header, sizeof header);
    memcpy(content + sizeof header, regions, count * sizeof *regions);
    put_tag(6, content, (uint32_t)(sizeof header + count * sizeof *regions));
}

static void reads_all_that_it_uses(void **state)
{
    static const struct region regions[] = {
        {0,       640 * KIB, 1, 0},
        {1 * MIB, 63 * MIB,  1, 0}
    };
    static const uint32_t sizes[] = {639, 64 * 1024};
    static const uint8_t text_screen[24] = {[8] = 160, [12] = 80, [16] = 25, [20] = 16, [21] = 2};
    uint8_t root[36] = "RSD PTR ";

    (void)state;
    begin();
    put_tag(1, "log=quiet", 10);
    put_tag(2, "GRUB", 5); /* its name */
    put_module(0x200000, 0x300000, "root=/dev/sda");
    put_module(0x300000, 0x300001, "");
    put_module(0x400000, 0x400000, "third");
    put_tag(4, sizes, sizeof sizes);
    put_memory(regions, 2);
    put_tag(8, text_screen, sizeof text_screen);
    put_tag(15, root, 36);
    put_tag(14, root, 20);
    put_tag(0x1234, "?", 1);
    assert_null(finish());
    assert_string_equal(information.command_line, "log=quiet");
    assert_int_equal(information.module_count, 3);
    assert_int_equal(information.modules[0].begin, 0x200000);
    assert_int_equal(information.modules[0].end, 0x300000);
    assert_string_equal(information.modules[0].command_line, "root=/dev/sda");
    assert_string_equal(information.modules[1].command_line, "");
    assert_int_equal(information.memory_entries, 2);
    assert_true(information.has_sizes);
    assert_int_equal(information.lower_kib, 639);
    assert_false(information.screen.graphics);
    assert_int_equal(information.screen.width, 80);
    assert_int_equal(information.screen.height, 25);
    /* the new root, though the old one came later */
    assert_memory_equal(information.acpi_root, root, 36);
    assert_int_equal(((const uint32_t *)information.acpi_root)[-1], 44);
    assert_false(information.has_uefi);
}

static void nothing_is_told(void **state)
{
    bool poor;

    (void)state;
    begin();
    assert_null(finish());
    assert_string_equal(information.command_line, "");
    assert_int_equal(information.module_count, 0);
    assert_int_equal(information.modules[0].end, 0);
    assert_null(information.acpi_root);
    assert_string_equal(multiboot2_memory(&information, &map, &poor),
                        "the boot loader tells nothing of memory");
}

static void reads_a_graphics_screen(void **state)
{
    uint8_t screen[30] = {[5] = 1,  [8] = 0,   [9] = 0x10, [12] = 0, [13] = 4, [16] = 0, [17] = 3, [20] = 32,
                          [21] = 1, [24] = 16, 8,          8,        8,        0,        8};

    (void)state;
    begin();
    put_tag(8, screen, sizeof screen);
    put_tag(12, "12345678", 8);
    assert_null(finish());
    assert_true(information.screen.graphics);
    assert_true(information.screen.address == 0x10000000000);
    assert_int_equal(information.screen.pitch, 4096);
    assert_int_equal(information.screen.width, 1024);
    assert_int_equal(information.screen.height, 768);
    assert_int_equal(information.screen.depth, 32);
    assert_memory_equal(information.screen.colours, screen + 24, 6);
    assert_true(information.has_uefi);
    begin();
    put_tag(8, screen, 24); /* without its colours */
    assert_null(finish());
    assert_false(information.screen.graphics);
}

static void an_acpi_root_that_is_too_short_is_none(void **state)
{
    uint8_t root[36] = "RSD PTR ";

    (void)state;
    begin();
    put_tag(14, root, 19);
    assert_null(finish());
    assert_null(information.acpi_root);
    root[15] = 2; /* its revision: it should have 36 bytes */
    begin();
    put_tag(15, root, 35);
    assert_null(finish());
    assert_null(information.acpi_root);
}

static void damage_is_named(void **state)
{
    static const uint32_t low_entry_size[] = {23, 0};
    const char *problem;

    (void)state;
    begin();
    put_tag(1, "no end", 6);
    assert_non_null(strstr(finish(), "command line has no end"));
    begin();
    put_module(2, 1, "");
    assert_non_null(strstr(finish(), "ends before it begins"));
    begin();
    put_tag(3, "12345678x", 9);
    assert_non_null(strstr(finish(), "command line of a module has no end"));
    begin();
    put_tag(3, "1234567", 7);
    assert_non_null(strstr(finish(), "too short"));
    begin();
    put_tag(6, low_entry_size, sizeof low_entry_size);
    assert_non_null(strstr(finish(), "memory map is damaged"));
    begin();
    put_tag(6, low_entry_size, 4);
    assert_non_null(strstr(finish(), "memory map is damaged"));
    begin();
    put_tag(2, "GRUB", 5);
    assert_non_null(strstr(read_part(size), "no end"));
    bytes[12] = 7; /* less than its header */
    assert_non_null(strstr(read_part(size), "impossible size"));
    bytes[12] = 17; /* more than is left */
    problem = read_part(size);
    assert_non_null(strstr(problem, "impossible size"));
    for (size_t length = 0; length < 16; length++)
        assert_non_null(read_part(length));
}

static void memory_that_is_claimed_twice_is_not_ram(void **state)
{
    static const struct region regions[] = {
        {2 * MIB,       1 * MIB,  2, 0},
        {0,             64 * MIB, 1, 0},
        {63 * MIB + 5,  10,       3, 0},
        {~0ull - 0xFFF, 0x10000,  1, 0}, /* beyond the end */
        {5 * MIB,       0,        2, 0},
    };
    bool poor;

    (void)state;
    begin();
    put_memory(regions, sizeof regions / sizeof regions[0]);
    assert_null(finish());
    assert_null(multiboot2_memory(&information, &map, &poor));
    assert_false(poor);
    assert_int_equal(map.count, 6);
    assert_int_equal(map.regions[1].begin, 2 * MIB);
    assert_int_equal(map.regions[1].end, 3 * MIB);
    assert_int_equal(map.regions[1].type, MEMORY_RESERVED);
    assert_int_equal(map.regions[3].type, MEMORY_ACPI);
    assert_int_equal(map.regions[3].begin, 63 * MIB + 5);
    assert_int_equal(map.regions[4].end, 64 * MIB);
    assert_true(map.regions[5].end == ~0ull);
}

static void two_sizes_are_a_poor_map(void **state)
{
    static const struct region no_ram[] = {
        {0, 64 * MIB, 2, 0}
    };
    static const uint32_t sizes[] = {1000, 64 * 1024};
    bool poor;

    (void)state;
    begin();
    put_tag(4, sizes, sizeof sizes);
    put_memory(no_ram, 1);
    assert_null(finish());
    assert_null(multiboot2_memory(&information, &map, &poor));
    assert_true(poor);
    assert_int_equal(map.count, 2);
    assert_int_equal(map.regions[0].end, 640 * KIB);
    assert_int_equal(map.regions[1].begin, 1 * MIB);
    assert_int_equal(map.regions[1].end, 65 * MIB);
}

static void too_many_regions_are_refused(void **state)
{
    static struct region regions[130];
    bool poor;

    (void)state;
    for (uint64_t i = 0; i < 130; i++)
        regions[i] = (struct region){i * MIB, MIB / 2, 1, 0};
    begin();
    put_memory(regions, 130);
    assert_null(finish());
    assert_non_null(strstr(multiboot2_memory(&information, &map, &poor), "more than 128 regions"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_that_it_uses),   cmocka_unit_test(nothing_is_told),
        cmocka_unit_test(reads_a_graphics_screen),  cmocka_unit_test(an_acpi_root_that_is_too_short_is_none),
        cmocka_unit_test(damage_is_named),          cmocka_unit_test(memory_that_is_claimed_twice_is_not_ram),
        cmocka_unit_test(two_sizes_are_a_poor_map), cmocka_unit_test(too_many_regions_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
