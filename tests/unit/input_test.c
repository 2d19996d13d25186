/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys as users name them against what a 104-key keyboard sends in set 2 and a guest reads in set 1 (Microsoft's
 * "Keyboard Scan Code Specification", appendix C), both written out here.
 */
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/input.h"
#include "partitions/root/worker/devices/i8042.h"
#include "tests/unit/device_fixture.h"

static struct device_fixture fixture;
static struct i8042 controller;
static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER;
static struct input input = {&device_lock, &controller};
static struct input_sink sink;

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
    sink = input_sink(&input);
    return 0;
}

struct bytes {
    unsigned length;
    uint8_t bytes[8];
};

#define B(...)                                                                                                         \
    {                                                                                                                  \
        sizeof((uint8_t[]){__VA_ARGS__}),                                                                              \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

/* A key with one code, and one behind E0h. Set 1 is the name itself. */
#define PLAIN(name, set_2)                                                                                             \
    {                                                                                                                  \
        name, B(set_2), B(0xf0, set_2), B(name), B((name) | 0x80)                                                      \
    }
#define EXTENDED(code, set_2)                                                                                          \
    {                                                                                                                  \
        0xe000 | (code), B(0xe0, set_2), B(0xe0, 0xf0, set_2), B(0xe0, code), B(0xe0, (code) | 0x80)                   \
    }

static const struct {
    uint16_t key;
    struct bytes press_2, release_2, press_1, release_1;
} keys[] = {
    PLAIN(0x01, 0x76), /* Esc */
    PLAIN(0x02, 0x16), /* 1 */
    PLAIN(0x03, 0x1e), /* 2 */
    PLAIN(0x04, 0x26), /* 3 */
    PLAIN(0x05, 0x25), /* 4 */
    PLAIN(0x06, 0x2e), /* 5 */
    PLAIN(0x07, 0x36), /* 6 */
    PLAIN(0x08, 0x3d), /* 7 */
    PLAIN(0x09, 0x3e), /* 8 */
    PLAIN(0x0a, 0x46), /* 9 */
    PLAIN(0x0b, 0x45), /* 0 */
    PLAIN(0x0c, 0x4e), /* - */
    PLAIN(0x0d, 0x55), /* = */
    PLAIN(0x0e, 0x66), /* Backspace */
    PLAIN(0x0f, 0x0d), /* Tab */
    PLAIN(0x10, 0x15), /* Q */
    PLAIN(0x11, 0x1d), /* W */
    PLAIN(0x12, 0x24), /* E */
    PLAIN(0x13, 0x2d), /* R */
    PLAIN(0x14, 0x2c), /* T */
    PLAIN(0x15, 0x35), /* Y */
    PLAIN(0x16, 0x3c), /* U */
    PLAIN(0x17, 0x43), /* I */
    PLAIN(0x18, 0x44), /* O */
    PLAIN(0x19, 0x4d), /* P */
    PLAIN(0x1a, 0x54), /* [ */
    PLAIN(0x1b, 0x5b), /* ] */
    PLAIN(0x1c, 0x5a), /* Enter */
    PLAIN(0x1d, 0x14), /* left Ctrl */
    PLAIN(0x1e, 0x1c), /* A */
    PLAIN(0x1f, 0x1b), /* S */
    PLAIN(0x20, 0x23), /* D */
    PLAIN(0x21, 0x2b), /* F */
    PLAIN(0x22, 0x34), /* G */
    PLAIN(0x23, 0x33), /* H */
    PLAIN(0x24, 0x3b), /* J */
    PLAIN(0x25, 0x42), /* K */
    PLAIN(0x26, 0x4b), /* L */
    PLAIN(0x27, 0x4c), /* ; */
    PLAIN(0x28, 0x52), /* ' */
    PLAIN(0x29, 0x0e), /* ` */
    PLAIN(0x2a, 0x12), /* left Shift */
    PLAIN(0x2b, 0x5d), /* backslash */
    PLAIN(0x2c, 0x1a), /* Z */
    PLAIN(0x2d, 0x22), /* X */
    PLAIN(0x2e, 0x21), /* C */
    PLAIN(0x2f, 0x2a), /* V */
    PLAIN(0x30, 0x32), /* B */
    PLAIN(0x31, 0x31), /* N */
    PLAIN(0x32, 0x3a), /* M */
    PLAIN(0x33, 0x41), /* , */
    PLAIN(0x34, 0x49), /* . */
    PLAIN(0x35, 0x4a), /* / */
    PLAIN(0x36, 0x59), /* right Shift */
    PLAIN(0x37, 0x7c), /* keypad * */
    PLAIN(0x38, 0x11), /* left Alt */
    PLAIN(0x39, 0x29), /* space */
    PLAIN(0x3a, 0x58), /* Caps Lock */
    PLAIN(0x3b, 0x05), /* F1 */
    PLAIN(0x3c, 0x06), /* F2 */
    PLAIN(0x3d, 0x04), /* F3 */
    PLAIN(0x3e, 0x0c), /* F4 */
    PLAIN(0x3f, 0x03), /* F5 */
    PLAIN(0x40, 0x0b), /* F6 */
    PLAIN(0x41, 0x83), /* F7 */
    PLAIN(0x42, 0x0a), /* F8 */
    PLAIN(0x43, 0x01), /* F9 */
    PLAIN(0x44, 0x09), /* F10 */
    PLAIN(0x45, 0x77), /* Num Lock */
    PLAIN(0x46, 0x7e), /* Scroll Lock */
    PLAIN(0x47, 0x6c), /* keypad 7 */
    PLAIN(0x48, 0x75), /* keypad 8 */
    PLAIN(0x49, 0x7d), /* keypad 9 */
    PLAIN(0x4a, 0x7b), /* keypad - */
    PLAIN(0x4b, 0x6b), /* keypad 4 */
    PLAIN(0x4c, 0x73), /* keypad 5 */
    PLAIN(0x4d, 0x74), /* keypad 6 */
    PLAIN(0x4e, 0x79), /* keypad + */
    PLAIN(0x4f, 0x69), /* keypad 1 */
    PLAIN(0x50, 0x72), /* keypad 2 */
    PLAIN(0x51, 0x7a), /* keypad 3 */
    PLAIN(0x52, 0x70), /* keypad 0 */
    PLAIN(0x53, 0x71), /* keypad . */
    PLAIN(0x54, 0x84), /* System Request, as Alt makes of Print Screen */
    PLAIN(0x56, 0x61), /* the 102nd key of ISO keyboards */
    PLAIN(0x57, 0x78), /* F11 */
    PLAIN(0x58, 0x07), /* F12 */
    EXTENDED(0x1c, 0x5a), /* keypad Enter */
    EXTENDED(0x1d, 0x14), /* right Ctrl */
    EXTENDED(0x35, 0x4a), /* keypad / */
    EXTENDED(0x38, 0x11), /* right Alt */
    EXTENDED(0x46, 0x7e), /* Break, as Ctrl makes of Pause */
    EXTENDED(0x47, 0x6c), /* Home */
    EXTENDED(0x48, 0x75), /* cursor up */
    EXTENDED(0x49, 0x7d), /* Page Up */
    EXTENDED(0x4b, 0x6b), /* cursor left */
    EXTENDED(0x4d, 0x74), /* cursor right */
    EXTENDED(0x4f, 0x69), /* End */
    EXTENDED(0x50, 0x72), /* cursor down */
    EXTENDED(0x51, 0x7a), /* Page Down */
    EXTENDED(0x52, 0x70), /* Insert */
    EXTENDED(0x53, 0x71), /* Delete */
    EXTENDED(0x5b, 0x1f), /* left Windows */
    EXTENDED(0x5c, 0x27), /* right Windows */
    EXTENDED(0x5d, 0x2f), /* menu */
    {INPUT_KEY_PRINT_SCREEN, B(0xe0, 0x12, 0xe0, 0x7c), B(0xe0, 0xf0,                                0x7c,                0xe0,      0xf0, 0x12),
                             B(0xe0,   0x2a, 0xe0, 0x37), B(0xe0, 0xb7,      0xe0, 0xaa)},
    {INPUT_KEY_PAUSE,
                             B(0xe1,                       0x14,             0x77,                                     0xe1,                0xf0,      0x14, 0xf0, 0x77),
                             {0, {0}},
                             B(0xe1, 0x1d, 0x45,         0xe1,         0x9d,          0xc5),
                             {0, {0}}},
};

#define KEYS (sizeof keys / sizeof keys[0])

static void assert_reads(const struct bytes *expected)
{
    for (unsigned i = 0; i < expected->length; i++) {
        assert_int_equal(in8(&fixture, 0x64) & 0x21, 0x01);
        assert_int_equal(in8(&fixture, 0x60), expected->bytes[i]);
    }
    assert_int_equal(in8(&fixture, 0x64) & 0x01, 0);
}

static void set_command_byte(uint8_t value)
{
    out8(&fixture, 0x64, 0x60);
    out8(&fixture, 0x60, value);
}

static void assert_all_keys(bool set_1)
{
    for (unsigned i = 0; i < KEYS; i++) {
        assert_true(sink.key(sink.context, keys[i].key, true));
        assert_reads(set_1 ? &keys[i].press_1 : &keys[i].press_2);
        assert_true(sink.key(sink.context, keys[i].key, false));
        assert_reads(set_1 ? &keys[i].release_1 : &keys[i].release_2);
    }
}

static void every_key_in_set_2(void **state)
{
    (void)state;
    assert_int_equal(KEYS, 104 + 3); /* with System Request, Break and the 102nd key */
    set_command_byte(0x05);
    assert_all_keys(false);
}

static void every_key_translated(void **state)
{
    (void)state;
    set_command_byte(0x45);
    assert_all_keys(true);
}

/* Without the controller's help: the keyboard itself is set to set 1. */
static void every_key_in_set_1(void **state)
{
    (void)state;
    set_command_byte(0x05);
    for (unsigned i = 0; i < 2; i++) {
        out8(&fixture, 0x60, i ? 0x01 : 0xf0);
        assert_int_equal(in8(&fixture, 0x60), 0xfa);
    }
    assert_all_keys(true);
}

static void keys_that_nobody_has(void **state)
{
    static const uint16_t others[] = {0x00, 0x80, 0xff, 0xe000, 0xe080, 0xe0ff, 0xe145, 0x1234, 0xffff};

    (void)state;
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_true(sink.key(sink.context, others[i], true));
        assert_true(sink.key(sink.context, others[i], false));
    }
    assert_int_equal(in8(&fixture, 0x64) & 0x01, 0);
}

/* Whatever its name says, a key puts at most eight bytes there, and never half a sequence. */
static void no_key_is_cut(void **state)
{
    const struct bytes first = B(0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
    unsigned taken = 0;

    (void)state;
    while (sink.key(sink.context, INPUT_KEY_PAUSE, true))
        taken++;
    assert_in_range(taken, 2, PS2_QUEUE_SIZE / 8 + 1);
    for (unsigned i = 0; i < taken; i++)
        for (unsigned n = 0; n < first.length; n++)
            assert_int_equal(in8(&fixture, 0x60), first.bytes[n]);
    assert_int_equal(in8(&fixture, 0x64) & 0x01, 0);
    assert_true(sink.key(sink.context, 0x1e, true));
    out8(&fixture, 0x60, 0xf5); /* the guest does not listen */
    assert_false(sink.key(sink.context, 0x1e, false));
    for (unsigned key = 0; key <= 0xffff; key++)
        sink.key(sink.context, (uint16_t)key, key & 1);
}

static void the_pointer(void **state)
{
    const struct bytes right_and_down = B(0x2a, 12, 0xfb, 3), all = B(0xe8, 255, 1, 0);

    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        out8(&fixture, 0x64, 0xd4);
        out8(&fixture, 0x60, (const uint8_t[]){0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf4}[i]);
        assert_int_equal(in8(&fixture, 0x60), 0xfa);
    }
    sink.pointer(sink.context, 12, 5, 3, INPUT_BUTTON_RIGHT);
    for (unsigned i = 0; i < right_and_down.length; i++) {
        assert_int_equal(in8(&fixture, 0x64) & 0x21, 0x21);
        assert_int_equal(in8(&fixture, 0x60), right_and_down.bytes[i]);
    }
    sink.pointer(sink.context, 0, 0, 0, INPUT_BUTTON_LEFT);
    assert_int_equal(in8(&fixture, 0x60), 0x09);
    for (unsigned i = 0; i < 3; i++)
        in8(&fixture, 0x60);
    sink.pointer(sink.context, 0, 0, 0, INPUT_BUTTON_MIDDLE);
    assert_int_equal(in8(&fixture, 0x60), 0x0c);
    sink.pointer(sink.context, INT_MAX, INT_MAX, 0, 0);
    for (unsigned i = 0; i < 3; i++)
        in8(&fixture, 0x60);
    for (unsigned i = 0; i < all.length; i++)
        assert_int_equal(in8(&fixture, 0x60), all.bytes[i]);
    sink.pointer(sink.context, INT_MIN, INT_MIN, INT_MIN, UINT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_key_in_set_2, setup), cmocka_unit_test_setup(every_key_translated, setup),
        cmocka_unit_test_setup(every_key_in_set_1, setup), cmocka_unit_test_setup(keys_that_nobody_has, setup),
        cmocka_unit_test_setup(no_key_is_cut, setup),      cmocka_unit_test_setup(the_pointer, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
