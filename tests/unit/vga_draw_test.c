/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What text looks like, and a screen that is off. The colours of set_mode are RED_OF the index in the DAC. */
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

/* A line of a character, in plane 2. */
static void set_glyph(uint32_t font, uint8_t character, unsigned line, uint8_t bits)
{
    fixture.memory[4 * (font + character * 32u + line) + 2] = bits;
}

static void set_cell(unsigned cell, uint8_t character, uint8_t attribute)
{
    guest_write(&fixture, 0xb8000 + 2 * cell, character);
    guest_write(&fixture, 0xb8001 + 2 * cell, attribute);
}

/* ---- Blank ---- */

static void a_screen_that_is_off_is_black(void **state)
{
    (void)state;
    see(640, 400); /* at power-on */
    assert_pixel(0, 0, 0);
    set_mode(&fixture, 0x13);
    guest_write(&fixture, 0xa0000, 5);
    see(640, 400);
    assert_pixel(0, 0, RED_OF(5));
    set_sequencer(&fixture, 1, 0x21);
    see(640, 400);
    assert_pixel(0, 0, 0);
    set_sequencer(&fixture, 1, 0x01);
    out8(&fixture.device, 0x3c0, 0x00); /* palette address source */
    see(640, 400);
    assert_pixel(0, 0, 0);
    out8(&fixture.device, 0x3c0, 0x20);
    in8(&fixture.device, 0x3da);
    out8(&fixture.device, 0x3c0, 0x20);
    see(640, 400);
    assert_pixel(0, 0, RED_OF(5));
}

static void registers_of_no_sense_are_a_small_black_picture(void **state)
{
    (void)state;
    set_mode(&fixture, 0x13);
    set_crtc(&fixture, 0x11, 0);
    set_crtc(&fixture, 0x01, 0);
    see(640, 400);
    set_crtc(&fixture, 0x01, 79);
    set_crtc(&fixture, 0x12, 0);
    set_crtc(&fixture, 0x07, 0);
    see(640, 400);
    assert_pixel(639, 399, 0);
    /* The largest there is. */
    set_mode(&fixture, 3);
    set_crtc(&fixture, 0x11, 0);
    for (uint8_t i = 0; i < 25; i++)
        set_crtc(&fixture, i, i == 0x11 ? 0 : 0xff);
    set_sequencer(&fixture, 1, 0x08);
    see(227 * 18, 1024);
}

/* ---- Text ---- */

static void text_of_nine_dots(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    set_crtc(&fixture, 0x0a, 0x20); /* no cursor */
    set_glyph(0, 'A', 3, 0x81);
    set_glyph(0, 0xc4, 3, 0x81);
    set_glyph(0, 0xb0, 3, 0x81);
    set_cell(0, 'A', 0x1f);
    set_cell(1, 0xc4, 0x1f);
    set_cell(2, 0xb0, 0x1f);
    set_cell(80 * 25 - 1, 'A', 0x1f);
    see(720, 400);
    assert_pixel(0, 3, RED_OF(0x3f));
    assert_pixel(1, 3, RED_OF(1));
    assert_pixel(7, 3, RED_OF(0x3f));
    assert_pixel(8, 3, RED_OF(1));     /* the ninth is background, */
    assert_pixel(17, 3, RED_OF(0x3f)); /* but not that of lines */
    assert_pixel(26, 3, RED_OF(1));
    assert_pixel(0, 2, RED_OF(1));
    assert_pixel(711, 387, RED_OF(0x3f));
    set_attribute(&fixture, 0x10, 0x08); /* no line graphics */
    see(720, 400);
    assert_pixel(17, 3, RED_OF(1));
}

static void text_of_eight_dots_and_of_forty_columns(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    set_glyph(0, 'A', 3, 0x40);
    set_cell(1, 'A', 0x07);
    set_sequencer(&fixture, 1, 0x01);
    set_attribute(&fixture, 0x13, 0);
    see(640, 400);
    assert_pixel(9, 3, RED_OF(7));
    set_crtc(&fixture, 0x11, 0);
    set_crtc(&fixture, 0x01, 39);
    set_crtc(&fixture, 0x13, 20);
    set_sequencer(&fixture, 1, 0x09);
    set_cell(40, 'A', 0x07);
    see(640, 400);
    assert_pixel(17, 3, RED_OF(0));
    assert_pixel(18, 3, RED_OF(7));
    assert_pixel(19, 3, RED_OF(7));
    assert_pixel(20, 3, RED_OF(0));
    assert_pixel(2, 19, RED_OF(7));
}

static void two_fonts(void **state)
{
    static const uint32_t places[8] = {0x0000, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000};

    (void)state;
    set_mode(&fixture, 3);
    for (uint8_t i = 0; i < 8; i++)
        set_glyph(places[i], 'A', 3, (uint8_t)(0x80 >> i));
    set_cell(0, 'A', 0x07);
    set_cell(1, 'A', 0x0f);
    for (uint8_t i = 0; i < 8; i++) {
        uint8_t j = 7 - i;

        /* B, attribute bit 3 clear: bits 4, 1-0; A: bits 5, 3-2. */
        set_sequencer(&fixture, 3, (uint8_t)((i & 3) | (i & 4) << 2 | (j & 3) << 2 | (j & 4) << 3));
        see(720, 400);
        for (unsigned x = 0; x < 8; x++) {
            assert_pixel(x, 3, RED_OF(x == i ? 7 : 0));
            assert_pixel(9 + x, 3, RED_OF(x == j ? 0x3f : 0));
        }
    }
}

#define FRAME (449 * 31778ull) /* nanoseconds */

static void advance_frames(unsigned frames)
{
    fixture.device.host_time += frames * FRAME;
}

/* To the beginning of a period of all that blinks. */
static void begin_blinking(void)
{
    fixture.device.host_time += 32 * FRAME - timer_now(&fixture.device.timers) % (32 * FRAME);
}

static void the_cursor(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    begin_blinking();
    set_crtc(&fixture, 0x0f, 81);
    set_cell(81, ' ', 0x0e);
    see(720, 400);
    assert_pixel(9, 28, RED_OF(0));
    assert_pixel(9, 29, RED_OF(0x3e)); /* lines 13 and 14 */
    assert_pixel(17, 30, RED_OF(0x3e));
    assert_pixel(9, 31, RED_OF(0));
    assert_pixel(8, 29, RED_OF(0));
    assert_pixel(18, 29, RED_OF(0));
    advance_frames(8);
    assert_int_equal(look(&fixture, &display, areas), 1);
    assert_pixel(9, 29, RED_OF(0));
    assert_int_equal(areas[0].x, 9);
    assert_int_equal(areas[0].y, 29);
    assert_int_equal(areas[0].width, 9);
    assert_int_equal(areas[0].height, 2);
    advance_frames(8);
    see(720, 400);
    assert_pixel(9, 29, RED_OF(0x3e));
    set_crtc(&fixture, 0x0a, 0x2d);
    see(720, 400);
    assert_pixel(9, 29, RED_OF(0));
    set_crtc(&fixture, 0x0a, 0x0f); /* begins after its end */
    see(720, 400);
    assert_pixel(9, 31, RED_OF(0));
}

static void blinking_or_bright_background(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    begin_blinking();
    set_crtc(&fixture, 0x0a, 0x20);
    set_glyph(0, 'A', 3, 0x80);
    set_cell(0, 'A', 0x97);
    see(720, 400);
    assert_pixel(0, 3, RED_OF(7));
    assert_pixel(1, 3, RED_OF(1));
    advance_frames(16);
    see(720, 400);
    assert_pixel(0, 3, RED_OF(1));
    set_attribute(&fixture, 0x10, 0x04);
    see(720, 400);
    assert_pixel(0, 3, RED_OF(7));
    assert_pixel(1, 3, RED_OF(0x39));
}

static void underlines(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    set_crtc(&fixture, 0x0a, 0x20);
    set_cell(0, ' ', 0x01);
    set_cell(1, ' ', 0x07);
    see(720, 400);
    assert_pixel(0, 13, RED_OF(0)); /* the location is beyond the character */
    set_crtc(&fixture, 0x14, 0x0d);
    see(720, 400);
    assert_pixel(0, 13, RED_OF(1));
    assert_pixel(8, 13, RED_OF(1));
    assert_pixel(9, 13, RED_OF(0));
    assert_pixel(0, 12, RED_OF(0));
}

static void text_scrolls(void **state)
{
    (void)state;
    set_mode(&fixture, 3);
    set_crtc(&fixture, 0x0a, 0x20);
    set_glyph(0, 'A', 3, 0x81);
    set_cell(80, 'A', 0x07);
    set_crtc(&fixture, 0x0d, 80); /* start address */
    see(720, 400);
    assert_pixel(0, 3, RED_OF(7));
    set_crtc(&fixture, 0x08, 0x02); /* preset row scan */
    see(720, 400);
    assert_pixel(0, 1, RED_OF(7));
    set_crtc(&fixture, 0x08, 0x00);
    set_attribute(&fixture, 0x13, 6); /* seven dots */
    see(720, 400);
    assert_pixel(0, 3, RED_OF(7));
    assert_pixel(1, 3, RED_OF(0));
    set_attribute(&fixture, 0x13, 5);
    see(720, 400);
    assert_pixel(1, 3, RED_OF(7));
    /* The other buffer and the planes behind it. */
    guest_touch(&fixture, 0xb8000);
    set_crtc(&fixture, 0x0c, 0x40);
    set_crtc(&fixture, 0x0d, 0x00);
    fixture.memory[4 * 0x4001] = 'A';
    fixture.memory[4 * 0x4001 + 1] = 0x07;
    set_attribute(&fixture, 0x13, 8);
    see(720, 400);
    assert_pixel(9, 3, RED_OF(7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_screen_that_is_off_is_black, setup, teardown),
        cmocka_unit_test_setup_teardown(registers_of_no_sense_are_a_small_black_picture, setup, teardown),
        cmocka_unit_test_setup_teardown(text_of_nine_dots, setup, teardown),
        cmocka_unit_test_setup_teardown(text_of_eight_dots_and_of_forty_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(two_fonts, setup, teardown),
        cmocka_unit_test_setup_teardown(the_cursor, setup, teardown),
        cmocka_unit_test_setup_teardown(blinking_or_bright_background, setup, teardown),
        cmocka_unit_test_setup_teardown(underlines, setup, teardown),
        cmocka_unit_test_setup_teardown(text_scrolls, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
