/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The DVD drive: what it is as an ATA device, how packets and data pass, reading blocks, resets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/cd_sector.h"
#include "tests/unit/atapi_fixture.h"

static uint8_t data[128 * ATAPI_BLOCK_SIZE];

static void assert_packet_signature(struct machine *machine)
{
    assert_int_equal(in(machine, COUNT), 0x01);
    assert_int_equal(in(machine, LOW), 0x01);
    assert_int_equal(in(machine, MIDDLE), 0x14);
    assert_int_equal(in(machine, HIGH), 0xeb);
}

/* READ(12) of `count` blocks. */
static const uint8_t *read_packet(uint32_t address, uint32_t count)
{
    static uint8_t packet[ATAPI_PACKET_LENGTH];

    packet[0] = 0xa8;
    atapi_put(packet + 2, 4, address);
    atapi_put(packet + 6, 4, count);
    return packet;
}

static void test_attach_rules(void **state)
{
    struct machine *machine = *state;

    assert_false(ide_attach_dvd(&machine->ide, 0, 0, ""));
    assert_false(ide_attach_dvd(&machine->ide, 0, 1, ""));
    assert_false(ide_attach_dvd(&machine->ide, 1, 1, "")); /* no drive 0 */
    assert_true(ide_attach_dvd(&machine->ide, 1, 0, ""));
    assert_true(ide_attach(&machine->ide, 1, 1, &machine->disks[2], ""));
    assert_null(ide_medium(&machine->ide, 1, 0));
    assert_ptr_equal(ide_medium(&machine->ide, 0, 1), &machine->disks[1]);
    assert_null(ide_medium(&machine->ide, 0, 0)); /* a disk is no medium */
}

/* Each drive has a signature of its own, and drive 0 answers for an absent drive 1. */
static void test_signatures(void **state)
{
    struct machine *machine = *state;

    out(machine, CONTROL, CONTROL_SRST);
    out(machine, CONTROL, 0);
    assert_signature(machine);
    out(machine, DEVICE, 0xb0);
    assert_packet_signature(machine);
    assert_int_equal(in(machine, STATUS), 0);
    assert_int_equal(in(machine, ERROR), 1);
    out(machine, DEVICE, 0xa0);
    assert_int_equal(in(machine, MIDDLE), 0);
    out(machine, COMMAND, 0x90);
    assert_true(irq(machine));
    assert_signature(machine);
    out(machine, DEVICE, 0xb0);
    assert_packet_signature(machine);
    assert_int_equal(in(machine, STATUS), 0);

    assert_true(ide_attach_dvd(&machine->ide, 1, 0, ""));
    out(machine, SECONDARY + 6, 0xb0);
    assert_int_equal(in(machine, SECONDARY + 7), 0);
    assert_int_equal(in(machine, SECONDARY + 5), 0); /* not its own signature for the absent drive 1 */
    assert_int_equal(in(machine, SECONDARY + 6), 0xb0);
    out(machine, SECONDARY + 2, 0x55);
    assert_int_equal(in(machine, SECONDARY + 2), 0);
    out(machine, SECONDARY + 7, 0xa1);
    assert_int_equal(in(machine, SECONDARY + 7), 0);
    out(machine, SECONDARY + 7, 0x90);
    assert_int_equal(in(machine, SECONDARY + 6), 0xa0);
    assert_int_equal(in(machine, SECONDARY + 7), 0);
    assert_int_equal(machine->fixture.rising[IRQ + 1], 1);
}

/* IDENTIFY DEVICE and READ SECTOR(S) are refused with the signature; what a drive without packets has, plainly. */
static void test_refused_commands(void **state)
{
    static const uint8_t plain[] = {0x00, 0x10, 0x24, 0x25, 0x30, 0x40, 0x70, 0x91, 0xa2, 0xc4, 0xc6,
                                    0xc8, 0xca, 0xe2, 0xe3, 0xe7, 0xea, 0xf8, 0x27, 0xb0, 0xf5};
    static const uint8_t signs[] = {0xec, 0x20};
    struct machine *machine = *state;

    select_dvd(machine);
    for (unsigned i = 0; i < sizeof signs; i++) {
        out(machine, MIDDLE, 0);
        out(machine, COMMAND, signs[i]);
        assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
        assert_packet_signature(machine);
        assert_int_equal(in(machine, DEVICE) & 0x10, 0x10);
    }
    for (unsigned i = 0; i < sizeof plain; i++) {
        out(machine, MIDDLE, 0);
        out(machine, COMMAND, plain[i]);
        assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
        assert_int_equal(in(machine, MIDDLE), 0);
    }
    assert_int_equal(machine->disks[1].requests, 0);
    /* The disk knows no packets. */
    out(machine, DEVICE, 0xa0);
    out(machine, COMMAND, 0xa0);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    out(machine, COMMAND, 0xa1);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    out(machine, COMMAND, 0x08);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
}

static void test_identify_packet_device(void **state)
{
    struct machine *machine = *state;
    uint16_t words[256];
    uint8_t sum = 0;

    select_dvd(machine);
    out(machine, COMMAND, 0xa1);
    assert_true(irq(machine));
    assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
    read_words(machine, words, 256);
    assert_idle(machine);
    assert_int_equal(words[0], 0x85c0);
    assert_int_equal(words[13], '-' << 8 | '1');
    assert_int_equal(words[27], 'L' << 8 | 'o');
    assert_int_equal(words[49], 0x0f00);
    assert_int_equal(words[53], 0x0006);
    assert_int_equal(words[62], 0); /* no DMADIR */
    assert_int_equal(words[63], 0x0007);
    assert_int_equal(words[64], 0x0003);
    assert_int_equal(words[71], 0);
    assert_int_equal(words[80], 0x0070);
    assert_int_equal(words[82], 0x4218);
    assert_int_equal(words[83], 0x4000);
    assert_int_equal(words[85], 0x4218);
    assert_int_equal(words[88], 0x0407);
    assert_int_equal(words[93], 0x4b00);
    for (unsigned i = 0; i < 256; i++)
        sum = (uint8_t)(sum + (words[i] & 0xff) + (words[i] >> 8));
    assert_int_equal(words[255] & 0xff, 0xa5);
    assert_int_equal(sum, 0);
    /* Beside a DVD drive the disk says so in its word 93. */
    out(machine, DEVICE, 0xa0);
    identify(machine, words);
    assert_int_equal(words[0], 0x0040);
    assert_int_equal(words[93], 0x403b);
}

static void test_set_features_and_power(void **state)
{
    struct machine *machine = *state;
    uint16_t words[256];

    select_dvd(machine);
    out(machine, ERROR, 0x03);
    out(machine, COUNT, 0x22);
    out(machine, COMMAND, 0xef);
    assert_true(irq(machine));
    out(machine, COMMAND, 0xa1);
    read_words(machine, words, 256);
    assert_int_equal(words[63], 0x0407);
    assert_int_equal(words[88], 0x0007);
    out(machine, ERROR, 0x02);
    out(machine, COMMAND, 0xef);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
    out(machine, COMMAND, 0xe0);
    assert_true(irq(machine));
    out(machine, COMMAND, 0xe5);
    assert_int_equal(in(machine, COUNT), 0x00);
    out(machine, COMMAND, 0xe1);
    out(machine, COMMAND, 0xe5);
    assert_int_equal(in(machine, COUNT), 0x80);
    assert_int_equal(machine->disks[1].requests, 0); /* nothing is flushed */
    /* Asleep it hears but resets. */
    out(machine, COMMAND, 0xe6);
    assert_true(irq(machine));
    assert_idle(machine);
    out(machine, COMMAND, 0xa1);
    assert_idle(machine);
    out(machine, COMMAND, 0x08);
    assert_packet_signature(machine);
    assert_packet_good(machine, PACKET(0x00));
}

static void test_read_pio(void **state)
{
    struct machine *machine = *state;

    packet_pio(machine, read_packet(17, 3), 2048);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(irq(machine));
        assert_int_equal(in(machine, REASON), REASON_IN);
        assert_int_equal(in(machine, MIDDLE) | in(machine, HIGH) << 8, 2048);
        assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
        read_words(machine, data, 1024);
        assert_block(machine, &machine->disks[1], 17 + i, data);
    }
    assert_good(machine);
    assert_int_equal(machine->disks[1].requests, 1);
    /* READ(10), and more than the buffer takes. */
    assert_int_equal(ask(machine, PACKET(0x28, 0, 0, 0, 0, 5, 0, 0, 100), data, sizeof data), 100 * 2048);
    for (unsigned i = 0; i < 100; i++)
        assert_block(machine, &machine->disks[1], 5 + i, data + i * 2048);
    assert_int_equal(machine->disks[1].requests, 1 + 4);
    /* No blocks: no data. */
    assert_packet_good(machine, read_packet(5, 0));
    assert_packet_good(machine, read_packet(CD_BLOCKS, 0));
}

/* The host says how many bytes it takes at a time. */
static void test_byte_count_limit(void **state)
{
    static const struct {
        uint16_t limit;
        uint16_t first;
        unsigned interrupts; /* the end's included */
    } cases[] = {
        {0xffff, 8192, 2   }, /* FFFFh is FFFEh */
        {8192,   8192, 2   },
        {8191,   6144, 3   }, /* whole blocks as far as they fit */
        {2048,   2048, 5   },
        {2047,   2046, 6   }, /* and even */
        {512,    512,  17  },
        {2,      2,    4097},
    };
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        machine->fixture.rising[IRQ] = 0;
        packet_pio(machine, read_packet(40, 4), cases[i].limit);
        assert_int_equal(in(machine, MIDDLE) | in(machine, HIGH) << 8, cases[i].first);
        assert_int_equal(receive(machine, data, sizeof data), 4 * 2048);
        assert_good(machine);
        assert_int_equal(machine->fixture.rising[IRQ], cases[i].interrupts);
        for (unsigned block = 0; block < 4; block++)
            assert_block(machine, &machine->disks[1], 40 + block, data + block * 2048);
    }
    /* A limit of 0 says that no data is expected. */
    packet_pio(machine, read_packet(40, 4), 0);
    assert_check(machine, ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_FIELD_IN_CDB);
    packet_pio(machine, PACKET(0x12, 0, 0, 0, 36), 0);
    assert_check(machine, ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_FIELD_IN_CDB);
    packet_pio(machine, PACKET(0x00), 0);
    assert_good(machine);
}

/* An odd length ends with a byte of a word; past it the bus floats. */
static void test_odd_reply(void **state)
{
    struct machine *machine = *state;
    uint8_t whole[36];
    uint16_t words[4];

    ask(machine, PACKET(0x12, 0, 0, 0, 36), whole, sizeof whole);
    packet_pio(machine, PACKET(0x12, 0, 0, 0, 7), ANY_LIMIT);
    assert_int_equal(in(machine, MIDDLE), 7);
    read_words(machine, words, 4);
    assert_memory_equal(words, whole, 7);
    assert_int_equal(words[3] >> 8, 0xff);
    assert_good(machine);
    /* In pieces that the host takes. */
    packet_pio(machine, PACKET(0x12, 0, 0, 0, 7), 4);
    assert_int_equal(receive(machine, data, 7), 7);
    assert_memory_equal(data, whole, 7);
    assert_good(machine);
    packet_pio(machine, PACKET(0x12, 0, 0, 0, 7), 1);
    assert_int_equal(receive(machine, data, 7), 7);
    assert_memory_equal(data, whole, 7);
    assert_good(machine);
}

static void test_packet_by_dword_and_overlap(void **state)
{
    struct machine *machine = *state;

    select_dvd(machine);
    out(machine, ERROR, 0);
    out(machine, COMMAND, 0xa0);
    for (unsigned i = 0; i < 3; i++)
        out32(&machine->fixture, DATA, 0);
    assert_good(machine);
    out(machine, ERROR, 0x02);
    out(machine, COMMAND, 0xa0);
    assert_error(machine, IDE_STATUS_ERR, IDE_ERROR_ABRT);
}

/* Data goes from the disk into guest memory, wherever the table says. */
static void test_read_dma(void **state)
{
    struct machine *machine = *state;

    set_prd(machine, 0, BUFFER, 0x1000);
    set_prd(machine, 1, BUFFER + 0x10000, 0x1000 | LAST);
    packet_dma(machine, read_packet(30, 4));
    assert_int_equal(in(machine, CONTROL) & IDE_STATUS_BSY, IDE_STATUS_BSY);
    assert_int_equal(machine->disks[1].requests, 0);
    start_master(machine, true);
    assert_good(machine);
    assert_int_equal(in(machine, MASTER_STATUS) & 7, IDE_BUS_MASTER_INTERRUPT);
    for (unsigned i = 0; i < 2; i++) {
        assert_block(machine, &machine->disks[1], 30 + i, machine->ram + BUFFER + i * 2048);
        assert_block(machine, &machine->disks[1], 32 + i, machine->ram + BUFFER + 0x10000 + i * 2048);
    }
    assert_int_equal(machine->disks[1].requests, 1);
    assert_int_equal(machine->disks[1].log[0].vector_count, 2);
    /* DMADIR is not asked for, and does no harm. */
    out(machine, MASTER_COMMAND, 0);
    start_master(machine, true);
    select_dvd(machine);
    out(machine, ERROR, 0x05);
    out(machine, COMMAND, 0xa0);
    write_words(machine, read_packet(31, 1), 6);
    assert_good(machine);
    assert_block(machine, &machine->disks[1], 31, machine->ram + BUFFER);
}

/* Replies and parameters by the bus master too, of any length. */
static void test_small_dma(void **state)
{
    struct machine *machine = *state;
    uint8_t whole[36];
    uint8_t list[8 + 12] = {[8] = 0x01, [9] = 0x0a, [10] = 0x20, [11] = 9};

    ask(machine, PACKET(0x12, 0, 0, 0, 36), whole, sizeof whole);
    set_prd(machine, 0, BUFFER, 10);
    set_prd(machine, 1, BUFFER + 0x100, 0x1000 | LAST);
    packet_dma(machine, PACKET(0x12, 0, 0, 0, 35));
    start_master(machine, true);
    assert_good(machine);
    assert_memory_equal(machine->ram + BUFFER, whole, 10);
    assert_memory_equal(machine->ram + BUFFER + 0x100, whole + 10, 25);
    assert_int_equal(machine->ram[BUFFER + 10] | machine->ram[BUFFER + 0x100 + 25], 0);
    assert_int_equal(in(machine, MASTER_STATUS) & 7, IDE_BUS_MASTER_INTERRUPT | IDE_BUS_MASTER_ACTIVE);
    out(machine, MASTER_COMMAND, 0);

    memcpy(machine->ram + BUFFER, list, sizeof list);
    set_prd(machine, 0, BUFFER, sizeof list | LAST);
    packet_dma(machine, PACKET(0x55, 0x10, 0, 0, 0, 0, 0, 0, sizeof list));
    start_master(machine, false);
    assert_good(machine);
    ask(machine, PACKET(0x5a, 0, 0x01, 0, 0, 0, 0, 0, 20), data, 20);
    assert_int_equal(data[11], 9);
    out(machine, MASTER_COMMAND, 0);

    /* A table that is too short leaves the drive waiting for another. */
    set_prd(machine, 0, BUFFER, 16 | LAST);
    packet_dma(machine, PACKET(0x12, 0, 0, 0, 36));
    start_master(machine, true);
    assert_false(irq(machine));
    assert_int_equal(in(machine, MASTER_STATUS) & 7, 0);
    out(machine, MASTER_COMMAND, 0);
    set_prd(machine, 0, BUFFER + 16, 20 | LAST);
    start_master(machine, true);
    assert_good(machine);
    assert_memory_equal(machine->ram + BUFFER, whole, 36);
}

static void test_dma_faults(void **state)
{
    struct machine *machine = *state;

    set_prd(machine, 0, MEMORY_SIZE, 0x1000 | LAST);
    packet_dma(machine, read_packet(30, 2));
    start_master(machine, true);
    assert_int_equal(in(machine, MASTER_STATUS) & 7, IDE_BUS_MASTER_INTERRUPT | IDE_BUS_MASTER_ERROR);
    assert_check(machine, ATAPI_ABORTED_COMMAND, ATAPI_DATA_PHASE_ERROR);
    out(machine, MASTER_COMMAND, 0);
    packet_dma(machine, PACKET(0x12, 0, 0, 0, 36));
    start_master(machine, true);
    assert_check(machine, ATAPI_ABORTED_COMMAND, ATAPI_DATA_PHASE_ERROR);
    out(machine, MASTER_COMMAND, 0);
    /* The wrong direction. */
    set_prd(machine, 0, BUFFER, 0x1000 | LAST);
    packet_dma(machine, read_packet(30, 2));
    start_master(machine, false);
    assert_check(machine, ATAPI_ABORTED_COMMAND, ATAPI_DATA_PHASE_ERROR);
    assert_int_equal(machine->disks[1].requests, 0);
}

static void test_range(void **state)
{
    struct machine *machine = *state;

    assert_int_equal(ask(machine, read_packet(CD_BLOCKS - 1, 1), data, sizeof data), 2048);
    assert_packet_check(machine, read_packet(CD_BLOCKS - 1, 2), ATAPI_ILLEGAL_REQUEST, ATAPI_BLOCK_OUT_OF_RANGE);
    assert_packet_check(machine, read_packet(CD_BLOCKS, 1), ATAPI_ILLEGAL_REQUEST, ATAPI_BLOCK_OUT_OF_RANGE);
    assert_packet_check(machine, read_packet(0xffffffff, 0xffffffff), ATAPI_ILLEGAL_REQUEST, ATAPI_BLOCK_OUT_OF_RANGE);
    assert_packet_check(machine, read_packet(1, 0xffffffff), ATAPI_ILLEGAL_REQUEST, ATAPI_BLOCK_OUT_OF_RANGE);
}

/* The sense names the block that could not be read. */
static void test_read_error(void **state)
{
    struct machine *machine = *state;
    uint8_t sense[18];

    machine->disks[1].error = EIO;
    packet_pio(machine, read_packet(100, 40), 2048);
    for (unsigned i = 0; i < 31; i++)
        read_words(machine, data, 1024);
    machine->disks[1].errors = 1;
    read_words(machine, data, 1024);
    assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_ERR);
    assert_int_equal(in(machine, ERROR), 0x34);
    ask(machine, PACKET(0x03, 0, 0, 0, 18), sense, sizeof sense);
    assert_int_equal(sense[0], 0xf0);
    assert_int_equal(sense[2], ATAPI_MEDIUM_ERROR);
    assert_int_equal(atapi_get(sense + 3, 4), 132);
    assert_int_equal(atapi_get(sense + 12, 2), ATAPI_UNRECOVERED_READ_ERROR);
}

static void test_asynchronous(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[1];

    disk->asynchronous = true;
    packet_pio(machine, read_packet(10, 1), 2048);
    assert_int_equal(in(machine, STATUS) & (IDE_STATUS_BSY | IDE_STATUS_DRQ), IDE_STATUS_BSY);
    assert_false(ide_is_quiet(&machine->ide));
    out(machine, DEVICE, 0xa0); /* not heard */
    fake_disk_complete(disk);
    assert_int_equal(receive(machine, data, 2048), 2048);
    assert_good(machine);
}

/* DEVICE RESET ends a command even while the drive is busy; the disk beside it is not touched. */
static void test_device_reset(void **state)
{
    struct machine *machine = *state;
    struct disk *disk = &machine->disks[1];

    out(machine, DEVICE, 0xa0);
    out(machine, COUNT, 8);
    out(machine, COMMAND, 0xc6);
    assert_true(irq(machine));
    in(machine, STATUS);
    disk->asynchronous = true;
    packet_pio(machine, read_packet(10, 1), 2048);
    out(machine, COMMAND, 0x08);
    assert_int_equal(in(machine, STATUS), IDE_STATUS_BSY);
    machine->fixture.rising[IRQ] = 0;
    fake_disk_complete(disk);
    assert_int_equal(in(machine, STATUS), 0);
    assert_packet_signature(machine);
    assert_int_equal(in(machine, DEVICE), 0xb0);
    assert_int_equal(machine->fixture.rising[IRQ], 0);
    assert_packet_good(machine, PACKET(0x00)); /* no unit attention */
    /* In the middle of a packet, and of data. */
    out(machine, COMMAND, 0xa0);
    out(machine, COMMAND, 0x08);
    assert_packet_signature(machine);
    disk->asynchronous = false;
    packet_pio(machine, read_packet(10, 1), 2048);
    out(machine, COMMAND, 0x08);
    assert_packet_signature(machine);
    assert_false(irq(machine));
    out(machine, DEVICE, 0xa0);
    assert_int_equal(in(machine, STATUS), READY);
    command28(machine, 0xc4, 0, 8); /* still in force */
    assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
}

/* A reset of the machine is a unit attention; one by SRST is none. */
static void test_resets(void **state)
{
    struct machine *machine = *state;

    assert_packet_good(machine, PACKET(0x1e, 0, 0, 0, 1));
    out(machine, CONTROL, CONTROL_SRST);
    out(machine, CONTROL, 0);
    assert_packet_good(machine, PACKET(0x00));
    assert_packet_check(machine, PACKET(0x1b, 0, 0, 0, 2), ATAPI_ILLEGAL_REQUEST, ATAPI_MEDIUM_REMOVAL_PREVENTED);
    pci_bus_reset(&machine->pci);
    enable(machine);
    assert_packet_check(machine, PACKET(0x00), ATAPI_UNIT_ATTENTION, ATAPI_RESET_OCCURRED);
    assert_packet_good(machine, PACKET(0x00));
    assert_packet_good(machine, PACKET(0x1b, 0, 0, 0, 2)); /* and the lock is open */
}

/* One drive's registers and interrupt are not the other's. */
static void test_beside_a_disk(void **state)
{
    struct machine *machine = *state;

    packet_pio(machine, PACKET(0x00), ANY_LIMIT);
    assert_true(irq(machine));
    out(machine, DEVICE, 0xe0);
    assert_false(irq(machine));
    assert_int_equal(in(machine, STATUS), READY);
    out(machine, COMMAND, 0xf8);
    assert_int_equal(in(machine, LOW), (machine->disks[0].sectors - 1) & 0xff);
    in(machine, STATUS);
    out(machine, DEVICE, 0xb0);
    assert_true(irq(machine));
    assert_int_equal(in(machine, REASON), REASON_STATUS);
    assert_good(machine);
    command28(machine, 0x20, 3, 1);
    read_words(machine, data, 256);
    assert_sector(machine, 3, data);
    assert_int_equal(machine->disks[1].requests, 0);
}

static uint8_t product(uint8_t a, unsigned b)
{
    unsigned result = 0;

    for (unsigned bit = 0; bit < 8; bit++)
        if (b >> bit & 1)
            result ^= (unsigned)a << bit;
    for (unsigned bit = 15; bit >= 8; bit--)
        if (result >> bit & 1)
            result ^= 0x11du << (bit - 8);
    return (uint8_t)result;
}

/* ECMA-130, annex A: all code words of P and Q have the two sums 0. `place` is that of a byte of a plane. */
static void assert_code_word(const uint8_t *sector, unsigned plane, const unsigned *places, unsigned length)
{
    uint8_t sum = 0;
    uint8_t weighted = 0;
    uint8_t weight = 1;

    for (unsigned i = length; i-- > 0; weight = product(weight, 2)) {
        uint8_t byte = sector[12 + 2 * places[i] + plane];

        sum ^= byte;
        weighted ^= product(byte, weight);
    }
    assert_int_equal(sum, 0);
    assert_int_equal(weighted, 0);
}

static void assert_raw_sector(struct machine *machine, uint32_t block, const uint8_t *sector)
{
    static const uint8_t sync[12] = {0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0};
    uint32_t code = 0;
    unsigned places[45];

    assert_memory_equal(sector, sync, sizeof sync);
    assert_int_equal(sector[15], 1);
    assert_block(machine, &machine->disks[1], block, sector + 16);
    for (unsigned i = 0; i < 2068; i++) /* the EDC with what it covers leaves no remainder */
        for (unsigned bit = 0; bit < 8; bit++)
            code = code >> 1 ^ ((code ^ (uint32_t)(sector[i] >> bit)) & 1 ? 0xd8018001u : 0);
    assert_int_equal(code, 0);
    for (unsigned plane = 0; plane < 2; plane++) {
        for (unsigned n = 0; n < 43; n++) {
            for (unsigned m = 0; m < 26; m++)
                places[m] = 43 * m + n;
            assert_code_word(sector, plane, places, 26);
        }
        for (unsigned n = 0; n < 26; n++) {
            for (unsigned m = 0; m < 43; m++)
                places[m] = (44 * m + 43 * n) % 1118;
            places[43] = 43 * 26 + n;
            places[44] = 44 * 26 + n;
            assert_code_word(sector, plane, places, 45);
        }
    }
}

static void test_read_cd_whole_sectors(void **state)
{
    struct machine *machine = *state;
    uint8_t *dma = machine->ram + BUFFER;

    assert_int_equal(ask(machine, PACKET(0xbe, 0, 0, 0, 0, 20, 0, 0, 40, 0xf8), data, sizeof data),
                     40 * CD_SECTOR_SIZE);
    for (unsigned i = 0; i < 40; i++)
        assert_raw_sector(machine, 20 + i, data + i * CD_SECTOR_SIZE);
    /* Block 20 is at 00:02:20, in decimal digits. */
    assert_int_equal(atapi_get(data + 12, 4), 0x00022001);
    set_prd(machine, 0, BUFFER, 0);
    set_prd(machine, 1, BUFFER + 0x10000, LAST);
    packet_dma(machine, PACKET(0xbe, 0, 0, 0, 0, 20, 0, 0, 40, 0xf8));
    start_master(machine, true);
    assert_good(machine);
    assert_memory_equal(dma, data, 40 * CD_SECTOR_SIZE);
}

static void test_read_cd(void **state)
{
    static const struct {
        uint8_t fields;
        uint16_t length;
    } lengths[] = {
        {0x10, 2048},
        {0x20, 4   },
        {0x60, 4   }, /* there is no subheader */
        {0x30, 2052},
        {0x18, 2336},
        {0x80, 12  },
        {0xa0, 16  },
        {0xb0, 2064},
        {0x08, 288 },
        {0x00, 0   }
    };
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++)
        assert_int_equal(ask(machine, PACKET(0xbe, 0, 0, 0, 0, 7, 0, 0, 3, lengths[i].fields), data, sizeof data),
                         3 * lengths[i].length);
    ask(machine, PACKET(0xbe, 0x08, 0, 0, 0, 7, 0, 0, 3, 0x10), data, sizeof data);
    assert_block(machine, &machine->disks[1], 9, data + 2 * 2048);
    assert_packet_good(machine, PACKET(0xbe, 0, 0, 0, 0, 7, 0, 0, 0, 0x10));
    /* By minute, second and frame; the end does not belong to it. */
    assert_int_equal(ask(machine, PACKET(0xb9, 0, 0, 0, 3, 1, 0, 3, 3, 0x10), data, sizeof data), 2 * 2048);
    assert_block(machine, &machine->disks[1], 76, data);
    assert_packet_check(machine, PACKET(0xb9, 0, 0, 0, 3, 3, 0, 3, 1, 0x10), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0xb9, 0, 0, 0, 1, 74, 0, 3, 1, 0x10), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0xb9, 0, 0, 0, 60, 0, 2, 0, 0, 0x10), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    /* Gaps, error flags and the sub-channel; other kinds of sectors. */
    assert_packet_check(machine, PACKET(0xbe, 0, 0, 0, 0, 7, 0, 0, 3, 0x90), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0xbe, 0, 0, 0, 0, 7, 0, 0, 3, 0x12), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0xbe, 0, 0, 0, 0, 7, 0, 0, 3, 0x10, 1), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_INVALID_FIELD_IN_CDB);
    assert_packet_check(machine, PACKET(0xbe, 0x04, 0, 0, 0, 7, 0, 0, 3, 0x10), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_ILLEGAL_MODE_FOR_TRACK);
    assert_packet_check(machine, PACKET(0xbe, 0, 0, 0, 3, 0xe8, 0, 0, 1, 0x10), ATAPI_ILLEGAL_REQUEST,
                        ATAPI_BLOCK_OUT_OF_RANGE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, atapi_set_up, ide_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_attach_rules),
        TEST(test_signatures),
        TEST(test_refused_commands),
        TEST(test_identify_packet_device),
        TEST(test_set_features_and_power),
        TEST(test_read_pio),
        TEST(test_byte_count_limit),
        TEST(test_odd_reply),
        TEST(test_packet_by_dword_and_overlap),
        TEST(test_read_dma),
        TEST(test_small_dma),
        TEST(test_dma_faults),
        TEST(test_range),
        TEST(test_read_error),
        TEST(test_asynchronous),
        TEST(test_device_reset),
        TEST(test_resets),
        TEST(test_beside_a_disk),
        TEST(test_read_cd_whole_sectors),
        TEST(test_read_cd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
