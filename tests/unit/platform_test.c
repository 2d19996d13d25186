/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/firmware_setup.h"
#include "partitions/root/worker/devices/platform.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture fixture;
static struct platform platform;
static bool intr;
static struct ioapic_message last;
static unsigned delivered, shadow_changes, resets, power_offs;
static bool a20;

static void interrupt_request(void *context, bool level)
{
    assert_ptr_equal(context, &fixture);
    intr = level;
}

static void deliver(void *context, const struct ioapic_message *message)
{
    assert_ptr_equal(context, &fixture);
    last = *message;
    delivered++;
}

static void shadow_changed(void *context, const struct host_bridge_segment *segment)
{
    assert_ptr_equal(context, &fixture);
    assert_true(segment->gpa >= 0xc0000);
    shadow_changes++;
}

static void set_a20(void *context, bool enabled)
{
    assert_ptr_equal(context, &fixture);
    a20 = enabled;
}

static void reset(void *context)
{
    assert_ptr_equal(context, &fixture);
    resets++;
}

static void power_off(void *context)
{
    assert_ptr_equal(context, &fixture);
    power_offs++;
}

static size_t transmit(void *context, const uint8_t *characters, size_t length)
{
    (void)context;
    (void)characters;
    return length;
}

static const struct platform_outputs outputs = {
    .interrupt_request = interrupt_request,
    .deliver = deliver,
    .shadow_changed = shadow_changed,
    .a20 = set_a20,
    .reset = reset,
    .power_off = power_off,
    .context = &fixture,
};

static const struct guest_memory no_memory;

static const struct platform_configuration configuration = {
    .unix_time = 1796219150 * SECOND,
    .memory_below_4g = 128 << 20,
    .memory = &no_memory,
    .com = {{.transmit = transmit}, {.transmit = transmit}},
};

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    intr = false;
    a20 = true;
    delivered = shadow_changes = resets = power_offs = 0;
    assert_true(platform_initialize(&platform, &fixture.bus, &fixture.timers, &configuration, &outputs));
    return 0;
}

/* An adapter such as the worker adds: slot 10, pin A, 128 ports and 4 KiB of registers. */
static struct pci_device adapter;

static uint64_t adapter_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0x5a;
}

static void adapter_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)offset;
    (void)size;
    (void)value;
}

static void add_adapter(uint32_t memory_length)
{
    static const struct bus_operations operations = {.read = adapter_read, .write = adapter_write};
    static const struct pci_identity identity = {
        .vendor = 0x1011,
        .device = 0x0009,
        .class_code = 0x020000,
        .interrupt_pin = 1,
        .command_writable = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
    };

    memset(&adapter, 0, sizeof adapter);
    pci_device_initialize(&adapter, &identity, &adapter);
    pci_device_add_bar(&adapter, 0, BUS_PORTS, 128, &operations, "ports");
    pci_device_add_bar(&adapter, 1, BUS_MEMORY, memory_length, &operations, "registers");
    assert_true(pci_bus_add(&platform.pci, &adapter, 10, 0));
}

static void ioapic_entry(unsigned pin, uint32_t low)
{
    bus_write(&fixture.bus, BUS_MEMORY, IOAPIC_BASE, 4, 0x10 + 2 * pin);
    bus_write(&fixture.bus, BUS_MEMORY, IOAPIC_BASE + 0x10, 4, low);
}

static void a_second_board_finds_no_room(void **state)
{
    static struct platform second;

    (void)state;
    assert_false(platform_initialize(&second, &fixture.bus, &fixture.timers, &configuration, &outputs));
}

static void timer_ticks_reach_both_controllers(void **state)
{
    (void)state;
    assert_true(firmware_setup(&platform));
    ioapic_entry(2, 0x30);
    out8(&fixture, 0x21, 0xfe);
    out8(&fixture, 0x43, 0x34);
    out8(&fixture, 0x40, 0xa9);
    out8(&fixture, 0x40, 0x04); /* 1 kHz */
    delivered = 0;
    fixture_advance(&fixture, 10 * MILLISECOND);
    assert_in_range(delivered, 9, 10);
    assert_int_equal(last.vector, 0x30);
    assert_true(intr);
    assert_int_equal(i8259_acknowledge(&platform.pic), 0x08);
}

static void firmware_places_adapters(void **state)
{
    (void)state;
    add_adapter(0x1000);
    assert_true(firmware_setup(&platform));
    assert_int_equal(pci_dword(&adapter, PCI_BAR_0), PLATFORM_PCI_PORTS | 1);
    assert_int_equal(pci_dword(&adapter, PCI_BAR_0 + 4), PLATFORM_PCI_WINDOW);
    assert_int_equal(in8(&fixture, PLATFORM_PCI_PORTS + 127), 0x5a);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, PLATFORM_PCI_WINDOW + 0xfff, 1), 0x5a);
    assert_true(pci_bus_master_enabled(&adapter));
    assert_int_equal(in32(&fixture, PLATFORM_PM_BASE + PIIX4_PM1_STATUS), 0);
    assert_int_equal(pci_config_read(&platform.pci, 7, 3, PCI_INTERRUPT_LINE, 1), 9);
    assert_int_equal(shadow_changes, HOST_BRIDGE_SEGMENTS);
}

static void firmware_says_when_the_window_is_too_small(void **state)
{
    (void)state;
    add_adapter(0x20000000);
    assert_false(firmware_setup(&platform));
}

/*
 * The interrupt line register, PIRQRC and the edge/level registers agree: as a system without ACPI uses them.
 */
static void pci_interrupts_by_the_8259s(void **state)
{
    uint8_t irq;

    (void)state;
    add_adapter(0x1000);
    assert_true(firmware_setup(&platform));
    irq = adapter.config[PCI_INTERRUPT_LINE];
    assert_in_range(irq, 8, 15);
    out8(&fixture, 0x21, 0xfb);
    out8(&fixture, 0xa1, (uint8_t) ~(1u << (irq - 8)));
    pci_set_interrupt(&adapter, true);
    assert_true(intr);
    assert_int_equal(i8259_acknowledge(&platform.pic), 0x70 + irq - 8);
    out8(&fixture, 0xa0, 0x20);
    out8(&fixture, 0x20, 0x20);
    assert_true(intr); /* by level */
    pci_set_interrupt(&adapter, false);
    assert_false(intr);
}

static void pci_interrupts_by_the_ioapic(void **state)
{
    (void)state;
    add_adapter(0x1000);
    assert_true(firmware_setup(&platform));
    ioapic_entry(16 + 9 % 4, 0xa055);
    pci_set_interrupt(&adapter, true);
    assert_int_equal(delivered, 1);
    assert_int_equal(last.vector, 0x55);
    assert_true(last.level);
    ioapic_eoi(&platform.ioapic, 0x55);
    assert_int_equal(delivered, 2);
    pci_set_interrupt(&adapter, false);
    ioapic_eoi(&platform.ioapic, 0x55);
    assert_int_equal(delivered, 2);
}

static void the_power_button_and_off(void **state)
{
    (void)state;
    assert_true(firmware_setup(&platform));
    ioapic_entry(9, 0x8099);
    out8(&fixture, PIIX4_SMI_COMMAND_PORT, PIIX4_ACPI_ENABLE);
    out16(&fixture, PLATFORM_PM_BASE + PIIX4_PM1_ENABLE, 0x0100);
    assert_true(piix4_pm_press_power_button(&platform.power));
    assert_int_equal(delivered, 1);
    assert_int_equal(last.vector, 0x99);
    out16(&fixture, PLATFORM_PM_BASE + PIIX4_PM1_CONTROL, 0x2001 | PIIX4_SLEEP_TYPE_OFF << 10);
    assert_int_equal(power_offs, 1);
}

static void clock_write(uint8_t index, uint8_t value)
{
    out8(&fixture, 0x70, index);
    out8(&fixture, 0x71, value);
}

static void the_clocks_alarm_is_an_acpi_event(void **state)
{
    (void)state;
    assert_true(firmware_setup(&platform));
    out8(&fixture, PIIX4_SMI_COMMAND_PORT, PIIX4_ACPI_ENABLE);
    out16(&fixture, PLATFORM_PM_BASE + PIIX4_PM1_ENABLE, 0x0400);
    ioapic_entry(9, 0x8099);
    clock_write(0x01, 0xff);
    clock_write(0x03, 0xff);
    clock_write(0x05, 0xff);
    clock_write(0x0b, 0x22);
    fixture_advance(&fixture, SECOND);
    assert_int_equal(delivered, 1);
    assert_int_equal(last.vector, 0x99);
    assert_int_equal(in16(&fixture, PLATFORM_PM_BASE), 0x0400);
    out16(&fixture, PLATFORM_PM_BASE, 0x0400);
    assert_int_equal(in16(&fixture, PLATFORM_PM_BASE), 0);
}

static void the_clocks_extended_bank_is_enabled(void **state)
{
    (void)state;
    out8(&fixture, 0x72, 0x35);
    assert_int_equal(in8(&fixture, 0x73), 112 * 16 >> 8);
    assert_true(firmware_setup(&platform));
    out8(&fixture, 0x72, 0x35);
    assert_int_equal(in8(&fixture, 0x73), 0);
    platform_reset(&platform);
    out8(&fixture, 0x72, 0x35);
    assert_int_equal(in8(&fixture, 0x73), 112 * 16 >> 8);
}

static void the_last_change_of_a20_counts(void **state)
{
    (void)state;
    out8(&fixture, 0x64, 0xdd);
    assert_false(a20);
    out8(&fixture, 0x92, 0x02);
    assert_true(a20);
    out8(&fixture, 0x92, 0x00);
    assert_false(a20);
    out8(&fixture, 0x64, 0xdf);
    assert_true(a20);
}

static void every_way_to_reset(void **state)
{
    (void)state;
    out8(&fixture, 0xcf9, 0x06);
    out8(&fixture, 0x92, 0x01);
    out8(&fixture, 0x64, 0xfe);
    assert_int_equal(resets, 3);
}

static void the_firmwares_keyboard_translates(void **state)
{
    const uint8_t key = 0x1c;

    (void)state;
    assert_true(firmware_setup(&platform));
    out8(&fixture, 0x21, 0xfd);
    assert_true(i8042_type(&platform.keyboard, &key, 1));
    assert_int_equal(i8259_acknowledge(&platform.pic), 0x09);
    assert_int_equal(in8(&fixture, 0x60), 0x1e);
}

static void the_firmware_leaves_a_mouse_that_works(void **state)
{
    (void)state;
    assert_true(firmware_setup(&platform));
    out8(&fixture, 0x21, 0xfb);
    out8(&fixture, 0xa1, 0xef);
    out8(&fixture, 0x64, 0xd4);
    out8(&fixture, 0x60, 0xf4);
    assert_int_equal(i8259_acknowledge(&platform.pic), 0x74);
    assert_int_equal(in8(&fixture, 0x60), 0xfa);
    out8(&fixture, 0xa0, 0x20);
    out8(&fixture, 0x20, 0x20);
    assert_false(intr);
    i8042_move(&platform.keyboard, 3, 4, 0, 0);
    assert_int_equal(i8259_acknowledge(&platform.pic), 0x74);
    assert_int_equal(in8(&fixture, 0x60), 0x08);
}

static void hpet_write(unsigned offset, uint64_t value)
{
    bus_write(&fixture.bus, BUS_MEMORY, HPET_BASE + offset, 8, value);
}

/* As kernels start it: the first comparator takes the place of the 8254. */
static void event_timers_reach_both_controllers(void **state)
{
    (void)state;
    assert_true(firmware_setup(&platform));
    ioapic_entry(2, 0x30);
    ioapic_entry(20, 0x44);
    out8(&fixture, 0x21, 0xfe);
    out8(&fixture, 0x43, 0x34);
    out8(&fixture, 0x40, 0xa9);
    out8(&fixture, 0x40, 0x04); /* 1 kHz */
    hpet_write(0x100, 0x04c);
    hpet_write(0x108, 50000);
    hpet_write(0x108, 500000); /* 200 Hz */
    hpet_write(0x140, 0x004 | 20 << 9);
    hpet_write(0x148, 100);
    hpet_write(0x010, 3);
    delivered = 0;
    fixture_advance(&fixture, 1000);
    assert_int_equal(delivered, 1);
    assert_int_equal(last.vector, 0x44);
    fixture_advance(&fixture, 100 * MILLISECOND);
    assert_in_range(delivered, 1 + 20, 1 + 21);
    assert_int_equal(last.vector, 0x30);
    assert_int_equal(i8259_acknowledge(&platform.pic), 0x08);
    hpet_write(0x010, 0);
    delivered = 0;
    fixture_advance(&fixture, 100 * MILLISECOND);
    assert_in_range(delivered, 99, 101); /* the 8254's again */
    hpet_write(0x010, 3);
    platform_reset(&platform);
    assert_true(timer_queue_wait(&fixture.timers) == TIMER_NEVER);
}

static void firmware_cascades_the_dma_controllers(void **state)
{
    uint8_t byte = 0;
    bool terminal_count;

    (void)state;
    out8(&fixture, 0x0a, 0x02);
    assert_int_equal(i8237_transfer(&platform.dma, 2, &byte, 1, I8237_FROM_MEMORY, &terminal_count), 0);
    assert_true(firmware_setup(&platform));
    assert_int_equal(i8237_transfer(&platform.dma, 2, &byte, 1, I8237_FROM_MEMORY, &terminal_count), 1);
    assert_int_equal(byte, 0xff);
    platform_reset(&platform);
    assert_int_equal(in8(&fixture, 0x0f), 0x0f);
}

static void memory_size_is_in_cmos(void **state)
{
    (void)state;
    out8(&fixture, 0x70, 0x35);
    assert_int_equal(in8(&fixture, 0x71), 112 * 16 >> 8);
}

static void reset_and_firmware_again(void **state)
{
    unsigned ranges, ports;

    (void)state;
    add_adapter(0x1000);
    ports = fixture.bus.count[BUS_PORTS];
    assert_true(firmware_setup(&platform));
    ranges = fixture.bus.count[BUS_PORTS];
    pci_set_interrupt(&adapter, true);
    out8(&fixture, 0x64, 0xdd);
    assert_false(a20);
    platform_reset(&platform);
    assert_true(a20);
    assert_false(intr);
    assert_false(adapter.interrupt);
    assert_int_equal(fixture.bus.count[BUS_PORTS], ports);
    assert_int_equal(shadow_changes, 2 * HOST_BRIDGE_SEGMENTS);
    assert_true(firmware_setup(&platform));
    assert_int_equal(fixture.bus.count[BUS_PORTS], ranges);
}

/* A machine that does nothing wakes nobody. */
static void an_idle_board_has_no_timers(void **state)
{
    (void)state;
    assert_true(firmware_setup(&platform));
    assert_true(timer_queue_wait(&fixture.timers) == TIMER_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_second_board_finds_no_room, setup),
        cmocka_unit_test_setup(timer_ticks_reach_both_controllers, setup),
        cmocka_unit_test_setup(firmware_places_adapters, setup),
        cmocka_unit_test_setup(firmware_says_when_the_window_is_too_small, setup),
        cmocka_unit_test_setup(pci_interrupts_by_the_8259s, setup),
        cmocka_unit_test_setup(pci_interrupts_by_the_ioapic, setup),
        cmocka_unit_test_setup(the_power_button_and_off, setup),
        cmocka_unit_test_setup(the_clocks_alarm_is_an_acpi_event, setup),
        cmocka_unit_test_setup(the_clocks_extended_bank_is_enabled, setup),
        cmocka_unit_test_setup(the_last_change_of_a20_counts, setup),
        cmocka_unit_test_setup(every_way_to_reset, setup),
        cmocka_unit_test_setup(the_firmwares_keyboard_translates, setup),
        cmocka_unit_test_setup(the_firmware_leaves_a_mouse_that_works, setup),
        cmocka_unit_test_setup(event_timers_reach_both_controllers, setup),
        cmocka_unit_test_setup(firmware_cascades_the_dma_controllers, setup),
        cmocka_unit_test_setup(memory_size_is_in_cmos, setup),
        cmocka_unit_test_setup(reset_and_firmware_again, setup),
        cmocka_unit_test_setup(an_idle_board_has_no_timers, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
