/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The floppy controller's registers, and its commands that read and write no data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/floppy_fixture.h"

static void reset_by_dor(struct machine *machine)
{
    out(machine, DOR, 0x18);
    out(machine, DOR, 0x1c);
}

static void sense_all_drives(struct machine *machine)
{
    for (uint8_t i = 0; i < 4; i++) {
        COMMAND(machine, 0x08);
        ASSERT_RESULTS(machine, 0xc0 | i, 0);
    }
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x80); /* nothing more to tell */
}

static void power_on(void **state)
{
    struct machine *machine = *state;

    floppy_reset(&machine->floppy);
    assert_int_equal(in(machine, DOR), 0x0c);
    assert_int_equal(in(machine, STATUS), READY);
    assert_false(irq(machine));
    assert_int_equal(in(machine, 0x3f0), 0xff); /* SRA and SRB are not there in AT mode */
    assert_int_equal(in(machine, 0x3f1), 0xff);
    out(machine, TAPE, 0xfe);
    assert_int_equal(in(machine, TAPE) & 3, 2);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x80);
    COMMAND(machine, 0x0e);
    ASSERT_RESULTS(machine, 0, 0, 0, 0, 0, 0, 0, 0, 0x60, 0);
    assert_true(timer_queue_wait(&machine->fixture.timers) == TIMER_NEVER);
}

/* Port 3F6h is the IDE controller's. */
static void ports(void **state)
{
    struct machine *machine = *state;
    static const struct bus_operations operations = {.widest = 1};
    struct bus *bus = &machine->fixture.bus;

    assert_true(bus_add(bus, BUS_PORTS, 0x3f6, 1, &operations, machine, "IDE"));
    assert_false(bus_add(bus, BUS_PORTS, 0x3f5, 1, &operations, machine, "taken"));
    assert_false(bus_add(bus, BUS_PORTS, 0x3f7, 1, &operations, machine, "taken"));
}

static void reset_and_polling(void **state)
{
    struct machine *machine = *state;

    out(machine, DOR, 0x18);
    assert_int_equal(in(machine, STATUS), 0);
    fixture_advance(&machine->fixture, SECOND);
    assert_int_equal(in(machine, STATUS), 0);
    assert_false(irq(machine));
    out(machine, FIFO, 0x10); /* is not heard */
    out(machine, DOR, 0x1c);
    assert_int_equal(in(machine, STATUS), 0);
    wait_interrupt(machine);
    assert_int_equal(in(machine, STATUS), READY);
    sense_all_drives(machine);
    assert_false(irq(machine));
}

static void reset_by_the_data_rate_register(void **state)
{
    struct machine *machine = *state;

    out(machine, STATUS, 0x80);
    assert_int_equal(in(machine, STATUS), 0);
    wait_interrupt(machine);
    sense_all_drives(machine);
    out(machine, DOR, 0x18);
    out(machine, STATUS, 0x80);
    fixture_advance(&machine->fixture, SECOND);
    assert_int_equal(in(machine, STATUS), 0); /* DOR holds it */
}

/* As SeaBIOS does: one SENSE INTERRUPT STATUS after a reset, and the next is for a seek. */
static void a_seek_overtakes_polling(void **state)
{
    struct machine *machine = *state;

    reset_by_dor(machine);
    wait_interrupt(machine);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0xc0, 0);
    COMMAND(machine, 0x07, 0x00);
    wait_interrupt(machine);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x20, 0);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x80);
}

static void interrupts_pass_the_dma_gate(void **state)
{
    struct machine *machine = *state;

    out(machine, DOR, 0x14);
    COMMAND(machine, 0x07, 0x00);
    fixture_advance(&machine->fixture, SECOND);
    assert_false(irq(machine));
    out(machine, DOR, 0x1c);
    assert_true(irq(machine));
}

static void version(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, 0x10);
    ASSERT_RESULTS(machine, 0x90);
    assert_false(irq(machine));
}

/* PART ID and SCAN among them. */
static void invalid_commands(void **state)
{
    static const uint8_t codes[] = {0x00, 0x01, 0x18, 0x80, 0x51, 0x59, 0x5d, 0x33, 0xff, 0x48, 0x90, 0xc2, 0x87};
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof codes; i++) {
        COMMAND(machine, codes[i]);
        ASSERT_RESULTS(machine, 0x80);
        assert_false(irq(machine));
    }
}

/* No number of bytes leaves the FIFO: results are read too often, commands get too many bytes. */
static void the_fifo_is_bounded(void **state)
{
    struct machine *machine = *state;

    for (unsigned code = 0; code < 256; code++) {
        reset_by_dor(machine);
        fixture_advance(&machine->fixture, SECOND);
        out(machine, FIFO, (uint8_t)code);
        for (unsigned i = 0; i < 1000; i++)
            out(machine, FIFO, 0x8e);
        for (unsigned i = 0; i < 1000; i++)
            in(machine, FIFO);
        fixture_advance(&machine->fixture, SECOND);
        for (unsigned i = 0; i < 1000; i++)
            in(machine, FIFO);
        assert_true(machine->floppy.count < FLOPPY_FIFO_SIZE);
    }
}

static void settings(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, 0x03, 0xaf, 0x02);
    COMMAND(machine, 0x13, 0x00, 0x1a, 0x07);
    COMMAND(machine, 0x12, 0x97); /* overwrite, drives 0 and 2... */
    COMMAND(machine, 0x12, 0x28); /* not the drives */
    seek(machine, 5);
    COMMAND(machine, 0x0e);
    ASSERT_RESULTS(machine, 5, 0, 0, 0, 0xaf, 0x02, 0, 0x14, 0x1a, 0x07);
    COMMAND(machine, 0x12, 0x83);
    reset_by_dor(machine);
    wait_interrupt(machine);
    COMMAND(machine, 0x0e);
    ASSERT_RESULTS(machine, 5, 0, 0, 0, 0xaf, 0x02, 0, 0x00, 0x60, 0x00);
}

static void locked_settings(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, 0x13, 0x00, 0x1a, 0x07);
    COMMAND(machine, 0x94);
    ASSERT_RESULTS(machine, 0x10);
    reset_by_dor(machine);
    wait_interrupt(machine);
    COMMAND(machine, 0x0e);
    ASSERT_RESULTS(machine, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x4a, 0x07);
    COMMAND(machine, 0x14);
    ASSERT_RESULTS(machine, 0x00);
    reset_by_dor(machine);
    wait_interrupt(machine);
    COMMAND(machine, 0x0e);
    ASSERT_RESULTS(machine, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x60, 0x00);
    COMMAND(machine, 0x94);
    ASSERT_RESULTS(machine, 0x10);
    floppy_reset(&machine->floppy); /* power-on knows no lock */
    COMMAND(machine, 0x0e);
    ASSERT_RESULTS(machine, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x60, 0x00);
}

static void drive_status(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, 0x04, 0x00);
    ASSERT_RESULTS(machine, 0x38);
    COMMAND(machine, 0x04, 0x04);
    ASSERT_RESULTS(machine, 0x3c);
    seek(machine, 1);
    machine->disks[0].read_only = true;
    COMMAND(machine, 0x04, 0x00);
    ASSERT_RESULTS(machine, 0x68);
    COMMAND(machine, 0x04, 0x01); /* empty */
    ASSERT_RESULTS(machine, 0x79);
    COMMAND(machine, 0x04, 0x02); /* no drive */
    ASSERT_RESULTS(machine, 0x2a);
}

static void seeks(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, 0x0f, 0x00, 40);
    assert_int_equal(in(machine, STATUS), READY | 0x01);
    wait_interrupt(machine);
    assert_int_equal(in(machine, STATUS), READY);
    COMMAND(machine, 0x08);
    assert_false(irq(machine));
    ASSERT_RESULTS(machine, 0x20, 40);
    assert_int_equal(machine->floppy.drives[0].cylinder, 40);
    COMMAND(machine, 0xcf, 0x00, 10); /* relative, inwards */
    wait_interrupt(machine);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x20, 50);
    COMMAND(machine, 0x8f, 0x00, 45);
    wait_interrupt(machine);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x20, 5);
    assert_int_equal(machine->floppy.drives[0].cylinder, 5);
    seek(machine, 255);
    assert_int_equal(machine->floppy.drives[0].cylinder, 83); /* the stop */
}

/* 79 steps do not bring the heads home from behind track 79. */
static void recalibrate(void **state)
{
    struct machine *machine = *state;

    seek(machine, 82);
    COMMAND(machine, 0x07, 0x00);
    wait_interrupt(machine);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x70, 0);
    COMMAND(machine, 0x07, 0x00);
    wait_interrupt(machine);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x20, 0);
    COMMAND(machine, 0x07, 0x02); /* no drive there: track 0 never comes */
    wait_interrupt(machine);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x72, 0);
    COMMAND(machine, 0x07, 0x01); /* empty, but there */
    wait_interrupt(machine);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x21, 0);
}

/* Each interrupts; the second when the first has been asked about. */
static void seeks_at_the_same_time(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, 0x0f, 0x01, 7);
    COMMAND(machine, 0x0f, 0x00, 9);
    assert_int_equal(in(machine, STATUS), READY | 0x03);
    fixture_advance(&machine->fixture, FLOPPY_LATENCY);
    assert_true(irq(machine));
    COMMAND(machine, 0x08);
    assert_false(irq(machine));
    ASSERT_RESULTS(machine, 0x20, 9);
    assert_true(irq(machine));
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x21, 7);
    assert_false(irq(machine));
}

static void a_reset_ends_seeks(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, 0x0f, 0x00, 40);
    reset_by_dor(machine);
    wait_interrupt(machine);
    assert_int_equal(machine->floppy.drives[0].cylinder, 0);
    sense_all_drives(machine);
}

/* A step resets the line, if there is a medium; the recalibration of heads that are home makes none. */
static void disk_change_line(void **state)
{
    struct machine *machine = *state;

    assert_true(in(machine, CHANGED) & 0x80);
    COMMAND(machine, 0x07, 0x00);
    wait_interrupt(machine);
    assert_true(in(machine, CHANGED) & 0x80);
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x20, 0);
    seek(machine, 1);
    assert_false(in(machine, CHANGED) & 0x80);
    out(machine, DOR, 0x2d);
    assert_true(in(machine, CHANGED) & 0x80); /* B: is empty */
    out(machine, DOR, 0x4e);
    assert_false(in(machine, CHANGED) & 0x80); /* there is no third */
    out(machine, DOR, 0x1c);
    assert_ptr_equal(floppy_eject(&machine->floppy, 0), &machine->disks[0]);
    assert_true(in(machine, CHANGED) & 0x80);
    seek(machine, 0);
    assert_true(in(machine, CHANGED) & 0x80);
    assert_true(floppy_insert(&machine->floppy, 0, &machine->disks[1]));
    assert_true(in(machine, CHANGED) & 0x80);
    seek(machine, 1);
    assert_false(in(machine, CHANGED) & 0x80);
}

static void insert_and_eject(void **state)
{
    struct machine *machine = *state;
    struct floppy *floppy = &machine->floppy;

    assert_false(floppy_insert(floppy, 0, &machine->disks[1])); /* not empty */
    assert_false(floppy_insert(floppy, 2, &machine->disks[1]));
    assert_null(floppy_eject(floppy, 1));
    assert_null(floppy_eject(floppy, 2));
    machine->disks[1].geometry.sectors_per_track = 36;
    assert_false(floppy_insert(floppy, 1, &machine->disks[1])); /* too dense */
    machine->disks[1].geometry = (struct disk_geometry){40, 2, 9};
    assert_true(floppy_insert(floppy, 1, &machine->disks[1]));
    assert_ptr_equal(floppy_eject(floppy, 1), &machine->disks[1]);
}

static void drive_types(void **state)
{
    static const struct {
        struct disk_geometry geometry;
        enum floppy_drive_type type;
    } cases[] = {
        {{40, 1, 8},  FLOPPY_DRIVE_1200},
        {{40, 2, 9},  FLOPPY_DRIVE_1200},
        {{80, 2, 15}, FLOPPY_DRIVE_1200},
        {{80, 2, 9},  FLOPPY_DRIVE_1440},
        {{80, 2, 18}, FLOPPY_DRIVE_1440},
        {{80, 2, 21}, FLOPPY_DRIVE_1440},
        {{80, 2, 36}, FLOPPY_DRIVE_2880},
    };
    struct machine *machine = *state;

    assert_int_equal(floppy_drive_type_for(NULL), FLOPPY_DRIVE_1440);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        machine->disks[0].geometry = cases[i].geometry;
        assert_int_equal(floppy_drive_type_for(&machine->disks[0]), cases[i].type);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        floppy_case(power_on),
        floppy_case(ports),
        floppy_case(reset_and_polling),
        floppy_case(reset_by_the_data_rate_register),
        floppy_case(a_seek_overtakes_polling),
        floppy_case(interrupts_pass_the_dma_gate),
        floppy_case(version),
        floppy_case(invalid_commands),
        floppy_case(the_fifo_is_bounded),
        floppy_case(settings),
        floppy_case(locked_settings),
        floppy_case(drive_status),
        floppy_case(seeks),
        floppy_case(recalibrate),
        floppy_case(seeks_at_the_same_time),
        floppy_case(a_reset_ends_seeks),
        floppy_case(disk_change_line),
        floppy_case(insert_and_eject),
        floppy_case(drive_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
