/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/ide_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void no_space(void *context, struct disk *disk)
{
    struct machine *machine = context;

    machine->no_space = disk;
    machine->no_space_calls++;
}

static void medium_released(void *context, struct disk *disk)
{
    struct machine *machine = context;

    assert_null(disk->pending);
    machine->released = disk;
    machine->released_calls++;
}

static void no_interrupt(void *context, unsigned slot, unsigned pin, bool level)
{
    (void)context;
    (void)slot;
    (void)pin;
    (void)level;
    fail(); /* the function has no pin */
}

void configure(struct machine *machine, unsigned offset, unsigned size, uint32_t value)
{
    pci_config_write(&machine->pci, SLOT, FUNCTION, offset, size, value);
}

void enable(struct machine *machine)
{
    configure(machine, IDE_PCI_TIMING(0), 2, IDE_PCI_TIMING_DECODE);
    configure(machine, IDE_PCI_TIMING(1), 2, IDE_PCI_TIMING_DECODE);
    configure(machine, PCI_BAR_0 + 16, 4, BUS_MASTER);
    configure(machine, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

int ide_set_up(void **state)
{
    struct machine *machine = calloc(1, sizeof *machine);
    struct ide_configuration configuration;

    fixture_initialize(&machine->fixture);
    assert_true(pci_bus_initialize(&machine->pci, &machine->fixture.bus, no_interrupt, NULL));
    machine->ram = aligned_alloc(4096, MEMORY_SIZE);
    memset(machine->ram, 0, MEMORY_SIZE);
    assert_true(guest_memory_add(&machine->memory, 0, MEMORY_SIZE, machine->ram));
    for (unsigned i = 0; i < 3; i++) {
        machine->disks[i].sectors = 100 * 16 * 63;
        machine->disks[i].geometry = (struct disk_geometry){100, 16, 63};
    }
    configuration = (struct ide_configuration){
        .memory = &machine->memory,
        .lines = {fixture_line(&machine->fixture, IRQ), fixture_line(&machine->fixture, IRQ + 1)},
        .no_space = no_space,
        .medium_released = medium_released,
        .machine = machine,
    };
    assert_true(ide_initialize(&machine->ide, &machine->pci, SLOT, FUNCTION, &configuration));
    assert_true(ide_attach(&machine->ide, 0, 0, &machine->disks[0], "SERIAL-0"));
    enable(machine);
    *state = machine;
    return 0;
}

int ide_tear_down(void **state)
{
    struct machine *machine = *state;

    free(machine->ram);
    free(machine);
    return 0;
}

void out(struct machine *machine, uint16_t port, uint8_t value)
{
    out8(&machine->fixture, port, value);
}

uint8_t in(struct machine *machine, uint16_t port)
{
    return in8(&machine->fixture, port);
}

bool irq(struct machine *machine)
{
    return machine->fixture.level[IRQ];
}

void command28(struct machine *machine, uint8_t code, uint32_t sector, uint8_t count)
{
    out(machine, DEVICE, 0xe0 | sector >> 24);
    out(machine, COUNT, count);
    out(machine, LOW, sector & 0xff);
    out(machine, MIDDLE, sector >> 8 & 0xff);
    out(machine, HIGH, sector >> 16 & 0xff);
    out(machine, COMMAND, code);
}

void command48(struct machine *machine, uint8_t code, uint64_t sector, uint16_t count)
{
    out(machine, DEVICE, 0xe0);
    for (unsigned level = 2; level-- > 0;) {
        out(machine, COUNT, count >> (8 * level) & 0xff);
        out(machine, LOW, sector >> (24 * level) & 0xff);
        out(machine, MIDDLE, sector >> (24 * level + 8) & 0xff);
        out(machine, HIGH, sector >> (24 * level + 16) & 0xff);
    }
    out(machine, COMMAND, code);
}

void feature(struct machine *machine, uint8_t subcommand, uint8_t count)
{
    out(machine, DEVICE, 0xe0);
    out(machine, ERROR, subcommand);
    out(machine, COUNT, count);
    out(machine, COMMAND, 0xef);
}

void assert_idle(struct machine *machine)
{
    assert_int_equal(in(machine, STATUS), READY);
    assert_false(irq(machine));
}

void assert_error(struct machine *machine, uint8_t status, uint8_t error)
{
    assert_true(irq(machine));
    assert_int_equal(in(machine, STATUS), READY | status);
    assert_int_equal(in(machine, ERROR), error);
    assert_false(irq(machine));
}

void read_words(struct machine *machine, void *data, size_t words)
{
    uint8_t *bytes = data;

    while (words > 0) {
        size_t moved = bus_block_in(&machine->fixture.bus, DATA, 2, bytes, words);

        assert_in_range(moved, 1, words);
        bytes += 2 * moved;
        words -= moved;
    }
}

void write_words(struct machine *machine, const void *data, size_t words)
{
    const uint8_t *bytes = data;

    while (words > 0) {
        size_t moved = bus_block_out(&machine->fixture.bus, DATA, 2, bytes, words);

        assert_in_range(moved, 1, words);
        bytes += 2 * moved;
        words -= moved;
    }
}

void assert_sector(struct machine *machine, uint64_t sector, const uint8_t *data)
{
    uint8_t expected[DISK_SECTOR_SIZE];

    fake_disk_sector(&machine->disks[0], sector, expected);
    assert_memory_equal(data, expected, DISK_SECTOR_SIZE);
}

void identify(struct machine *machine, uint16_t words[256])
{
    out(machine, COMMAND, 0xec);
    assert_true(irq(machine));
    assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
    read_words(machine, words, 256);
    assert_idle(machine);
}

void pattern(uint8_t *data, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)(i * 7 + i / 512 + seed);
}

void assert_signature(struct machine *machine)
{
    assert_int_equal(in(machine, STATUS), READY);
    assert_int_equal(in(machine, ERROR), 0x01);
    assert_int_equal(in(machine, COUNT), 0x01);
    assert_int_equal(in(machine, LOW), 0x01);
    assert_int_equal(in(machine, MIDDLE), 0x00);
    assert_int_equal(in(machine, HIGH), 0x00);
}
