/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/fw_cfg.h"
#include "tests/unit/device_fixture.h"

#define RAM     0x400000u
#define COMMAND 0x1000u
#define TARGET  0x2000u

#define ERROR  1u
#define READ   2u
#define SKIP   4u
#define SELECT 8u
#define WRITE  16u

static struct device_fixture fixture;
static struct fw_cfg fw_cfg;
static struct guest_memory memory;
static uint8_t ram[RAM];

static const char hello[] = "hello";
static const uint8_t four[4] = {4};

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    memset(&memory, 0, sizeof memory);
    memset(ram, 0xee, sizeof ram);
    assert_true(guest_memory_add(&memory, 0, sizeof ram, ram));
    assert_true(fw_cfg_initialize(&fw_cfg, &fixture.bus, &memory));
    assert_true(fw_cfg_add_item(&fw_cfg, FW_CFG_CPU_COUNT, four, sizeof four));
    assert_true(fw_cfg_add_file(&fw_cfg, "etc/b", hello, 5));
    return 0;
}

static void select_key(uint16_t key)
{
    out16(&fixture, 0x510, key);
}

static void assert_reads(const void *bytes, size_t length)
{
    const uint8_t *expected = bytes;

    for (size_t i = 0; i < length; i++)
        assert_int_equal(in8(&fixture, 0x511), expected[i]);
}

static void put(uint32_t gpa, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        ram[gpa + i] = value >> (8 * (size - 1 - i)) & 0xff;
}

static uint32_t swapped(uint32_t value)
{
    return value >> 24 | (value >> 8 & 0xff00) | (value << 8 & 0xff0000) | value << 24;
}

static void start(uint64_t gpa)
{
    out32(&fixture, 0x514, swapped((uint32_t)(gpa >> 32)));
    out32(&fixture, 0x518, swapped((uint32_t)gpa));
}

/* Carries a command out; returns its control field afterwards. */
static uint32_t dma(uint32_t control, uint32_t length, uint64_t address)
{
    put(COMMAND, control, 4);
    put(COMMAND + 4, length, 4);
    put(COMMAND + 8, address, 8);
    out32(&fixture, 0x518, swapped(COMMAND));
    return (uint32_t)ram[COMMAND] << 24 | ram[COMMAND + 1] << 16 | ram[COMMAND + 2] << 8 | ram[COMMAND + 3];
}

static void it_says_who_it_is(void **state)
{
    (void)state;
    assert_reads("QEMU", 4); /* selected at power-on */
    select_key(FW_CFG_SIGNATURE);
    assert_reads("QEMU", 4);
    select_key(FW_CFG_ID);
    assert_reads("\x03\0\0\0", 4);
    assert_int_equal(in32(&fixture, 0x514), 0x554d4551);
    assert_int_equal(in32(&fixture, 0x518), 0x47464320);
    assert_int_equal(in8(&fixture, 0x517), 'U');
}

static void reading_goes_on_and_ends_with_zeros(void **state)
{
    (void)state;
    select_key(FW_CFG_FIRST_FILE);
    assert_reads("hel", 3);
    assert_reads("lo\0\0\0\0", 6);
    select_key(FW_CFG_FIRST_FILE);
    assert_reads("h", 1);
    select_key(0x4000 | FW_CFG_FIRST_FILE); /* the bit that once asked for writing */
    assert_reads("he", 2);
    select_key(0x1234); /* nothing has that key */
    assert_reads("\0\0", 2);
    select_key(FW_CFG_FIRST_FILE | 0x8000);
    assert_reads("\0\0", 2);
    select_key(0xffff);
    assert_reads("\0\0", 2);
}

static void only_bytes_of_the_data_port_are_data(void **state)
{
    (void)state;
    select_key(FW_CFG_FIRST_FILE);
    assert_int_equal(in16(&fixture, 0x510), 0xffff);
    assert_int_equal(in8(&fixture, 0x510), 0xff);
    out8(&fixture, 0x510, 0x01); /* not a selector */
    out8(&fixture, 0x511, 0x55); /* not written */
    assert_reads("hello", 5);
    assert_string_equal(hello, "hello");
}

static void blocks(void **state)
{
    uint8_t bytes[8];

    (void)state;
    select_key(FW_CFG_FIRST_FILE);
    assert_int_equal(bus_block_in(&fixture.bus, 0x511, 1, bytes, 2), 2);
    assert_memory_equal(bytes, "he", 2);
    assert_int_equal(bus_block_in(&fixture.bus, 0x511, 1, bytes, 8), 8);
    assert_memory_equal(bytes, "llo\0\0\0\0\0", 8);
    assert_int_equal(bus_block_in(&fixture.bus, 0x510, 2, bytes, 4), 4);
    assert_memory_equal(bytes, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
}

static void the_directory_is_sorted(void **state)
{
    static const char *const names[] = {"bootorder", "etc/a", "etc/b", "etc/c"};
    static const uint32_t lengths[] = {3, 1, 5, 0x12345};
    static uint8_t large[0x12345];

    (void)state;
    assert_true(fw_cfg_add_file(&fw_cfg, "etc/c", large, sizeof large));
    assert_true(fw_cfg_add_file(&fw_cfg, "etc/a", "A", 1));
    assert_true(fw_cfg_add_file(&fw_cfg, "bootorder", "bbb", 3));
    select_key(FW_CFG_DIRECTORY);
    assert_reads("\0\0\0\x04", 4);
    for (unsigned i = 0; i < 4; i++) {
        char name[56] = {0};
        uint8_t head[8] = {
            lengths[i] >> 24 & 0xff, lengths[i] >> 16 & 0xff, lengths[i] >> 8 & 0xff, lengths[i] & 0xff, 0,
            (uint8_t)(0x20 + i)};

        strcpy(name, names[i]);
        assert_reads(head, sizeof head);
        assert_reads(name, sizeof name);
    }
    select_key(FW_CFG_FIRST_FILE + 2);
    assert_reads("hello", 5);
    select_key(FW_CFG_FIRST_FILE + 1);
    assert_reads("A\0", 2);
}

static void what_is_added_is_checked(void **state)
{
    static char names[FW_CFG_MAXIMUM_FILES + 1][FW_CFG_NAME_SIZE];
    char longest[57];
    unsigned count = 1;

    (void)state;
    memset(longest, 'x', 56);
    longest[56] = '\0';
    assert_false(fw_cfg_add_file(&fw_cfg, longest, four, 4));
    longest[55] = '\0';
    assert_true(fw_cfg_add_file(&fw_cfg, longest, four, 4));
    count++;
    assert_false(fw_cfg_add_file(&fw_cfg, "", four, 4));
    assert_false(fw_cfg_add_file(&fw_cfg, "etc/b", four, 4));
    for (; count < FW_CFG_MAXIMUM_FILES; count++) {
        snprintf(names[count], sizeof names[count], "etc/%u", count);
        assert_true(fw_cfg_add_file(&fw_cfg, names[count], four, 4));
    }
    assert_false(fw_cfg_add_file(&fw_cfg, "etc/too-many", four, 4));
    select_key((uint16_t)(FW_CFG_FIRST_FILE + count));
    assert_reads("\0", 1);

    assert_false(fw_cfg_add_item(&fw_cfg, FW_CFG_CPU_COUNT, four, 4));
    assert_false(fw_cfg_add_item(&fw_cfg, 0x1000, four, 4)); /* a file's */
    assert_false(fw_cfg_add_item(&fw_cfg, 0x4003, four, 4));
    for (count = 4; count < FW_CFG_MAXIMUM_ITEMS; count++)
        assert_true(fw_cfg_add_item(&fw_cfg, (uint16_t)(0x8000 + count), four, 4));
    assert_false(fw_cfg_add_item(&fw_cfg, FW_CFG_UUID, four, 4));
    select_key(0x8004);
    assert_reads("\x04", 1);
}

static void dma_reads(void **state)
{
    (void)state;
    assert_int_equal(dma(FW_CFG_FIRST_FILE << 16 | SELECT | READ, 3, TARGET), 0);
    assert_memory_equal(ram + TARGET, "hel\xee", 4);
    assert_int_equal(dma(READ, 4, TARGET), 0); /* goes on, to beyond the end */
    assert_memory_equal(ram + TARGET, "lo\0\0\xee", 5);
    assert_int_equal(dma(READ, 1, TARGET), 0);
    assert_memory_equal(ram + TARGET, "\0o", 2);
    select_key(FW_CFG_FIRST_FILE);
    assert_int_equal(dma(READ, 0, TARGET), 0);
    assert_int_equal(dma(SKIP, 2, 0), 0);
    assert_int_equal(dma(READ, 2, TARGET), 0);
    assert_memory_equal(ram + TARGET, "ll", 2);
    assert_int_equal(dma(SKIP, UINT32_MAX, 0), 0);
    assert_int_equal(dma(READ, 2, TARGET), 0);
    assert_memory_equal(ram + TARGET, "\0\0", 2);
    assert_int_equal(dma(FW_CFG_FIRST_FILE << 16 | SELECT, 77, TARGET), 0); /* selects only */
    assert_reads("he", 2);
    assert_int_equal(dma(0x1234 << 16 | SELECT | READ, 3, TARGET), 0); /* no such item */
    assert_memory_equal(ram + TARGET, "\0\0\0", 3);
}

static void a_command_may_be_anywhere_in_memory(void **state)
{
    static uint8_t high[0x1000];

    (void)state;
    assert_true(guest_memory_add(&memory, 0x100000000, sizeof high, high));
    memcpy(high + 16, "\0\x20\0\x0a\0\0\0\x05\0\0\0\x01\0\0\x01\0", 16);
    start(0x100000010);
    assert_memory_equal(high + 16, "\0\0\0\0", 4);
    assert_memory_equal(high + 0x100, "hello", 5);
    /* The upper half is for one command. */
    put(COMMAND, FW_CFG_FIRST_FILE << 16 | SELECT | READ, 4);
    put(COMMAND + 4, 1, 4);
    put(COMMAND + 8, TARGET, 8);
    out32(&fixture, 0x518, swapped(COMMAND));
    assert_memory_equal(ram + TARGET, "h", 1);
    /* Only whole halves count. */
    out16(&fixture, 0x518, 0);
    out8(&fixture, 0x51b, 0x10);
    out32(&fixture, 0x516, 0);
}

static void dma_errors(void **state)
{
    static const struct {
        uint32_t control, length;
        uint64_t address;
    } table[] = {
        {FW_CFG_FIRST_FILE << 16 | SELECT | READ,  5,                        RAM            },
        {FW_CFG_FIRST_FILE << 16 | SELECT | READ,  5,                        RAM - 4        },
        {FW_CFG_FIRST_FILE << 16 | SELECT | READ,  6,                        RAM - 5        },
        {FW_CFG_FIRST_FILE << 16 | SELECT | READ,  5,                        UINT64_MAX     },
        {FW_CFG_FIRST_FILE << 16 | SELECT | READ,  UINT32_MAX,               UINT64_MAX - 99},
        {0x1234 << 16 | SELECT | READ,             1,                        RAM            },
        {0x1234 << 16 | SELECT | READ,             FW_CFG_MAXIMUM_ZEROS + 1, TARGET         },
        {0x1234 << 16 | SELECT | READ,             UINT32_MAX,               TARGET         },
        {FW_CFG_FIRST_FILE << 16 | SELECT | WRITE, 1,                        TARGET         },
        {WRITE,                                    UINT32_MAX,               TARGET         },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(dma(table[i].control, table[i].length, table[i].address), ERROR);
    assert_string_equal(hello, "hello");
    assert_int_equal(dma(0x1234 << 16 | SELECT | READ, FW_CFG_MAXIMUM_ZEROS, TARGET), 0);
    assert_int_equal(ram[TARGET + FW_CFG_MAXIMUM_ZEROS - 1], 0);
    assert_int_equal(ram[TARGET + FW_CFG_MAXIMUM_ZEROS], 0xee);
    /* Commands that are not in memory, wholly or in part, leave nothing behind but an error. */
    memset(ram + RAM - 8, 0xee, 8);
    start(UINT64_MAX - 3);
    start(RAM - 8);
    assert_memory_equal(ram + RAM - 8, "\0\0\0\x01\xee\xee\xee\xee", 8);
    start(RAM);
}

static void reset(void **state)
{
    (void)state;
    select_key(FW_CFG_FIRST_FILE);
    assert_reads("he", 2);
    out32(&fixture, 0x514, 0xffffffff);
    fw_cfg_reset(&fw_cfg);
    assert_reads("QEMU", 4);
    assert_int_equal(dma(FW_CFG_FIRST_FILE << 16 | SELECT | READ, 5, TARGET), 0);
    assert_memory_equal(ram + TARGET, "hello", 5);
}

static void ports_are_claimed_once(void **state)
{
    static struct fw_cfg second;

    (void)state;
    assert_false(fw_cfg_initialize(&second, &fixture.bus, &memory));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(it_says_who_it_is, setup),
        cmocka_unit_test_setup(reading_goes_on_and_ends_with_zeros, setup),
        cmocka_unit_test_setup(only_bytes_of_the_data_port_are_data, setup),
        cmocka_unit_test_setup(blocks, setup),
        cmocka_unit_test_setup(the_directory_is_sorted, setup),
        cmocka_unit_test_setup(what_is_added_is_checked, setup),
        cmocka_unit_test_setup(dma_reads, setup),
        cmocka_unit_test_setup(a_command_may_be_anywhere_in_memory, setup),
        cmocka_unit_test_setup(dma_errors, setup),
        cmocka_unit_test_setup(reset, setup),
        cmocka_unit_test_setup(ports_are_claimed_once, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
