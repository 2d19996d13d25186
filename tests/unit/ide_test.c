/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IDE controller: identity, registers, commands without data, resets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/ide_fixture.h"

static void test_pci_identity(void **state)
{
    struct machine *machine = *state;

    assert_int_equal(pci_config_read(&machine->pci, SLOT, FUNCTION, 0, 4), 0x71118086);
    assert_int_equal(pci_config_read(&machine->pci, SLOT, FUNCTION, PCI_CLASS, 2) |
                         pci_config_read(&machine->pci, SLOT, FUNCTION, PCI_CLASS + 2, 1) << 16,
                     0x010180);
    assert_int_equal(pci_config_read(&machine->pci, SLOT, FUNCTION, PCI_INTERRUPT_PIN, 1), 0);
    /* Timing registers keep what a driver sets. */
    configure(machine, 0x44, 1, 0x5a);
    configure(machine, 0x48, 1, 0xff);
    configure(machine, 0x4a, 2, 0xffff);
    assert_int_equal(pci_config_read(&machine->pci, SLOT, FUNCTION, 0x44, 1), 0x5a);
    assert_int_equal(pci_config_read(&machine->pci, SLOT, FUNCTION, 0x48, 1), 0x0f);
    assert_int_equal(pci_config_read(&machine->pci, SLOT, FUNCTION, 0x4a, 2), 0x3333);
}

static void test_decoding(void **state)
{
    struct machine *machine = *state;

    assert_int_equal(in(machine, STATUS), READY);
    configure(machine, IDE_PCI_TIMING(0), 2, 0);
    assert_int_equal(in(machine, STATUS), 0xff);
    assert_int_equal(in(machine, CONTROL), 0xff);
    assert_int_equal(in(machine, SECONDARY + 7), 0x7f);
    configure(machine, IDE_PCI_TIMING(0), 2, IDE_PCI_TIMING_DECODE);
    assert_int_equal(in(machine, STATUS), READY);
    configure(machine, PCI_COMMAND, 2, 0);
    assert_int_equal(in(machine, STATUS), 0xff);
    assert_int_equal(in(machine, MASTER_STATUS), 0xff);
    enable(machine);
    pci_bus_reset(&machine->pci);
    assert_int_equal(in(machine, STATUS), 0xff);
    enable(machine);
    assert_int_equal(in(machine, STATUS), READY);
}

/* A channel whose ports something else has stays off the bus altogether, and comes when they are free. */
static void test_port_collision(void **state)
{
    static const struct bus_operations none;
    struct machine *machine = *state;

    configure(machine, IDE_PCI_TIMING(0), 2, 0);
    assert_true(bus_add(&machine->fixture.bus, BUS_PORTS, CONTROL, 1, &none, machine, "other"));
    configure(machine, IDE_PCI_TIMING(0), 2, IDE_PCI_TIMING_DECODE);
    assert_int_equal(in(machine, STATUS), 0xff);
    bus_remove(&machine->fixture.bus, BUS_PORTS, CONTROL, machine);
    configure(machine, IDE_PCI_TIMING(0), 2, IDE_PCI_TIMING_DECODE);
    assert_int_equal(in(machine, STATUS), READY);
}

static void test_attach_rules(void **state)
{
    struct machine *machine = *state;

    assert_false(ide_attach(&machine->ide, 0, 0, &machine->disks[1], ""));
    assert_false(ide_attach(&machine->ide, 1, 1, &machine->disks[1], ""));
    assert_true(ide_attach(&machine->ide, 1, 0, &machine->disks[1], ""));
    assert_true(ide_attach(&machine->ide, 1, 1, &machine->disks[2], ""));
}

static void test_signature_after_reset(void **state)
{
    struct machine *machine = *state;

    assert_signature(machine);
}

static void test_empty_channel(void **state)
{
    struct machine *machine = *state;
    uint16_t words[8];

    for (unsigned i = 1; i < 8; i++)
        assert_int_equal(in(machine, (uint16_t)(SECONDARY + i)), 0x7f);
    assert_int_equal(in(machine, 0x376), 0x7f);
    /* Probing: what is written does not come back, and nothing answers a command. */
    out(machine, SECONDARY + 2, 0x55);
    out(machine, SECONDARY + 3, 0xaa);
    assert_int_not_equal(in(machine, SECONDARY + 2), 0x55);
    out(machine, SECONDARY + 7, 0xec);
    assert_int_equal(in(machine, SECONDARY + 7), 0x7f);
    assert_int_equal(machine->fixture.rising[IRQ + 1], 0);
    assert_int_equal(bus_block_in(&machine->fixture.bus, SECONDARY, 2, words, 8), 8);
    assert_int_equal(words[7], 0xffff);
    out(machine, 0x376, CONTROL_SRST);
    out(machine, 0x376, 0);
    assert_int_equal(in(machine, SECONDARY + 7), 0x7f);
}

static void test_absent_drive_1(void **state)
{
    struct machine *machine = *state;

    out(machine, DEVICE, 0xf0);
    assert_int_equal(in(machine, STATUS), 0);
    assert_int_equal(in(machine, CONTROL), 0);
    out(machine, COMMAND, 0xec);
    assert_int_equal(in(machine, STATUS), 0);
    assert_false(irq(machine));
    out(machine, DEVICE, 0xe0);
    assert_int_equal(in(machine, STATUS), READY);
}

static void test_two_drives(void **state)
{
    struct machine *machine = *state;
    uint16_t words[256];

    assert_true(ide_attach(&machine->ide, 0, 1, &machine->disks[1], "SERIAL-1"));
    out(machine, DEVICE, 0xf0);
    identify(machine, words);
    assert_int_equal(words[10], 'S' << 8 | 'E');
    assert_int_equal(words[13], '-' << 8 | '1');
    assert_int_equal(words[93], 0x4b00);
    /* An interrupt is seen only while its drive is selected. */
    out(machine, COMMAND, 0xe7);
    assert_true(irq(machine));
    out(machine, DEVICE, 0xe0);
    assert_false(irq(machine));
    assert_int_equal(in(machine, STATUS), READY);
    out(machine, DEVICE, 0xf0);
    assert_true(irq(machine));
    assert_idle(machine);
    /* A request goes to the selected drive's disk. */
    out(machine, DEVICE, 0xf0);
    out(machine, COUNT, 1);
    out(machine, COMMAND, 0x40);
    assert_int_equal(machine->disks[1].requests, 2);
    assert_int_equal(machine->disks[0].requests, 0);
}

static void test_identify(void **state)
{
    struct machine *machine = *state;
    uint16_t words[256];
    uint8_t sum = 0;
    char model[41] = {0};

    machine->disks[0].sectors = 0x123456789abull;
    identify(machine, words);
    for (unsigned i = 0; i < 20; i++) {
        model[2 * i] = (char)(words[27 + i] >> 8);
        model[2 * i + 1] = (char)(words[27 + i] & 0xff);
    }
    assert_string_equal(model, "Loam Virtual Disk                       ");
    assert_int_equal(words[0], 0x0040);
    assert_int_equal(words[2], 0xc837);
    assert_int_equal(words[1], 100);
    assert_int_equal(words[3], 16);
    assert_int_equal(words[6], 63);
    assert_int_equal(words[47], 0x8010);
    assert_int_equal(words[49] & 0x0300, 0x0300);
    assert_int_equal(words[60] | words[61] << 16, 0x0fffffff);
    assert_int_equal(words[63], 0x0007);
    assert_int_equal(words[64], 0x0003);
    for (unsigned i = 65; i <= 68; i++)
        assert_int_equal(words[i], 120);
    assert_int_equal(words[80], 0x01f0);
    assert_int_equal(words[105], 8);
    assert_int_equal(words[169], 1);
    assert_int_equal(words[82], 0x4068); /* neither SMART nor SECURITY nor SET MAX */
    assert_int_equal(words[83], 0x7400);
    assert_int_equal(words[84], 0x4000);
    assert_int_equal(words[85], 0x4068);
    assert_int_equal(words[86], 0x3400);
    assert_int_equal(words[87], 0x4000);
    assert_int_equal(words[88], 0x0407);
    assert_int_equal(words[93], 0x404b);
    assert_int_equal(words[100], 0x89ab);
    assert_int_equal(words[101], 0x4567);
    assert_int_equal(words[102], 0x0123);
    assert_int_equal(words[103], 0);
    for (unsigned i = 0; i < 256; i++)
        sum = (uint8_t)(sum + (words[i] & 0xff) + (words[i] >> 8));
    assert_int_equal(words[255] & 0xff, 0xa5);
    assert_int_equal(sum, 0);
}

/* A format's geometry that ATA cannot name is replaced by 16 heads and 63 sectors. */
static void test_identify_geometry_limits(void **state)
{
    struct machine *machine = *state;
    uint16_t words[256];

    machine->disks[0].sectors = 300ull << 21;
    machine->disks[0].geometry = (struct disk_geometry){65535, 16, 255};
    pci_bus_reset(&machine->pci);
    enable(machine);
    identify(machine, words);
    assert_int_equal(words[1], 16383);
    assert_int_equal(words[3], 16);
    assert_int_equal(words[6], 63);
    assert_int_equal(words[54], 16383);
    assert_int_equal(words[57] | words[58] << 16, 16383 * 16 * 63);
}

static void test_identify_by_word_and_by_dword(void **state)
{
    struct machine *machine = *state;
    uint16_t expected[256];
    uint32_t dwords[128];
    uint16_t words[256];

    identify(machine, expected);
    out(machine, COMMAND, 0xec);
    for (unsigned i = 0; i < 256; i++)
        words[i] = in16(&machine->fixture, DATA);
    assert_memory_equal(words, expected, sizeof words);
    assert_idle(machine);
    out(machine, COMMAND, 0xec);
    for (unsigned i = 0; i < 128; i++)
        dwords[i] = in32(&machine->fixture, DATA);
    assert_memory_equal(dwords, expected, sizeof dwords);
    assert_idle(machine);
    /* Past the end the bus floats. */
    assert_int_equal(in16(&machine->fixture, DATA), 0xffff);
}

static void test_unknown_commands_abort(void **state)
{
    /* Among them SMART, SECURITY, SET MAX, media locks, and what is for DVD drives. */
    static const uint8_t codes[] = {0x00, 0x08, 0xa0, 0xa1, 0xa2, 0x22, 0x32, 0x37, 0x50, 0x92, 0xb0, 0xb1, 0xda,
                                    0xde, 0xdf, 0xe4, 0xe8, 0xed, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf9, 0xff};
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof codes; i++) {
        out(machine, COMMAND, codes[i]);
        assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    }
}

static void test_nondata_commands(void **state)
{
    static const uint8_t codes[] = {0x10, 0x1f, 0xe0, 0xe1, 0xe2, 0xe3, 0x94, 0x95, 0x96, 0x97, 0xe7, 0xea};
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof codes; i++) {
        out(machine, COMMAND, codes[i]);
        assert_true(irq(machine));
        assert_idle(machine);
    }
    assert_int_equal(machine->disks[0].log[0].operation, DISK_FLUSH); /* before STANDBY */
}

static void test_power_modes(void **state)
{
    static const struct {
        uint8_t command;
        uint8_t mode;
    } steps[] = {
        {0xe5, 0xff},
        {0xe1, 0x80},
        {0xe0, 0x00}
    };
    struct machine *machine = *state;

    for (unsigned i = 0; i < 3; i++) {
        out(machine, COMMAND, steps[i].command);
        out(machine, COMMAND, 0xe5);
        assert_int_equal(in(machine, COUNT), steps[i].mode);
    }
    /* Data wakes the drive. */
    command28(machine, 0x40, 0, 1);
    out(machine, COMMAND, 0xe5);
    assert_int_equal(in(machine, COUNT), 0xff);
    /* Asleep it takes no command, until a reset. */
    out(machine, COMMAND, 0xe6);
    assert_true(irq(machine));
    assert_idle(machine);
    out(machine, COMMAND, 0xec);
    assert_idle(machine);
    out(machine, CONTROL, CONTROL_SRST);
    out(machine, CONTROL, 0);
    out(machine, COMMAND, 0xe5);
    assert_int_equal(in(machine, COUNT), 0xff);
}

static void test_read_native_maximum(void **state)
{
    struct machine *machine = *state;

    machine->disks[0].sectors = 0x123456789abull;
    out(machine, DEVICE, 0xe0);
    out(machine, COMMAND, 0xf8);
    assert_int_equal(in(machine, LOW), 0xfe);
    assert_int_equal(in(machine, HIGH), 0xff);
    assert_int_equal(in(machine, DEVICE), 0xef);
    out(machine, DEVICE, 0xe0);
    out(machine, COMMAND, 0x27);
    assert_int_equal(in(machine, LOW), 0xaa);
    assert_int_equal(in(machine, MIDDLE), 0x89);
    assert_int_equal(in(machine, HIGH), 0x67);
    out(machine, CONTROL, CONTROL_HOB);
    assert_int_equal(in(machine, LOW), 0x45);
    assert_int_equal(in(machine, MIDDLE), 0x23);
    assert_int_equal(in(machine, HIGH), 0x01);
    /* By cylinder, head and sector: the last one of the translation. */
    out(machine, DEVICE, 0xa0);
    out(machine, COMMAND, 0xf8);
    assert_int_equal(in(machine, LOW), 63);
    assert_int_equal(in(machine, MIDDLE), 99);
    assert_int_equal(in(machine, HIGH), 0);
    assert_int_equal(in(machine, DEVICE), 0xaf);
}

static void test_set_features(void **state)
{
    struct machine *machine = *state;
    uint16_t words[256];

    feature(machine, 0x03, 0x22);
    assert_true(irq(machine));
    identify(machine, words);
    assert_int_equal(words[63], 0x0407);
    assert_int_equal(words[88], 0x0007);
    feature(machine, 0x03, 0x43); /* Ultra DMA 3 is beyond the PIIX4 */
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    feature(machine, 0x03, 0x0c);
    assert_true(irq(machine));
    in(machine, STATUS);
    feature(machine, 0x05, 0x80);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    feature(machine, 0x55, 0);
    feature(machine, 0x82, 0);
    assert_int_equal(machine->disks[0].log[0].operation, DISK_FLUSH);
    identify(machine, words);
    assert_int_equal(words[85] & 0x60, 0);
    feature(machine, 0x02, 0);
    feature(machine, 0xaa, 0);
    identify(machine, words);
    assert_int_equal(words[85] & 0x60, 0x60);
}

static void test_nien(void **state)
{
    struct machine *machine = *state;

    out(machine, CONTROL, CONTROL_NIEN);
    out(machine, COMMAND, 0xe7);
    assert_false(irq(machine));
    assert_int_equal(in(machine, MASTER_STATUS), 0);
    out(machine, CONTROL, 0);
    assert_true(irq(machine));
    /* A command acknowledges what is pending. */
    out(machine, CONTROL, CONTROL_NIEN);
    out(machine, COMMAND, 0xec);
    out(machine, CONTROL, 0);
    assert_true(irq(machine));
    out(machine, CONTROL, CONTROL_SRST);
    assert_false(irq(machine));
    out(machine, CONTROL, 0);
    assert_false(irq(machine));
}

static void test_soft_reset(void **state)
{
    struct machine *machine = *state;
    uint16_t words[256];

    command28(machine, 0xc6, 0, 8);
    feature(machine, 0x55, 0);
    command28(machine, 0x20, 100, 5);
    assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
    out(machine, CONTROL, CONTROL_SRST);
    assert_int_equal(in(machine, STATUS), IDE_STATUS_BSY);
    out(machine, LOW, 0x55); /* not heard */
    out(machine, COMMAND, 0xec);
    assert_int_equal(in(machine, STATUS), IDE_STATUS_BSY);
    out(machine, CONTROL, 0);
    assert_signature(machine);
    identify(machine, words);
    assert_int_equal(words[59], 0);
    assert_int_equal(words[85] & 0x40, 0x40);
    /* Settings that are to be kept are. */
    feature(machine, 0x66, 0);
    command28(machine, 0xc6, 0, 8);
    out(machine, CONTROL, CONTROL_SRST);
    out(machine, CONTROL, 0);
    identify(machine, words);
    assert_int_equal(words[59], 0x0108);
}

static void test_diagnostic(void **state)
{
    struct machine *machine = *state;

    assert_true(ide_attach(&machine->ide, 0, 1, &machine->disks[1], ""));
    out(machine, DEVICE, 0xf0);
    out(machine, LOW, 0x55);
    out(machine, COMMAND, 0x90);
    assert_true(irq(machine)); /* drive 0 reports, and is selected */
    assert_signature(machine);
    assert_int_equal(in(machine, DEVICE) & 0x10, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, ide_set_up, ide_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_pci_identity),
        TEST(test_decoding),
        TEST(test_port_collision),
        TEST(test_attach_rules),
        TEST(test_signature_after_reset),
        TEST(test_empty_channel),
        TEST(test_absent_drive_1),
        TEST(test_two_drives),
        TEST(test_identify),
        TEST(test_identify_geometry_limits),
        TEST(test_identify_by_word_and_by_dword),
        TEST(test_unknown_commands_abort),
        TEST(test_nondata_commands),
        TEST(test_power_modes),
        TEST(test_read_native_maximum),
        TEST(test_set_features),
        TEST(test_nien),
        TEST(test_soft_reset),
        TEST(test_diagnostic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
