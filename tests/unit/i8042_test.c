/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/i8042.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture fixture;
static struct i8042 controller;
static bool a20;
static unsigned a20_changes, resets;

static void set_a20(void *context, bool enabled)
{
    (void)context;
    a20 = enabled;
    a20_changes++;
}

static void reset(void *context)
{
    (void)context;
    resets++;
}

static int setup(void **state)
{
    const struct i8042_outputs outputs = {set_a20, reset, NULL};

    (void)state;
    fixture_initialize(&fixture);
    a20 = true;
    a20_changes = 0;
    resets = 0;
    assert_true(
        i8042_initialize(&controller, &fixture.bus, fixture_line(&fixture, 1), fixture_line(&fixture, 12), &outputs));
    return 0;
}

static void command(uint8_t value)
{
    out8(&fixture, 0x64, value);
}

static void data(uint8_t value)
{
    out8(&fixture, 0x60, value);
}

/* The next byte, which must be there. */
static uint8_t next(void)
{
    assert_true(in8(&fixture, 0x64) & 0x01);
    return in8(&fixture, 0x60);
}

static void assert_silent(void)
{
    assert_false(in8(&fixture, 0x64) & 0x01);
}

static void command_byte(uint8_t value)
{
    command(0x60);
    data(value);
}

static void keyboard_answers(uint8_t to, uint8_t answer)
{
    data(to);
    assert_int_equal(next(), answer);
}

static void controller_tests(void **state)
{
    (void)state;
    assert_int_equal(in8(&fixture, 0x64), 0x10);
    command(0xaa);
    assert_int_equal(in8(&fixture, 0x64), 0x1d);
    assert_int_equal(next(), 0x55);
    command(0xab);
    assert_int_equal(next(), 0x00);
    command(0xa4);
    assert_int_equal(next(), 0xf1);
    command(0xc0);
    assert_int_equal(next(), 0x80);
    command(0xe0);
    assert_int_equal(next(), 0x00);
    command(0x00); /* unknown */
    assert_silent();
}

static void the_command_byte(void **state)
{
    (void)state;
    command_byte(0xff);
    command(0x20);
    assert_int_equal(next(), 0x77);
    assert_int_equal(in8(&fixture, 0x64) & 0x04, 0x04);
    command(0xae);
    command(0xa8);
    command(0x20);
    assert_int_equal(next(), 0x47);
    command(0xad);
    command(0xa7);
    command(0x20);
    assert_int_equal(next(), 0x77);
    command_byte(0x00);
    assert_int_equal(in8(&fixture, 0x64) & 0x04, 0x00);
    assert_int_equal(in8(&fixture, 0x64) & 0x08, 0x00); /* the last write was data */
}

static void the_auxiliary_port(void **state)
{
    (void)state;
    command(0xa9);
    assert_int_equal(in8(&fixture, 0x64) & 0x21, 0x01); /* the controller's own answer */
    assert_int_equal(next(), 0x00);
    command(0xd3);
    data(0x5a);
    assert_int_equal(in8(&fixture, 0x64) & 0x21, 0x21);
    assert_int_equal(next(), 0x5a);
    command(0xd2);
    data(0xa5);
    assert_int_equal(in8(&fixture, 0x64) & 0x21, 0x01);
    assert_int_equal(next(), 0xa5);
    command(0xa7);
    command(0xd3); /* loops back with the port disabled, too */
    data(0x69);
    assert_int_equal(next(), 0x69);
    command(0xd4); /* and this enables it */
    data(0xf2);
    assert_int_equal(in8(&fixture, 0x64) & 0x21, 0x21);
    assert_int_equal(next(), 0xfa);
    assert_int_equal(next(), 0x00);
    assert_silent();
    command(0x20);
    assert_int_equal(next(), 0x00);
}

static void interrupts_of_both_ports(void **state)
{
    const uint8_t key = 0x1c;

    (void)state;
    command_byte(0x01); /* the mouse without */
    command(0xd4);
    data(0xf2);
    assert_false(fixture.level[12]);
    assert_false(fixture.level[1]);
    command_byte(0x03);
    assert_true(fixture.level[12]);
    assert_int_equal(next(), 0xfa);
    assert_true(fixture.level[12]);
    assert_int_equal(fixture.rising[12], 2); /* an edge for each byte */
    assert_true(i8042_type(&controller, &key, 1));
    assert_false(fixture.level[1]); /* the buffer has the mouse's byte */
    command(0xd0);                  /* its answer waits behind */
    assert_int_equal(next(), 0x00);
    assert_false(fixture.level[12]);
    assert_true(fixture.level[1]);
    assert_int_equal(next(), 0xef);
    assert_int_equal(next(), 0x1c);
    assert_false(fixture.level[1]);
    assert_int_equal(fixture.rising[1], 2);
    assert_true(i8042_type(&controller, &key, 1));
    command_byte(0x02);
    assert_false(fixture.level[1]);
    command_byte(0x03);
    assert_true(fixture.level[1]);
    i8042_reset(&controller);
    assert_false(fixture.level[1]);
}

static void interrupts(void **state)
{
    const uint8_t keys[] = {0x1c, 0xf0, 0x1c};

    (void)state;
    assert_true(i8042_type(&controller, keys, 1));
    assert_false(fixture.level[1]);
    assert_int_equal(next(), 0x1c);
    command_byte(0x01);
    assert_true(i8042_type(&controller, keys, 3));
    assert_true(fixture.level[1]);
    assert_int_equal(fixture.rising[1], 1);
    assert_int_equal(next(), 0x1c);
    assert_int_equal(fixture.rising[1], 2); /* an edge for each byte */
    assert_int_equal(next(), 0xf0);
    assert_int_equal(next(), 0x1c);
    assert_int_equal(fixture.rising[1], 3);
    assert_false(fixture.level[1]);
    assert_int_equal(in8(&fixture, 0x60), 0x1c); /* the buffer keeps its last byte */
}

static void translation(void **state)
{
    /*
     * A pressed and released, right arrow pressed and released, F7, keypad's F83h and the reply to identify.
     */
    const uint8_t keys[] = {0x1c, 0xf0, 0x1c, 0xe0, 0x74, 0xe0, 0xf0, 0x74, 0x83, 0x84, 0x85};
    const uint8_t expected[] = {0x1e, 0x9e, 0xe0, 0x4d, 0xe0, 0xcd, 0x41, 0x54, 0x85};

    (void)state;
    command_byte(0x40);
    assert_true(i8042_type(&controller, keys, sizeof keys));
    for (unsigned i = 0; i < sizeof expected; i++)
        assert_int_equal(next(), expected[i]);
    assert_silent();
    keyboard_answers(0xf2, 0xfa);
    assert_int_equal(next(), 0xab);
    assert_int_equal(next(), 0x41);
}

static void scancode_sets(void **state)
{
    const uint8_t keys[] = {0x1c, 0xf0, 0x1c};

    (void)state;
    keyboard_answers(0xf0, 0xfa);
    keyboard_answers(0x00, 0xfa);
    assert_int_equal(next(), 2);
    keyboard_answers(0xf0, 0xfa);
    keyboard_answers(0x01, 0xfa);
    assert_true(i8042_type(&controller, keys, sizeof keys));
    assert_int_equal(next(), 0x1e);
    assert_int_equal(next(), 0x9e);
    assert_silent();
    keyboard_answers(0xf0, 0xfa);
    keyboard_answers(0x03, 0xfe); /* there is no set 3 */
    keyboard_answers(0xf0, 0xfa);
    keyboard_answers(0x02, 0xfa);
    assert_true(i8042_type(&controller, keys, sizeof keys));
    for (unsigned i = 0; i < sizeof keys; i++)
        assert_int_equal(next(), keys[i]);
}

static void keyboard_commands(void **state)
{
    (void)state;
    keyboard_answers(0xee, 0xee);
    keyboard_answers(0xed, 0xfa);
    keyboard_answers(0x07, 0xfa);
    keyboard_answers(0xf3, 0xfa);
    keyboard_answers(0x20, 0xfa);
    keyboard_answers(0xf2, 0xfa);
    assert_int_equal(next(), 0xab);
    assert_int_equal(next(), 0x83);
    keyboard_answers(0xfe, 0x83); /* once more */
    keyboard_answers(0x55, 0xfe); /* unknown */
    keyboard_answers(0xff, 0xfa);
    assert_int_equal(next(), 0xaa);
    /* A command where a parameter was due ends the first. */
    keyboard_answers(0xed, 0xfa);
    keyboard_answers(0xf4, 0xfa);
    keyboard_answers(0x07, 0xfe);
}

static void scanning_can_be_switched_off(void **state)
{
    const uint8_t key = 0x1c;

    (void)state;
    assert_true(i8042_type(&controller, &key, 1));
    assert_int_equal(next(), 0x1c);
    keyboard_answers(0xf5, 0xfa);
    assert_false(i8042_type(&controller, &key, 1));
    keyboard_answers(0xf4, 0xfa);
    assert_true(i8042_type(&controller, &key, 1));
    assert_int_equal(next(), 0x1c);
    keyboard_answers(0xf5, 0xfa);
    keyboard_answers(0xf6, 0xfa); /* defaults */
    assert_true(i8042_type(&controller, &key, 1));
    assert_int_equal(next(), 0x1c);
    keyboard_answers(0xf5, 0xfa);
    keyboard_answers(0xff, 0xfa); /* reset */
    assert_int_equal(next(), 0xaa);
    assert_true(i8042_type(&controller, &key, 1));
    assert_int_equal(next(), 0x1c);
}

static void a_disabled_keyboard_keeps_its_keys(void **state)
{
    const uint8_t key = 0x1c;

    (void)state;
    command(0xad);
    assert_true(i8042_type(&controller, &key, 1));
    assert_silent();
    command(0xae);
    assert_int_equal(next(), 0x1c);
    command(0xad);
    assert_true(i8042_type(&controller, &key, 1));
    data(0xee); /* talking to it enables it; the reply goes first */
    assert_int_equal(next(), 0xee);
    assert_int_equal(next(), 0x1c);
}

static void the_controllers_answer_comes_before_keys(void **state)
{
    const uint8_t keys[] = {0x1c, 0xf0, 0x1c};

    (void)state;
    assert_true(i8042_type(&controller, keys, 3));
    command(0x20);
    assert_int_equal(next(), 0x1c); /* was in the buffer already */
    assert_int_equal(next(), 0x00);
    assert_int_equal(next(), 0xf0);
}

static void the_keyboards_buffer_is_finite(void **state)
{
    const uint8_t keys[16] = {0x1c};

    (void)state;
    assert_false(i8042_type(&controller, keys, PS2_QUEUE_SIZE + 1));
    assert_true(i8042_type(&controller, keys, 1)); /* moves on to the output buffer */
    for (unsigned i = 0; i < PS2_QUEUE_SIZE / sizeof keys; i++)
        assert_true(i8042_type(&controller, keys, sizeof keys));
    assert_false(i8042_type(&controller, keys, 1));
    for (unsigned i = 0; i < 1000; i++) {
        command(0x20);
        command(0xd2);
        data(0x11);
        data(0xf2);
    }
    while (in8(&fixture, 0x64) & 1)
        in8(&fixture, 0x60);
}

static void leds(void **state)
{
    (void)state;
    keyboard_answers(0xed, 0xfa);
    keyboard_answers(0xdf, 0xfa);
    assert_int_equal(controller.keyboard.leds,
                     PS2_KEYBOARD_SCROLL_LOCK | PS2_KEYBOARD_NUM_LOCK | PS2_KEYBOARD_CAPS_LOCK);
    keyboard_answers(0xff, 0xfa);
    assert_int_equal(controller.keyboard.leds, 0);
}

static void output_port(void **state)
{
    (void)state;
    command(0xd0);
    assert_int_equal(next(), 0xcf);
    command(0xd1);
    data(0xcd);
    assert_false(a20);
    command(0xd1);
    data(0xcf);
    assert_true(a20);
    assert_int_equal(a20_changes, 2);
    command(0xdd);
    assert_false(a20);
    command(0xdf);
    command(0xdf);
    assert_true(a20);
    assert_int_equal(a20_changes, 4);
    command(0xd2);
    data(0x42);
    assert_int_equal(next(), 0x42);
}

static void resets_of_the_processor(void **state)
{
    (void)state;
    command(0xff);
    command(0xf1);
    assert_int_equal(resets, 0);
    command(0xfe);
    assert_int_equal(resets, 1);
    command(0xf0);
    assert_int_equal(resets, 2);
    command(0xd1);
    data(0xce);
    assert_int_equal(resets, 3);
    command(0xd0);
    assert_int_equal(next(), 0xcf);
}

static void what_is_queued_is_dropped(void **state)
{
    const uint8_t keys[] = {0x1c, 0xf0, 0x1c};

    (void)state;
    /* Keys, by the command that switches scanning off; the first is in the output buffer. */
    assert_true(i8042_type(&controller, keys, 3));
    data(0xf5);
    assert_int_equal(next(), 0x1c);
    assert_int_equal(next(), 0xfa);
    assert_silent();
    /* The keyboard's replies, by another command. */
    data(0xf2);
    data(0xee);
    assert_int_equal(next(), 0xfa);
    assert_int_equal(next(), 0xee);
    assert_silent();
    /* The controller's, and a release half translated, by the self-test. */
    keyboard_answers(0xf4, 0xfa);
    command_byte(0x40);
    assert_true(i8042_type(&controller, keys + 1, 1));
    for (unsigned i = 0; i < 3; i++)
        command(0x20);
    command(0xaa);
    assert_int_equal(next(), 0x55);
    assert_silent();
    assert_true(i8042_type(&controller, keys, 1));
    assert_int_equal(next(), 0x1e);
    /* All of them, by a reset. */
    assert_true(i8042_type(&controller, keys, 3));
    for (unsigned i = 0; i < 3; i++)
        command(0x20);
    data(0xf2);
    i8042_reset(&controller);
    assert_silent();
    in8(&fixture, 0x60);
    assert_silent();
}

static void reset_forgets(void **state)
{
    const uint8_t keys[] = {0x1c, 0xf0};

    (void)state;
    command_byte(0x41);
    assert_true(i8042_type(&controller, keys, 2));
    assert_int_equal(next(), 0x1e); /* and the release prefix is in the translator */
    assert_true(i8042_type(&controller, keys, 1));
    command(0xd1);
    i8042_reset(&controller);
    assert_false(fixture.level[1]);
    assert_int_equal(in8(&fixture, 0x64), 0x10);
    assert_int_equal(in8(&fixture, 0x60), 0x00);
    keyboard_answers(0xfe, 0x00);
    command_byte(0x40);
    assert_true(i8042_type(&controller, keys, 1));
    assert_int_equal(next(), 0x1e);
    data(0xee); /* to the keyboard: the D1 command is forgotten */
    assert_int_equal(next(), 0xee);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(controller_tests, setup),
        cmocka_unit_test_setup(the_command_byte, setup),
        cmocka_unit_test_setup(the_auxiliary_port, setup),
        cmocka_unit_test_setup(interrupts_of_both_ports, setup),
        cmocka_unit_test_setup(interrupts, setup),
        cmocka_unit_test_setup(translation, setup),
        cmocka_unit_test_setup(scancode_sets, setup),
        cmocka_unit_test_setup(keyboard_commands, setup),
        cmocka_unit_test_setup(scanning_can_be_switched_off, setup),
        cmocka_unit_test_setup(a_disabled_keyboard_keeps_its_keys, setup),
        cmocka_unit_test_setup(the_controllers_answer_comes_before_keys, setup),
        cmocka_unit_test_setup(the_keyboards_buffer_is_finite, setup),
        cmocka_unit_test_setup(leds, setup),
        cmocka_unit_test_setup(output_port, setup),
        cmocka_unit_test_setup(resets_of_the_processor, setup),
        cmocka_unit_test_setup(what_is_queued_is_dropped, setup),
        cmocka_unit_test_setup(reset_forgets, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
