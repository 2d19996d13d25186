/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/bus.h"

/* Remembers the accesses made to it; a byte reads as `base` plus its offset. */
struct recorder {
    uint8_t base;
    unsigned reads, writes;
    uint64_t offset;
    unsigned size;
    uint64_t value;
    size_t block_items;
};

static uint64_t recorder_read(void *device, uint64_t offset, unsigned size)
{
    struct recorder *recorder = device;
    uint64_t value = 0;

    recorder->reads++;
    recorder->offset = offset;
    recorder->size = size;
    for (unsigned i = 0; i < 8; i++) /* more than asked for: the bus must cut it */
        value |= (uint64_t)(uint8_t)(recorder->base + offset + i) << (8 * i);
    return value;
}

static void recorder_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct recorder *recorder = device;

    recorder->writes++;
    recorder->offset = offset;
    recorder->size = size;
    recorder->value = value;
}

static size_t recorder_block_in(void *device, uint64_t offset, unsigned size, void *items, size_t count)
{
    struct recorder *recorder = device;

    (void)offset;
    if (count > 3)
        count = 3;
    memset(items, 0x5a, count * size);
    recorder->block_items += count;
    return count;
}

static size_t recorder_block_out(void *device, uint64_t offset, unsigned size, const void *items,
                                 size_t count)
{
    struct recorder *recorder = device;

    (void)offset;
    recorder->value = 0;
    memcpy(&recorder->value, items, size);
    recorder->block_items += count;
    return count;
}

static const struct bus_operations any_width = {.read = recorder_read, .write = recorder_write};
static const struct bus_operations bytes_only = {.read = recorder_read, .write = recorder_write, .widest = 1};
static const struct bus_operations blocks = {.read = recorder_read,
                                             .write = recorder_write,
                                             .block_in = recorder_block_in,
                                             .block_out = recorder_block_out};

static void overlaps_are_refused(void **state)
{
    struct bus bus;
    struct recorder device = {0};

    (void)state;
    bus_initialize(&bus);
    assert_true(bus_add(&bus, BUS_PORTS, 0x100, 0x10, &any_width, &device, "a"));
    assert_true(bus_add(&bus, BUS_PORTS, 0x120, 0x10, &any_width, &device, "b"));
    assert_true(bus_add(&bus, BUS_PORTS, 0x110, 0x10, &any_width, &device, "between"));
    assert_false(bus_add(&bus, BUS_PORTS, 0x100, 0x10, &any_width, &device, "same"));
    assert_false(bus_add(&bus, BUS_PORTS, 0xff, 2, &any_width, &device, "into the first"));
    assert_false(bus_add(&bus, BUS_PORTS, 0x12f, 2, &any_width, &device, "out of the last"));
    assert_false(bus_add(&bus, BUS_PORTS, 0x80, 0x1000, &any_width, &device, "around"));
    assert_false(bus_add(&bus, BUS_PORTS, 0x118, 1, &any_width, &device, "inside"));
    assert_false(bus_add(&bus, BUS_PORTS, 0x200, 0, &any_width, &device, "empty"));
    assert_true(bus_add(&bus, BUS_PORTS, 0x130, 1, &any_width, &device, "after"));
    assert_true(bus_add(&bus, BUS_PORTS, 0xff, 1, &any_width, &device, "before"));
    assert_int_equal(bus.count[BUS_PORTS], 5);
    assert_true(bus_add(&bus, BUS_MEMORY, 0x100, 0x10, &any_width, &device, "other space"));
}

static void the_end_of_the_address_space_can_be_claimed(void **state)
{
    struct bus bus;
    struct recorder device = {.base = 1};

    (void)state;
    bus_initialize(&bus);
    assert_false(bus_add(&bus, BUS_MEMORY, UINT64_MAX - 7, 9, &any_width, &device, "wraps"));
    assert_true(bus_add(&bus, BUS_MEMORY, UINT64_MAX - 7, 8, &any_width, &device, "top"));
    assert_false(bus_add(&bus, BUS_MEMORY, UINT64_MAX, 1, &any_width, &device, "again"));
    assert_int_equal(bus_read(&bus, BUS_MEMORY, UINT64_MAX, 1), 1 + 7);
    assert_true(bus_read(&bus, BUS_MEMORY, UINT64_MAX, 2) == 0xffff);
    assert_int_equal(bus.counters[BUS_MEMORY].unclaimed_reads, 1);
}

static void the_table_is_finite(void **state)
{
    struct bus bus;
    struct recorder device = {0};

    (void)state;
    bus_initialize(&bus);
    for (unsigned i = 0; i < BUS_MAXIMUM_RANGES; i++)
        assert_true(bus_add(&bus, BUS_PORTS, 1000 - 2 * i, 1, &any_width, &device, "port"));
    assert_false(bus_add(&bus, BUS_PORTS, 5000, 1, &any_width, &device, "one too many"));
    for (unsigned i = 0; i < BUS_MAXIMUM_RANGES; i++)
        assert_int_equal(bus_read(&bus, BUS_PORTS, 1000 - 2 * i, 1), 0);
    assert_int_equal(bus.counters[BUS_PORTS].unclaimed_reads, 0);
}

static void only_the_owner_removes(void **state)
{
    struct bus bus;
    struct recorder a = {0}, b = {0};

    (void)state;
    bus_initialize(&bus);
    assert_true(bus_add(&bus, BUS_PORTS, 0x10, 4, &any_width, &a, "a"));
    bus_remove(&bus, BUS_PORTS, 0x10, &b);
    bus_remove(&bus, BUS_PORTS, 0x11, &a);
    bus_remove(&bus, BUS_PORTS, 0x9000, &a);
    assert_int_equal(bus.count[BUS_PORTS], 1);
    bus_remove(&bus, BUS_PORTS, 0x10, &a);
    assert_int_equal(bus.count[BUS_PORTS], 0);
    assert_int_equal(bus_read(&bus, BUS_PORTS, 0x10, 1), 0xff);
}

static void accesses_reach_their_device(void **state)
{
    struct bus bus;
    struct recorder device = {.base = 0x10};

    (void)state;
    bus_initialize(&bus);
    assert_true(bus_add(&bus, BUS_MEMORY, 0xfec00000, 0x1000, &any_width, &device, "registers"));
    assert_int_equal(bus_read(&bus, BUS_MEMORY, 0xfec00020, 4), 0x33323130);
    assert_int_equal(device.offset, 0x20);
    assert_int_equal(device.size, 4);
    assert_true(bus_read(&bus, BUS_MEMORY, 0xfec00ff8, 8) == 0x0f0e0d0c0b0a0908);
    bus_write(&bus, BUS_MEMORY, 0xfec00004, 2, 0x12345678);
    assert_int_equal(device.value, 0x5678);
    assert_int_equal(bus.counters[BUS_MEMORY].reads, 2);
    assert_int_equal(bus.counters[BUS_MEMORY].writes, 1);
}

static void unclaimed_accesses_read_ones_and_are_counted(void **state)
{
    struct bus bus;
    struct recorder device = {0};

    (void)state;
    bus_initialize(&bus);
    assert_true(bus_add(&bus, BUS_MEMORY, 0x1000, 4, &any_width, &device, "registers"));
    assert_int_equal(bus_read(&bus, BUS_PORTS, 0x80, 1), 0xff);
    assert_int_equal(bus_read(&bus, BUS_PORTS, 0x82, 2), 0xffff);
    assert_int_equal(bus_read(&bus, BUS_PORTS, 0xfffe, 4), 0xffffffff);
    bus_write(&bus, BUS_PORTS, 0x3f0, 4, 0);
    assert_int_equal(bus.counters[BUS_PORTS].unclaimed_reads, 3);
    assert_int_equal(bus.counters[BUS_PORTS].unclaimed_writes, 1);
    assert_int_equal(bus.counters[BUS_PORTS].last_unclaimed, 0x3f0);
    /* Memory accesses are never split. */
    assert_true(bus_read(&bus, BUS_MEMORY, 0x1002, 4) == 0xffffffff);
    assert_true(bus_read(&bus, BUS_MEMORY, 0x1000, 8) == UINT64_MAX);
    bus_write(&bus, BUS_MEMORY, 0xfff, 2, 0);
    assert_int_equal(device.reads + device.writes, 0);
    assert_int_equal(bus.counters[BUS_MEMORY].last_unclaimed, 0xfff);
}

static void port_accesses_across_ranges_are_split(void **state)
{
    struct bus bus;
    struct recorder a = {.base = 0xa0}, b = {.base = 0xb0};

    (void)state;
    bus_initialize(&bus);
    assert_true(bus_add(&bus, BUS_PORTS, 0x10, 2, &any_width, &a, "a"));
    assert_true(bus_add(&bus, BUS_PORTS, 0x12, 2, &any_width, &b, "b"));
    assert_int_equal(bus_read(&bus, BUS_PORTS, 0x11, 2), 0xb0a1);
    assert_int_equal(bus_read(&bus, BUS_PORTS, 0x10, 4), 0xb1b0a1a0);
    assert_int_equal(bus.counters[BUS_PORTS].reads, 2);
    assert_int_equal(bus.counters[BUS_PORTS].unclaimed_reads, 0);
    bus_write(&bus, BUS_PORTS, 0x11, 2, 0x1234);
    assert_int_equal(a.value, 0x34);
    assert_int_equal(a.offset, 1);
    assert_int_equal(b.value, 0x12);
    assert_int_equal(b.offset, 0);
    /* Partly claimed: the rest reads as ones, and counts. */
    assert_int_equal(bus_read(&bus, BUS_PORTS, 0x13, 2), 0xffb1);
    assert_int_equal(bus.counters[BUS_PORTS].unclaimed_reads, 1);
}

static void wide_accesses_to_byte_devices_are_split(void **state)
{
    struct bus bus;
    struct recorder device = {.base = 0x40};

    (void)state;
    bus_initialize(&bus);
    assert_true(bus_add(&bus, BUS_PORTS, 0x40, 4, &bytes_only, &device, "bytes"));
    assert_int_equal(bus_read(&bus, BUS_PORTS, 0x40, 4), 0x43424140);
    assert_int_equal(device.reads, 4);
    assert_int_equal(device.size, 1);
    bus_write(&bus, BUS_PORTS, 0x41, 2, 0xbeef);
    assert_int_equal(device.writes, 2);
    assert_int_equal(device.offset, 2);
    assert_int_equal(device.value, 0xbe);
}

static void blocks_use_the_device_or_single_accesses(void **state)
{
    struct bus bus;
    struct recorder plain = {.base = 0x10}, fast = {0};
    uint8_t items[16] = {0};
    const uint16_t out[] = {0x1111, 0x2222};

    (void)state;
    bus_initialize(&bus);
    assert_true(bus_add(&bus, BUS_PORTS, 0x10, 2, &any_width, &plain, "plain"));
    assert_true(bus_add(&bus, BUS_PORTS, 0x20, 2, &blocks, &fast, "fast"));
    assert_int_equal(bus_block_in(&bus, 0x10, 2, items, 4), 4);
    assert_int_equal(plain.reads, 4);
    assert_memory_equal(items, "\x10\x11\x10\x11\x10\x11\x10\x11", 8);
    assert_int_equal(bus_block_out(&bus, 0x10, 2, out, 2), 2);
    assert_int_equal(plain.value, 0x2222);

    assert_int_equal(bus_block_in(&bus, 0x20, 2, items, 4), 3);
    assert_memory_equal(items, "ZZZZZZ\x10\x11", 8);
    assert_int_equal(bus_block_out(&bus, 0x20, 2, out, 2), 2);
    assert_int_equal(fast.block_items, 5);
    assert_int_equal(fast.reads + fast.writes, 0);
    /* An item that the range does not hold is split. */
    assert_int_equal(bus_block_in(&bus, 0x21, 2, items, 1), 1);
    assert_int_equal(fast.reads, 1);
    /* Nobody there. */
    assert_int_equal(bus_block_in(&bus, 0x30, 4, items, 2), 2);
    assert_memory_equal(items, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    assert_int_equal(bus.counters[BUS_PORTS].unclaimed_reads, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlaps_are_refused),
        cmocka_unit_test(the_end_of_the_address_space_can_be_claimed),
        cmocka_unit_test(the_table_is_finite),
        cmocka_unit_test(only_the_owner_removes),
        cmocka_unit_test(accesses_reach_their_device),
        cmocka_unit_test(unclaimed_accesses_read_ones_and_are_counted),
        cmocka_unit_test(port_accesses_across_ranges_are_split),
        cmocka_unit_test(wide_accesses_to_byte_devices_are_split),
        cmocka_unit_test(blocks_use_the_device_or_single_accesses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
