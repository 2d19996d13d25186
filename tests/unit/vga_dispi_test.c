/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dispi registers and BAR 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/vga_fixture.h"

static struct vga_fixture fixture;

static int setup(void **state)
{
    (void)state;
    vga_fixture_initialize(&fixture, false);
    vga_fixture_decode(&fixture);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vga_fixture_free(&fixture);
    return 0;
}

static uint32_t registers_read(uint32_t offset, unsigned size)
{
    return (uint32_t)bus_read(&fixture.device.bus, BUS_MEMORY, VGA_REGISTERS + offset, size);
}

static void registers_write(uint32_t offset, unsigned size, uint32_t value)
{
    bus_write(&fixture.device.bus, BUS_MEMORY, VGA_REGISTERS + offset, size, value);
}

static void identification(void **state)
{
    (void)state;
    assert_int_equal(get_dispi(&fixture, 0), 0xb0c5);
    set_dispi(&fixture, 0, 0xb0c0);
    assert_int_equal(get_dispi(&fixture, 0), 0xb0c0);
    set_dispi(&fixture, 0, 0x1234);
    set_dispi(&fixture, 0, 0xb0c6);
    assert_int_equal(get_dispi(&fixture, 0), 0xb0c0);
    assert_int_equal(get_dispi(&fixture, 10), 256); /* times 64 KiB */
    assert_int_equal(get_dispi(&fixture, 11), 0);
    assert_int_equal(in16(&fixture.device, 0x1ce), 11);
    out16(&fixture.device, 0x1ce, 0);
    assert_int_equal(in16(&fixture.device, 0x1d0), 0xb0c0);
    assert_int_equal(in8(&fixture.device, 0x1cf), 0xff);
    out8(&fixture.device, 0x1ce, 4);
    assert_int_equal(in16(&fixture.device, 0x1ce), 0);
}

static void capabilities(void **state)
{
    (void)state;
    set_dispi(&fixture, 1, 640);
    set_dispi(&fixture, 4, 2);
    assert_int_equal(get_dispi(&fixture, 1), 4096);
    assert_int_equal(get_dispi(&fixture, 2), 4096);
    assert_int_equal(get_dispi(&fixture, 3), 32);
    set_dispi(&fixture, 4, 0);
    assert_int_equal(get_dispi(&fixture, 1), 640);
}

static void modes_up_to_what_memory_holds(void **state)
{
    static const struct {
        uint16_t width, height, bpp;
        uint16_t set_width, set_height, set_bpp, virtual_height;
    } cases[] = {
        {640,    480,    4,   640,  480,  4,  52428},
        {1024,   768,    8,   1024, 768,  8,  16384},
        {800,    600,    15,  800,  600,  15, 10485},
        {1280,   1024,   16,  1280, 1024, 16, 6553 },
        {1600,   1200,   24,  1600, 1200, 24, 3495 },
        {1920,   1200,   32,  1920, 1200, 32, 2184 },
        {1366,   768,    32,  1360, 768,  32, 3084 },
        {4096,   4096,   32,  4096, 1024, 32, 1024 },
        {0,      0,      0,   8,    1,    8,  65535},
        {0xffff, 0xffff, 255, 4096, 4096, 8,  4096 },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set_dispi_mode(&fixture, cases[i].width, cases[i].height, cases[i].bpp);
        assert_int_equal(get_dispi(&fixture, 1), cases[i].set_width);
        assert_int_equal(get_dispi(&fixture, 2), cases[i].set_height);
        assert_int_equal(get_dispi(&fixture, 3), cases[i].set_bpp);
        assert_int_equal(get_dispi(&fixture, 4), 0x41);
        assert_int_equal(get_dispi(&fixture, 6), cases[i].set_width);
        assert_int_equal(get_dispi(&fixture, 7), cases[i].virtual_height);
    }
}

static void the_virtual_screen(void **state)
{
    (void)state;
    set_dispi_mode(&fixture, 640, 480, 32);
    set_dispi(&fixture, 6, 1024);
    assert_int_equal(get_dispi(&fixture, 7), 4096);
    set_dispi(&fixture, 8, 384);
    set_dispi(&fixture, 9, 3616);
    assert_int_equal(get_dispi(&fixture, 8), 384);
    assert_int_equal(get_dispi(&fixture, 9), 3616);
    set_dispi(&fixture, 8, 385);
    set_dispi(&fixture, 9, 3617);
    assert_int_equal(get_dispi(&fixture, 8), 384);
    assert_int_equal(get_dispi(&fixture, 9), 3616);
    set_dispi(&fixture, 6, 600); /* less than is visible */
    assert_int_equal(get_dispi(&fixture, 6), 640);
    assert_int_equal(get_dispi(&fixture, 8), 0);
    set_dispi(&fixture, 7, 1); /* follows from the others */
    assert_int_equal(get_dispi(&fixture, 7), 6553);
    /* A mode begins at the top left of a screen as wide as it is. */
    set_dispi(&fixture, 6, 1024);
    set_dispi(&fixture, 9, 5);
    set_dispi(&fixture, 4, 0);
    set_dispi(&fixture, 4, 1);
    assert_int_equal(get_dispi(&fixture, 6), 640);
    assert_int_equal(get_dispi(&fixture, 9), 0);
}

static void memory_is_cleared_unless_asked_not_to(void **state)
{
    (void)state;
    memset(fixture.memory, 0x55, VGA_MEMORY_SIZE);
    set_dispi(&fixture, 1, 640);
    set_dispi(&fixture, 2, 480);
    set_dispi(&fixture, 3, 32);
    set_dispi(&fixture, 4, 0x81);
    assert_int_equal(fixture.memory[0], 0x55);
    set_dispi(&fixture, 4, 0x00);
    set_dispi(&fixture, 4, 0x01);
    assert_int_equal(fixture.memory[0], 0);
    assert_int_equal(fixture.memory[640 * 480 * 4 - 1], 0);
    assert_int_equal(fixture.memory[640 * 480 * 4], 0x55);
    fixture.memory[0] = 1;
    set_dispi(&fixture, 4, 0x41); /* enabled already */
    assert_int_equal(fixture.memory[0], 1);
}

static void banks_are_ram(void **state)
{
    (void)state;
    set_dispi_mode(&fixture, 1024, 768, 8);
    set_dispi(&fixture, 5, 3);
    for (unsigned i = 0; i < VGA_ACCESSES_TO_MAP; i++)
        guest_write(&fixture, 0xa0000 + i, (uint8_t)(i + 1));
    assert_int_equal(fixture.memory[0x30000], 1);
    assert_int_equal(fixture.memory[0x3003f], 64);
    assert_ptr_equal(vga_fixture_mapping(&fixture, 0xa0000)->host, fixture.memory + 0x30000);
    assert_int_equal(vga_fixture_mapping(&fixture, 0xa0000)->length, 0x10000);
    set_dispi(&fixture, 5, 0xff);
    assert_null(vga_fixture_mapping(&fixture, 0xa0000));
    guest_write(&fixture, 0xaffff, 0x99);
    assert_int_equal(fixture.memory[VGA_MEMORY_SIZE - 1], 0x99);
    set_dispi(&fixture, 5, 0x1ff);
    assert_int_equal(get_dispi(&fixture, 5), 0xff);
    guest_touch(&fixture, 0xa0000);
    set_dispi(&fixture, 4, 0);
    assert_null(vga_fixture_mapping(&fixture, 0xa0000));
    assert_int_equal(get_dispi(&fixture, 5), 0);
}

static void banks_of_planes(void **state)
{
    (void)state;
    set_mode(&fixture, 0x12);
    set_dispi_mode(&fixture, 1024, 768, 4);
    set_dispi(&fixture, 5, 1);
    guest_write(&fixture, 0xa0001, 0x81);
    assert_int_equal(fixture.memory[4 * 0x10001 + 3], 0x81);
    set_dispi(&fixture, 5, 0x7f);
    assert_int_equal(get_dispi(&fixture, 5), 0x3f);
    guest_touch(&fixture, 0xa0000);
    assert_null(vga_fixture_mapping(&fixture, 0xa0000));
}

static void text_goes_to_memory_before_it_is_cleared(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    guest_touch(&fixture, 0xb8000);
    guest_write(&fixture, 0xb8000, 'x');
    set_dispi_mode(&fixture, 640, 480, 32);
    assert_int_equal(fixture.memory[0], 0);
    assert_null(vga_fixture_mapping(&fixture, 0xb8000));
}

static void eight_bits_a_color(void **state)
{
    (void)state;
    set_dispi(&fixture, 4, 0x20);
    set_color(&fixture, 1, 0xff, 0x80, 0x01);
    out8(&fixture.device, 0x3c7, 1);
    assert_int_equal(in8(&fixture.device, 0x3c9), 0xff);
    assert_int_equal(in8(&fixture.device, 0x3c9), 0x80);
    set_dispi(&fixture, 4, 0);
    assert_int_equal(in8(&fixture.device, 0x3c9), 0x01);
    out8(&fixture.device, 0x3c7, 1);
    assert_int_equal(in8(&fixture.device, 0x3c9), 0x3f);
}

static void edid(void **state)
{
    uint8_t bytes[128];
    uint8_t sum = 0;

    (void)state;
    for (unsigned i = 0; i < sizeof bytes; i++)
        sum += bytes[i] = (uint8_t)registers_read(i, 1);
    assert_memory_equal(bytes, "\0\xff\xff\xff\xff\xff\xff\0", 8);
    assert_int_equal(sum, 0);
    assert_int_equal(bytes[126], 0);                             /* no extensions */
    assert_int_equal(bytes[56] | (bytes[58] & 0xf0) << 4, 1024); /* the preferred mode */
    assert_int_equal(bytes[59] | (bytes[61] & 0xf0) << 4, 768);
    assert_memory_equal(bytes + 72, "\0\0\0\xfc\0Loam\n", 10);
    assert_int_equal(registers_read(4, 4), 0x00ffffff);
    assert_int_equal(registers_read(128, 1), 0);
}

static void registers_by_memory(void **state)
{
    (void)state;
    registers_write(0x500 + 2 * 1, 2, 800);
    registers_write(0x500 + 2 * 2, 2, 600);
    registers_write(0x500 + 2 * 3, 2, 32);
    registers_write(0x500 + 2 * 4, 2, 0x41);
    assert_int_equal(get_dispi(&fixture, 1), 800);
    assert_int_equal(get_dispi(&fixture, 4), 0x41);
    assert_int_equal(registers_read(0x500, 2), 0xb0c5);
    assert_int_equal(registers_read(0x514, 2), 256);
    assert_int_equal(registers_read(0x516, 2), 0);
    assert_int_equal(registers_read(0x501, 2), 0);
    registers_write(0x402, 1, 0x01); /* port 3C2h */
    assert_int_equal(in8(&fixture.device, 0x3cc), 0x01);
    registers_write(0x404, 2, 0x0302); /* ports 3C4h and 3C5h */
    out8(&fixture.device, 0x3c4, 2);
    assert_int_equal(in8(&fixture.device, 0x3c5), 3);
    registers_write(0x41a, 1, 0x02); /* port 3DAh */
    assert_int_equal(registers_read(0x40a, 1), 0x02);
    registers_write(0x3ff, 1, 0xff);
    registers_write(0x420, 1, 0xff);
    registers_write(0xffc, 4, 0xff);
    assert_int_equal(registers_read(0xffc, 4), 0);
}

static void endianness(void **state)
{
    (void)state;
    assert_int_equal(registers_read(0x600, 4), 8);
    assert_int_equal(registers_read(0x604, 4), 0x1e1e1e1e);
    registers_write(0x604, 4, 0xbebebebe);
    assert_int_equal(registers_read(0x604, 4), 0xbebebebe);
    registers_write(0x604, 4, 0x12345678);
    assert_int_equal(registers_read(0x604, 4), 0xbebebebe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identification, setup, teardown),
        cmocka_unit_test_setup_teardown(capabilities, setup, teardown),
        cmocka_unit_test_setup_teardown(modes_up_to_what_memory_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(the_virtual_screen, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_cleared_unless_asked_not_to, setup, teardown),
        cmocka_unit_test_setup_teardown(banks_are_ram, setup, teardown),
        cmocka_unit_test_setup_teardown(banks_of_planes, setup, teardown),
        cmocka_unit_test_setup_teardown(text_goes_to_memory_before_it_is_cleared, setup, teardown),
        cmocka_unit_test_setup_teardown(eight_bits_a_color, setup, teardown),
        cmocka_unit_test_setup_teardown(edid, setup, teardown),
        cmocka_unit_test_setup_teardown(registers_by_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(endianness, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
