/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IDE controller: data by programmed I/O, addresses, errors, requests in flight. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/ide_fixture.h"

static void test_pio_read(void **state)
{
    struct machine *machine = *state;
    uint8_t data[DISK_SECTOR_SIZE];

    command28(machine, 0x20, 1000, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(irq(machine));
        assert_int_equal(in(machine, CONTROL), READY | IDE_STATUS_DRQ);
        assert_true(irq(machine)); /* alternate status does not acknowledge */
        assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
        assert_false(irq(machine));
        read_words(machine, data, 256);
        assert_sector(machine, 1000 + i, data);
    }
    assert_idle(machine);
    assert_int_equal(machine->disks[0].requests, 1); /* the disk is asked once */
}

/* 256 sectors are more than the buffer holds: several requests, one DRQ block a sector all the same. */
static void test_pio_read_256(void **state)
{
    struct machine *machine = *state;
    uint8_t data[DISK_SECTOR_SIZE];

    command28(machine, 0x20, 5, 0);
    for (unsigned i = 0; i < 256; i++) {
        assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
        read_words(machine, data, 256);
        assert_sector(machine, 5 + i, data);
    }
    assert_idle(machine);
    assert_int_equal(machine->disks[0].requests, 2);
    assert_int_equal(machine->fixture.rising[IRQ], 256);
}

static void test_read_multiple(void **state)
{
    struct machine *machine = *state;
    uint8_t data[16 * DISK_SECTOR_SIZE];
    uint16_t words[256];

    command28(machine, 0xc4, 0, 1);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT); /* not set */
    command28(machine, 0xc6, 0, 32);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    command28(machine, 0xc6, 0, 12);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    command28(machine, 0xc6, 0, 16);
    assert_true(irq(machine));
    assert_idle(machine);
    identify(machine, words);
    assert_int_equal(words[59], 0x0110);

    machine->fixture.rising[IRQ] = 0;
    command28(machine, 0xc4, 40, 40);
    for (unsigned sector = 0; sector < 40; sector += 16) {
        unsigned block = 40 - sector < 16 ? 40 - sector : 16;

        assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
        read_words(machine, data, 256 * block);
        for (unsigned i = 0; i < block; i++)
            assert_sector(machine, 40 + sector + i, data + i * DISK_SECTOR_SIZE);
    }
    assert_idle(machine);
    assert_int_equal(machine->fixture.rising[IRQ], 3);
}

static void test_pio_write(void **state)
{
    struct machine *machine = *state;
    uint8_t data[3 * DISK_SECTOR_SIZE];

    pattern(data, sizeof data, 1);
    command28(machine, 0x30, 77, 3);
    assert_false(irq(machine)); /* none for the first block */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
        write_words(machine, data + i * DISK_SECTOR_SIZE, 256);
        assert_true(irq(machine));
    }
    assert_idle(machine);
    for (unsigned i = 0; i < 3; i++)
        assert_sector(machine, 77 + i, data + i * DISK_SECTOR_SIZE);
    assert_int_equal(machine->disks[0].requests, 1);
    assert_int_equal(machine->disks[0].log[0].operation, DISK_WRITE);
}

static void test_write_multiple_256(void **state)
{
    struct machine *machine = *state;
    uint8_t *data = malloc(256 * DISK_SECTOR_SIZE);

    pattern(data, 256 * DISK_SECTOR_SIZE, 9);
    command28(machine, 0xc6, 0, 16);
    in(machine, STATUS);
    machine->fixture.rising[IRQ] = 0;
    command28(machine, 0xc5, 10, 0);
    for (unsigned i = 0; i < 16; i++) {
        assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
        write_words(machine, data + i * 16 * DISK_SECTOR_SIZE, 16 * 256);
    }
    assert_true(irq(machine));
    assert_idle(machine);
    assert_int_equal(machine->fixture.rising[IRQ], 16);
    assert_int_equal(machine->disks[0].requests, 2);
    for (unsigned i = 0; i < 256; i++)
        assert_sector(machine, 10 + i, data + i * DISK_SECTOR_SIZE);
    free(data);
}

static void test_chs(void **state)
{
    struct machine *machine = *state;
    uint8_t data[DISK_SECTOR_SIZE];
    uint16_t words[256];

    /* Cylinder 2, head 3, sector 4 of 16 heads and 63 sectors. */
    out(machine, DEVICE, 0xa3);
    out(machine, COUNT, 1);
    out(machine, LOW, 4);
    out(machine, MIDDLE, 2);
    out(machine, HIGH, 0);
    out(machine, COMMAND, 0x20);
    read_words(machine, data, 256);
    assert_sector(machine, (2 * 16 + 3) * 63 + 3, data);
    /* Another translation: 4 heads, 17 sectors. */
    out(machine, DEVICE, 0xa3);
    out(machine, COUNT, 17);
    out(machine, COMMAND, 0x91);
    assert_true(irq(machine));
    identify(machine, words);
    assert_int_equal(words[54], 100 * 16 * 63 / (4 * 17));
    assert_int_equal(words[55], 4);
    assert_int_equal(words[56], 17);
    assert_int_equal(words[3], 16); /* the default does not change */
    out(machine, DEVICE, 0xa3);
    out(machine, COUNT, 1);
    out(machine, LOW, 4);
    out(machine, MIDDLE, 2);
    out(machine, COMMAND, 0x20);
    read_words(machine, data, 256);
    assert_sector(machine, (2 * 4 + 3) * 17 + 3, data);
    /* Sectors that the translation does not have. */
    out(machine, LOW, 0);
    out(machine, COMMAND, 0x20);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_IDNF);
    out(machine, LOW, 18);
    out(machine, COMMAND, 0x20);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_IDNF);
    out(machine, LOW, 1);
    out(machine, DEVICE, 0xa4);
    out(machine, COMMAND, 0x20);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_IDNF);
    out(machine, COUNT, 0);
    out(machine, COMMAND, 0x91);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
}

/* Every read by every way to name a sector. */
static void test_read_commands(void **state)
{
    static const struct {
        uint8_t code;
        bool extended;
    } commands[] = {
        {0x20, false},
        {0x21, false},
        {0xc4, false},
        {0x24, true },
        {0x29, true }
    };
    struct machine *machine = *state;
    uint8_t data[2 * DISK_SECTOR_SIZE];

    command28(machine, 0xc6, 0, 2);
    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (commands[i].extended)
            command48(machine, commands[i].code, 1000, 2);
        else
            command28(machine, commands[i].code, 1000, 2);
        read_words(machine, data, 512);
        in(machine, STATUS);
        assert_idle(machine);
        assert_sector(machine, 1000, data);
        assert_sector(machine, 1001, data + DISK_SECTOR_SIZE);
    }
}

static void test_write_commands(void **state)
{
    static const struct {
        uint8_t code;
        bool extended;
    } commands[] = {
        {0x30, false},
        {0x31, false},
        {0x3c, false},
        {0xc5, false},
        {0x34, true },
        {0x39, true }
    };
    struct machine *machine = *state;
    uint8_t data[2 * DISK_SECTOR_SIZE];

    command28(machine, 0xc6, 0, 2);
    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++) {
        pattern(data, sizeof data, i);
        if (commands[i].extended)
            command48(machine, commands[i].code, 1000, 2);
        else
            command28(machine, commands[i].code, 1000, 2);
        write_words(machine, data, 512);
        assert_true(irq(machine));
        assert_idle(machine);
        assert_sector(machine, 1000, data);
        assert_sector(machine, 1001, data + DISK_SECTOR_SIZE);
    }
}

/* In the end the registers name the last sector, and count none; those of 48-bit commands stay. */
static void test_registers_after_success(void **state)
{
    struct machine *machine = *state;
    uint8_t data[3 * DISK_SECTOR_SIZE];

    command28(machine, 0x20, 0x12345, 3);
    assert_int_equal(in(machine, COUNT), 3);
    read_words(machine, data, 3 * 256);
    assert_int_equal(in(machine, COUNT), 0);
    assert_int_equal(in(machine, LOW), 0x47);
    assert_int_equal(in(machine, MIDDLE), 0x23);
    assert_int_equal(in(machine, HIGH), 0x01);
    assert_int_equal(in(machine, DEVICE), 0xe0);
    /* Cylinder 2, head 15, sector 63 and the two that follow. */
    out(machine, DEVICE, 0xaf);
    out(machine, COUNT, 3);
    out(machine, LOW, 63);
    out(machine, MIDDLE, 2);
    out(machine, HIGH, 0);
    out(machine, COMMAND, 0x40);
    assert_int_equal(in(machine, COUNT), 0);
    assert_int_equal(in(machine, DEVICE), 0xa0);
    assert_int_equal(in(machine, MIDDLE), 3);
    assert_int_equal(in(machine, LOW), 2);
    command48(machine, 0x42, 100, 3);
    assert_int_equal(in(machine, COUNT), 3);
    assert_int_equal(in(machine, LOW), 100);
}

/* A 28-bit command does not reach beyond what words 60 and 61 say, whatever the disk has. */
static void test_range_28_bits(void **state)
{
    struct machine *machine = *state;

    machine->disks[0].sectors = 1ull << 32;
    command28(machine, 0x40, 0x0ffffffe, 1);
    assert_true(irq(machine));
    assert_idle(machine);
    command28(machine, 0x40, 0x0ffffffe, 2);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_IDNF);
    command28(machine, 0x40, 0x0fffffff, 1);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_IDNF);
    command48(machine, 0x42, 0x0fffffff, 2);
    assert_true(irq(machine));
    assert_idle(machine);
}

static void test_lba48_and_hob(void **state)
{
    struct machine *machine = *state;
    uint64_t sector = 0x0123456789abull;
    uint8_t data[DISK_SECTOR_SIZE];

    machine->disks[0].sectors = 1ull << 48;
    command48(machine, 0x24, sector, 1);
    read_words(machine, data, 256);
    assert_sector(machine, sector, data);
    assert_int_equal(machine->disks[0].log[0].sector, sector);
    /* HOB shows what was written before; writing a register ends it. */
    out(machine, CONTROL, CONTROL_HOB);
    assert_int_equal(in(machine, LOW), 0x45);
    assert_int_equal(in(machine, MIDDLE), 0x23);
    assert_int_equal(in(machine, HIGH), 0x01);
    out(machine, COUNT, 7);
    assert_int_equal(in(machine, LOW), 0xab);
    assert_int_equal(in(machine, COUNT), 7);
    out(machine, CONTROL, CONTROL_HOB);
    assert_int_equal(in(machine, COUNT), 1);
    /* A count of 0 is 65536. */
    command48(machine, 0x42, 0, 0);
    assert_true(irq(machine));
    assert_int_equal(machine->disks[0].requests, 1 + 65536 / 128);
}

static void test_range(void **state)
{
    struct machine *machine = *state;
    uint32_t sectors = (uint32_t)machine->disks[0].sectors;
    uint8_t data[DISK_SECTOR_SIZE];

    command28(machine, 0x20, sectors - 1, 1);
    read_words(machine, data, 256);
    assert_sector(machine, sectors - 1, data);
    command28(machine, 0x20, sectors - 1, 2);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_IDNF);
    command28(machine, 0x30, sectors, 1);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_IDNF);
    command48(machine, 0x34, 0xffffffffffffull, 0);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_IDNF);
    command28(machine, 0x70, sectors, 0);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_IDNF);
    command28(machine, 0x70, sectors - 1, 0);
    assert_true(irq(machine));
    assert_idle(machine);
    assert_int_equal(machine->disks[0].requests, 1);
}

static void test_read_error(void **state)
{
    struct machine *machine = *state;
    uint8_t data[DISK_SECTOR_SIZE];

    machine->disks[0].sectors = 1ull << 40;
    machine->disks[0].error = EIO;
    machine->disks[0].errors = 1;
    command28(machine, 0x20, 0x2345678, 2);
    assert_int_equal(in(machine, LOW), 0x78);
    assert_int_equal(in(machine, MIDDLE), 0x56);
    assert_int_equal(in(machine, HIGH), 0x34);
    assert_int_equal(in(machine, DEVICE), 0xe2);
    assert_int_equal(in(machine, COUNT), 2);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_UNC);
    /* In the second request: the guest hears of the first sector it did not get. */
    command48(machine, 0x24, 0xaa00000000ull, 200);
    for (unsigned i = 0; i < 127; i++)
        read_words(machine, data, 256);
    machine->disks[0].errors = 1;
    read_words(machine, data, 256);
    assert_int_equal(in(machine, LOW), 128);
    out(machine, CONTROL, CONTROL_HOB);
    assert_int_equal(in(machine, MIDDLE), 0xaa);
    out(machine, CONTROL, 0);
    assert_int_equal(in(machine, COUNT), 72);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_UNC);
}

/* An error of a command by cylinder, head and sector is told so. */
static void test_error_address_chs(void **state)
{
    struct machine *machine = *state;

    machine->disks[0].error = EIO;
    machine->disks[0].errors = 1;
    out(machine, DEVICE, 0xaf);
    out(machine, COUNT, 1);
    out(machine, LOW, 63);
    out(machine, MIDDLE, 98);
    out(machine, HIGH, 0);
    out(machine, COMMAND, 0x20);
    assert_int_equal(in(machine, LOW), 63);
    assert_int_equal(in(machine, MIDDLE), 98);
    assert_int_equal(in(machine, HIGH), 0);
    assert_int_equal(in(machine, DEVICE), 0xaf);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_UNC);
}

static void test_write_error(void **state)
{
    struct machine *machine = *state;
    uint8_t data[DISK_SECTOR_SIZE] = {0};

    machine->disks[0].error = EIO;
    machine->disks[0].errors = 1;
    command28(machine, 0x30, 1, 1);
    write_words(machine, data, 256);
    assert_error(machine, IDE_STATUS_ERR | IDE_STATUS_DF, IDE_ERROR_ABRT);
    machine->disks[0].errors = 1;
    out(machine, COMMAND, 0xe7);
    assert_error(machine, IDE_STATUS_ERR | IDE_STATUS_DF, IDE_ERROR_ABRT);
    out(machine, COMMAND, 0xe7);
    assert_true(irq(machine));
    assert_idle(machine);
}

static void test_read_only(void **state)
{
    struct machine *machine = *state;

    machine->disks[0].read_only = true;
    command28(machine, 0x30, 1, 1);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    command28(machine, 0xca, 1, 1);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    assert_int_equal(machine->disks[0].requests, 0);
}

/* Without the write cache a write is durable when it ends. */
static void test_write_through(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[0];
    uint8_t data[DISK_SECTOR_SIZE] = {0};

    feature(machine, 0x82, 0);
    in(machine, STATUS);
    disk->asynchronous = true;
    disk->requests = 0;
    command28(machine, 0x30, 5, 1);
    write_words(machine, data, 256);
    fake_disk_complete(disk);
    assert_false(irq(machine));
    assert_int_equal(in(machine, CONTROL) & IDE_STATUS_BSY, IDE_STATUS_BSY);
    fake_disk_complete(disk);
    assert_true(irq(machine));
    assert_int_equal(disk->log[0].operation, DISK_WRITE);
    assert_int_equal(disk->log[1].operation, DISK_FLUSH);
}

static void test_registers_locked_while_busy(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[0];

    disk->asynchronous = true;
    command28(machine, 0x20, 7, 1);
    assert_int_equal(in(machine, STATUS) & IDE_STATUS_BSY, IDE_STATUS_BSY);
    out(machine, LOW, 0x33);
    out(machine, DEVICE, 0xf0);
    out(machine, COMMAND, 0xec);
    fake_disk_complete(disk);
    assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
    assert_int_equal(in(machine, LOW), 7);
}

static void test_asynchronous_pio(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[0];
    uint8_t data[DISK_SECTOR_SIZE];

    disk->asynchronous = true;
    command28(machine, 0x20, 0, 130);
    assert_false(irq(machine));
    assert_int_equal(in16(&machine->fixture, DATA), 0xffff);
    fake_disk_complete(disk);
    assert_true(irq(machine));
    for (unsigned i = 0; i < 128; i++)
        read_words(machine, data, 256);
    assert_int_equal(in(machine, STATUS) & IDE_STATUS_BSY, IDE_STATUS_BSY);
    fake_disk_complete(disk);
    for (unsigned i = 128; i < 130; i++) {
        assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
        read_words(machine, data, 256);
        assert_sector(machine, i, data);
    }
    assert_idle(machine);
}

/* The drive shows BSY until the request that the reset found is back; its result is dropped. */
static void test_reset_in_flight(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[0];
    uint16_t words[256];

    disk->asynchronous = true;
    command28(machine, 0x20, 7, 1);
    assert_false(ide_is_quiet(&machine->ide));
    out(machine, CONTROL, CONTROL_SRST);
    out(machine, CONTROL, 0);
    assert_int_equal(in(machine, STATUS), IDE_STATUS_BSY);
    out(machine, COMMAND, 0xec);
    fake_disk_complete(disk);
    assert_true(ide_is_quiet(&machine->ide));
    assert_int_equal(machine->fixture.rising[IRQ], 0);
    assert_signature(machine);
    disk->asynchronous = false;
    identify(machine, words);

    /* The request comes back before SRST is released. */
    disk->asynchronous = true;
    command28(machine, 0x20, 7, 1);
    out(machine, CONTROL, CONTROL_SRST);
    fake_disk_complete(disk);
    assert_int_equal(in(machine, STATUS), IDE_STATUS_BSY);
    out(machine, CONTROL, 0);
    assert_signature(machine);

    /* A reset of the machine. */
    command28(machine, 0x20, 7, 1);
    pci_bus_reset(&machine->pci);
    enable(machine);
    assert_int_equal(in(machine, STATUS), IDE_STATUS_BSY);
    pci_bus_reset(&machine->pci);
    fake_disk_complete(disk);
    enable(machine);
    assert_signature(machine);
}

static void test_no_space(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[0];
    uint8_t data[DISK_SECTOR_SIZE];

    pattern(data, sizeof data, 3);
    disk->error = ENOSPC;
    disk->errors = 2;
    command28(machine, 0x30, 9, 1);
    write_words(machine, data, 256);
    assert_int_equal(machine->no_space_calls, 1);
    assert_ptr_equal(machine->no_space, disk);
    assert_false(irq(machine));
    assert_int_equal(in(machine, STATUS) & IDE_STATUS_BSY, IDE_STATUS_BSY);
    ide_resume(&machine->ide); /* still none */
    assert_int_equal(machine->no_space_calls, 2);
    ide_resume(&machine->ide);
    assert_true(irq(machine));
    assert_idle(machine);
    assert_sector(machine, 9, data);
    ide_resume(&machine->ide); /* nothing waits any more */
    assert_int_equal(disk->requests, 3);
    /* A flush can lack space as well; a reset gives the request up. */
    disk->errors = 1;
    out(machine, COMMAND, 0xe7);
    assert_int_equal(machine->no_space_calls, 3);
    out(machine, CONTROL, CONTROL_SRST);
    out(machine, CONTROL, 0);
    assert_signature(machine);
    ide_resume(&machine->ide);
    assert_int_equal(disk->requests, 4);
    /* So can a read, of a disk that keeps what it reads. */
    disk->errors = 1;
    command28(machine, 0x20, 9, 1);
    assert_int_equal(machine->no_space_calls, 4);
    assert_int_equal(in(machine, STATUS) & IDE_STATUS_BSY, IDE_STATUS_BSY);
    ide_resume(&machine->ide);
    assert_int_equal(in(machine, STATUS) & (IDE_STATUS_BSY | IDE_STATUS_ERR | IDE_STATUS_DRQ), IDE_STATUS_DRQ);
}

static void test_verify(void **state)
{
    struct machine *machine = *state;

    command28(machine, 0x40, 0, 200);
    assert_true(irq(machine));
    assert_idle(machine);
    assert_int_equal(machine->disks[0].requests, 2);
    machine->disks[0].error = EIO;
    machine->disks[0].errors = 1;
    command28(machine, 0x40, 0, 200);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_UNC);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, ide_set_up, ide_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_pio_read),         TEST(test_pio_read_256),       TEST(test_read_multiple),
        TEST(test_pio_write),        TEST(test_write_multiple_256), TEST(test_chs),
        TEST(test_read_commands),    TEST(test_write_commands),     TEST(test_registers_after_success),
        TEST(test_range_28_bits),    TEST(test_lba48_and_hob),      TEST(test_range),
        TEST(test_read_error),       TEST(test_error_address_chs),  TEST(test_write_error),
        TEST(test_read_only),        TEST(test_write_through),      TEST(test_registers_locked_while_busy),
        TEST(test_asynchronous_pio), TEST(test_reset_in_flight),    TEST(test_no_space),
        TEST(test_verify),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
