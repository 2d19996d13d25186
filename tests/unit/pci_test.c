/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/pci.h"
#include "tests/unit/device_fixture.h"

struct test_device {
    struct pci_device pci;
    unsigned reads, writes;
    uint64_t offset;
    unsigned config_writes;
    unsigned config_offset, config_size;
    unsigned resets;
    uint32_t address;
    unsigned moves;
};

static struct device_fixture fixture;
static struct pci_bus pci;
static struct test_device device, other;
static bool pins[PCI_SLOTS][4];
static unsigned pin_changes;

static void interrupt(void *context, unsigned slot, unsigned pin, bool level)
{
    (void)context;
    pins[slot][pin] = level;
    pin_changes++;
}

static uint64_t register_read(void *context, uint64_t offset, unsigned size)
{
    struct test_device *test = context;

    (void)size;
    test->reads++;
    test->offset = offset;
    return 0x1234;
}

static void register_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
    struct test_device *test = context;

    (void)size;
    (void)value;
    test->writes++;
    test->offset = offset;
}

static const struct bus_operations operations = {.read = register_read, .write = register_write};

static void config_written(void *context, unsigned offset, unsigned size)
{
    struct test_device *test = context;

    test->config_writes++;
    test->config_offset = offset;
    test->config_size = size;
}

static void reset(void *context)
{
    struct test_device *test = context;

    test->resets++;
}

static void moved(void *context, uint32_t address)
{
    struct test_device *test = context;

    test->address = address;
    test->moves++;
}

static const struct pci_identity identity = {
    .vendor = 0x1011,
    .device = 0x0009,
    .revision = 0x22,
    .class_code = 0x020001,
    .subsystem_vendor = 0x1414,
    .subsystem = 0x000a,
    .interrupt_pin = 1,
    .command_writable = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
};

static void make_device(struct test_device *test)
{
    memset(test, 0, sizeof *test);
    pci_device_initialize(&test->pci, &identity, test);
    pci_device_add_bar(&test->pci, 0, BUS_PORTS, 128, &operations, "ports");
    pci_device_add_bar(&test->pci, 1, BUS_MEMORY, 1024, &operations, "memory");
    test->pci.config_written = config_written;
    test->pci.reset = reset;
}

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    memset(pins, 0, sizeof pins);
    pin_changes = 0;
    assert_true(pci_bus_initialize(&pci, &fixture.bus, interrupt, NULL));
    make_device(&device);
    make_device(&other);
    pci_set_word(&device.pci, 0x40, 0xabcd, 0x0ff0);
    pci_set_byte(&device.pci, 0x44, 0xff, 0x0f);
    device.pci.write_one_to_clear[0x44] = 0xf0;
    assert_true(pci_bus_add(&pci, &device.pci, 10, 0));
    assert_true(pci_bus_add(&pci, &other.pci, 11, 0));
    return 0;
}

static void select_config(unsigned slot, unsigned function, unsigned offset)
{
    out32(&fixture, 0xcf8, 0x80000000 | slot << 11 | function << 8 | offset);
}

static uint32_t config_read(unsigned offset)
{
    select_config(10, 0, offset);
    return in32(&fixture, 0xcfc);
}

static void config_write(unsigned offset, uint32_t value)
{
    select_config(10, 0, offset);
    out32(&fixture, 0xcfc, value);
}

static void the_address_register(void **state)
{
    (void)state;
    out32(&fixture, 0xcf8, 0xffffffff);
    assert_int_equal(in32(&fixture, 0xcf8), 0x80fffffc);
    out32(&fixture, 0xcf8, 0x80000000);
    assert_int_equal(in32(&fixture, 0xcf8), 0x80000000);
    /* Only double words reach it. */
    out8(&fixture, 0xcfb, 0x01);
    out16(&fixture, 0xcf8, 0x1234);
    assert_int_equal(in32(&fixture, 0xcf8), 0x80000000);
    assert_int_equal(in8(&fixture, 0xcf9), 0xff);
    assert_int_equal(in16(&fixture, 0xcf8), 0xffff);
}

static void identity_is_read_in_any_width(void **state)
{
    (void)state;
    assert_int_equal(config_read(0x00), 0x00091011);
    assert_int_equal(in16(&fixture, 0xcfe), 0x0009);
    assert_int_equal(in8(&fixture, 0xcfd), 0x10);
    assert_int_equal(config_read(0x08), 0x02000122);
    assert_int_equal(config_read(0x2c), 0x000a1414);
    assert_int_equal(config_read(0x3c), 0x00000100);
    /* Beyond the data register: the byte at D00h is nobody's. */
    select_config(10, 0, 0);
    assert_int_equal(in16(&fixture, 0xcff), 0xff00);
    assert_int_equal(in32(&fixture, 0xcfd), 0xff000910);
}

static void absent_devices_read_ones(void **state)
{
    (void)state;
    select_config(3, 0, 0);
    assert_int_equal(in32(&fixture, 0xcfc), 0xffffffff);
    out32(&fixture, 0xcfc, 0);
    select_config(10, 1, 0);
    assert_int_equal(in16(&fixture, 0xcfc), 0xffff);
    out32(&fixture, 0xcf8, 0x80010000 | 10 << 11); /* bus 1 */
    assert_int_equal(in32(&fixture, 0xcfc), 0xffffffff);
    out32(&fixture, 0xcfc, 0);
    out32(&fixture, 0xcf8, 10 << 11); /* not enabled */
    assert_int_equal(in32(&fixture, 0xcfc), 0xffffffff);
    out32(&fixture, 0xcfc, 0xffffffff);
    assert_int_equal(device.config_writes, 0);
}

static void writes_change_what_is_writable(void **state)
{
    (void)state;
    config_write(0x00, 0);
    assert_int_equal(config_read(0x00), 0x00091011);
    config_write(0x40, 0xffffffff);
    assert_int_equal(config_read(0x40) & 0xffff, 0xaffd);
    select_config(10, 0, 0x40);
    out8(&fixture, 0xcfd, 0x00);
    assert_int_equal(config_read(0x40) & 0xffff, 0xa0fd);
    assert_int_equal(device.config_offset, 0x41);
    assert_int_equal(device.config_size, 1);
    /* Bits that a 1 clears. */
    config_write(0x44, 0x3a);
    assert_int_equal(config_read(0x44), 0xca);
    config_write(0x3c, 0x0b0b);
    assert_int_equal(config_read(0x3c), 0x0000010b);
    config_write(0x04, 0xffffffff);
    assert_int_equal(config_read(0x04), 0x00000007);
    config_write(0x0c, 0xffffffff);
    assert_int_equal(config_read(0x0c), 0x0000f800);
    config_write(0x2c, 0xffffffff);
    assert_int_equal(config_read(0x2c), 0x000a1414);
}

static void base_address_registers_are_sized(void **state)
{
    (void)state;
    assert_int_equal(config_read(0x10), 0x00000001);
    config_write(0x10, 0xffffffff);
    assert_int_equal(config_read(0x10), 0xffffff81);
    config_write(0x14, 0xffffffff);
    assert_int_equal(config_read(0x14), 0xfffffc00);
    config_write(0x18, 0xffffffff);
    assert_int_equal(config_read(0x18), 0);
    config_write(0x30, 0xfffffffe); /* no ROM */
    assert_int_equal(config_read(0x30), 0);
    config_write(0x10, 0xc001);
    assert_int_equal(config_read(0x10), 0xc001);
}

static void base_address_registers_map(void **state)
{
    (void)state;
    config_write(0x10, 0xc000);
    config_write(0x14, 0xe0000000);
    assert_int_equal(in16(&fixture, 0xc010), 0xffff); /* decoding is off */
    config_write(0x04, PCI_COMMAND_IO);
    assert_int_equal(in16(&fixture, 0xc010), 0x1234);
    assert_int_equal(device.offset, 0x10);
    assert_int_equal(in8(&fixture, 0xc080), 0xff);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, 0xe0000000, 2), 0xffff);
    config_write(0x04, PCI_COMMAND_MEMORY);
    assert_int_equal(in16(&fixture, 0xc010), 0xffff);
    bus_write(&fixture.bus, BUS_MEMORY, 0xe00003fc, 4, 0);
    assert_int_equal(device.offset, 0x3fc);
    /* Moving while decoding. */
    config_write(0x14, 0xe0010000);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, 0xe0000000, 2), 0xffff);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, 0xe0010000, 2), 0x1234);
    config_write(0x14, 0xffffffff); /* being sized */
    assert_int_equal(fixture.bus.count[BUS_MEMORY], 0);
}

static void places_that_do_not_exist_are_not_mapped(void **state)
{
    (void)state;
    config_write(0x04, 7);
    assert_int_equal(fixture.bus.count[BUS_MEMORY], 0);
    config_write(0x10, 0x10000);
    config_write(0x14, 0x0);
    assert_int_equal(in8(&fixture, 0), 0xff);
    assert_int_equal(bus_read(&fixture.bus, BUS_PORTS, 0x10000, 1), 0xff);
    config_write(0x10, 0xff80);
    assert_int_equal(in8(&fixture, 0xffff), 0x34);
}

static void collisions_leave_the_later_one_out(void **state)
{
    (void)state;
    config_write(0x10, 0xc000);
    config_write(0x04, PCI_COMMAND_IO);
    select_config(11, 0, 0x10);
    out32(&fixture, 0xcfc, 0xc000);
    select_config(11, 0, 0x04);
    out32(&fixture, 0xcfc, PCI_COMMAND_IO);
    in8(&fixture, 0xc000);
    assert_int_equal(device.reads, 1);
    assert_int_equal(other.reads, 0);
    /* When the first goes away, the other gets its place. */
    config_write(0x10, 0xd000);
    in8(&fixture, 0xc000);
    assert_int_equal(device.reads, 1);
    assert_int_equal(other.reads, 1);
    /* Onto a fixed port of the board. */
    config_write(0x10, 0x0c80);
    assert_int_equal(in32(&fixture, 0xcf8), 0x80000000 | 10 << 11 | 0x10);
}

static void memory_tells_where_it_is(void **state)
{
    static struct test_device memory;

    (void)state;
    memset(&memory, 0, sizeof memory);
    pci_device_initialize(&memory.pci, &identity, &memory);
    pci_device_add_memory(&memory.pci, 0, 16 << 20, &operations, moved, "memory");
    assert_true(pci_bus_add(&pci, &memory.pci, 12, 0));
    pci_config_write(&pci, 12, 0, PCI_BAR_0, 4, 0xffffffff);
    assert_int_equal(pci_config_read(&pci, 12, 0, PCI_BAR_0, 4), 0xff000008);
    pci_config_write(&pci, 12, 0, PCI_BAR_0, 4, 0xe1000000);
    assert_int_equal(memory.moves, 0);
    pci_config_write(&pci, 12, 0, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(memory.address, 0xe1000000);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, 0xe1fffffe, 2), 0x1234);
    pci_config_write(&pci, 12, 0, PCI_BAR_0, 4, 0xe2000000);
    assert_int_equal(memory.address, 0xe2000000);
    assert_int_equal(memory.moves, 3); /* away from the old place first */
    /* Onto another's: it is nowhere until that has gone. */
    config_write(0x14, 0xe4000000);
    config_write(0x04, PCI_COMMAND_MEMORY);
    pci_config_write(&pci, 12, 0, PCI_BAR_0, 4, 0xe4000000);
    assert_int_equal(memory.address, 0);
    config_write(0x04, 0);
    assert_int_equal(memory.address, 0xe4000000);
    pci_bus_reset(&pci);
    assert_int_equal(memory.address, 0);
    assert_int_equal(memory.moves, 6);
}

static void bus_mastering(void **state)
{
    (void)state;
    assert_false(pci_bus_master_enabled(&device.pci));
    config_write(0x04, PCI_COMMAND_MASTER);
    assert_true(pci_bus_master_enabled(&device.pci));
}

static void functions_of_a_slot_share_pins(void **state)
{
    static struct test_device second;

    (void)state;
    make_device(&second);
    assert_true(pci_bus_add(&pci, &second.pci, 10, 3));
    assert_false(pci_bus_add(&pci, &second.pci, 10, 3));
    assert_int_equal(second.pci.slot, 10);
    assert_int_equal(second.pci.function, 3);
    pci_set_interrupt(&device.pci, true);
    assert_true(pins[10][0]);
    pci_set_interrupt(&second.pci, true);
    pci_set_interrupt(&device.pci, false);
    assert_true(pins[10][0]);
    pci_set_interrupt(&second.pci, false);
    assert_false(pins[10][0]);
    pin_changes = 0;
    pci_set_interrupt(&second.pci, false);
    assert_int_equal(pin_changes, 0);
}

static void a_device_without_a_pin_has_no_interrupt(void **state)
{
    static struct test_device silent;
    struct pci_identity without = identity;

    (void)state;
    without.interrupt_pin = 0;
    memset(&silent, 0, sizeof silent);
    pci_device_initialize(&silent.pci, &without, &silent);
    assert_true(pci_bus_add(&pci, &silent.pci, 12, 0));
    pci_set_interrupt(&silent.pci, true);
    assert_int_equal(pin_changes, 0);
    assert_int_equal(silent.pci.writable[PCI_INTERRUPT_LINE], 0);
}

static void reset_restores_power_on(void **state)
{
    (void)state;
    config_write(0x10, 0xc000);
    config_write(0x14, 0xe0000000);
    config_write(0x04, 7);
    config_write(0x40, 0);
    pci_set_interrupt(&device.pci, true);
    pci_bus_reset(&pci);
    assert_false(pins[10][0]);
    assert_int_equal(device.resets, 1);
    assert_int_equal(other.resets, 1);
    assert_int_equal(in32(&fixture, 0xcf8), 0);
    assert_int_equal(fixture.bus.count[BUS_MEMORY], 0);
    assert_int_equal(in8(&fixture, 0xc000), 0xff);
    assert_int_equal(config_read(0x04), 0);
    assert_int_equal(config_read(0x10), 1);
    assert_int_equal(config_read(0x40), 0xabcd);
}

static void cf9_goes_to_the_reset_control(void **state)
{
    static struct test_device control;

    (void)state;
    memset(&control, 0, sizeof control);
    pci.reset_control = &operations;
    pci.reset_control_device = &control;
    assert_int_equal(in8(&fixture, 0xcf9), 0x34);
    out8(&fixture, 0xcf9, 6);
    assert_int_equal(control.writes, 1);
    assert_int_equal(in32(&fixture, 0xcf8), 0);
    assert_int_equal(in8(&fixture, 0xcf8), 0xff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_address_register, setup),
        cmocka_unit_test_setup(identity_is_read_in_any_width, setup),
        cmocka_unit_test_setup(absent_devices_read_ones, setup),
        cmocka_unit_test_setup(writes_change_what_is_writable, setup),
        cmocka_unit_test_setup(base_address_registers_are_sized, setup),
        cmocka_unit_test_setup(base_address_registers_map, setup),
        cmocka_unit_test_setup(places_that_do_not_exist_are_not_mapped, setup),
        cmocka_unit_test_setup(collisions_leave_the_later_one_out, setup),
        cmocka_unit_test_setup(memory_tells_where_it_is, setup),
        cmocka_unit_test_setup(bus_mastering, setup),
        cmocka_unit_test_setup(functions_of_a_slot_share_pins, setup),
        cmocka_unit_test_setup(a_device_without_a_pin_has_no_interrupt, setup),
        cmocka_unit_test_setup(reset_restores_power_on, setup),
        cmocka_unit_test_setup(cf9_goes_to_the_reset_control, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
