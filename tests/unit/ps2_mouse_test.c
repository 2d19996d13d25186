/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mouse, as a driver sees it through the controller's auxiliary port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/i8042.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture fixture;
static struct i8042 controller;

static void set_a20(void *context, bool enabled)
{
    (void)context;
    (void)enabled;
}

static void reset(void *context)
{
    (void)context;
}

static int setup(void **state)
{
    const struct i8042_outputs outputs = {set_a20, reset, NULL};

    (void)state;
    fixture_initialize(&fixture);
    assert_true(
        i8042_initialize(&controller, &fixture.bus, fixture_line(&fixture, 1), fixture_line(&fixture, 12), &outputs));
    return 0;
}

static bool silent(void)
{
    return !(in8(&fixture, 0x64) & 0x01);
}

static uint8_t next(void)
{
    assert_int_equal(in8(&fixture, 0x64) & 0x21, 0x21);
    return in8(&fixture, 0x60);
}

static void tell(uint8_t value)
{
    out8(&fixture, 0x64, 0xd4);
    out8(&fixture, 0x60, value);
}

/* Sends a byte; the mouse answers with these. */
#define assert_answers(value, ...)                                                                                     \
    assert_answer(value, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void assert_answer(uint8_t value, const uint8_t *answer, size_t length)
{
    tell(value);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(next(), answer[i]);
    assert_true(silent());
}

#define assert_says(...) assert_bytes((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void assert_bytes(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        assert_int_equal(next(), bytes[i]);
}

static void set_rates(uint8_t first, uint8_t second, uint8_t third)
{
    const uint8_t rates[] = {first, second, third};

    for (unsigned i = 0; i < 3; i++) {
        assert_answers(0xf3, 0xfa);
        assert_answers(rates[i], 0xfa);
    }
}

static void reset_and_id(void **state)
{
    (void)state;
    assert_answers(0xff, 0xfa, 0xaa, 0x00);
    assert_answers(0xf2, 0xfa, 0x00);
    set_rates(200, 100, 80);
    assert_answers(0xf2, 0xfa, 0x03);
    set_rates(200, 200, 80);
    assert_answers(0xf2, 0xfa, 0x04);
    assert_answers(0xf6, 0xfa); /* defaults do not take the wheel away */
    assert_answers(0xf2, 0xfa, 0x04);
    assert_answers(0xff, 0xfa, 0xaa, 0x00);
    assert_answers(0xf2, 0xfa, 0x00);
    set_rates(200, 100, 60);
    set_rates(100, 200, 80);
    assert_answers(0xf2, 0xfa, 0x00);
    set_rates(200, 200, 80);
    assert_answers(0xf2, 0xfa, 0x04);
    i8042_reset(&controller);
    assert_answers(0xf2, 0xfa, 0x00);
    /* Half a knock before a reset does not count. */
    set_rates(10, 200, 100);
    assert_answers(0xff, 0xfa, 0xaa, 0x00);
    assert_answers(0xf3, 0xfa);
    assert_answers(80, 0xfa);
    assert_answers(0xf2, 0xfa, 0x00);
}

static void status(void **state)
{
    (void)state;
    assert_answers(0xe9, 0xfa, 0x00, 2, 100);
    assert_answers(0xf4, 0xfa);
    assert_answers(0xe7, 0xfa);
    assert_answers(0xe8, 0xfa);
    assert_answers(3, 0xfa);
    assert_answers(0xf3, 0xfa);
    assert_answers(40, 0xfa);
    assert_answers(0xe9, 0xfa, 0x30, 3, 40);
    assert_answers(0xf0, 0xfa);
    i8042_move(&controller, 0, 0, 0, PS2_MOUSE_LEFT);
    assert_answers(0xe9, 0xfa, 0x74, 3, 40);
    i8042_move(&controller, 0, 0, 0, PS2_MOUSE_RIGHT);
    assert_answers(0xe9, 0xfa, 0x71, 3, 40);
    i8042_move(&controller, 0, 0, 0, PS2_MOUSE_MIDDLE);
    assert_answers(0xe6, 0xfa);
    assert_answers(0xe9, 0xfa, 0x62, 3, 40);
    assert_answers(0xea, 0xfa);
    assert_answers(0xf5, 0xfa);
    assert_answers(0xe9, 0xfa, 0x02, 3, 40);
    assert_answers(0xe7, 0xfa);
    assert_answers(0xf6, 0xfa);
    assert_answers(0xe9, 0xfa, 0x02, 2, 100);
}

static void bad_bytes(void **state)
{
    (void)state;
    assert_answers(0x12, 0xfe);
    assert_answers(0xf1, 0xfc);
    assert_answers(0xe1, 0xfe);
    assert_answers(0xe9, 0xfa, 0x00, 2, 100);
    assert_answers(0xe1, 0xfe);
    assert_answers(0xe8, 0xfa);
    assert_answers(4, 0xfe);
    assert_answers(1, 0xfa); /* sent again, as asked for */
    assert_answers(0xe9, 0xfa, 0x00, 1, 100);
    assert_answers(0xf3, 0xfa);
    assert_answers(99, 0xfe);
    assert_answers(0, 0xfc);
    assert_answers(40, 0xfe); /* no parameter any more */
    assert_answers(0xf3, 0xfa);
    assert_answers(0xf2, 0xfa, 0x00); /* a command instead */
    assert_answers(40, 0xfe);
}

static void resend(void **state)
{
    (void)state;
    assert_answers(0xe9, 0xfa, 0x00, 2, 100);
    assert_answers(0xfe, 0xfa, 0x00, 2, 100);
    assert_answers(0xfe, 0xfa, 0x00, 2, 100);
    assert_answers(0xf4, 0xfa);
    i8042_move(&controller, 5, -6, 0, 0);
    assert_says(0x28, 5, 0xfa);
    assert_answers(0xfe, 0x28, 5, 0xfa);
    /* In the midst of a packet it begins anew. */
    i8042_move(&controller, 7, 8, 0, 0);
    assert_int_equal(next(), 0x08);
    tell(0xfe);
    assert_int_equal(next(), 7); /* was in the controller's buffer already */
    assert_says(0x08, 7, 8);
    assert_true(silent());
}

static void packets(void **state)
{
    (void)state;
    i8042_move(&controller, 1, 1, 1, 0);
    assert_true(silent()); /* reporting is off */
    assert_answers(0xf4, 0xfa);
    assert_true(silent()); /* and what was before is forgotten */
    i8042_move(&controller, 0, 0, 0, 0);
    assert_true(silent());
    i8042_move(&controller, 10, 20, 1, PS2_MOUSE_LEFT);
    assert_says(0x09, 10, 20);
    i8042_move(&controller, -10, -20, 0, PS2_MOUSE_RIGHT | PS2_MOUSE_FOURTH);
    assert_says(0x3a, 0xf6, 0xec);
    i8042_move(&controller, 0, 0, 0, PS2_MOUSE_MIDDLE);
    assert_says(0x0c, 0, 0);
    assert_true(silent());
    assert_answers(0xf5, 0xfa);
    i8042_move(&controller, 1, 1, 0, 0);
    assert_true(silent());
}

static void wheels(void **state)
{
    (void)state;
    assert_answers(0xf4, 0xfa);
    i8042_move(&controller, 0, 0, 20, 0); /* of which a plain mouse knows nothing */
    assert_says(0x08, 0, 0);
    assert_true(silent());
    set_rates(200, 100, 80);
    assert_answers(0xf4, 0xfa);
    i8042_move(&controller, 1, 2, 3, PS2_MOUSE_FIFTH);
    assert_says(0x08, 1, 2, 3);
    i8042_move(&controller, 0, 0, -1, 0);
    assert_says(0x08, 0, 0, 0xff);
    i8042_move(&controller, 0, 0, -20, 0);
    assert_says(0x08, 0, 0, 0xf8);
    assert_says(0x08, 0, 0, 0xf8);
    assert_says(0x08, 0, 0, 0xfc);
    assert_true(silent());
    set_rates(200, 200, 80);
    i8042_move(&controller, 0, 0, -1, PS2_MOUSE_FOURTH);
    assert_says(0x08, 0, 0, 0x1f);
    i8042_move(&controller, 0, 0, 7, PS2_MOUSE_FIFTH | PS2_MOUSE_LEFT);
    assert_says(0x09, 0, 0, 0x27);
    assert_true(silent());
}

static void scaling(void **state)
{
    static const struct {
        int moved;
        uint8_t reported;
    } table[] = {
        {1,    1   },
        {2,    1   },
        {3,    3   },
        {4,    6   },
        {5,    9   },
        {6,    12  },
        {100,  200 },
        {-1,   0xff},
        {-4,   0xfa},
        {-127, 2   }
    };

    (void)state;
    assert_answers(0xe7, 0xfa);
    assert_answers(0xf4, 0xfa);
    for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
        i8042_move(&controller, table[i].moved, 0, 0, 0);
        assert_says(table[i].moved < 0 ? 0x18 : 0x08, table[i].reported, 0);
    }
    i8042_move(&controller, 0, 200, 0, 0);
    assert_says(0x08, 0, 254);
    assert_says(0x08, 0, 146);
    assert_answers(0xf0, 0xfa);
    i8042_move(&controller, 4, 0, 0, 0);
    assert_answers(0xeb, 0xfa, 0x08, 4, 0); /* not when the host asks */
}

/* Reads packets until there are none, adds their movement up and checks that none is cut. */
static unsigned read_all(int *x, int *y, unsigned *overflows)
{
    unsigned count = 0;

    while (!silent()) {
        uint8_t first = next();

        assert_true(first & 0x08);
        *overflows += (first & 0xc0) != 0;
        *x += (int)next() - (first & 0x10 ? 256 : 0);
        *y += (int)next() - (first & 0x20 ? 256 : 0);
        count++;
    }
    return count;
}

static void movement_is_not_lost(void **state)
{
    int x = 0, y = 0;
    unsigned overflows = 0;

    (void)state;
    assert_answers(0xf4, 0xfa);
    for (unsigned i = 0; i < 1000; i++)
        i8042_move(&controller, 3, i % 2 ? -31 : -30, 0, 0);
    assert_int_equal(read_all(&x, &y, &overflows), 1 + (30500 - 30 + 254) / 255);
    assert_int_equal(x, 3000);
    assert_int_equal(y, -30500);
    assert_int_equal(overflows, 0);
}

static void overflow(void **state)
{
    int x = 0, y = 0;
    unsigned overflows = 0;

    (void)state;
    assert_answers(0xf4, 0xfa);
    i8042_move(&controller, 1, 1, 0, 0); /* on its way already */
    i8042_move(&controller, 2147483647, -2147483647 - 1, 2147483647, 0);
    i8042_move(&controller, 2147483647, -2147483647 - 1, 2147483647, 0);
    assert_says(0x08, 1, 1);
    assert_int_equal(in8(&fixture, 0x60), 0xe8);
    assert_says(255, 1);
    read_all(&x, &y, &overflows);
    assert_int_equal(x, PS2_MOUSE_MOVEMENT - 255);
    assert_int_equal(y, -PS2_MOUSE_MOVEMENT + 255);
    assert_int_equal(overflows, 0); /* told once */
}

static void clicks_are_kept_apart(void **state)
{
    (void)state;
    assert_answers(0xf4, 0xfa);
    i8042_move(&controller, 1, 0, 0, 0);
    i8042_move(&controller, 2, 0, 0, 0);
    i8042_move(&controller, 3, 0, 0, 1);
    i8042_move(&controller, 4, 0, 0, 1);
    i8042_move(&controller, 0, 0, 0, 0);
    i8042_move(&controller, 0, 0, 0, 1);
    i8042_move(&controller, 5, 0, 0, 0);
    assert_says(0x08, 1, 0);
    assert_says(0x08, 2, 0);
    assert_says(0x09, 7, 0);
    assert_says(0x08, 0, 0);
    assert_says(0x09, 0, 0);
    assert_says(0x08, 5, 0);
    assert_true(silent());
    /* More than there is room for: movement and the last state stay. */
    for (unsigned i = 1; i <= 101; i++)
        i8042_move(&controller, 1, 0, 0, i & 1);
    for (unsigned i = 1, x = 0; i <= PS2_MOUSE_EVENTS + 1; i++) {
        uint8_t first = next();

        assert_int_equal(first, i == PS2_MOUSE_EVENTS + 1 ? 0x09 : 0x08 | (i & 1));
        x += next();
        assert_int_equal(next(), 0);
        assert_int_equal(x, i == PS2_MOUSE_EVENTS + 1 ? 101 : i);
    }
    assert_true(silent());
}

static void remote_mode(void **state)
{
    (void)state;
    assert_answers(0xf0, 0xfa);
    assert_answers(0xf4, 0xfa);
    i8042_move(&controller, 300, 1, 0, 1);
    i8042_move(&controller, 0, 0, 0, 0);
    i8042_move(&controller, 0, 0, 0, 1);
    assert_true(silent());
    assert_answers(0xeb, 0xfa, 0x09, 255, 1);
    assert_answers(0xeb, 0xfa, 0x09, 45, 0);
    assert_answers(0xeb, 0xfa, 0x09, 0, 0);
    i8042_move(&controller, 9, 9, 0, 0);
    assert_answers(0xea, 0xfa); /* counts are reset */
    i8042_move(&controller, 1, 0, 0, 0);
    assert_says(0x08, 1, 0);
}

static void wrap_mode(void **state)
{
    (void)state;
    assert_answers(0xf0, 0xfa);
    assert_answers(0xee, 0xfa);
    for (unsigned byte = 0; byte < 0xff; byte++)
        if (byte != 0xec)
            assert_answers((uint8_t)byte, (uint8_t)byte);
    assert_answers(0xec, 0xfa);
    assert_answers(0xe9, 0xfa, 0x40, 2, 100); /* back in remote mode */
    assert_answers(0xea, 0xfa);
    assert_answers(0xf4, 0xfa);
    assert_answers(0xee, 0xfa);
    i8042_move(&controller, 1, 1, 0, 0);
    assert_true(silent());
    assert_answers(0xff, 0xfa, 0xaa, 0x00);
    assert_answers(0xf2, 0xfa, 0x00);
}

static void a_disabled_port_holds_packets(void **state)
{
    (void)state;
    assert_answers(0xf4, 0xfa);
    i8042_move(&controller, 1, 2, 0, 0);
    assert_int_equal(next(), 0x08);
    assert_int_equal(next(), 1);
    out8(&fixture, 0x64, 0xa7);
    assert_int_equal(next(), 2); /* was in the buffer */
    i8042_move(&controller, 3, 4, 0, 0);
    i8042_move(&controller, 3, 4, 0, 0);
    assert_true(silent());
    out8(&fixture, 0x64, 0xa8);
    assert_says(0x08, 6, 8);
}

/* A command cuts the packet off: nothing of it follows the answer. */
static void a_command_ends_a_packet(void **state)
{
    (void)state;
    assert_answers(0xf4, 0xfa);
    i8042_move(&controller, 1, 2, 0, 0);
    i8042_move(&controller, 30, 40, 0, 0);
    tell(0xf2);
    assert_int_equal(next(), 0x08); /* was in the buffer */
    assert_says(0xfa, 0x00);
    assert_says(0x08, 30, 40);
    /* Nor does one come between a command and its parameter. */
    tell(0xe8);
    assert_int_equal(next(), 0xfa);
    i8042_move(&controller, 5, 5, 0, 0);
    assert_true(silent());
    tell(1);
    assert_says(0xfa, 0x08, 5, 5);
}

static void keys_and_movement_together(void **state)
{
    const uint8_t keys[] = {0x1c, 0xf0, 0x1c};
    uint8_t from_keyboard[8], from_mouse[8];
    unsigned key_count = 0, mouse_count = 0;

    (void)state;
    out8(&fixture, 0x64, 0x60);
    out8(&fixture, 0x60, 0x47);
    assert_answers(0xf4, 0xfa);
    i8042_move(&controller, 1, 2, 0, 0);
    assert_true(i8042_type(&controller, keys, sizeof keys));
    while (!silent()) {
        if (in8(&fixture, 0x64) & 0x20)
            from_mouse[mouse_count++ % 8] = in8(&fixture, 0x60);
        else
            from_keyboard[key_count++ % 8] = in8(&fixture, 0x60);
    }
    assert_int_equal(key_count, 2);
    assert_memory_equal(from_keyboard, "\x1e\x9e", 2);
    assert_int_equal(mouse_count, 3);
    assert_memory_equal(from_mouse, "\x08\x01\x02", 3); /* is not translated */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(reset_and_id, setup),
        cmocka_unit_test_setup(status, setup),
        cmocka_unit_test_setup(bad_bytes, setup),
        cmocka_unit_test_setup(resend, setup),
        cmocka_unit_test_setup(packets, setup),
        cmocka_unit_test_setup(wheels, setup),
        cmocka_unit_test_setup(scaling, setup),
        cmocka_unit_test_setup(movement_is_not_lost, setup),
        cmocka_unit_test_setup(overflow, setup),
        cmocka_unit_test_setup(clicks_are_kept_apart, setup),
        cmocka_unit_test_setup(remote_mode, setup),
        cmocka_unit_test_setup(wrap_mode, setup),
        cmocka_unit_test_setup(a_disabled_port_holds_packets, setup),
        cmocka_unit_test_setup(a_command_ends_a_packet, setup),
        cmocka_unit_test_setup(keys_and_movement_together, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
