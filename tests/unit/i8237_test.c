/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/i8237.h"
#include "tests/unit/device_fixture.h"

#define MEMORY_SIZE 0x50000u
#define HIGH_GPA    0xfe0000u
#define HIGH_SIZE   0x1f000u /* ends 1000h below the top of its 128 KiB */

#define WRITE      0x44 /* mode: single, to memory */
#define READ       0x48
#define VERIFY     0x40
#define AUTO       0x10
#define DECREMENT  0x20
#define STATUS     0x08
#define MASK       0x0a
#define MODE       0x0b
#define FLIP_FLOP  0x0c
#define CLEAR      0x0d
#define CLEAR_MASK 0x0e
#define ALL_MASKS  0x0f

/* The second controller's ports. */
#define UPPER(register) (uint16_t)(0xc0 + 2 * (register))

static struct device_fixture fixture;
static struct guest_memory memory;
static struct i8237 dma;
static uint8_t *ram, *high;
static uint8_t buffer[0x20000];

static const uint8_t page_ports[8] = {0x87, 0x83, 0x81, 0x82, 0x8f, 0x8b, 0x89, 0x8a};

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    ram = calloc(1, MEMORY_SIZE);
    high = calloc(1, HIGH_SIZE);
    memset(&memory, 0, sizeof memory);
    assert_true(guest_memory_add(&memory, 0, MEMORY_SIZE, ram));
    assert_true(guest_memory_add(&memory, HIGH_GPA, HIGH_SIZE, high));
    assert_true(i8237_initialize(&dma, &fixture.bus, &memory));
    out8(&fixture, UPPER(MODE), 0xc0);
    out8(&fixture, UPPER(MASK), 0x00);
    for (size_t i = 0; i < sizeof buffer; i++)
        buffer[i] = (uint8_t)(i * 3 + i / 256 + 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(ram);
    free(high);
    return 0;
}

static uint16_t port(unsigned channel, uint16_t offset)
{
    return channel < 4 ? offset : UPPER(offset);
}

/* `count` is what the guest writes: units less one. */
static void program(unsigned channel, uint8_t mode, uint8_t page, uint16_t address, uint16_t count)
{
    out8(&fixture, port(channel, MASK), (uint8_t)(0x04 | (channel & 3)));
    out8(&fixture, port(channel, FLIP_FLOP), 0);
    out8(&fixture, port(channel, (uint16_t)(2 * (channel & 3))), address & 0xff);
    out8(&fixture, port(channel, (uint16_t)(2 * (channel & 3))), address >> 8);
    out8(&fixture, port(channel, (uint16_t)(2 * (channel & 3) + 1)), count & 0xff);
    out8(&fixture, port(channel, (uint16_t)(2 * (channel & 3) + 1)), count >> 8);
    out8(&fixture, port(channel, MODE), (uint8_t)(mode | (channel & 3)));
    out8(&fixture, page_ports[channel], page);
    out8(&fixture, port(channel, MASK), (uint8_t)(channel & 3));
}

static uint16_t read_word(uint16_t register_port)
{
    uint8_t low = in8(&fixture, register_port);

    return (uint16_t)(low | in8(&fixture, register_port) << 8);
}

static size_t to_memory(unsigned channel, size_t length, bool *terminal_count)
{
    return i8237_transfer(&dma, channel, buffer, length, I8237_TO_MEMORY, terminal_count);
}

static void from_device_to_memory(void **state)
{
    bool end;

    (void)state;
    program(2, WRITE, 0x01, 0x2345, 1023);
    assert_int_equal(to_memory(2, 512, &end), 512);
    assert_false(end);
    assert_memory_equal(ram + 0x12345, buffer, 512);
    assert_int_equal(read_word(0x04), 0x2345 + 512);
    assert_int_equal(read_word(0x05), 511);
    assert_int_equal(in8(&fixture, STATUS) & 0x0f, 0);
    assert_int_equal(to_memory(2, 1024, &end), 512);
    assert_true(end);
    assert_memory_equal(ram + 0x12345 + 512, buffer, 512);
    assert_int_equal(ram[0x12345 + 1024], 0);
    assert_int_equal(read_word(0x05), 0xffff);
    assert_int_equal(in8(&fixture, STATUS) & 0x0f, 0x04);
    assert_int_equal(in8(&fixture, STATUS) & 0x0f, 0); /* read once */
    assert_int_equal(in8(&fixture, ALL_MASKS), 0x0f);  /* terminal count masks */
    assert_int_equal(to_memory(2, 1, &end), 0);
    assert_false(end);
}

static void from_memory_to_device(void **state)
{
    uint8_t data[300] = {0};
    bool end;

    (void)state;
    memcpy(ram + 0x8000, buffer, sizeof data);
    program(1, READ, 0, 0x8000, sizeof data - 1);
    assert_int_equal(i8237_transfer(&dma, 1, data, sizeof data, I8237_FROM_MEMORY, &end), sizeof data);
    assert_true(end);
    assert_memory_equal(data, buffer, sizeof data);
}

static void every_channel_has_its_page(void **state)
{
    (void)state;
    out8(&fixture, CLEAR_MASK, 0);
    out8(&fixture, UPPER(CLEAR_MASK), 0);
    for (unsigned channel = 0; channel < 8; channel++) {
        bool end;

        if (channel == 4)
            continue;
        program(channel, WRITE, 0x02, (uint16_t)(0x100 * channel), 1);
        assert_int_equal(to_memory(channel, 8, &end), channel < 4 ? 2 : 4);
        assert_true(end);
        assert_memory_equal(ram + 0x20000 + 0x100 * channel * (channel < 4 ? 1 : 2), buffer, channel < 4 ? 2 : 4);
    }
}

static void words(void **state)
{
    bool end;

    (void)state;
    program(5, WRITE, 0x03, 0x4001, 99); /* bit 0 of the page does not count */
    assert_int_equal(to_memory(5, 7, &end), 6);
    assert_false(end);
    assert_memory_equal(ram + 0x28002, buffer, 6);
    assert_int_equal(ram[0x28008], 0);
    assert_int_equal(read_word(UPPER(2)), 0x4004);
    assert_int_equal(read_word(UPPER(3)), 96);
    assert_int_equal(to_memory(5, 1000, &end), 194);
    assert_true(end);
    assert_int_equal(in8(&fixture, UPPER(STATUS)) & 0x0f, 0x02);
}

static void addresses_wrap_in_64k(void **state)
{
    bool end;

    (void)state;
    program(3, WRITE, 0x01, 0xfff0, 31);
    assert_int_equal(to_memory(3, 32, &end), 32);
    assert_true(end);
    assert_memory_equal(ram + 0x1fff0, buffer, 16);
    assert_memory_equal(ram + 0x10000, buffer + 16, 16);
    assert_int_equal(ram[0x20000], 0);
}

static void word_addresses_wrap_in_128k(void **state)
{
    bool end;

    (void)state;
    program(7, WRITE, 0x02, 0xfffe, 3);
    assert_int_equal(to_memory(7, 8, &end), 8);
    assert_memory_equal(ram + 0x3fffc, buffer, 4);
    assert_memory_equal(ram + 0x20000, buffer + 4, 4);
    assert_int_equal(ram[0x40000], 0);
}

static void the_largest_count(void **state)
{
    bool end;

    (void)state;
    program(2, WRITE, 0x01, 0x0000, 0xffff);
    assert_int_equal(to_memory(2, sizeof buffer, &end), 0x10000);
    assert_true(end);
    assert_memory_equal(ram + 0x10000, buffer, 0x10000);
    assert_int_equal(ram[0x20000], 0);
}

static void downwards(void **state)
{
    bool end;

    (void)state;
    program(2, WRITE | DECREMENT, 0x01, 0x0001, 3);
    assert_int_equal(to_memory(2, 4, &end), 4);
    assert_true(end);
    assert_int_equal(ram[0x10001], buffer[0]);
    assert_int_equal(ram[0x10000], buffer[1]);
    assert_int_equal(ram[0x1ffff], buffer[2]);
    assert_int_equal(ram[0x1fffe], buffer[3]);
}

static void autoinitialize(void **state)
{
    bool end;

    (void)state;
    program(2, WRITE | AUTO, 0x00, 0x4000, 15);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(to_memory(2, 100, &end), 16);
        assert_true(end);
        assert_int_equal(read_word(0x04), 0x4000);
        assert_int_equal(read_word(0x05), 15);
    }
    assert_int_equal(in8(&fixture, ALL_MASKS), 0x0b);
}

static void verify_moves_nothing(void **state)
{
    uint8_t data[16] = {0};
    bool end;

    (void)state;
    program(2, VERIFY, 0x00, 0x4000, 15);
    assert_int_equal(to_memory(2, 10, &end), 10);
    assert_false(end);
    assert_int_equal(to_memory(2, 10, &end), 6);
    assert_true(end);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(ram[0x4000 + i], 0);
    program(2, WRITE, 0x00, 0x4000, 15); /* and the device reads */
    assert_int_equal(i8237_transfer(&dma, 2, data, 16, I8237_FROM_MEMORY, &end), 16);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(data[i], 0xff);
    program(2, READ, 0x00, 0x4000, 15); /* and the device writes */
    assert_int_equal(to_memory(2, 16, &end), 16);
    assert_int_equal(ram[0x4000], 0);
}

/* What is not RAM reads as ones and swallows writes; the rest of the transfer is not disturbed. */
static void outside_ram(void **state)
{
    uint8_t data[32];
    bool end;

    (void)state;
    memset(high + HIGH_SIZE - 16, 0x11, 16);
    program(2, READ, 0xff, 0xeff0, 31);
    assert_int_equal(i8237_transfer(&dma, 2, data, 32, I8237_FROM_MEMORY, &end), 32);
    assert_true(end);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(data[i], i < 16 ? 0x11 : 0xff);
    program(2, WRITE, 0xff, 0xeff0, 31);
    assert_int_equal(to_memory(2, 32, &end), 32);
    assert_true(end);
    assert_memory_equal(high + HIGH_SIZE - 16, buffer, 16);
    program(2, WRITE, 0x80, 0x0000, 0xffff);
    assert_int_equal(to_memory(2, 0x10000, &end), 0x10000);
    assert_true(end);
}

static void what_holds_a_channel_back(void **state)
{
    bool end;

    (void)state;
    program(2, WRITE, 0, 0x1000, 99);
    out8(&fixture, MASK, 0x06);
    assert_int_equal(to_memory(2, 1, &end), 0);
    out8(&fixture, MASK, 0x02);
    assert_int_equal(to_memory(2, 1, &end), 1);
    out8(&fixture, STATUS, 0x04); /* command: disable */
    assert_int_equal(to_memory(2, 1, &end), 0);
    out8(&fixture, STATUS, 0x00);
    out8(&fixture, MODE, 0xc2); /* cascade */
    assert_int_equal(to_memory(2, 1, &end), 0);
    out8(&fixture, MODE, WRITE | 2);
    assert_int_equal(to_memory(2, 1, &end), 1);
    out8(&fixture, UPPER(MASK), 0x04); /* the way through the second controller */
    assert_int_equal(to_memory(2, 1, &end), 0);
    out8(&fixture, UPPER(MASK), 0x00);
    out8(&fixture, UPPER(MODE), 0x40);
    assert_int_equal(to_memory(2, 1, &end), 0);
    out8(&fixture, UPPER(MODE), 0xc0);
    out8(&fixture, UPPER(STATUS), 0x04);
    assert_int_equal(to_memory(2, 1, &end), 0);
    out8(&fixture, UPPER(STATUS), 0x00);
    assert_int_equal(to_memory(2, 1, &end), 1);
}

static void masks(void **state)
{
    (void)state;
    assert_int_equal(in8(&fixture, ALL_MASKS), 0x0f);
    out8(&fixture, MASK, 0x01);
    assert_int_equal(in8(&fixture, ALL_MASKS), 0x0d);
    out8(&fixture, MASK, 0x05);
    assert_int_equal(in8(&fixture, ALL_MASKS), 0x0f);
    out8(&fixture, ALL_MASKS, 0xf6);
    assert_int_equal(in8(&fixture, ALL_MASKS), 0x06);
    out8(&fixture, CLEAR_MASK, 0xff);
    assert_int_equal(in8(&fixture, ALL_MASKS), 0x00);
    out8(&fixture, CLEAR, 0xff);
    assert_int_equal(in8(&fixture, ALL_MASKS), 0x0f);
    assert_int_equal(in8(&fixture, UPPER(ALL_MASKS)), 0x0e); /* is another one */
}

static void requests(void **state)
{
    bool end;

    (void)state;
    i8237_request(&dma, 2, true);
    assert_int_equal(in8(&fixture, STATUS), 0x40);
    i8237_request(&dma, 2, false);
    out8(&fixture, 0x09, 0x07);
    out8(&fixture, 0x09, 0x06);
    assert_int_equal(in8(&fixture, STATUS), 0xc0);
    out8(&fixture, 0x09, 0x03);
    program(2, WRITE, 0, 0, 0);
    to_memory(2, 1, &end);
    assert_int_equal(in8(&fixture, STATUS), 0x04); /* terminal count takes the request back */
    i8237_request(&dma, 6, true);
    assert_int_equal(in8(&fixture, UPPER(STATUS)), 0x40);
    out8(&fixture, UPPER(0x09), 0x05);
    out8(&fixture, UPPER(CLEAR), 0);
    assert_int_equal(in8(&fixture, UPPER(STATUS)), 0x40);
}

static void flip_flop(void **state)
{
    (void)state;
    program(0, WRITE, 0, 0x1234, 0x5678);
    assert_int_equal(in8(&fixture, 0x00), 0x34);
    out8(&fixture, FLIP_FLOP, 0);
    assert_int_equal(in8(&fixture, 0x00), 0x34);
    assert_int_equal(in8(&fixture, 0x01), 0x56); /* shared by all of the controller's registers */
    assert_int_equal(in8(&fixture, 0x01), 0x78);
    out8(&fixture, CLEAR, 0);
    assert_int_equal(in8(&fixture, 0x01), 0x78);
    assert_int_equal(in8(&fixture, 0x0d), 0x00);
    assert_int_equal(in8(&fixture, MODE), 0xff);
}

/* All sixteen are there; port 80h is where firmware shows how far it has come. */
static void page_registers(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < 16; i++)
        out8(&fixture, (uint16_t)(0x80 + i), (uint8_t)(0x42 + i));
    for (uint16_t i = 0; i < 16; i++)
        assert_int_equal(in8(&fixture, (uint16_t)(0x80 + i)), 0x42 + i);
    assert_int_equal(in16(&fixture, 0x80), 0x4342);
    assert_int_equal(in8(&fixture, 0x90), 0xff);
}

static void reset(void **state)
{
    bool end;

    (void)state;
    program(2, WRITE, 1, 0x1000, 5);
    out8(&fixture, 0x80, 0x42);
    to_memory(2, 6, &end);
    i8237_reset(&dma);
    assert_int_equal(in8(&fixture, STATUS), 0);
    assert_int_equal(in8(&fixture, ALL_MASKS), 0x0f);
    assert_int_equal(in8(&fixture, UPPER(ALL_MASKS)), 0x0f);
    assert_int_equal(in8(&fixture, 0x80), 0);
    assert_int_equal(in8(&fixture, 0x81), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(from_device_to_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(from_memory_to_device, setup, teardown),
        cmocka_unit_test_setup_teardown(every_channel_has_its_page, setup, teardown),
        cmocka_unit_test_setup_teardown(words, setup, teardown),
        cmocka_unit_test_setup_teardown(addresses_wrap_in_64k, setup, teardown),
        cmocka_unit_test_setup_teardown(word_addresses_wrap_in_128k, setup, teardown),
        cmocka_unit_test_setup_teardown(the_largest_count, setup, teardown),
        cmocka_unit_test_setup_teardown(downwards, setup, teardown),
        cmocka_unit_test_setup_teardown(autoinitialize, setup, teardown),
        cmocka_unit_test_setup_teardown(verify_moves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(outside_ram, setup, teardown),
        cmocka_unit_test_setup_teardown(what_holds_a_channel_back, setup, teardown),
        cmocka_unit_test_setup_teardown(masks, setup, teardown),
        cmocka_unit_test_setup_teardown(requests, setup, teardown),
        cmocka_unit_test_setup_teardown(flip_flop, setup, teardown),
        cmocka_unit_test_setup_teardown(page_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(reset, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
