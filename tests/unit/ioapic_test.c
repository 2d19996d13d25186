/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/ioapic.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture fixture;
static struct ioapic ioapic;
static struct ioapic_message last;
static unsigned delivered;

static void deliver(void *context, const struct ioapic_message *message)
{
    (void)context;
    last = *message;
    delivered++;
}

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    delivered = 0;
    memset(&last, 0, sizeof last);
    assert_true(ioapic_initialize(&ioapic, &fixture.bus, deliver, NULL));
    return 0;
}

static uint32_t read_register(unsigned index)
{
    bus_write(&fixture.bus, BUS_MEMORY, IOAPIC_BASE, 4, index);
    return (uint32_t)bus_read(&fixture.bus, BUS_MEMORY, IOAPIC_BASE + 0x10, 4);
}

static void write_register(unsigned index, uint32_t value)
{
    bus_write(&fixture.bus, BUS_MEMORY, IOAPIC_BASE, 4, index);
    bus_write(&fixture.bus, BUS_MEMORY, IOAPIC_BASE + 0x10, 4, value);
}

static void write_entry(unsigned pin, uint64_t entry)
{
    write_register(0x10 + 2 * pin + 1, entry >> 32);
    write_register(0x10 + 2 * pin, (uint32_t)entry);
}

static uint64_t read_entry(unsigned pin)
{
    return read_register(0x10 + 2 * pin) | (uint64_t)read_register(0x10 + 2 * pin + 1) << 32;
}

#define LEVEL      0x8000ull
#define REMOTE_IRR 0x4000ull
#define ACTIVE_LOW 0x2000ull
#define LOGICAL    0x0800ull
#define MASKED     0x10000ull
#define MODE(m)    ((uint64_t)(m) << 8)

static void registers(void **state)
{
    (void)state;
    assert_int_equal(read_register(1), 0x00170020);
    assert_int_equal(read_register(0), 0);
    write_register(0, 0xffffffff);
    assert_int_equal(read_register(0), 0x0f000000);
    assert_int_equal(read_register(2), 0x0f000000);
    write_register(1, 0);
    assert_int_equal(read_register(1), 0x00170020);
    for (unsigned pin = 0; pin < IOAPIC_INPUTS; pin++)
        assert_true(read_entry(pin) == MASKED);
    write_entry(23, UINT64_MAX);
    assert_true(read_entry(23) == 0xff0000000001afff);
    assert_int_equal(read_register(0x0f), 0);
    assert_int_equal(read_register(0x40), 0); /* beyond the last entry */
    write_register(0x40, 0xffffffff);
    write_register(0xff, 0xffffffff);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, IOAPIC_BASE, 4), 0xff);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, IOAPIC_BASE + 0x40, 4), 0);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, IOAPIC_BASE + 0x800, 8), 0);
    assert_int_equal(delivered, 0);
}

static void edges(void **state)
{
    (void)state;
    write_entry(4, 0x0500000000000000 | LOGICAL | MODE(1) | 0x41);
    ioapic_set(&ioapic, 4, true);
    assert_int_equal(delivered, 1);
    assert_int_equal(last.vector, 0x41);
    assert_int_equal(last.delivery_mode, IOAPIC_LOWEST_PRIORITY);
    assert_true(last.logical);
    assert_int_equal(last.destination, 5);
    assert_false(last.level);
    ioapic_set(&ioapic, 4, true);
    ioapic_set(&ioapic, 4, false);
    assert_int_equal(delivered, 1);
    ioapic_set(&ioapic, 4, true);
    assert_int_equal(delivered, 2);
    ioapic_eoi(&ioapic, 0x41);
    assert_int_equal(delivered, 2);
    write_entry(5, 0xff00000000000000 | 0x42);
    ioapic_set(&ioapic, 5, true);
    assert_false(last.logical);
    assert_int_equal(last.delivery_mode, IOAPIC_FIXED);
    assert_int_equal(last.destination, 0xff);
}

static void a_masked_edge_is_lost(void **state)
{
    (void)state;
    write_entry(4, MASKED | 0x41);
    ioapic_set(&ioapic, 4, true);
    write_entry(4, 0x41);
    assert_int_equal(delivered, 0);
}

static void check_level(unsigned pin, uint64_t flags)
{
    delivered = 0;
    write_entry(pin, LEVEL | flags | 0x61);
    ioapic_set(&ioapic, pin, true);
    assert_int_equal(delivered, 1);
    assert_true(last.level);
    assert_true(read_entry(pin) & REMOTE_IRR);
    ioapic_set(&ioapic, pin, true);
    ioapic_set(&ioapic, pin, false);
    ioapic_set(&ioapic, pin, true);
    assert_int_equal(delivered, 1); /* not before the EOI */
    ioapic_eoi(&ioapic, 0x62);
    assert_int_equal(delivered, 1);
    ioapic_eoi(&ioapic, 0x61);
    assert_int_equal(delivered, 2); /* still asserted */
    ioapic_set(&ioapic, pin, false);
    ioapic_eoi(&ioapic, 0x61);
    assert_int_equal(delivered, 2);
    assert_false(read_entry(pin) & REMOTE_IRR);
}

static void levels(void **state)
{
    (void)state;
    for (unsigned pin = 0; pin < IOAPIC_INPUTS; pin++) {
        check_level(pin, 0);
        check_level(pin, ACTIVE_LOW | LOGICAL | MODE(IOAPIC_LOWEST_PRIORITY));
    }
}

static void unmasking_a_level_delivers(void **state)
{
    (void)state;
    write_entry(17, MASKED | LEVEL | 0x62);
    ioapic_set(&ioapic, 17, true);
    assert_int_equal(delivered, 0);
    write_entry(17, LEVEL | 0x62);
    assert_int_equal(delivered, 1);
    write_entry(17, MASKED | LEVEL | 0x62);
    ioapic_eoi(&ioapic, 0x62);
    assert_int_equal(delivered, 1);
    assert_false(read_entry(17) & REMOTE_IRR);
    ioapic_set(&ioapic, 17, false);
    write_entry(17, LEVEL | 0x62);
    assert_int_equal(delivered, 1);
}

static void one_eoi_ends_all_inputs_of_a_vector(void **state)
{
    (void)state;
    write_entry(18, LEVEL | 0x63);
    write_entry(19, LEVEL | 0x63);
    ioapic_set(&ioapic, 18, true);
    ioapic_set(&ioapic, 19, true);
    assert_int_equal(delivered, 2);
    ioapic_set(&ioapic, 18, false);
    bus_write(&fixture.bus, BUS_MEMORY, IOAPIC_BASE + 0x40, 4, 0x63); /* the EOI register */
    assert_int_equal(delivered, 3);
    assert_false(read_entry(18) & REMOTE_IRR);
    assert_true(read_entry(19) & REMOTE_IRR);
}

static void switching_to_edge_clears_remote_irr(void **state)
{
    (void)state;
    write_entry(16, LEVEL | 0x61);
    ioapic_set(&ioapic, 16, true);
    write_register(0x30, MASKED | 0x61);
    assert_false(read_entry(16) & REMOTE_IRR);
    write_register(0x30, LEVEL | 0x61);
    assert_int_equal(delivered, 2);
    /* The guest cannot set or clear the bit otherwise. */
    write_register(0x30, LEVEL | 0x61);
    assert_true(read_entry(16) & REMOTE_IRR);
    assert_int_equal(delivered, 2);
}

static void other_delivery_modes_are_edges(void **state)
{
    static const unsigned modes[] = {IOAPIC_SMI, IOAPIC_NMI, IOAPIC_INIT, IOAPIC_EXTINT};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        write_entry(i, LEVEL | MODE(modes[i]));
        ioapic_set(&ioapic, i, true);
        assert_int_equal(delivered, i + 1);
        assert_int_equal(last.delivery_mode, modes[i]);
        assert_false(last.level);
        assert_false(read_entry(i) & REMOTE_IRR);
    }
    write_entry(10, MODE(3));
    write_entry(11, MODE(6));
    ioapic_set(&ioapic, 10, true);
    ioapic_set(&ioapic, 11, true);
    assert_int_equal(delivered, 4); /* reserved */
}

static void only_aligned_dwords_write_the_window(void **state)
{
    (void)state;
    bus_write(&fixture.bus, BUS_MEMORY, IOAPIC_BASE, 1, 0x10);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, IOAPIC_BASE, 4), 0x10);
    bus_write(&fixture.bus, BUS_MEMORY, IOAPIC_BASE + 0x10, 2, 0x41);
    bus_write(&fixture.bus, BUS_MEMORY, IOAPIC_BASE + 0x12, 4, 0x41);
    assert_true(read_entry(0) == MASKED);
}

static void reset_masks_everything(void **state)
{
    (void)state;
    write_entry(16, LEVEL | 0x61);
    write_register(0, 0x01000000);
    ioapic_set(&ioapic, 16, true);
    ioapic_reset(&ioapic);
    assert_true(read_entry(16) == MASKED);
    assert_int_equal(read_register(0), 0);
    ioapic_eoi(&ioapic, 0x61);
    assert_int_equal(delivered, 1);
    read_register(1);
    ioapic_reset(&ioapic);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, IOAPIC_BASE, 4), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(registers, setup),
        cmocka_unit_test_setup(edges, setup),
        cmocka_unit_test_setup(a_masked_edge_is_lost, setup),
        cmocka_unit_test_setup(levels, setup),
        cmocka_unit_test_setup(unmasking_a_level_delivers, setup),
        cmocka_unit_test_setup(one_eoi_ends_all_inputs_of_a_vector, setup),
        cmocka_unit_test_setup(switching_to_edge_clears_remote_irr, setup),
        cmocka_unit_test_setup(other_delivery_modes_are_edges, setup),
        cmocka_unit_test_setup(only_aligned_dwords_write_the_window, setup),
        cmocka_unit_test_setup(reset_masks_everything, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
