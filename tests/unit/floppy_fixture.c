/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/floppy_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void make_disk(struct disk *disk, struct disk_geometry geometry)
{
    *disk = (struct disk){
        .sectors = (uint64_t)geometry.cylinders * geometry.heads * geometry.sectors_per_track,
        .geometry = geometry,
    };
}

static void make_controller(struct machine *machine, enum floppy_drive_type type)
{
    const struct floppy_configuration configuration = {
        .dma = &machine->dma,
        .timers = &machine->fixture.timers,
        .line = fixture_line(&machine->fixture, IRQ),
        .drives = {type, FLOPPY_DRIVE_1440},
    };

    assert_true(floppy_initialize(&machine->floppy, &machine->fixture.bus, &configuration));
}

static void make_machine(struct machine *machine, enum floppy_drive_type type)
{
    fixture_initialize(&machine->fixture);
    assert_true(i8237_initialize(&machine->dma, &machine->fixture.bus, &machine->memory));
    out(machine, 0xd6, 0xc0);
    out(machine, 0xd4, 0x00);
    make_controller(machine, type);
}

int floppy_set_up(void **state)
{
    struct machine *machine = calloc(1, sizeof *machine);

    machine->ram = calloc(1, MEMORY_SIZE);
    assert_true(guest_memory_add(&machine->memory, 0, MEMORY_SIZE, machine->ram));
    for (unsigned i = 0; i < 2; i++)
        make_disk(&machine->disks[i], (struct disk_geometry){80, 2, 18});
    make_machine(machine, FLOPPY_DRIVE_1440);
    assert_true(floppy_insert(&machine->floppy, 0, &machine->disks[0]));
    out(machine, DOR, 0x1c);
    out(machine, CHANGED, FLOPPY_RATE_500K);
    *state = machine;
    return 0;
}

int floppy_tear_down(void **state)
{
    struct machine *machine = *state;

    free(machine->ram);
    free(machine);
    return 0;
}

void use_medium(struct machine *machine, enum floppy_drive_type type, struct disk_geometry geometry)
{
    make_machine(machine, type);
    make_disk(&machine->disks[0], geometry);
    assert_true(floppy_insert(&machine->floppy, 0, &machine->disks[0]));
    out(machine, DOR, 0x1c);
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

void command(struct machine *machine, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        assert_int_equal(in(machine, STATUS) & 0xf0, i ? 0x90 : 0x80);
        out(machine, FIFO, bytes[i]);
    }
}

void assert_results(struct machine *machine, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        assert_int_equal(in(machine, STATUS) & 0xf0, RESULTS);
        assert_int_equal(in(machine, FIFO), bytes[i]);
    }
    assert_int_equal(in(machine, STATUS) & 0xf0, READY);
}

void wait_interrupt(struct machine *machine)
{
    unsigned before = machine->fixture.rising[IRQ];

    fixture_advance(&machine->fixture, FLOPPY_LATENCY - 1);
    assert_int_equal(machine->fixture.rising[IRQ], before);
    fixture_advance(&machine->fixture, 1);
    assert_int_equal(machine->fixture.rising[IRQ], before + 1);
    assert_true(irq(machine));
}

void program_dma(struct machine *machine, uint8_t mode, size_t length)
{
    out(machine, 0x0a, 0x06);
    out(machine, 0x0c, 0x00);
    out(machine, 0x04, BUFFER & 0xff);
    out(machine, 0x04, BUFFER >> 8 & 0xff);
    out(machine, 0x05, (length - 1) & 0xff);
    out(machine, 0x05, (length - 1) >> 8 & 0xff);
    out(machine, 0x81, BUFFER >> 16);
    out(machine, 0x0b, mode | 2);
    out(machine, 0x0a, 0x02);
}

void assert_sectors(struct machine *machine, uint32_t address, uint64_t sector, unsigned sectors)
{
    uint8_t expected[DISK_SECTOR_SIZE];

    for (unsigned i = 0; i < sectors; i++) {
        fake_disk_sector(&machine->disks[0], sector + i, expected);
        assert_memory_equal(machine->ram + address + i * DISK_SECTOR_SIZE, expected, sizeof expected);
    }
}

void seek(struct machine *machine, uint8_t cylinder)
{
    COMMAND(machine, 0x0f, 0x00, cylinder);
    wait_interrupt(machine);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x20, cylinder);
    assert_false(irq(machine));
}

void no_implied_seeks(struct machine *machine, unsigned threshold)
{
    COMMAND(machine, 0x13, 0x00, (uint8_t)(threshold - 1), 0x00);
}
