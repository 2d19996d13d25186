/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/atapi_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

int atapi_set_up(void **state)
{
    struct machine *machine;

    ide_set_up(state);
    machine = *state;
    machine->disks[1].sectors = CD_BLOCKS * ATAPI_BLOCK_SECTORS;
    machine->disks[2].sectors = DVD_BLOCKS * ATAPI_BLOCK_SECTORS;
    machine->disks[1].read_only = machine->disks[2].read_only = true;
    assert_true(ide_attach_dvd(&machine->ide, 0, 1, "SERIAL-1"));
    assert_true(ide_insert_medium(&machine->ide, 0, 1, &machine->disks[1]));
    assert_packet_check(machine, PACKET(0x00), 0x6, 0x2900);
    assert_packet_check(machine, PACKET(0x00), 0x6, 0x2800);
    assert_packet_good(machine, PACKET(0x00));
    return 0;
}

void select_dvd(struct machine *machine)
{
    out(machine, DEVICE, 0xb0);
}

static void packet(struct machine *machine, const uint8_t bytes[ATAPI_PACKET_LENGTH], uint8_t features, uint16_t limit)
{
    select_dvd(machine);
    out(machine, ERROR, features);
    out(machine, MIDDLE, limit & 0xff);
    out(machine, HIGH, limit >> 8);
    out(machine, COMMAND, 0xa0);
    assert_int_equal(in(machine, CONTROL) & (IDE_STATUS_BSY | IDE_STATUS_DRQ | IDE_STATUS_ERR), IDE_STATUS_DRQ);
    assert_int_equal(in(machine, REASON), REASON_PACKET);
    assert_false(irq(machine)); /* the drive does not interrupt for a packet */
    write_words(machine, bytes, ATAPI_PACKET_LENGTH / 2);
}

void packet_pio(struct machine *machine, const uint8_t bytes[ATAPI_PACKET_LENGTH], uint16_t limit)
{
    packet(machine, bytes, 0, limit);
}

void packet_dma(struct machine *machine, const uint8_t bytes[ATAPI_PACKET_LENGTH])
{
    packet(machine, bytes, 1, 0);
}

size_t receive(struct machine *machine, uint8_t *data, size_t capacity)
{
    size_t length = 0;

    while (in(machine, CONTROL) & IDE_STATUS_DRQ) {
        size_t block = in(machine, MIDDLE) | (size_t)in(machine, HIGH) << 8;
        uint16_t last;

        assert_true(irq(machine));
        assert_int_equal(in(machine, REASON), REASON_IN);
        assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
        assert_in_range(block, 1, capacity - length);
        read_words(machine, data + length, block / 2);
        length += block / 2 * 2;
        if (block % 2) {
            read_words(machine, &last, 1);
            data[length++] = last & 0xff;
        }
    }
    return length;
}

size_t ask(struct machine *machine, const uint8_t bytes[ATAPI_PACKET_LENGTH], uint8_t *data, size_t capacity)
{
    size_t length;

    packet_pio(machine, bytes, ANY_LIMIT);
    length = receive(machine, data, capacity);
    assert_good(machine);
    return length;
}

void send(struct machine *machine, const uint8_t *data, size_t length)
{
    assert_true(irq(machine));
    assert_int_equal(in(machine, REASON), REASON_OUT);
    assert_int_equal(in(machine, MIDDLE) | in(machine, HIGH) << 8, length);
    assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_DRQ);
    write_words(machine, data, (length + 1) / 2);
}

void assert_good(struct machine *machine)
{
    assert_true(irq(machine));
    assert_int_equal(in(machine, REASON), REASON_STATUS);
    assert_int_equal(in(machine, STATUS), READY);
    assert_false(irq(machine));
}

void assert_check(struct machine *machine, uint8_t key, uint16_t code)
{
    uint8_t sense[18];

    assert_true(irq(machine));
    assert_int_equal(in(machine, REASON), REASON_STATUS);
    assert_int_equal(in(machine, STATUS), READY | IDE_STATUS_ERR);
    assert_int_equal(in(machine, ERROR), key << 4 | IDE_ERROR_ABRT);
    assert_int_equal(ask(machine, PACKET(0x03, 0, 0, 0, 18), sense, sizeof sense), 18);
    assert_int_equal(sense[0] & 0x7f, 0x70);
    assert_int_equal(sense[2], key);
    assert_int_equal(sense[12] << 8 | sense[13], code);
}

void assert_packet_good(struct machine *machine, const uint8_t bytes[ATAPI_PACKET_LENGTH])
{
    packet_pio(machine, bytes, ANY_LIMIT);
    assert_good(machine);
}

void assert_packet_check(struct machine *machine, const uint8_t bytes[ATAPI_PACKET_LENGTH], uint8_t key, uint16_t code)
{
    packet_pio(machine, bytes, ANY_LIMIT);
    assert_check(machine, key, code);
}

void assert_block(struct machine *machine, const struct disk *disk, uint32_t block, const uint8_t *data)
{
    uint8_t expected[DISK_SECTOR_SIZE];

    (void)machine;
    for (unsigned i = 0; i < ATAPI_BLOCK_SECTORS; i++) {
        fake_disk_sector(disk, (uint64_t)block * ATAPI_BLOCK_SECTORS + i, expected);
        assert_memory_equal(data + i * DISK_SECTOR_SIZE, expected, DISK_SECTOR_SIZE);
    }
}

void set_prd(struct machine *machine, unsigned index, uint32_t address, uint32_t count)
{
    uint32_t descriptor[2] = {address, count};

    memcpy(machine->ram + TABLE + 8 * index, descriptor, sizeof descriptor);
}

void start_master(struct machine *machine, bool to_memory)
{
    out32(&machine->fixture, MASTER_TABLE, TABLE);
    out(machine, MASTER_STATUS, 0x66);
    out(machine, MASTER_COMMAND, to_memory ? 0x08 : 0x00);
    out(machine, MASTER_COMMAND, to_memory ? 0x09 : 0x01);
}
