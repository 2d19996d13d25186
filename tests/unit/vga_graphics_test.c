/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What graphics modes look like. The colours of set_mode are RED_OF the index in the DAC. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/vga_fixture.h"

static struct vga_fixture fixture;
static struct display display;
static struct display_area areas[DISPLAY_AREAS];

static int setup(void **state)
{
    (void)state;
    vga_fixture_initialize(&fixture, false);
    memset(&display, 0, sizeof display);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(display.pixels);
    vga_fixture_free(&fixture);
    return 0;
}

static void see(unsigned width, unsigned height)
{
    look(&fixture, &display, areas);
    assert_int_equal(display.width, width);
    assert_int_equal(display.height, height);
}

static void assert_pixel(unsigned x, unsigned y, uint32_t color)
{
    assert_int_equal(pixel(&display, x, y), color);
}

static void planes(void **state)
{
    (void)state;
    set_mode(&fixture, 0x12);
    for (unsigned i = 0; i < 4; i++)
        fixture.memory[i] = (uint8_t)(0xf0 >> i);
    fixture.memory[4 * (80 * 479 + 79) + 1] = 0x01;
    see(640, 480);
    assert_pixel(0, 0, RED_OF(1)); /* 1, 3, 7, 15, 14, 12, 8, 0, through the palette */
    assert_pixel(1, 0, RED_OF(3));
    assert_pixel(3, 0, RED_OF(0x3f));
    assert_pixel(4, 0, RED_OF(0x3e));
    assert_pixel(6, 0, RED_OF(0x38));
    assert_pixel(7, 0, RED_OF(0));
    assert_pixel(639, 479, RED_OF(2));
    set_attribute(&fixture, 0x12, 0x07); /* without plane 3 */
    see(640, 480);
    assert_pixel(3, 0, RED_OF(7));
    set_attribute(&fixture, 0x14, 0x0c); /* bits 7 and 6 of the color */
    set_attribute(&fixture, 0x12, 0x0f);
    out8(&fixture.device, 0x3c6, 0x7f); /* without bit 7 */
    set_color(&fixture, 0x7f, 0, 0x3f, 0);
    see(640, 480);
    assert_pixel(3, 0, 0x00ff00);
    set_attribute(&fixture, 0x10, 0x81); /* and bits 5 and 4 */
    set_attribute(&fixture, 0x14, 0x01);
    set_color(&fixture, 0x1f, 0, 0, 0x3f);
    see(640, 480);
    assert_pixel(3, 0, 0x0000ff);
}

static void planes_of_half_the_resolution(void **state)
{
    (void)state;
    set_mode(&fixture, 0x0d);
    fixture.memory[4 * 40] = 0x80;
    see(640, 400);
    assert_pixel(0, 1, 0);
    assert_pixel(0, 2, RED_OF(1));
    assert_pixel(1, 3, RED_OF(1));
    assert_pixel(2, 2, 0);
    assert_pixel(0, 4, 0);
}

static void panning_and_the_line_compare(void **state)
{
    (void)state;
    set_mode(&fixture, 0x12);
    fixture.memory[4 * 1000] = 0x08;       /* where the picture starts */
    fixture.memory[4 * 1000 + 4 * 80] = 1; /* the end of a byte that comes into view from the right */
    fixture.memory[0] = 0x08;
    set_crtc(&fixture, 0x0c, 1000 >> 8);
    set_crtc(&fixture, 0x0d, 1000 & 0xff);
    set_attribute(&fixture, 0x13, 3);
    see(640, 480);
    assert_pixel(1, 0, RED_OF(1));
    assert_pixel(4, 1, RED_OF(1));
    set_crtc(&fixture, 0x13, 50);
    set_crtc(&fixture, 0x18, 99);
    set_crtc(&fixture, 0x11, 0);
    set_crtc(&fixture, 0x07, 0x2e);
    set_crtc(&fixture, 0x09, 0x00);
    see(640, 480);
    assert_pixel(1, 99, 0);
    assert_pixel(1, 100, RED_OF(1)); /* line 100 is of address 0 */
    set_attribute(&fixture, 0x10, 0x21);
    see(640, 480);
    assert_pixel(1, 100, 0);
    assert_pixel(4, 100, RED_OF(1));
    assert_pixel(1, 0, RED_OF(1));
}

static void addresses_wrap_at_64_kib(void **state)
{
    (void)state;
    set_mode(&fixture, 0x12);
    set_crtc(&fixture, 0x0c, 0xff);
    set_crtc(&fixture, 0x0d, 0xff);
    fixture.memory[0] = 0x80;
    fixture.memory[4 * 0x10000] = 0x40;
    see(640, 480);
    assert_pixel(8, 0, RED_OF(1));
    assert_pixel(9, 0, 0);
}

static void cga_of_four_colors(void **state)
{
    (void)state;
    set_mode(&fixture, 4);
    guest_write(&fixture, 0xb8000, 0x1b);
    guest_write(&fixture, 0xb8001, 0xc0);
    guest_write(&fixture, 0xba000, 0x80); /* odd lines */
    guest_write(&fixture, 0xb8050, 0x40); /* line 2 */
    for (unsigned mapped = 0; mapped < 2; mapped++) {
        see(640, 400);
        assert_pixel(0, 0, 0);
        assert_pixel(2, 0, RED_OF(0x13));
        assert_pixel(4, 1, RED_OF(0x15));
        assert_pixel(7, 0, RED_OF(0x17));
        assert_pixel(8, 0, RED_OF(0x17));
        assert_pixel(10, 0, 0);
        assert_pixel(0, 2, RED_OF(0x15));
        assert_pixel(0, 4, RED_OF(0x13));
        guest_touch(&fixture, 0xb8000);
        assert_non_null(vga_fixture_mapping(&fixture, 0xb8000));
    }
}

static void cga_of_two_colors(void **state)
{
    (void)state;
    set_mode(&fixture, 6);
    guest_write(&fixture, 0xb8000, 0x80);
    guest_write(&fixture, 0xba001, 0x01);
    see(640, 400);
    assert_pixel(0, 0, RED_OF(0x17));
    assert_pixel(0, 1, RED_OF(0x17));
    assert_pixel(1, 0, 0);
    assert_pixel(15, 2, RED_OF(0x17));
    assert_pixel(15, 0, 0);
}

static void colors_256(void **state)
{
    (void)state;
    set_mode(&fixture, 0x13);
    guest_write(&fixture, 0xa0000, 0x11);
    guest_write(&fixture, 0xa0001, 0x22);
    guest_write(&fixture, 0xa0140, 0x33);
    guest_write(&fixture, 0xaf9ff, 0x3c);
    see(640, 400);
    assert_pixel(0, 0, RED_OF(0x11));
    assert_pixel(1, 1, RED_OF(0x11));
    assert_pixel(2, 0, RED_OF(0x22));
    assert_pixel(0, 2, RED_OF(0x33));
    assert_pixel(639, 399, RED_OF(0x3c));
    set_attribute(&fixture, 0x13, 2); /* one pixel */
    see(640, 400);
    assert_pixel(0, 0, RED_OF(0x22));
}

/* 320 x 240, unchained, as many games set it. */
static void mode_x(void **state)
{
    static const uint8_t crtc[][2] = {
        {0x11, 0x2c},
        {0x06, 0x0d},
        {0x07, 0x3e},
        {0x09, 0x41},
        {0x10, 0xea},
        {0x11, 0xac},
        {0x12, 0xdf},
        {0x14, 0x00},
        {0x15, 0xe7},
        {0x16, 0x06},
        {0x17, 0xe3},
    };

    (void)state;
    set_mode(&fixture, 0x13);
    set_sequencer(&fixture, 4, 0x06);
    for (unsigned i = 0; i < sizeof crtc / sizeof crtc[0]; i++)
        set_crtc(&fixture, crtc[i][0], crtc[i][1]);
    set_sequencer(&fixture, 2, 0x02);
    guest_write(&fixture, 0xa0050, 0x21); /* line 1, pixel 1 */
    set_sequencer(&fixture, 2, 0x08);
    guest_write(&fixture, 0xa4b00 - 1, 0x22); /* the last */
    see(640, 480);
    assert_pixel(2, 2, RED_OF(0x21));
    assert_pixel(3, 3, RED_OF(0x21));
    assert_pixel(0, 2, 0);
    assert_pixel(639, 479, RED_OF(0x22));
    /* The second page. */
    set_crtc(&fixture, 0x0c, 0x4b);
    guest_write(&fixture, 0xa4b00, 0x23);
    see(640, 480);
    assert_pixel(6, 0, RED_OF(0x23));
}

static void the_counters_words_and_double_words(void **state)
{
    (void)state;
    set_mode(&fixture, 0x12);
    fixture.memory[4 * 2] = 0x80;
    fixture.memory[4 * 4] = 0x40;
    set_crtc(&fixture, 0x17, 0xa3); /* words */
    see(640, 480);
    assert_pixel(8, 0, RED_OF(1));
    assert_pixel(17, 0, RED_OF(1));
    set_crtc(&fixture, 0x14, 0x40); /* double words */
    see(640, 480);
    assert_pixel(8, 0, 0);
    assert_pixel(9, 0, RED_OF(1));
}

/* ---- Dispi modes ---- */

static void pixels_of_every_size(void **state)
{
    static const struct {
        uint16_t bpp;
        unsigned bytes;
        uint32_t value, color, swapped;
    } cases[] = {
        {8,  1, 0x15,       RED_OF(0x15), RED_OF(0x15)},
        {15, 2, 0x7c01,     0xff0008,     0x00ffff    },
        {16, 2, 0xf81f,     0xff00ff,     0x18ffc6    },
        {24, 3, 0x123456,   0x123456,     0x123456    },
        {32, 4, 0xff123456, 0x123456,     0x3412ff    },
    };

    (void)state;
    set_mode(&fixture, 3);
    vga_fixture_decode(&fixture);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t address = VGA_FRAME_BUFFER + (320 * 100 + 319) * cases[i].bytes;

        set_dispi_mode(&fixture, 320, 200, cases[i].bpp);
        for (unsigned j = 0; j < cases[i].bytes; j++)
            guest_write(&fixture, address + j, (uint8_t)(cases[i].value >> (8 * j)));
        see(320, 200);
        assert_pixel(319, 100, cases[i].color);
        assert_pixel(318, 100, 0);
        if (cases[i].bpp == 15) {
            fixture.memory[address - VGA_FRAME_BUFFER] = 0x83; /* 83FFh the other way round */
            fixture.memory[address - VGA_FRAME_BUFFER + 1] = 0xff;
        }
        bus_write(&fixture.device.bus, BUS_MEMORY, VGA_REGISTERS + 0x604, 4, 0xbebebebe);
        see(320, 200);
        assert_pixel(319, 100, cases[i].swapped);
        bus_write(&fixture.device.bus, BUS_MEMORY, VGA_REGISTERS + 0x604, 4, 0x1e1e1e1e);
    }
}

static void the_visible_part_of_a_virtual_screen(void **state)
{
    (void)state;
    set_dispi_mode(&fixture, 320, 200, 32);
    set_dispi(&fixture, 6, 1024);
    set_dispi(&fixture, 8, 7);
    set_dispi(&fixture, 9, 11);
    memset(fixture.memory + 4 * (1024 * 12 + 9), 0xff, 3);
    see(320, 200);
    assert_pixel(2, 1, 0xffffff);
    assert_pixel(1, 1, 0);
    set_dispi(&fixture, 9, 0xffff); /* the end of memory */
    memset(fixture.memory + VGA_MEMORY_SIZE - 4 * (1024 - 326), 0xff, 3);
    see(320, 200);
    assert_pixel(319, 199, 0xffffff);
}

static void planes_of_a_dispi_mode(void **state)
{
    (void)state;
    set_mode(&fixture, 0x12);
    set_dispi_mode(&fixture, 1024, 768, 4);
    set_dispi(&fixture, 6, 2048);
    fixture.memory[4 * (256 * 767 + 127)] = 0x01;
    see(1024, 768);
    assert_pixel(1023, 767, RED_OF(1));
    set_dispi(&fixture, 8, 11);
    set_dispi(&fixture, 9, 1);
    see(1024, 768);
    assert_pixel(1012, 766, RED_OF(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(planes, setup, teardown),
        cmocka_unit_test_setup_teardown(planes_of_half_the_resolution, setup, teardown),
        cmocka_unit_test_setup_teardown(panning_and_the_line_compare, setup, teardown),
        cmocka_unit_test_setup_teardown(addresses_wrap_at_64_kib, setup, teardown),
        cmocka_unit_test_setup_teardown(cga_of_four_colors, setup, teardown),
        cmocka_unit_test_setup_teardown(cga_of_two_colors, setup, teardown),
        cmocka_unit_test_setup_teardown(colors_256, setup, teardown),
        cmocka_unit_test_setup_teardown(mode_x, setup, teardown),
        cmocka_unit_test_setup_teardown(the_counters_words_and_double_words, setup, teardown),
        cmocka_unit_test_setup_teardown(pixels_of_every_size, setup, teardown),
        cmocka_unit_test_setup_teardown(the_visible_part_of_a_virtual_screen, setup, teardown),
        cmocka_unit_test_setup_teardown(planes_of_a_dispi_mode, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
