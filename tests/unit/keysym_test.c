/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keysyms and names of keys, checked by a keyboard of the US layout that turns scan codes back into characters;
 * the queue of keys; the pointer, checked by a guest whose own stops at the screen's edges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "partitions/root/worker/input.h"
#include "partitions/root/worker/key_name.h"
#include "partitions/root/worker/key_queue.h"
#include "partitions/root/worker/pointer.h"

#define KEYSYM_SHIFT   0xFFE1u
#define KEYSYM_SHIFT_R 0xFFE2u
#define KEYSYM_CAPS    0xFFE5u
#define KEYSYM_CONTROL 0xFFE3u
#define KEYSYM_ALT     0xFFE9u
#define KEYSYM_LEVEL3  0xFE03u

/* ---- A guest's keyboard ---- */

/* IBM's scan codes, set 1, as the technical reference of the PC has them. */
static const struct {
    uint8_t code;
    char plain, shifted;
} layout[] = {
    {0x02, '1',  '!' },
    {0x03, '2',  '@' },
    {0x04, '3',  '#' },
    {0x05, '4',  '$' },
    {0x06, '5',  '%' },
    {0x07, '6',  '^' },
    {0x08, '7',  '&' },
    {0x09, '8',  '*' },
    {0x0A, '9',  '(' },
    {0x0B, '0',  ')' },
    {0x0C, '-',  '_' },
    {0x0D, '=',  '+' },
    {0x10, 'q',  'Q' },
    {0x11, 'w',  'W' },
    {0x12, 'e',  'E' },
    {0x13, 'r',  'R' },
    {0x14, 't',  'T' },
    {0x15, 'y',  'Y' },
    {0x16, 'u',  'U' },
    {0x17, 'i',  'I' },
    {0x18, 'o',  'O' },
    {0x19, 'p',  'P' },
    {0x1A, '[',  '{' },
    {0x1B, ']',  '}' },
    {0x1E, 'a',  'A' },
    {0x1F, 's',  'S' },
    {0x20, 'd',  'D' },
    {0x21, 'f',  'F' },
    {0x22, 'g',  'G' },
    {0x23, 'h',  'H' },
    {0x24, 'j',  'J' },
    {0x25, 'k',  'K' },
    {0x26, 'l',  'L' },
    {0x27, ';',  ':' },
    {0x28, '\'', '"' },
    {0x29, '`',  '~' },
    {0x2B, '\\', '|' },
    {0x2C, 'z',  'Z' },
    {0x2D, 'x',  'X' },
    {0x2E, 'c',  'C' },
    {0x2F, 'v',  'V' },
    {0x30, 'b',  'B' },
    {0x31, 'n',  'N' },
    {0x32, 'm',  'M' },
    {0x33, ',',  '<' },
    {0x34, '.',  '>' },
    {0x35, '/',  '?' },
    {0x39, ' ',  ' ' },
    {0x1C, '\n', '\n'},
    {0x0F, '\t', '\t'},
};

static struct {
    bool down[0x10000];
    bool caps;
    char typed[4096];
    size_t length;
    unsigned refusals; /* so many keys are not taken first */
} guest;

static char typed_by(uint16_t key)
{
    bool shift = guest.down[0x2A] || guest.down[0x36];

    for (unsigned i = 0; i < sizeof layout / sizeof layout[0]; i++)
        if (layout[i].code == key) {
            bool letter = layout[i].plain >= 'a' && layout[i].plain <= 'z';

            return shift != (letter && guest.caps) ? layout[i].shifted : layout[i].plain;
        }
    return 0;
}

static bool take_key(void *context, uint16_t key, bool pressed)
{
    (void)context;
    if (guest.refusals > 0) {
        guest.refusals--;
        return false;
    }
    guest.down[key] = pressed;
    if (pressed && key == 0x3A)
        guest.caps = !guest.caps;
    if (pressed && typed_by(key) && guest.length < sizeof guest.typed - 1)
        guest.typed[guest.length++] = typed_by(key);
    return true;
}

static const struct input_sink sink = {.key = take_key};

static int set_up(void **state)
{
    (void)state;
    memset(&guest, 0, sizeof guest);
    return 0;
}

static void assert_nothing_is_down(void)
{
    for (unsigned i = 0; i < 0x10000; i++)
        if (guest.down[i])
            fail_msg("key %04x is still down", i);
}

static void viewer(struct keyboard *keyboard, uint32_t keysym, bool pressed)
{
    struct key_event events[KEYBOARD_EVENTS];
    unsigned count = keyboard_event(keyboard, keysym, pressed, events);

    assert_true(count <= KEYBOARD_EVENTS);
    for (unsigned i = 0; i < count; i++)
        take_key(NULL, events[i].key, events[i].pressed);
}

static void strike(struct keyboard *keyboard, uint32_t keysym)
{
    viewer(keyboard, keysym, true);
    viewer(keyboard, keysym, false);
}

/* ---- Keysyms ---- */

/* Whatever Shift and Caps Lock are, the character that the viewer sends is the one that arrives. */
static void test_every_character_arrives(void **state)
{
    const uint32_t shifts[] = {0, KEYSYM_SHIFT, KEYSYM_SHIFT_R};

    (void)state;
    for (unsigned caps = 0; caps < 2; caps++)
        for (unsigned i = 0; i < 3; i++) {
            struct keyboard keyboard = {0};

            set_up(NULL);
            if (caps)
                strike(&keyboard, KEYSYM_CAPS);
            if (shifts[i])
                viewer(&keyboard, shifts[i], true);
            for (char c = ' '; c <= '~'; c++) {
                bool held = guest.down[0x2A], right = guest.down[0x36];

                guest.length = 0;
                strike(&keyboard, (uint32_t)c);
                guest.typed[guest.length] = 0;
                assert_int_equal(guest.length, 1);
                assert_int_equal(guest.typed[0], c);
                assert_int_equal(guest.down[0x2A], held);
                assert_int_equal(guest.down[0x36], right);
            }
            if (shifts[i])
                viewer(&keyboard, shifts[i], false);
            assert_nothing_is_down();
        }
}

static void test_keys_without_characters(void **state)
{
    const struct {
        uint32_t keysym;
        uint16_t key;
    } expected[] = {
        {0xFF1B, 0x01  },
        {0xFF08, 0x0E  },
        {0xFFBE, 0x3B  },
        {0xFFC7, 0x44  },
        {0xFFC8, 0x57  },
        {0xFFC9, 0x58  },
        {0xFF52, 0xE048},
        {0xFF54, 0xE050},
        {0xFF51, 0xE04B},
        {0xFF53, 0xE04D},
        {0xFFFF, 0xE053},
        {0xFF63, 0xE052},
        {0xFF50, 0xE047},
        {0xFF57, 0xE04F},
        {0xFF55, 0xE049},
        {0xFF56, 0xE051},
        {0xFFE4, 0xE01D},
        {0xFFEA, 0xE038},
        {0xFF61, 0xE037},
        {0xFF13, 0xE11D},
        {0xFF8D, 0xE01C},
        {0xFFAF, 0xE035},
        {0xFFB5, 0x4C  },
        {0xFF9D, 0x4C  },
        {0xFF7F, 0x45  },
        {0xFF14, 0x46  },
        {0xFFEB, 0xE05B},
        {0xFF67, 0xE05D},
    };
    struct key_meaning meaning;

    (void)state;
    for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_true(keysym_meaning(expected[i].keysym, &meaning));
        assert_int_equal(meaning.key, expected[i].key);
        assert_int_equal(meaning.shift, KEY_SHIFT_ANY);
    }
    /* Unicode's own numbers; what a dead key would put on a letter */
    assert_true(keysym_meaning(0x01000000u + 'a', &meaning));
    assert_int_equal(meaning.key, 0x1E);
    assert_true(keysym_meaning(0xFE53, &meaning));
    assert_int_equal(meaning.key, 0x29);
    /* Not on this keyboard: a letter with dots, level 3, nothing at all */
    assert_false(keysym_meaning(0xE4, &meaning));
    assert_false(keysym_meaning(KEYSYM_LEVEL3, &meaning));
    assert_false(keysym_meaning(0, &meaning));
    assert_false(keysym_meaning(0xFFFFFFFF, &meaning));
}

/* On a German keyboard '/' is Shift and 7, and '@' is level 3 and q. */
static void test_other_layouts(void **state)
{
    struct keyboard keyboard = {0};

    (void)state;
    viewer(&keyboard, KEYSYM_SHIFT, true);
    strike(&keyboard, '/');
    viewer(&keyboard, KEYSYM_SHIFT, false);
    viewer(&keyboard, KEYSYM_LEVEL3, true);
    strike(&keyboard, '@');
    viewer(&keyboard, KEYSYM_LEVEL3, false);
    assert_string_equal(guest.typed, "/@");
    assert_nothing_is_down();
}

/* Shift goes up before the key does: the viewer then names another symbol. */
static void test_release_under_another_name(void **state)
{
    struct keyboard keyboard = {0};

    (void)state;
    viewer(&keyboard, KEYSYM_SHIFT, true);
    viewer(&keyboard, 'A', true);
    viewer(&keyboard, KEYSYM_SHIFT, false);
    viewer(&keyboard, 'a', false);
    assert_string_equal(guest.typed, "A");
    assert_nothing_is_down();
    assert_int_equal(keyboard.held_count, 0);
}

static void test_what_a_viewer_leaves_behind(void **state)
{
    struct keyboard keyboard = {0};
    struct key_event event;

    (void)state;
    viewer(&keyboard, KEYSYM_CONTROL, true);
    viewer(&keyboard, KEYSYM_ALT, true);
    viewer(&keyboard, 'x', true);
    viewer(&keyboard, 'x', true); /* repeats */
    while (keyboard_release(&keyboard, &event))
        take_key(NULL, event.key, event.pressed);
    assert_nothing_is_down();
    /* More than anybody has fingers */
    for (char c = '!'; c <= '~'; c++)
        viewer(&keyboard, (uint32_t)c, true);
    assert_true(keyboard.held_count <= KEYBOARD_HELD);
    while (keyboard_release(&keyboard, &event))
        take_key(NULL, event.key, event.pressed);
    assert_nothing_is_down();
}

/* ---- Names ---- */

static void press_all(const struct key_events *events)
{
    for (size_t i = 0; i < events->count; i++)
        take_key(NULL, events->events[i].key, events->events[i].pressed);
}

static void test_names(void **state)
{
    const uint16_t expected[] = {0x1D, 0x38, 0xE053};
    struct key_event list[64];
    struct key_events events = {.events = list, .capacity = 64};
    char error[KEY_NAME_ERROR_SIZE];

    (void)state;
    assert_true(key_name_press("Ctrl-ALT-delete", &events, error));
    assert_int_equal(events.count, 6);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(list[i].key, expected[i]);
        assert_true(list[i].pressed);
        assert_int_equal(list[5 - i].key, expected[i]);
        assert_false(list[5 - i].pressed);
    }
    events.count = 0;
    assert_true(key_name_press("A", &events, error)); /* the key, not the letter */
    assert_true(key_name_press("!", &events, error));
    assert_true(key_name_press("-", &events, error));
    assert_true(key_name_press("shift--", &events, error));
    assert_true(key_name_press("f10", &events, error));
    press_all(&events);
    assert_string_equal(guest.typed, "a!-_");
    assert_nothing_is_down();
}

static void test_names_that_are_none(void **state)
{
    const struct {
        const char *name, *error;
    } wrong[] = {
        {"",                                                              "there is no key \"\""        },
        {"ctrl-",                                                         "there is no key \"\""        },
        {"ctlr-a",                                                        "there is no key \"ctlr\""    },
        {"f13",                                                           "there is no key \"f13\""     },
        {"\xC3\xA4",                                                      "there is no key \"\xC3\xA4\""},
        {"a-b-c-d-e-f-g-h-i",                                             "more than 8 keys at a time"  },
        {"a-very-long-name-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "there is no key \"very\""    },
    };
    struct key_event list[16];
    struct key_events events = {.events = list, .capacity = 16};
    char error[KEY_NAME_ERROR_SIZE];

    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(key_name_press(wrong[i].name, &events, error));
        assert_string_equal(error, wrong[i].error);
        assert_int_equal(events.count, 0);
    }
    events.capacity = 3;
    assert_false(key_name_press("ctrl-a", &events, error));
    assert_int_equal(events.count, 0);
}

static void test_text(void **state)
{
    static struct key_event list[KEY_QUEUE_SIZE];
    struct key_events events = {.events = list, .capacity = KEY_QUEUE_SIZE};
    char text[128] = "", error[KEY_NAME_ERROR_SIZE];

    (void)state;
    for (char c = ' '; c <= '~'; c++)
        text[c - ' '] = c;
    strcat(text, "\n\t");
    assert_true(key_name_type(text, &events, error));
    press_all(&events);
    assert_string_equal(guest.typed, text);
    assert_nothing_is_down();
    assert_false(key_name_type("gr\xC3\xBC\xC3\x9F dich", &events, error));
    assert_string_equal(error, "character 3 of the text cannot be typed: it is not ASCII");
    events.capacity = events.count + 7;
    assert_false(key_name_type("ab", &events, error) && key_name_type("ab", &events, error));
    assert_string_equal(error, "the text is too long");
}

/* ---- The queue ---- */

static void test_queue_paces_and_retries(void **state)
{
    static struct key_queue queue;
    struct key_event list[8];
    struct key_events events = {.events = list, .capacity = 8};
    char error[KEY_NAME_ERROR_SIZE];
    uint64_t now = 1000;

    (void)state;
    key_queue_initialize(&queue, 10);
    assert_true(key_name_type("ab", &events, error));
    assert_true(key_queue_add(&queue, list, 4, now));
    assert_true(key_queue_due(&queue) <= now);
    guest.refusals = 3;
    for (unsigned i = 0; i < 3; i++) {
        key_queue_run(&queue, &sink, now);
        assert_int_equal(guest.length, 0);
        assert_int_equal(key_queue_due(&queue), now + KEY_QUEUE_RETRY);
        now = key_queue_due(&queue);
    }
    key_queue_run(&queue, &sink, now);
    assert_int_equal(guest.length, 1);
    key_queue_run(&queue, &sink, now + 9);
    assert_true(guest.down[0x1E]); /* the next is not due */
    for (unsigned i = 0; i < 3; i++)
        key_queue_run(&queue, &sink, now += 10);
    assert_string_equal(guest.typed, "ab");
    assert_int_equal(key_queue_due(&queue), UINT64_MAX);
}

static void test_queue_is_bounded_and_forgets(void **state)
{
    static struct key_queue queue;
    static struct key_event many[KEY_QUEUE_SIZE];
    uint64_t now = 5;

    (void)state;
    key_queue_initialize(&queue, 0);
    assert_true(key_queue_add(&queue, many, KEY_QUEUE_SIZE - 1, now));
    assert_false(key_queue_add(&queue, many, 2, now));
    assert_int_equal(queue.count, KEY_QUEUE_SIZE - 1);
    key_queue_run(&queue, &sink, now);
    assert_int_equal(queue.count, 0);
    guest.refusals = UINT32_MAX;
    assert_true(key_queue_add(&queue, many, 2, now));
    key_queue_run(&queue, &sink, now);
    now += KEY_QUEUE_PATIENCE - 1;
    key_queue_run(&queue, &sink, now);
    assert_int_equal(queue.count, 2);
    key_queue_run(&queue, &sink, now + KEY_QUEUE_RETRY);
    assert_int_equal(queue.count, 0);
}

/* ---- The pointer ---- */

#define WIDTH  800
#define HEIGHT 600

static struct {
    int x, y, wheel;
    unsigned buttons, clicks;
    int click_x, click_y;
} mouse;

static int within(int position, int size)
{
    return position < 0 ? 0 : position >= size ? size - 1 : position;
}

static void move(void *context, int dx, int dy, int wheel, unsigned buttons)
{
    (void)context;
    assert_in_range(dx + POINTER_STEP, 0, 2 * POINTER_STEP);
    assert_in_range(dy + POINTER_STEP, 0, 2 * POINTER_STEP);
    mouse.x = within(mouse.x + dx, WIDTH);
    mouse.y = within(mouse.y + dy, HEIGHT);
    mouse.wheel += wheel;
    if (buttons & ~mouse.buttons & INPUT_BUTTON_LEFT) {
        mouse.clicks++;
        mouse.click_x = mouse.x;
        mouse.click_y = mouse.y;
    }
    mouse.buttons = buttons;
}

static const struct input_sink mouse_sink = {.pointer = move};

/* Returns how long it took. */
static uint64_t settle(struct pointer *pointer)
{
    uint64_t now = pointer->due;

    for (; pointer_due(pointer) != UINT64_MAX; now = pointer_due(pointer)) {
        assert_true(now < 1u << 30);
        pointer_run(pointer, &mouse_sink, now);
    }
    return now;
}

static void test_pointer_tracks(void **state)
{
    struct pointer pointer = {0};
    unsigned random = 1;

    (void)state;
    memset(&mouse, 0, sizeof mouse);
    mouse.x = 777;
    mouse.y = 333; /* wherever it was left */
    for (unsigned i = 0; i < 500; i++) {
        unsigned x, y;

        random = random * 1103515245u + 12345u;
        x = random >> 16 & 1023;
        random = random * 1103515245u + 12345u;
        y = random >> 16 & 1023;
        pointer_event(&pointer, WIDTH, HEIGHT, x, y, 0);
        if (i % 5 == 0)
            continue; /* several come before there is time */
        settle(&pointer);
        assert_int_equal(mouse.x, within((int)x, WIDTH));
        assert_int_equal(mouse.y, within((int)y, HEIGHT));
    }
}

/* A guest that has moved its pointer itself, or accelerates it, is met again at the edges. */
static void test_pointer_meets_at_the_edge(void **state)
{
    struct pointer pointer = {0};

    (void)state;
    memset(&mouse, 0, sizeof mouse);
    pointer_event(&pointer, WIDTH, HEIGHT, 400, 300, 0);
    settle(&pointer);
    mouse.x = 100;
    mouse.y = 550;
    pointer_event(&pointer, WIDTH, HEIGHT, WIDTH - 1, 300, 0);
    settle(&pointer);
    assert_int_equal(mouse.x, WIDTH - 1);
    pointer_event(&pointer, WIDTH, HEIGHT, WIDTH - 1, 0, 0);
    pointer_event(&pointer, WIDTH, HEIGHT, 20, 30, 0);
    settle(&pointer);
    assert_int_equal(mouse.x, 20);
    assert_int_equal(mouse.y, 30);
    /* Another size of the screen begins in the corner. */
    mouse.x = 500;
    pointer_event(&pointer, WIDTH - 100, HEIGHT, 50, 60, 0);
    settle(&pointer);
    assert_int_equal(mouse.x, 50);
    assert_int_equal(mouse.y, 60);
}

static void test_buttons_where_they_were_pressed(void **state)
{
    struct pointer pointer = {0};

    (void)state;
    memset(&mouse, 0, sizeof mouse);
    pointer_event(&pointer, WIDTH, HEIGHT, 700, 500, 0);
    pointer_event(&pointer, WIDTH, HEIGHT, 700, 500, 1); /* a click while it is still on its way */
    pointer_event(&pointer, WIDTH, HEIGHT, 700, 500, 0);
    pointer_event(&pointer, WIDTH, HEIGHT, 10, 10, 0);
    settle(&pointer);
    assert_int_equal(mouse.clicks, 1);
    assert_int_equal(mouse.click_x, 700);
    assert_int_equal(mouse.click_y, 500);
    assert_int_equal(mouse.x, 10);
    pointer_event(&pointer, WIDTH, HEIGHT, 10, 10, 2 | 4);
    settle(&pointer);
    assert_int_equal(mouse.buttons, INPUT_BUTTON_MIDDLE | INPUT_BUTTON_RIGHT);
    pointer_event(&pointer, WIDTH, HEIGHT, 10, 10, 0);
    for (unsigned i = 0; i < 3; i++) { /* towards the user */
        pointer_event(&pointer, WIDTH, HEIGHT, 10, 10, 0x10);
        pointer_event(&pointer, WIDTH, HEIGHT, 10, 10, 0);
    }
    settle(&pointer);
    assert_int_equal(mouse.wheel, 3);
    pointer_event(&pointer, WIDTH, HEIGHT, 10, 10, 0x08);
    settle(&pointer);
    assert_int_equal(mouse.wheel, 2);
    /* A viewer that is faster than any mouse does not fill anything. */
    for (unsigned i = 0; i < 10000; i++)
        pointer_event(&pointer, WIDTH, HEIGHT, i % WIDTH, i % HEIGHT, i & 1);
    settle(&pointer);
    assert_int_equal(mouse.x, 9999 % WIDTH);
    assert_int_equal(mouse.y, 9999 % HEIGHT);
    pointer_event(&pointer, 0, 0, 1, 1, 1);
    assert_int_equal(pointer_due(&pointer), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_character_arrives, set_up),
        cmocka_unit_test_setup(test_keys_without_characters, set_up),
        cmocka_unit_test_setup(test_other_layouts, set_up),
        cmocka_unit_test_setup(test_release_under_another_name, set_up),
        cmocka_unit_test_setup(test_what_a_viewer_leaves_behind, set_up),
        cmocka_unit_test_setup(test_names, set_up),
        cmocka_unit_test_setup(test_names_that_are_none, set_up),
        cmocka_unit_test_setup(test_text, set_up),
        cmocka_unit_test_setup(test_queue_paces_and_retries, set_up),
        cmocka_unit_test_setup(test_queue_is_bounded_and_forgets, set_up),
        cmocka_unit_test(test_pointer_tracks),
        cmocka_unit_test(test_pointer_meets_at_the_edge),
        cmocka_unit_test(test_buttons_where_they_were_pressed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
