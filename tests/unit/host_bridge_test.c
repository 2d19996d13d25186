/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/host_bridge.h"
#include "tests/unit/config_space.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture fixture;
static struct pci_bus pci;
static struct host_bridge bridge;
static struct host_bridge_segment last;
static unsigned changes;

static void shadow_changed(void *context, const struct host_bridge_segment *segment)
{
    (void)context;
    last = *segment;
    changes++;
}

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    changes = 0;
    assert_true(pci_bus_initialize(&pci, &fixture.bus, NULL, NULL));
    assert_true(host_bridge_initialize(&bridge, &pci, shadow_changed, NULL));
    return 0;
}

static void put(unsigned offset, uint8_t value)
{
    pci_config_write(&pci, 0, 0, offset, 1, value);
}

static uint8_t get(unsigned offset)
{
    return (uint8_t)pci_config_read(&pci, 0, 0, offset, 1);
}

static void identity(void **state)
{
    (void)state;
    assert_int_equal(pci_config_read(&pci, 0, 0, 0x00, 4), 0x12378086);
    assert_int_equal(pci_config_read(&pci, 0, 0, 0x08, 4), 0x06000002);
    assert_int_equal(pci_config_read(&pci, 0, 0, 0x2c, 4), 0x11001af4);
    assert_int_equal(pci_config_read(&pci, 0, 0, 0x04, 2), 0x0006);
    pci_config_write(&pci, 0, 0, 0x04, 2, 0);
    assert_int_equal(pci_config_read(&pci, 0, 0, 0x04, 2), 0x0006);
}

static void segments_tile_the_shadow_area(void **state)
{
    uint32_t gpa = 0xc0000;

    (void)state;
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS; i++) {
        assert_int_equal(bridge.segments[i].gpa, gpa);
        assert_false(bridge.segments[i].read_ram);
        assert_false(bridge.segments[i].write_ram);
        gpa += bridge.segments[i].length;
    }
    assert_int_equal(gpa, 0x100000);
}

static void each_register_half_is_a_segment(void **state)
{
    static const struct {
        unsigned offset;
        uint8_t read, write;
        uint32_t gpa, length;
    } table[] = {
        {0x59, 0x10, 0x20, 0xf0000, 0x10000},
        {0x5a, 0x01, 0x02, 0xc0000, 0x4000 },
        {0x5a, 0x10, 0x20, 0xc4000, 0x4000 },
        {0x5b, 0x01, 0x02, 0xc8000, 0x4000 },
        {0x5b, 0x10, 0x20, 0xcc000, 0x4000 },
        {0x5c, 0x01, 0x02, 0xd0000, 0x4000 },
        {0x5c, 0x10, 0x20, 0xd4000, 0x4000 },
        {0x5d, 0x01, 0x02, 0xd8000, 0x4000 },
        {0x5d, 0x10, 0x20, 0xdc000, 0x4000 },
        {0x5e, 0x01, 0x02, 0xe0000, 0x4000 },
        {0x5e, 0x10, 0x20, 0xe4000, 0x4000 },
        {0x5f, 0x01, 0x02, 0xe8000, 0x4000 },
        {0x5f, 0x10, 0x20, 0xec000, 0x4000 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        changes = 0;
        put(table[i].offset, table[i].read);
        assert_int_equal(changes, 1);
        assert_int_equal(last.gpa, table[i].gpa);
        assert_int_equal(last.length, table[i].length);
        assert_true(last.read_ram);
        assert_false(last.write_ram);
        put(table[i].offset, table[i].write);
        assert_false(last.read_ram);
        assert_true(last.write_ram);
        put(table[i].offset, table[i].read | table[i].write);
        assert_true(last.read_ram);
        assert_true(last.write_ram);
        put(table[i].offset, 0);
        assert_int_equal(changes, 4);
        assert_int_equal(last.gpa, table[i].gpa);
    }
    changes = 0;
    put(0x59, 0x0f); /* the low half does not exist */
    put(0x5a, 0xcc); /* nor do the cache bits change anything */
    assert_int_equal(changes, 0);
    assert_int_equal(get(0x59), 0x00);
}

static void one_wide_write_changes_many(void **state)
{
    (void)state;
    pci_config_write(&pci, 0, 0, 0x5c, 4, 0x33333333);
    assert_int_equal(changes, 8);
    pci_config_write(&pci, 0, 0, 0x5c, 4, 0x33333333);
    assert_int_equal(changes, 8);
}

static void smram_locks(void **state)
{
    (void)state;
    assert_int_equal(get(0x72), 0x02);
    put(0x72, 0x4d);
    assert_int_equal(get(0x72), 0x4a); /* the base segment is fixed */
    put(0x72, 0x58);
    assert_int_equal(get(0x72), 0x1a); /* the lock closes it */
    put(0x72, 0x00);
    assert_int_equal(get(0x72), 0x1a);
    put(0x72, 0x60);
    assert_int_equal(get(0x72), 0x3a); /* only closed can still be set */
    pci_bus_reset(&pci);
    assert_int_equal(get(0x72), 0x02);
    put(0x72, 0x40);
    assert_int_equal(get(0x72), 0x42);
}

static void reset_goes_back_to_rom(void **state)
{
    (void)state;
    put(0x59, 0x30);
    put(0x5a, 0x33);
    changes = 0;
    pci_bus_reset(&pci);
    assert_int_equal(changes, 3);
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS; i++)
        assert_false(bridge.segments[i].read_ram || bridge.segments[i].write_ram);
}

static void configuration_space(void **state)
{
    static const struct config_bytes rows[] = {
        {0x00, 4, 0x12378086, 0         },
        {0x04, 4, 0x02800006, 0x0140    },
        {0x08, 4, 0x06000002, 0         },
        {0x0d, 1, 0x00,       0xf8      },
        {0x2c, 4, 0x11001af4, 0         },
        {0x50, 2, 0x0000,     0xffff    },
        {0x59, 1, 0x00,       0xf0      },
        {0x5a, 2, 0x0000,     0xffff    },
        {0x5c, 4, 0x00000000, 0xffffffff},
        {0x60, 4, 0x01010101, 0xffffffff},
        {0x64, 4, 0x01010101, 0xffffffff},
        {0x68, 1, 0x00,       0xc0      },
        {0x70, 2, 0x1000,     0xfff8    },
        {0x90, 1, 0x00,       0xff      },
    };

    (void)state;
    /* SMRAM's bits lock each other (smram_locks). */
    assert_int_equal(get(0x72), 0x02);
    pci_set_byte(&bridge.pci, 0x72, 0, 0);
    check_config_space(&pci, 0, 0, rows, sizeof rows / sizeof rows[0]);
}

static void error_status_is_cleared_by_ones(void **state)
{
    (void)state;
    bridge.pci.config[0x91] = 0x11;
    put(0x91, 0x01);
    assert_int_equal(get(0x91), 0x10);
    put(0x91, 0xff);
    assert_int_equal(get(0x91), 0x00);
}

/*
 * As SeaBIOS does it: eight bytes from 58h on are written back as two double words, with RAM everywhere. Before it
 * starts a system, it protects itself and option ROMs, here 48 KiB of them.
 */
static void firmware_shadows_itself(void **state)
{
    (void)state;
    assert_int_equal(pci_config_read(&pci, 0, 0, 0x58, 4), 0);
    pci_config_write(&pci, 0, 0, 0x58, 4, 0x33333000);
    assert_int_equal(changes, 5);
    pci_config_write(&pci, 0, 0, 0x5c, 4, 0x33333333);
    assert_int_equal(changes, HOST_BRIDGE_SEGMENTS);
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS; i++)
        assert_true(bridge.segments[i].read_ram && bridge.segments[i].write_ram);
    pci_config_write(&pci, 0, 0, 0x58, 4, 0x31111000);
    pci_config_write(&pci, 0, 0, 0x5c, 4, 0x33333333);
    for (unsigned i = 0; i < HOST_BRIDGE_SEGMENTS; i++) {
        uint32_t gpa = bridge.segments[i].gpa;

        assert_true(bridge.segments[i].read_ram);
        assert_int_equal(bridge.segments[i].write_ram, gpa >= 0xcc000 && gpa < 0xf0000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(identity, setup),
        cmocka_unit_test_setup(segments_tile_the_shadow_area, setup),
        cmocka_unit_test_setup(each_register_half_is_a_segment, setup),
        cmocka_unit_test_setup(one_wide_write_changes_many, setup),
        cmocka_unit_test_setup(firmware_shadows_itself, setup),
        cmocka_unit_test_setup(smram_locks, setup),
        cmocka_unit_test_setup(reset_goes_back_to_rom, setup),
        cmocka_unit_test_setup(configuration_space, setup),
        cmocka_unit_test_setup(error_status_is_cleared_by_ones, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
