/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IDE controller: data by the bus master. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/ide_fixture.h"

static void set_prd(struct machine *machine, unsigned index, uint32_t address, uint32_t count)
{
    uint32_t descriptor[2] = {address, count};

    memcpy(machine->ram + TABLE + 8 * index, descriptor, sizeof descriptor);
}

static void start_master(struct machine *machine, bool to_memory)
{
    out32(&machine->fixture, MASTER_TABLE, TABLE);
    out(machine, MASTER_STATUS, 0x66);
    out(machine, MASTER_COMMAND, to_memory ? 0x08 : 0x00);
    out(machine, MASTER_COMMAND, to_memory ? 0x09 : 0x01);
}

static uint8_t master_bits(struct machine *machine)
{
    return in(machine, MASTER_STATUS) & 0x07;
}

static void test_dma_no_space(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[0];

    pattern(machine->ram + BUFFER, 4096, 4);
    set_prd(machine, 0, BUFFER, 4096 | LAST);
    disk->asynchronous = true;
    disk->error = ENOSPC;
    disk->errors = 1;
    command28(machine, 0xca, 20, 8);
    start_master(machine, false);
    fake_disk_complete(disk);
    assert_int_equal(machine->no_space_calls, 1);
    assert_true(ide_is_quiet(&machine->ide));
    ide_resume(&machine->ide);
    fake_disk_complete(disk);
    assert_true(irq(machine));
    for (unsigned i = 0; i < 8; i++)
        assert_sector(machine, 20 + i, machine->ram + BUFFER + i * DISK_SECTOR_SIZE);
}

static void test_dma_read(void **state)
{
    struct machine *machine = *state;

    set_prd(machine, 0, BUFFER, 0x1000);
    set_prd(machine, 1, BUFFER + 0x10000, 0x1000 | LAST);
    command28(machine, 0xc8, 500, 16);
    assert_int_equal(in(machine, STATUS) & IDE_STATUS_BSY, IDE_STATUS_BSY);
    assert_int_equal(machine->disks[0].requests, 0);
    start_master(machine, true);
    assert_true(irq(machine));
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_INTERRUPT);
    assert_idle(machine);
    for (unsigned i = 0; i < 8; i++) {
        assert_sector(machine, 500 + i, machine->ram + BUFFER + i * DISK_SECTOR_SIZE);
        assert_sector(machine, 508 + i, machine->ram + BUFFER + 0x10000 + i * DISK_SECTOR_SIZE);
    }
    assert_int_equal(machine->disks[0].requests, 1);
    assert_int_equal(machine->disks[0].log[0].vector_count, 2);
    out(machine, MASTER_COMMAND, 0x08);
    out(machine, MASTER_STATUS, IDE_BUS_MASTER_INTERRUPT);
    assert_int_equal(master_bits(machine), 0);
}

/* The engine may be started first, and with a full table of 64 KiB: count 0. */
static void test_dma_started_before_command(void **state)
{
    struct machine *machine = *state;

    pattern(machine->ram + BUFFER, 0x20000, 8);
    set_prd(machine, 0, BUFFER, 0);
    set_prd(machine, 1, BUFFER + 0x10000, LAST);
    start_master(machine, false);
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_ACTIVE);
    command48(machine, 0x35, 64, 256);
    assert_true(irq(machine));
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_INTERRUPT);
    assert_int_equal(machine->disks[0].requests, 1);
    assert_int_equal(machine->disks[0].log[0].vector_count, 1); /* memory that follows itself is one piece */
    for (unsigned i = 0; i < 256; i++)
        assert_sector(machine, 64 + i, machine->ram + BUFFER + i * DISK_SECTOR_SIZE);
}

static void test_dma_long_table(void **state)
{
    struct machine *machine = *state;

    set_prd(machine, 0, BUFFER, 0x2000 | LAST);
    command28(machine, 0xc8, 0, 8);
    start_master(machine, true);
    assert_true(irq(machine));
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_INTERRUPT | IDE_BUS_MASTER_ACTIVE);
    assert_int_equal(machine->ram[BUFFER + 0x1000], 0);
    out(machine, MASTER_COMMAND, 0);
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_INTERRUPT);
}

/* The table ends first: no interrupt, engine idle, drive waiting; a new table takes it further. */
static void test_dma_short_table(void **state)
{
    struct machine *machine = *state;

    set_prd(machine, 0, BUFFER, 0x400 | LAST);
    command28(machine, 0xc8, 30, 3);
    start_master(machine, true);
    assert_false(irq(machine));
    assert_int_equal(master_bits(machine), 0);
    assert_int_equal(in(machine, STATUS) & IDE_STATUS_BSY, IDE_STATUS_BSY);
    assert_sector(machine, 31, machine->ram + BUFFER + DISK_SECTOR_SIZE);
    set_prd(machine, 0, BUFFER + 0x1000, 0x200 | LAST);
    start_master(machine, true);
    assert_true(irq(machine));
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_INTERRUPT);
    assert_sector(machine, 32, machine->ram + BUFFER + 0x1000);
}

/* A table that ends within a sector, in memory that follows the last whole one. */
static void test_dma_table_ends_within_sector(void **state)
{
    struct machine *machine = *state;

    set_prd(machine, 0, BUFFER, 0x200);
    set_prd(machine, 1, BUFFER + 0x200, 0x100 | LAST);
    command28(machine, 0xc8, 30, 3);
    start_master(machine, true);
    assert_int_equal(master_bits(machine), 0);
    assert_int_equal(machine->disks[0].requests, 1);
    assert_int_equal(machine->disks[0].log[0].sectors, 1);
    assert_sector(machine, 30, machine->ram + BUFFER);
    assert_int_equal(machine->ram[BUFFER + 0x200], 0);
}

static void test_dma_odd_pieces(void **state)
{
    struct machine *machine = *state;
    static const uint32_t sizes[] = {2, 510, 6, 1000, 20, 510};
    uint32_t address = BUFFER + 2;
    uint8_t data[4 * DISK_SECTOR_SIZE];
    size_t gathered = 0;

    for (unsigned i = 0; i < 6; i++) {
        set_prd(machine, i, address, sizes[i] | (i == 5 ? LAST : 0));
        address += 0x10000;
    }
    command28(machine, 0xc8, 60, 4);
    start_master(machine, true);
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_INTERRUPT);
    address = BUFFER + 2;
    for (unsigned i = 0; i < 6; i++) {
        memcpy(data + gathered, machine->ram + address, sizes[i]);
        assert_int_equal(machine->ram[address + sizes[i]], 0);
        gathered += sizes[i];
        address += 0x10000;
    }
    assert_int_equal(gathered, sizeof data);
    for (unsigned i = 0; i < 4; i++)
        assert_sector(machine, 60 + i, data + i * DISK_SECTOR_SIZE);
}

/* Two bytes a region: as many vectors as there can be for a sector, sector by sector. */
static void test_dma_smallest_pieces(void **state)
{
    struct machine *machine = *state;
    uint8_t data[3 * DISK_SECTOR_SIZE];

    for (unsigned i = 0; i < 3 * 256; i++)
        set_prd(machine, i, BUFFER + 4 * i, 2 | (i == 3 * 256 - 1 ? LAST : 0));
    command28(machine, 0xc8, 90, 3);
    start_master(machine, true);
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_INTERRUPT);
    for (unsigned i = 0; i < 3 * 256; i++)
        memcpy(data + 2 * i, machine->ram + BUFFER + 4 * i, 2);
    for (unsigned i = 0; i < 3; i++)
        assert_sector(machine, 90 + i, data + i * DISK_SECTOR_SIZE);
    assert_int_equal(machine->disks[0].requests, 3);
}

/* 65536 sectors in a full table of 4 KiB regions; nothing recurses, requests stay few. */
static void test_dma_largest(void **state)
{
    struct machine *machine = *state;
    uint32_t table = 0x10000;

    machine->disks[0].sectors = 1ull << 30;
    for (unsigned i = 0; i < 8192; i++) {
        uint32_t descriptor[2] = {BUFFER + (i % 64) * 0x2000, 0x1000 | (i == 8191 ? LAST : 0)};

        memcpy(machine->ram + table + 8 * i, descriptor, 8);
    }
    command48(machine, 0x25, 0, 0);
    out32(&machine->fixture, MASTER_TABLE, table);
    out(machine, MASTER_COMMAND, 0x09);
    assert_true(irq(machine));
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_INTERRUPT);
    assert_int_equal(machine->disks[0].requests, 8192 / IDE_VECTORS);
    assert_sector(machine, 65535, machine->ram + BUFFER + 63 * 0x2000 + 7 * DISK_SECTOR_SIZE);
}

/* A table without an end stops at 64 KiB. */
static void test_dma_endless_table(void **state)
{
    struct machine *machine = *state;
    uint32_t table = 0x10000;

    machine->disks[0].sectors = 1ull << 30;
    for (unsigned i = 0; i < 8192; i++) {
        uint32_t descriptor[2] = {BUFFER, 2};

        memcpy(machine->ram + table + 8 * i, descriptor, 8);
    }
    command48(machine, 0x25, 0, 0);
    out32(&machine->fixture, MASTER_TABLE, table);
    out(machine, MASTER_COMMAND, 0x09);
    assert_false(irq(machine));
    assert_int_equal(master_bits(machine), 0);
    assert_int_equal(machine->disks[0].requests, 8192 / 256);
}

static void test_dma_faults(void **state)
{
    static const uint32_t bad[] = {MEMORY_SIZE, MEMORY_SIZE - 512, 0xfffffffe, 0xfffff000};
    struct machine *machine = *state;

    for (unsigned i = 0; i < 4; i++) {
        set_prd(machine, 0, bad[i], 0x1000 | LAST);
        command28(machine, 0xc8, 100, 8);
        start_master(machine, true);
        assert_int_equal(master_bits(machine) & (IDE_BUS_MASTER_ERROR | IDE_BUS_MASTER_ACTIVE), IDE_BUS_MASTER_ERROR);
        assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
        out(machine, MASTER_STATUS, 0x06);
        assert_int_equal(master_bits(machine), 0);
        out(machine, MASTER_COMMAND, 0);
    }
    assert_int_equal(machine->disks[0].requests, 0);
    /* The table itself is not RAM. */
    command28(machine, 0xc8, 100, 8);
    out32(&machine->fixture, MASTER_TABLE, 0xfffffffc);
    out(machine, MASTER_COMMAND, 0x09);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    out(machine, MASTER_COMMAND, 0);
    /* Good regions before the bad one are served, and the guest hears where it ended. */
    set_prd(machine, 0, BUFFER, 0x1000);
    set_prd(machine, 1, MEMORY_SIZE, 0x1000 | LAST);
    command28(machine, 0xc8, 100, 16);
    start_master(machine, true);
    assert_int_equal(in(machine, LOW), 108);
    assert_int_equal(in(machine, COUNT), 8);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
}

static void test_dma_wrong_direction(void **state)
{
    struct machine *machine = *state;

    set_prd(machine, 0, BUFFER, 0x1000 | LAST);
    command28(machine, 0xca, 100, 8);
    start_master(machine, true);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    assert_int_equal(machine->disks[0].requests, 0);
}

static void test_dma_error(void **state)
{
    struct machine *machine = *state;

    machine->disks[0].error = EIO;
    machine->disks[0].errors = 1;
    set_prd(machine, 0, BUFFER, 0x1000 | LAST);
    command28(machine, 0xc8, 100, 8);
    start_master(machine, true);
    assert_int_equal(in(machine, LOW), 100);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_UNC);
}

static void test_dma_needs_bus_master_enable(void **state)
{
    struct machine *machine = *state;

    configure(machine, PCI_COMMAND, 2, PCI_COMMAND_IO);
    set_prd(machine, 0, BUFFER, 0x1000 | LAST);
    command28(machine, 0xc8, 100, 8);
    start_master(machine, true);
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_ACTIVE);
    assert_false(irq(machine));
    assert_int_equal(machine->disks[0].requests, 0);
    configure(machine, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    assert_true(irq(machine));
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_INTERRUPT);
}

static void test_dma_stopped_in_flight(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[0];

    disk->asynchronous = true;
    for (unsigned i = 0; i < 300; i++)
        set_prd(machine, i, BUFFER + i * 0x1000, 0x200 | (i == 299 ? LAST : 0));
    command48(machine, 0x25, 0, 300);
    start_master(machine, true);
    out(machine, MASTER_COMMAND, 0x08);
    fake_disk_complete(disk);
    assert_null(disk->pending); /* the drive waits */
    assert_false(irq(machine));
    assert_int_equal(in(machine, STATUS) & IDE_STATUS_BSY, IDE_STATUS_BSY);
    start_master(machine, true);
    fake_disk_complete(disk);
    assert_true(irq(machine));
    assert_int_equal(disk->log[1].sector, 256);
    assert_int_equal(disk->log[1].sectors, 44);
}

static void test_dma_reset_in_flight(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[0];

    disk->asynchronous = true;
    set_prd(machine, 0, BUFFER, 0x1000 | LAST);
    command28(machine, 0xc8, 100, 8);
    start_master(machine, true);
    out(machine, MASTER_COMMAND, 0);
    out(machine, CONTROL, CONTROL_SRST);
    out(machine, CONTROL, 0);
    assert_int_equal(in(machine, STATUS), IDE_STATUS_BSY);
    fake_disk_complete(disk);
    assert_signature(machine);
    assert_int_equal(master_bits(machine), 0);
    assert_int_equal(machine->fixture.rising[IRQ], 0);
}

static void test_bus_master_registers(void **state)
{
    struct machine *machine = *state;

    out32(&machine->fixture, MASTER_TABLE, 0x12345677);
    assert_int_equal(in32(&machine->fixture, MASTER_TABLE), 0x12345674);
    out16(&machine->fixture, MASTER_TABLE + 2, 0xabcd);
    assert_int_equal(in32(&machine->fixture, MASTER_TABLE), 0xabcd5674);
    out(machine, MASTER_STATUS, 0xe0);
    assert_int_equal(in(machine, MASTER_STATUS), 0x60);
    out(machine, BUS_MASTER + 10, 0x20);
    assert_int_equal(in(machine, MASTER_STATUS), 0x60); /* the other channel's is its own */
    assert_int_equal(in32(&machine->fixture, BUS_MASTER), 0x00600000);
    /* The direction cannot change while the engine runs. */
    out(machine, MASTER_COMMAND, 0x09);
    out(machine, MASTER_COMMAND, 0x01);
    assert_int_equal(in(machine, MASTER_COMMAND), 0x09);
    out(machine, MASTER_COMMAND, 0x00);
    assert_int_equal(master_bits(machine), 0);
    out(machine, MASTER_COMMAND, 0x00);
    assert_int_equal(in(machine, MASTER_COMMAND), 0x00);
}

/* PIIX4: the interrupt bit is set by the edge of the line, for every command. */
static void test_bus_master_interrupt_bit(void **state)
{
    struct machine *machine = *state;

    out(machine, COMMAND, 0xe7);
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_INTERRUPT);
    out(machine, MASTER_STATUS, IDE_BUS_MASTER_INTERRUPT);
    assert_int_equal(master_bits(machine), 0);
    assert_true(irq(machine));
    in(machine, STATUS);
    out(machine, COMMAND, 0xe7);
    assert_int_equal(master_bits(machine), IDE_BUS_MASTER_INTERRUPT);
}

/* Writes an entry of the list that a TRIM brings. */
static void set_range(struct machine *machine, unsigned index, uint64_t sector, uint64_t sectors)
{
    uint64_t value = sector | sectors << 48;

    memcpy(machine->ram + BUFFER + 8 * index, &value, sizeof value);
}

static void trim(struct machine *machine, uint16_t blocks)
{
    set_prd(machine, 0, BUFFER, (uint32_t)(blocks * DISK_SECTOR_SIZE) | LAST);
    out(machine, ERROR, 0x01);
    command48(machine, 0x06, 0, blocks);
    start_master(machine, false);
}

static void expect_request(const struct machine *machine, unsigned number, uint64_t sector, uint32_t sectors)
{
    const struct fake_disk_entry *entry = &machine->disks[0].log[number];

    assert_int_equal(entry->operation, DISK_DISCARD);
    assert_int_equal(entry->sector, sector);
    assert_int_equal(entry->sectors, sectors);
}

static void test_trim(void **state)
{
    struct machine *machine = *state;
    uint64_t sectors = machine->disks[0].sectors;

    memset(machine->ram + BUFFER, 0, 2 * DISK_SECTOR_SIZE);
    set_range(machine, 0, 40, 8);
    set_range(machine, 5, 0, 1); /* those between are padding */
    set_range(machine, 64, sectors - 20, 20);
    set_range(machine, 127, 100, 30);
    trim(machine, 2);
    assert_true(irq(machine));
    assert_idle(machine);
    assert_int_equal(machine->disks[0].requests, 4);
    expect_request(machine, 0, 40, 8);
    expect_request(machine, 1, 0, 1);
    expect_request(machine, 2, sectors - 20, 20);
    expect_request(machine, 3, 100, 30);
}

/* Nothing is done if any of it cannot be. */
static void test_trim_refused(void **state)
{
    struct machine *machine = *state;
    uint64_t sectors = machine->disks[0].sectors;

    memset(machine->ram + BUFFER, 0, DISK_SECTOR_SIZE);
    set_range(machine, 0, 40, 8);
    set_range(machine, 1, sectors - 1, 2);
    trim(machine, 1);
    assert_error(machine, 0x01, 0x10);
    set_range(machine, 1, 0xffffffffffff, 0xffff);
    trim(machine, 1);
    assert_error(machine, 0x01, 0x10);
    assert_int_equal(machine->disks[0].requests, 0);

    out(machine, ERROR, 0x01);
    command48(machine, 0x06, 0, 9); /* more than IDENTIFY DEVICE allows */
    assert_error(machine, 0x01, 0x04);
    out(machine, ERROR, 0x01);
    command48(machine, 0x06, 0, 0);
    assert_error(machine, 0x01, 0x04);
    out(machine, ERROR, 0x02); /* no TRIM */
    command48(machine, 0x06, 0, 1);
    assert_error(machine, 0x01, 0x04);
    machine->disks[0].read_only = true;
    trim(machine, 1);
    assert_error(machine, 0x01, 0x04);
    machine->disks[0].read_only = false;

    set_range(machine, 1, 50, 8);
    machine->disks[0].error = EIO;
    machine->disks[0].errors = 1;
    trim(machine, 1);
    assert_error(machine, 0x21, 0x04);
    assert_int_equal(machine->disks[0].requests, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, ide_set_up, ide_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_trim),
        TEST(test_trim_refused),
        TEST(test_dma_no_space),
        TEST(test_dma_read),
        TEST(test_dma_started_before_command),
        TEST(test_dma_long_table),
        TEST(test_dma_short_table),
        TEST(test_dma_table_ends_within_sector),
        TEST(test_dma_odd_pieces),
        TEST(test_dma_smallest_pieces),
        TEST(test_dma_largest),
        TEST(test_dma_endless_table),
        TEST(test_dma_faults),
        TEST(test_dma_wrong_direction),
        TEST(test_dma_error),
        TEST(test_dma_needs_bus_master_enable),
        TEST(test_dma_stopped_in_flight),
        TEST(test_dma_reset_in_flight),
        TEST(test_bus_master_registers),
        TEST(test_bus_master_interrupt_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
