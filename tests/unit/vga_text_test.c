/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The screen's text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/vga_fixture.h"

static struct vga_fixture fixture;
static char text[VGA_FIXTURE_TEXT];

static int setup(void **state)
{
    (void)state;
    vga_fixture_initialize(&fixture, false);
    set_mode(&fixture, 3);
    for (unsigned i = 0; i < 0x4000; i++)
        fixture.memory[4 * i] = ' ';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vga_fixture_free(&fixture);
    return 0;
}

static void show(unsigned cell, const char *characters)
{
    while (*characters)
        guest_write(&fixture, 0xb8000 + 2 * cell++, (uint8_t)*characters++);
}

static void whole_screen(void **state)
{
    (void)state;
    show(0, "Loam");
    show(83, "a b  ");
    show(80 * 24 + 79, "!");
    assert_true(read_text(&fixture, text));
    assert_memory_equal(text, "Loam\n   a b\n\n", 13);
    assert_int_equal(strlen(text), 4 + 6 + 80 + 25);
    assert_string_equal(text + strlen(text) - 3, " !\n");
}

static void from_where_the_screen_begins(void **state)
{
    (void)state;
    show(160, "third");
    set_crtc(&fixture, 0x0d, 160);
    assert_true(read_text(&fixture, text));
    assert_memory_equal(text, "third\n", 6);
    guest_touch(&fixture, 0xb8000); /* now it is RAM */
    show(160, "other");
    assert_true(read_text(&fixture, text));
    assert_memory_equal(text, "other\n", 6);
}

static void rows_and_columns(void **state)
{
    uint8_t characters[80 * 50];
    unsigned columns, rows;

    (void)state;
    show(80, "x");
    assert_true(vga_characters(fixture.vga, &columns, &rows, characters, sizeof characters));
    assert_int_equal(columns, 80);
    assert_int_equal(rows, 25);
    assert_int_equal(characters[80], 'x');
    set_crtc(&fixture, 0x09, 0x47); /* letters of eight lines */
    assert_true(vga_characters(fixture.vga, &columns, &rows, characters, sizeof characters));
    assert_int_equal(rows, 50);
    set_crtc(&fixture, 0x09, 0xc7); /* each of them twice */
    assert_true(vga_characters(fixture.vga, &columns, &rows, characters, sizeof characters));
    assert_int_equal(rows, 25);
    assert_false(vga_characters(fixture.vga, &columns, &rows, characters, 80 * 25 - 1));
}

static void no_text(void **state)
{
    (void)state;
    show(0, "text");
    assert_true(read_text(&fixture, text));
    set_sequencer(&fixture, 1, 0x20); /* switched off */
    assert_false(read_text(&fixture, text));
    set_mode(&fixture, 0x13);
    assert_false(read_text(&fixture, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_screen, setup, teardown),
        cmocka_unit_test_setup_teardown(from_where_the_screen_begins, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_and_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(no_text, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
