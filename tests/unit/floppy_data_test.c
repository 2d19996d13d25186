/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The floppy controller's commands that have to do with what is on the medium. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/floppy_fixture.h"

#define TO_MEMORY   0x44
#define FROM_MEMORY 0x48

#define READ_DATA    0x46
#define READ_DELETED 0x4c
#define WRITE_DATA   0x45
#define READ_TRACK   0x42
#define VERIFY       0x56
#define FORMAT       0x4d
#define READ_ID      0x4a
#define MULTI_TRACK  0x80
#define SKIP         0x20

/* A command with nine bytes; the head is told twice, as systems do. */
static void transfer(struct machine *machine, uint8_t code, uint8_t c, uint8_t h, uint8_t r, uint8_t end_of_track)
{
    COMMAND(machine, code, (uint8_t)(h << 2), c, h, r, 2, end_of_track, 0x1b, 0xff);
    assert_int_equal(in(machine, STATUS) & 0xd0, 0x10);
    wait_interrupt(machine);
}

static void fill_memory(struct machine *machine, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        machine->ram[BUFFER + i] = (uint8_t)(i * 5 + i / 512 + seed);
}

/* ---- Reading ---- */

static void read_a_sector(void **state)
{
    struct machine *machine = *state;

    program_dma(machine, TO_MEMORY, 512);
    transfer(machine, READ_DATA, 0, 0, 1, 18);
    ASSERT_RESULTS(machine, 0x00, 0, 0, 0, 0, 2, 2);
    assert_false(irq(machine));
    assert_sectors(machine, BUFFER, 0, 1);
    assert_int_equal(machine->ram[BUFFER + 512], 0);
    assert_int_equal(in(machine, 0x08) & 0x44, 0x04); /* terminal count, no request left */
}

/* As SeaBIOS reads: all flags set, EOT the last sector wanted, terminal count with it, and no seek before. */
static void read_as_firmware(void **state)
{
    struct machine *machine = *state;

    program_dma(machine, TO_MEMORY, 3 * 512);
    transfer(machine, 0xe6, 12, 1, 4, 6);
    ASSERT_RESULTS(machine, 0x24, 0, 0, 13, 0, 1, 2);
    assert_sectors(machine, BUFFER, (12 * 2 + 1) * 18 + 3, 3);
    assert_int_equal(machine->floppy.drives[0].cylinder, 12);
}

static void read_both_sides(void **state)
{
    struct machine *machine = *state;

    seek(machine, 3);
    program_dma(machine, TO_MEMORY, 36 * 512);
    transfer(machine, READ_DATA | MULTI_TRACK, 3, 0, 1, 18);
    ASSERT_RESULTS(machine, 0x04, 0, 0, 4, 0, 1, 2);
    assert_sectors(machine, BUFFER, 3 * 36, 36);
}

/* What the ID is afterwards: 82077AA datasheet, table 5-5. */
static void the_id_afterwards(void **state)
{
    static const struct {
        uint8_t code, h, r;
        uint8_t results[7];
    } cases[] = {
        {READ_DATA,               0, 5,  {0x00, 0, 0, 0, 0, 6, 2}},
        {READ_DATA,               0, 18, {0x00, 0, 0, 1, 0, 1, 2}},
        {READ_DATA,               1, 18, {0x04, 0, 0, 1, 1, 1, 2}},
        {READ_DATA | MULTI_TRACK, 0, 5,  {0x00, 0, 0, 0, 0, 6, 2}},
        {READ_DATA | MULTI_TRACK, 0, 18, {0x04, 0, 0, 0, 1, 1, 2}},
        {READ_DATA | MULTI_TRACK, 1, 5,  {0x04, 0, 0, 0, 1, 6, 2}},
        {READ_DATA | MULTI_TRACK, 1, 18, {0x04, 0, 0, 1, 0, 1, 2}},
    };
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        program_dma(machine, TO_MEMORY, 512);
        transfer(machine, cases[i].code, 0, cases[i].h, cases[i].r, 18);
        /* ST0 names the head that is selected at the end, which is the next one. */
        assert_results(machine, cases[i].results, sizeof cases[i].results);
    }
}

/* More was asked for than the track has. */
static void end_of_cylinder(void **state)
{
    struct machine *machine = *state;

    program_dma(machine, TO_MEMORY, 20 * 512);
    transfer(machine, READ_DATA, 0, 0, 17, 18);
    ASSERT_RESULTS(machine, ABNORMAL, 0x80, 0, 1, 0, 1, 2);
    assert_sectors(machine, BUFFER, 16, 2);
    program_dma(machine, TO_MEMORY, 40 * 512);
    transfer(machine, READ_DATA | MULTI_TRACK, 0, 0, 18, 18);
    ASSERT_RESULTS(machine, ABNORMAL | 0x04, 0x80, 0, 1, 0, 1, 2);
    assert_sectors(machine, BUFFER, 17, 19);
}

static void terminal_count_within_a_sector(void **state)
{
    struct machine *machine = *state;

    program_dma(machine, TO_MEMORY, 700);
    transfer(machine, READ_DATA, 0, 0, 1, 18);
    ASSERT_RESULTS(machine, 0x00, 0, 0, 0, 0, 3, 2);
    assert_sectors(machine, BUFFER, 0, 1);
    assert_int_equal(machine->ram[BUFFER + 700], 0);
}

static void no_such_sector(void **state)
{
    struct machine *machine = *state;

    no_implied_seeks(machine, 1);
    program_dma(machine, TO_MEMORY, 4096);
    transfer(machine, READ_DATA, 0, 0, 19, 19);
    ASSERT_RESULTS(machine, ABNORMAL, 0x04, 0, 0, 0, 19, 2);
    transfer(machine, READ_DATA, 0, 1, 0, 18);
    ASSERT_RESULTS(machine, ABNORMAL | 0x04, 0x04, 0, 0, 1, 0, 2);
    transfer(machine, READ_DATA, 0, 0, 18, 21); /* and beyond */
    ASSERT_RESULTS(machine, ABNORMAL, 0x04, 0, 0, 0, 19, 2);
    assert_sectors(machine, BUFFER, 17, 1);
    transfer(machine, READ_DATA, 1, 0, 1, 18); /* the heads are at 0 */
    ASSERT_RESULTS(machine, ABNORMAL, 0x04, 0x10, 1, 0, 1, 2);
    COMMAND(machine, READ_DATA, 0x04, 0, 0, 1, 2, 18, 0x1b, 0xff); /* H is not the head's */
    wait_interrupt(machine);
    ASSERT_RESULTS(machine, ABNORMAL | 0x04, 0x04, 0, 0, 0, 1, 2);
    COMMAND(machine, READ_DATA, 0x00, 0, 0, 1, 3, 18, 0x1b, 0xff); /* 1024 bytes */
    wait_interrupt(machine);
    ASSERT_RESULTS(machine, ABNORMAL, 0x04, 0, 0, 0, 1, 3);
    transfer(machine, 0x06, 0, 0, 1, 18); /* FM */
    ASSERT_RESULTS(machine, ABNORMAL, 0x01, 0, 0, 0, 1, 2);
    assert_int_equal(machine->disks[0].requests, 1);
}

static void an_implied_seek(void **state)
{
    struct machine *machine = *state;

    assert_true(in(machine, CHANGED) & 0x80);
    program_dma(machine, TO_MEMORY, 512);
    transfer(machine, READ_DATA, 79, 1, 18, 18);
    ASSERT_RESULTS(machine, 0x24, 0, 0, 80, 1, 1, 2);
    assert_sectors(machine, BUFFER, 2879, 1);
    assert_false(in(machine, CHANGED) & 0x80); /* it stepped */
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0x80); /* and said so in ST0 only */
    transfer(machine, READ_DATA, 80, 0, 1, 18);
    ASSERT_RESULTS(machine, ABNORMAL | 0x20, 0x01, 0, 80, 0, 1, 2); /* nothing there */
}

/* All sectors have normal data marks. */
static void deleted_data(void **state)
{
    struct machine *machine = *state;

    program_dma(machine, TO_MEMORY, 4 * 512);
    transfer(machine, READ_DELETED, 0, 0, 1, 18);
    ASSERT_RESULTS(machine, 0x00, 0, 0x40, 0, 0, 2, 2); /* one is read */
    assert_sectors(machine, BUFFER, 0, 1);
    transfer(machine, READ_DELETED | SKIP, 0, 0, 1, 18);
    ASSERT_RESULTS(machine, ABNORMAL, 0x80, 0, 1, 0, 1, 2); /* none is */
    assert_int_equal(machine->disks[0].requests, 1);
    assert_int_equal(machine->disks[0].log[0].sectors, 1);
    transfer(machine, READ_DATA | SKIP, 0, 0, 1, 1);
    ASSERT_RESULTS(machine, ABNORMAL, 0x80, 0, 1, 0, 1, 2);
    assert_int_equal(machine->disks[0].requests, 2);
}

static void read_track(void **state)
{
    struct machine *machine = *state;

    program_dma(machine, TO_MEMORY, 18 * 512);
    transfer(machine, READ_TRACK, 0, 1, 1, 18);
    ASSERT_RESULTS(machine, 0x04, 0, 0, 1, 1, 1, 2);
    assert_sectors(machine, BUFFER, 18, 18);
    program_dma(machine, TO_MEMORY, 512);
    transfer(machine, READ_TRACK, 0, 0, 5, 18); /* begins with the first all the same, which is not 5 */
    ASSERT_RESULTS(machine, 0x00, 0x04, 0, 0, 0, 2, 2);
    assert_sectors(machine, BUFFER, 0, 1);
}

static void verify(void **state)
{
    struct machine *machine = *state;

    transfer(machine, VERIFY, 0, 0, 1, 18);
    ASSERT_RESULTS(machine, 0x00, 0, 0, 1, 0, 1, 2);
    assert_int_equal(machine->disks[0].requests, 1);
    assert_int_equal(machine->disks[0].log[0].sectors, 18);
    COMMAND(machine, VERIFY | MULTI_TRACK, 0x80, 0, 0, 18, 2, 18, 0x1b, 4); /* four sectors */
    wait_interrupt(machine);
    ASSERT_RESULTS(machine, 0x04, 0, 0, 0, 1, 4, 2);
    assert_int_equal(machine->disks[0].requests, 3);
    assert_int_equal(machine->disks[0].log[1].sectors, 1);
    assert_int_equal(machine->disks[0].log[2].sectors, 3);
    COMMAND(machine, VERIFY, 0x80, 0, 0, 18, 2, 18, 0x1b, 4); /* there are not so many */
    wait_interrupt(machine);
    ASSERT_RESULTS(machine, ABNORMAL, 0x80, 0, 1, 0, 1, 2);
}

/* What of a track failed together is read again, sector by sector, up to the bad one. */
static void a_bad_sector(void **state)
{
    struct machine *machine = *state;

    machine->disks[0].asynchronous = true;
    program_dma(machine, TO_MEMORY, 18 * 512);
    COMMAND(machine, READ_DATA, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fixture_advance(&machine->fixture, SECOND);
    machine->disks[0].error = EIO;
    machine->disks[0].errors = 1;
    fake_disk_complete(&machine->disks[0]);
    fake_disk_complete(&machine->disks[0]);
    fake_disk_complete(&machine->disks[0]);
    machine->disks[0].errors = 1;
    fake_disk_complete(&machine->disks[0]);
    ASSERT_RESULTS(machine, ABNORMAL, 0x20, 0x20, 0, 0, 3, 2);
    assert_sectors(machine, BUFFER, 0, 2);
    assert_int_equal(machine->ram[BUFFER + 1024 + 3], 0);
    assert_int_equal(machine->disks[0].requests, 4);
    assert_int_equal(machine->disks[0].log[0].sectors, 18);
    assert_int_equal(machine->disks[0].log[3].sector, 2);
}

/* As old firmware verifies: READ DATA, and the 8237A moves nothing. */
static void verify_by_dma(void **state)
{
    struct machine *machine = *state;

    program_dma(machine, 0x40, 18 * 512);
    transfer(machine, READ_DATA, 0, 0, 1, 18);
    ASSERT_RESULTS(machine, 0x00, 0, 0, 1, 0, 1, 2);
    assert_int_equal(machine->ram[BUFFER + 3], 0);
}

/* ---- Writing ---- */

static void write_sectors(void **state)
{
    struct machine *machine = *state;

    fill_memory(machine, 3 * 512, 1);
    program_dma(machine, FROM_MEMORY, 3 * 512);
    transfer(machine, WRITE_DATA | MULTI_TRACK, 7, 0, 17, 18);
    ASSERT_RESULTS(machine, 0x24, 0, 0, 7, 1, 2, 2);
    assert_sectors(machine, BUFFER, 7 * 36 + 16, 3);
    assert_int_equal(machine->disks[0].written_count, 3);
    program_dma(machine, FROM_MEMORY, 512);
    transfer(machine, 0x49, 0, 0, 1, 18); /* WRITE DELETED DATA */
    ASSERT_RESULTS(machine, 0x20, 0, 0, 0, 0, 2, 2);
    assert_sectors(machine, BUFFER, 0, 1);
}

static void the_rest_of_a_sector_is_zero(void **state)
{
    struct machine *machine = *state;
    uint8_t data[DISK_SECTOR_SIZE];

    fill_memory(machine, 512, 1);
    program_dma(machine, FROM_MEMORY, 512);
    transfer(machine, WRITE_DATA, 0, 0, 2, 18); /* something is in the buffer */
    ASSERT_RESULTS(machine, 0x00, 0, 0, 0, 0, 3, 2);
    program_dma(machine, FROM_MEMORY, 100);
    transfer(machine, WRITE_DATA, 0, 0, 1, 18);
    ASSERT_RESULTS(machine, 0x00, 0, 0, 0, 0, 2, 2);
    fake_disk_sector(&machine->disks[0], 0, data);
    assert_memory_equal(data, machine->ram + BUFFER, 100);
    for (unsigned i = 100; i < sizeof data; i++)
        assert_int_equal(data[i], 0);
    assert_int_equal(machine->disks[0].written_count, 2);
}

static void write_protected(void **state)
{
    struct machine *machine = *state;

    machine->disks[0].read_only = true;
    program_dma(machine, FROM_MEMORY, 512);
    transfer(machine, WRITE_DATA, 0, 0, 1, 18);
    ASSERT_RESULTS(machine, ABNORMAL, 0x02, 0, 0, 0, 1, 2);
    COMMAND(machine, FORMAT, 0x00, 2, 18, 0x54, 0xf6);
    wait_interrupt(machine);
    ASSERT_RESULTS(machine, ABNORMAL, 0x02, 0, 0, 0, 1, 2);
    assert_int_equal(machine->disks[0].requests, 0);
}

static void disk_errors(void **state)
{
    static const struct {
        uint8_t code, error;
        uint8_t results[7];
    } cases[] = {
        {READ_DATA,  EIO,    {ABNORMAL, 0x20, 0x20, 0, 0, 1, 2}       },
        {WRITE_DATA, EIO,    {ABNORMAL | 0x10, 0x00, 0x00, 0, 0, 1, 2}},
        {WRITE_DATA, ENOSPC, {ABNORMAL | 0x10, 0x00, 0x00, 0, 0, 1, 2}},
        {WRITE_DATA, EROFS,  {ABNORMAL, 0x02, 0x00, 0, 0, 1, 2}       },
    };
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        machine->disks[0].errors = cases[i].code == READ_DATA ? 2 : 1;
        machine->disks[0].error = cases[i].error;
        program_dma(machine, cases[i].code == READ_DATA ? TO_MEMORY : FROM_MEMORY, 512);
        transfer(machine, cases[i].code, 0, 0, 1, 18);
        assert_results(machine, cases[i].results, sizeof cases[i].results);
    }
    program_dma(machine, TO_MEMORY, 512);
    transfer(machine, READ_DATA, 0, 0, 1, 18); /* all is well again */
    ASSERT_RESULTS(machine, 0x00, 0, 0, 0, 0, 2, 2);
}

static void format_track(void **state)
{
    struct machine *machine = *state;
    uint8_t data[DISK_SECTOR_SIZE];

    seek(machine, 2);
    for (uint8_t i = 0; i < 18; i++) { /* two sectors apart */
        const uint8_t id[4] = {2, 1, (uint8_t)(i * 2 % 18 + i / 9 + 1), 2};

        memcpy(machine->ram + BUFFER + 4 * i, id, 4);
    }
    program_dma(machine, FROM_MEMORY, 4 * 18);
    COMMAND(machine, FORMAT, 0x04, 2, 18, 0x54, 0xf6);
    wait_interrupt(machine);
    ASSERT_RESULTS(machine, 0x04, 0, 0, 2, 1, 18, 2);
    assert_int_equal(machine->disks[0].written_count, 18);
    for (unsigned i = 0; i < 18; i++) {
        fake_disk_sector(&machine->disks[0], 5 * 18 + i, data);
        for (unsigned j = 0; j < sizeof data; j++)
            assert_int_equal(data[j], 0xf6);
    }
    COMMAND(machine, 0x0e); /* SC takes the place of EOT */
    ASSERT_RESULTS(machine, 2, 0, 0, 0, 0, 0, 18, 0, 0x60, 0);
}

/* The medium has the sectors that it has. */
static void format_what_is_not_there(void **state)
{
    static const uint8_t ids[][4] = {
        {0, 0, 19, 2},
        {1, 0, 1,  2},
        {0, 1, 1,  2},
        {0, 0, 1,  3}
    };
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        memcpy(machine->ram + BUFFER, ids[i], 4);
        program_dma(machine, FROM_MEMORY, 4);
        COMMAND(machine, FORMAT, 0x00, 2, 1, 0x54, 0xf6);
        wait_interrupt(machine);
        ASSERT_RESULTS(machine, ABNORMAL, 0x04, i == 1 ? 0x10 : 0, ids[i][0], ids[i][1], ids[i][2], ids[i][3]);
    }
    COMMAND(machine, FORMAT, 0x00, 2, 0, 0x54, 0xf6); /* no sectors at all */
    wait_interrupt(machine);
    ASSERT_RESULTS(machine, 0x00, 0, 0, 0, 0, 1, 2);
    out(machine, CHANGED, FLOPPY_RATE_250K);
    COMMAND(machine, FORMAT, 0x00, 2, 9, 0x50, 0xf6); /* 720 KB */
    wait_interrupt(machine);
    ASSERT_RESULTS(machine, ABNORMAL, 0x01, 0, 0, 0, 1, 2);
    assert_int_equal(machine->disks[0].written_count, 0);
}

/* ---- Without DMA ---- */

/* Each byte is asked for in the status register, and by an interrupt without the FIFO. */
static void read_bytes(void **state)
{
    struct machine *machine = *state;
    uint8_t expected[DISK_SECTOR_SIZE];

    COMMAND(machine, 0x03, 0xaf, 0x03);
    transfer(machine, READ_DATA, 0, 0, 18, 18);
    fake_disk_sector(&machine->disks[0], 17, expected);
    machine->fixture.rising[IRQ] = 0;
    for (unsigned i = 0; i < 512; i++) {
        assert_true(irq(machine));
        assert_int_equal(in(machine, STATUS), 0xf0);
        out(machine, FIFO, 0xaa); /* the wrong direction */
        assert_int_equal(in(machine, FIFO), expected[i]);
    }
    assert_int_equal(machine->fixture.rising[IRQ], 512);
    assert_true(irq(machine));
    ASSERT_RESULTS(machine, ABNORMAL, 0x80, 0, 1, 0, 1, 2); /* nobody gives a terminal count */
    assert_false(irq(machine));
}

static void read_with_a_threshold(void **state)
{
    struct machine *machine = *state;

    no_implied_seeks(machine, 16);
    COMMAND(machine, 0x03, 0xaf, 0x03);
    transfer(machine, READ_DATA, 0, 0, 1, 2);
    machine->fixture.rising[IRQ] = 0;
    for (unsigned i = 0; i < 1024; i++) {
        assert_int_equal(irq(machine), i % 16 == 0);
        in(machine, FIFO);
    }
    assert_int_equal(machine->fixture.rising[IRQ], 64);
    ASSERT_RESULTS(machine, ABNORMAL, 0x80, 0, 1, 0, 1, 2);
}

static void write_bytes(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, 0x03, 0xaf, 0x03);
    fill_memory(machine, 1024, 9);
    transfer(machine, WRITE_DATA, 0, 0, 17, 18);
    for (unsigned i = 0; i < 1024; i++) {
        assert_true(irq(machine));
        assert_int_equal(in(machine, STATUS), 0xb0);
        assert_int_equal(in(machine, FIFO), 0xff); /* the wrong direction */
        out(machine, FIFO, machine->ram[BUFFER + i]);
    }
    ASSERT_RESULTS(machine, ABNORMAL, 0x80, 0, 1, 0, 1, 2);
    assert_sectors(machine, BUFFER, 16, 2);
}

static void format_with_bytes(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, 0x03, 0xaf, 0x03);
    COMMAND(machine, FORMAT, 0x00, 2, 2, 0x54, 0xe5);
    wait_interrupt(machine);
    for (uint8_t i = 1; i <= 2; i++) {
        out(machine, FIFO, 0);
        out(machine, FIFO, 0);
        out(machine, FIFO, i);
        out(machine, FIFO, 2);
    }
    ASSERT_RESULTS(machine, 0x00, 0, 0, 0, 0, 2, 2);
    assert_int_equal(machine->disks[0].written_count, 2);
}

/* ---- DMA that is late ---- */

static void dma_gets_ready_later(void **state)
{
    struct machine *machine = *state;

    program_dma(machine, TO_MEMORY, 512);
    out(machine, 0x0a, 0x06);
    COMMAND(machine, READ_DATA, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fixture_advance(&machine->fixture, 50 * MILLISECOND);
    assert_false(irq(machine));
    assert_int_equal(in(machine, STATUS), 0x10);
    assert_int_equal(in(machine, 0x08) & 0x40, 0x40); /* it asks */
    out(machine, 0x0a, 0x02);
    fixture_advance(&machine->fixture, 2 * MILLISECOND);
    assert_true(irq(machine));
    ASSERT_RESULTS(machine, 0x00, 0, 0, 0, 0, 2, 2);
    assert_sectors(machine, BUFFER, 0, 1);
}

static void overrun(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, READ_DATA, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fixture_advance(&machine->fixture, SECOND);
    assert_true(irq(machine));
    ASSERT_RESULTS(machine, ABNORMAL, 0x10, 0, 0, 0, 1, 2);
    assert_int_equal(in(machine, 0x08) & 0x40, 0);
    program_dma(machine, FROM_MEMORY, 512);
    out(machine, DOR, 0x14); /* the gate holds it back */
    COMMAND(machine, WRITE_DATA, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fixture_advance(&machine->fixture, SECOND);
    out(machine, DOR, 0x1c);
    ASSERT_RESULTS(machine, ABNORMAL, 0x10, 0, 0, 0, 1, 2);
    assert_int_equal(machine->disks[0].written_count, 0);
    assert_true(timer_queue_wait(&machine->fixture.timers) == TIMER_NEVER);
}

/* ---- Media ---- */

/* Systems find out by the rate what is in the drive. */
static void data_rates(void **state)
{
    static const struct {
        enum floppy_drive_type type;
        struct disk_geometry geometry;
        enum floppy_rate rate;
    } cases[] = {
        {FLOPPY_DRIVE_1200, {40, 1, 8},  FLOPPY_RATE_300K},
        {FLOPPY_DRIVE_1200, {40, 2, 9},  FLOPPY_RATE_300K},
        {FLOPPY_DRIVE_1200, {80, 2, 15}, FLOPPY_RATE_500K},
        {FLOPPY_DRIVE_1440, {80, 2, 9},  FLOPPY_RATE_250K},
        {FLOPPY_DRIVE_1440, {40, 2, 9},  FLOPPY_RATE_250K},
        {FLOPPY_DRIVE_1440, {80, 2, 18}, FLOPPY_RATE_500K},
        {FLOPPY_DRIVE_1440, {80, 2, 21}, FLOPPY_RATE_500K},
        {FLOPPY_DRIVE_2880, {80, 2, 18}, FLOPPY_RATE_500K},
        {FLOPPY_DRIVE_2880, {80, 2, 36}, FLOPPY_RATE_1M  },
    };
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        use_medium(machine, cases[i].type, cases[i].geometry);
        for (uint8_t rate = 0; rate < 4; rate++) {
            out(machine, i & 1 ? CHANGED : STATUS, rate); /* CCR and DSR */
            COMMAND(machine, READ_ID, 0x00);
            wait_interrupt(machine);
            if (rate == cases[i].rate)
                ASSERT_RESULTS(machine, 0x00, 0, 0, 0, 0, 1, 2);
            else
                ASSERT_RESULTS(machine, ABNORMAL, 0x01, 0, 0, 0, 1, 2);
        }
    }
}

/* The sectors pass one after the other, so that their number can be found out. */
static void read_id(void **state)
{
    struct machine *machine = *state;
    uint32_t seen = 0;

    seek(machine, 4);
    for (unsigned i = 0; i < 36; i++) {
        uint8_t r;

        COMMAND(machine, READ_ID, 0x04);
        wait_interrupt(machine);
        r = (uint8_t)(timer_now(&machine->fixture.timers) % (200 * MILLISECOND) * 18 / (200 * MILLISECOND) + 1);
        ASSERT_RESULTS(machine, 0x04, 0, 0, 4, 1, r, 2);
        seen |= 1u << r;
        fixture_advance(&machine->fixture, 200 * MILLISECOND / 18);
    }
    assert_int_equal(seen, 0x7fffe);
    COMMAND(machine, 0x0a, 0x00); /* FM */
    wait_interrupt(machine);
    ASSERT_RESULTS(machine, ABNORMAL, 0x01, 0, 4, 0, 1, 2);
}

static void one_sided(void **state)
{
    struct machine *machine = *state;

    use_medium(machine, FLOPPY_DRIVE_1200, (struct disk_geometry){40, 1, 9});
    out(machine, CHANGED, FLOPPY_RATE_300K);
    program_dma(machine, TO_MEMORY, 1024);
    transfer(machine, READ_DATA | MULTI_TRACK, 1, 0, 9, 9);
    ASSERT_RESULTS(machine, ABNORMAL | 0x24, 0x01, 0, 1, 1, 1, 2);
    assert_sectors(machine, BUFFER, 17, 1);
}

/* 40 wide tracks in a drive of 80: two steps for each, or, as virtual machines' firmware does, one. */
static void wide_tracks(void **state)
{
    struct machine *machine = *state;

    use_medium(machine, FLOPPY_DRIVE_1200, (struct disk_geometry){40, 2, 9});
    out(machine, CHANGED, FLOPPY_RATE_300K);
    no_implied_seeks(machine, 1);
    seek(machine, 78);
    program_dma(machine, TO_MEMORY, 512);
    transfer(machine, READ_DATA, 39, 1, 9, 9);
    ASSERT_RESULTS(machine, 0x04, 0, 0, 40, 1, 1, 2);
    assert_sectors(machine, BUFFER, 719, 1);
    transfer(machine, READ_DATA, 38, 1, 9, 9);
    ASSERT_RESULTS(machine, ABNORMAL | 0x04, 0x04, 0x10, 38, 1, 9, 2);
    seek(machine, 39);
    program_dma(machine, TO_MEMORY, 512);
    transfer(machine, READ_DATA, 39, 0, 1, 9);
    ASSERT_RESULTS(machine, 0x00, 0, 0, 39, 0, 2, 2);
    assert_sectors(machine, BUFFER, 39 * 18, 1);
    seek(machine, 80);
    transfer(machine, READ_DATA, 40, 0, 1, 9);
    ASSERT_RESULTS(machine, ABNORMAL, 0x01, 0, 40, 0, 1, 2);
}

static void an_empty_drive(void **state)
{
    struct machine *machine = *state;

    program_dma(machine, TO_MEMORY, 512);
    for (uint8_t unit = 1; unit < 3; unit++) { /* and none at all */
        COMMAND(machine, READ_DATA, unit, 0, 0, 1, 2, 18, 0x1b, 0xff);
        wait_interrupt(machine);
        ASSERT_RESULTS(machine, ABNORMAL | unit, 0x01, 0, 0, 0, 1, 2);
        COMMAND(machine, WRITE_DATA, unit, 0, 0, 1, 2, 18, 0x1b, 0xff);
        wait_interrupt(machine);
        ASSERT_RESULTS(machine, ABNORMAL | unit, 0x01, 0, 0, 0, 1, 2);
        COMMAND(machine, READ_ID, unit);
        wait_interrupt(machine);
        ASSERT_RESULTS(machine, ABNORMAL | unit, 0x01, 0, 0, 0, 1, 2);
    }
}

static void the_second_drive(void **state)
{
    struct machine *machine = *state;
    uint8_t expected[DISK_SECTOR_SIZE];

    assert_true(floppy_insert(&machine->floppy, 1, &machine->disks[1]));
    program_dma(machine, TO_MEMORY, 512);
    COMMAND(machine, READ_DATA, 0x01, 10, 0, 1, 2, 18, 0x1b, 0xff);
    wait_interrupt(machine);
    ASSERT_RESULTS(machine, 0x21, 0, 0, 10, 0, 2, 2);
    fake_disk_sector(&machine->disks[1], 360, expected);
    assert_memory_equal(machine->ram + BUFFER, expected, sizeof expected);
    assert_int_equal(machine->disks[0].requests, 0);
    assert_int_equal(machine->floppy.drives[0].cylinder, 0);
}

/* ---- Slow disks ---- */

static void a_slow_disk(void **state)
{
    struct machine *machine = *state;

    machine->disks[0].asynchronous = true;
    program_dma(machine, TO_MEMORY, 1024);
    COMMAND(machine, READ_DATA, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fixture_advance(&machine->fixture, SECOND);
    assert_int_equal(in(machine, STATUS), 0x10);
    assert_false(floppy_is_quiet(&machine->floppy));
    assert_false(irq(machine));
    fake_disk_complete(&machine->disks[0]);
    assert_true(irq(machine));
    assert_true(floppy_is_quiet(&machine->floppy));
    ASSERT_RESULTS(machine, 0x00, 0, 0, 0, 0, 3, 2);
    assert_sectors(machine, BUFFER, 0, 2);
}

/* Nothing begins before the request of the time before is back: it has the buffer. */
static void a_reset_meanwhile(void **state)
{
    struct machine *machine = *state;

    machine->disks[0].asynchronous = true;
    program_dma(machine, TO_MEMORY, 512);
    COMMAND(machine, READ_DATA, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fixture_advance(&machine->fixture, SECOND);
    out(machine, DOR, 0x18);
    out(machine, DOR, 0x1c);
    fixture_advance(&machine->fixture, SECOND);
    assert_int_equal(in(machine, STATUS), 0);
    assert_false(irq(machine));
    fake_disk_complete(&machine->disks[0]);
    assert_int_equal(in(machine, STATUS), READY);
    assert_true(irq(machine));
    COMMAND(machine, 0x08);
    ASSERT_RESULTS(machine, 0xc0, 0);
    assert_int_equal(machine->ram[BUFFER + 3], 0);
}

/* The same with a held reset, and with the machine's. */
static void other_resets_meanwhile(void **state)
{
    struct machine *machine = *state;

    machine->disks[0].asynchronous = true;
    program_dma(machine, TO_MEMORY, 512);
    COMMAND(machine, READ_DATA, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fixture_advance(&machine->fixture, SECOND);
    out(machine, DOR, 0x18);
    fake_disk_complete(&machine->disks[0]);
    assert_int_equal(in(machine, STATUS), 0);
    out(machine, DOR, 0x1c);
    wait_interrupt(machine);
    COMMAND(machine, READ_DATA, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fixture_advance(&machine->fixture, SECOND);
    floppy_reset(&machine->floppy);
    assert_int_equal(in(machine, STATUS), 0);
    fake_disk_complete(&machine->disks[0]);
    assert_int_equal(in(machine, STATUS), READY);
}

static void ejected_meanwhile(void **state)
{
    struct machine *machine = *state;

    machine->disks[0].asynchronous = true;
    program_dma(machine, TO_MEMORY, 1024);
    COMMAND(machine, READ_DATA, 0x00, 0, 0, 1, 2, 18, 0x1b, 0xff);
    fixture_advance(&machine->fixture, SECOND);
    assert_ptr_equal(floppy_eject(&machine->floppy, 0), &machine->disks[0]);
    assert_true(floppy_insert(&machine->floppy, 0, &machine->disks[1]));
    fake_disk_complete(&machine->disks[0]);
    assert_true(irq(machine));
    ASSERT_RESULTS(machine, ABNORMAL, 0x01, 0, 0, 0, 1, 2);
    assert_true(floppy_is_quiet(&machine->floppy));
    transfer(machine, READ_DATA, 0, 0, 1, 18);
    ASSERT_RESULTS(machine, 0x00, 0, 0, 0, 0, 3, 2);
    assert_int_equal(machine->disks[1].requests, 1);
}

/* What was read ahead is not given out any more. */
static void ejected_between_sectors(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, 0x03, 0xaf, 0x03);
    transfer(machine, READ_DATA, 0, 0, 1, 18);
    for (unsigned i = 0; i < 512; i++) {
        if (i == 200)
            floppy_eject(&machine->floppy, 0);
        in(machine, FIFO);
    }
    ASSERT_RESULTS(machine, ABNORMAL, 0x01, 0, 0, 0, 2, 2);
}

/* While the guest is writing a sector bytewise. */
static void ejected_before_a_write(void **state)
{
    struct machine *machine = *state;

    COMMAND(machine, 0x03, 0xaf, 0x03);
    transfer(machine, WRITE_DATA, 0, 0, 1, 18);
    for (unsigned i = 0; i < 511; i++)
        out(machine, FIFO, (uint8_t)i);
    floppy_eject(&machine->floppy, 0);
    assert_true(floppy_insert(&machine->floppy, 0, &machine->disks[1])); /* it was not meant for this one */
    out(machine, FIFO, 0xff);
    ASSERT_RESULTS(machine, ABNORMAL, 0x01, 0, 0, 0, 1, 2);
    assert_int_equal(machine->disks[0].requests + machine->disks[1].requests, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        floppy_case(read_a_sector),
        floppy_case(read_as_firmware),
        floppy_case(read_both_sides),
        floppy_case(the_id_afterwards),
        floppy_case(end_of_cylinder),
        floppy_case(terminal_count_within_a_sector),
        floppy_case(no_such_sector),
        floppy_case(an_implied_seek),
        floppy_case(deleted_data),
        floppy_case(read_track),
        floppy_case(verify),
        floppy_case(a_bad_sector),
        floppy_case(verify_by_dma),
        floppy_case(write_sectors),
        floppy_case(the_rest_of_a_sector_is_zero),
        floppy_case(write_protected),
        floppy_case(disk_errors),
        floppy_case(format_track),
        floppy_case(format_what_is_not_there),
        floppy_case(read_bytes),
        floppy_case(read_with_a_threshold),
        floppy_case(write_bytes),
        floppy_case(format_with_bytes),
        floppy_case(dma_gets_ready_later),
        floppy_case(overrun),
        floppy_case(data_rates),
        floppy_case(read_id),
        floppy_case(one_sided),
        floppy_case(wide_tracks),
        floppy_case(an_empty_drive),
        floppy_case(the_second_drive),
        floppy_case(a_slow_disk),
        floppy_case(a_reset_meanwhile),
        floppy_case(other_resets_meanwhile),
        floppy_case(ejected_meanwhile),
        floppy_case(ejected_between_sectors),
        floppy_case(ejected_before_a_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
