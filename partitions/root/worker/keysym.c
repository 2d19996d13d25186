/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/keysym.h"

#include <rfb/keysym.h>
#include <string.h>

#include "partitions/root/worker/input.h"

#define EXTENDED(code) (INPUT_KEY_EXTENDED | (code))
#define COUNT(list)    (sizeof(list) / sizeof((list)[0]))

#define KEY_LEFT_SHIFT  0x2Au
#define KEY_RIGHT_SHIFT 0x36u
#define KEY_CAPS_LOCK   0x3Au

#define KEYSYM_UNICODE      0x01000000u /* and a character's number */
#define KEYSYM_ISO_LEFT_TAB 0xFE20u

/* The keys with characters: consecutive scan codes, the characters without and with Shift. */
static const struct {
    uint8_t first;
    const char *plain, *shifted;
} rows[] = {
    {0x02, "1234567890-=", "!@#$%^&*()_+" },
    {0x10, "qwertyuiop[]", "QWERTYUIOP{}" },
    {0x1E, "asdfghjkl;'`", "ASDFGHJKL:\"~"},
    {0x2B, "\\zxcvbnm,./", "|ZXCVBNM<>?"  },
};

/* clang-format off */
static const struct {
    uint16_t keysym, key;
} keys[] = {
    {XK_space, 0x39}, {XK_BackSpace, 0x0E}, {XK_Tab, 0x0F}, {KEYSYM_ISO_LEFT_TAB, 0x0F}, {XK_Return, 0x1C},
    {XK_Linefeed, 0x1C}, {XK_Escape, 0x01},
    {XK_Shift_L, KEY_LEFT_SHIFT}, {XK_Shift_R, KEY_RIGHT_SHIFT}, {XK_Control_L, 0x1D},
    {XK_Control_R, EXTENDED(0x1D)}, {XK_Alt_L, 0x38}, {XK_Meta_L, 0x38}, {XK_Alt_R, EXTENDED(0x38)},
    {XK_Meta_R, EXTENDED(0x38)}, {XK_Super_L, EXTENDED(0x5B)}, {XK_Super_R, EXTENDED(0x5C)},
    {XK_Hyper_L, EXTENDED(0x5B)}, {XK_Hyper_R, EXTENDED(0x5C)}, {XK_Menu, EXTENDED(0x5D)},
    {XK_Caps_Lock, KEY_CAPS_LOCK}, {XK_Shift_Lock, KEY_CAPS_LOCK}, {XK_Num_Lock, 0x45}, {XK_Scroll_Lock, 0x46},
    {XK_F1, 0x3B}, {XK_F2, 0x3C}, {XK_F3, 0x3D}, {XK_F4, 0x3E}, {XK_F5, 0x3F}, {XK_F6, 0x40}, {XK_F7, 0x41},
    {XK_F8, 0x42}, {XK_F9, 0x43}, {XK_F10, 0x44}, {XK_F11, 0x57}, {XK_F12, 0x58},
    {XK_Home, EXTENDED(0x47)}, {XK_Up, EXTENDED(0x48)}, {XK_Page_Up, EXTENDED(0x49)}, {XK_Left, EXTENDED(0x4B)},
    {XK_Right, EXTENDED(0x4D)}, {XK_End, EXTENDED(0x4F)}, {XK_Down, EXTENDED(0x50)},
    {XK_Page_Down, EXTENDED(0x51)}, {XK_Insert, EXTENDED(0x52)}, {XK_Delete, EXTENDED(0x53)},
    {XK_Print, INPUT_KEY_PRINT_SCREEN}, {XK_Sys_Req, INPUT_KEY_PRINT_SCREEN}, {XK_Pause, INPUT_KEY_PAUSE},
    {XK_Break, INPUT_KEY_PAUSE},
    /* The keypad: whether a key is a digit is for the guest's Num Lock to say. */
    {XK_KP_7, 0x47}, {XK_KP_8, 0x48}, {XK_KP_9, 0x49}, {XK_KP_4, 0x4B}, {XK_KP_5, 0x4C}, {XK_KP_6, 0x4D},
    {XK_KP_1, 0x4F}, {XK_KP_2, 0x50}, {XK_KP_3, 0x51}, {XK_KP_0, 0x52}, {XK_KP_Decimal, 0x53},
    {XK_KP_Separator, 0x53}, {XK_KP_Home, 0x47}, {XK_KP_Up, 0x48}, {XK_KP_Page_Up, 0x49}, {XK_KP_Left, 0x4B},
    {XK_KP_Begin, 0x4C}, {XK_KP_Right, 0x4D}, {XK_KP_End, 0x4F}, {XK_KP_Down, 0x50}, {XK_KP_Page_Down, 0x51},
    {XK_KP_Insert, 0x52}, {XK_KP_Delete, 0x53}, {XK_KP_Multiply, 0x37}, {XK_KP_Subtract, 0x4A},
    {XK_KP_Add, 0x4E}, {XK_KP_Divide, EXTENDED(0x35)}, {XK_KP_Enter, EXTENDED(0x1C)}, {XK_KP_Equal, 0x0D},
    {XK_KP_Space, 0x39}, {XK_KP_Tab, 0x0F},
};

/* Dead keys become what they would put on a letter, as a character. */
static const struct {
    uint16_t keysym;
    char character;
} dead_keys[] = {
    {XK_dead_grave, '`'}, {XK_dead_acute, '\''}, {XK_dead_circumflex, '^'}, {XK_dead_tilde, '~'},
    {XK_dead_diaeresis, '"'}, {XK_dead_cedilla, ','},
};
/* clang-format on */

static bool find_character(uint32_t character, struct key_meaning *meaning)
{
    if (character < '!' || character > '~')
        return false;
    for (unsigned i = 0; i < COUNT(rows); i++) {
        const char *plain = strchr(rows[i].plain, (int)character);
        const char *shifted = strchr(rows[i].shifted, (int)character);

        if (!plain && !shifted)
            continue;
        *meaning = (struct key_meaning){
            .key = (uint16_t)(rows[i].first + (plain ? plain - rows[i].plain : shifted - rows[i].shifted)),
            .shift = plain ? KEY_SHIFT_UP : KEY_SHIFT_DOWN,
            .letter = (character | 0x20) >= 'a' && (character | 0x20) <= 'z',
        };
        return true;
    }
    return false;
}

bool keysym_meaning(uint32_t keysym, struct key_meaning *meaning)
{
    if ((keysym & ~0xFFFFFFu) == KEYSYM_UNICODE)
        keysym &= 0xFFFFFFu;
    if (find_character(keysym, meaning))
        return true;
    for (unsigned i = 0; i < COUNT(dead_keys); i++)
        if (dead_keys[i].keysym == keysym)
            return find_character((uint32_t)dead_keys[i].character, meaning);
    for (unsigned i = 0; i < COUNT(keys); i++)
        if (keys[i].keysym == keysym) {
            *meaning = (struct key_meaning){.key = keys[i].key, .shift = KEY_SHIFT_ANY};
            return true;
        }
    return false;
}

/* ---- A viewer's keyboard ---- */

static void hold(struct keyboard *keyboard, unsigned place, uint32_t keysym, uint16_t key)
{
    keyboard->held[place].keysym = keysym;
    keyboard->held[place].key = key;
    if (place == keyboard->held_count)
        keyboard->held_count++;
}

static void let_go(struct keyboard *keyboard, unsigned place)
{
    keyboard->held[place] = keyboard->held[--keyboard->held_count];
}

static unsigned find_held(const struct keyboard *keyboard, uint32_t keysym)
{
    unsigned place = 0;

    while (place < keyboard->held_count && keyboard->held[place].keysym != keysym)
        place++;
    return place;
}

static void note_shift(struct keyboard *keyboard, uint16_t key, bool pressed)
{
    if (key == KEY_LEFT_SHIFT || key == KEY_RIGHT_SHIFT)
        keyboard->shift[key == KEY_RIGHT_SHIFT] = pressed;
}

static bool shift_is_held(const struct keyboard *keyboard)
{
    return keyboard->shift[0] || keyboard->shift[1];
}

/* Whether Shift has to be changed for the key to mean what it should. */
static bool shift_is_wrong(const struct keyboard *keyboard, const struct key_meaning *meaning)
{
    bool effect = shift_is_held(keyboard) != (meaning->letter && keyboard->caps);

    return meaning->shift != KEY_SHIFT_ANY && effect != (meaning->shift == KEY_SHIFT_DOWN);
}

/* Turns Shift over: up if it is held, otherwise down; `back` undoes that. Returns the number of events. */
static unsigned turn_shift(const struct keyboard *keyboard, bool back, struct key_event *events)
{
    unsigned count = 0;

    if (!shift_is_held(keyboard))
        events[count++] = (struct key_event){KEY_LEFT_SHIFT, !back};
    if (keyboard->shift[0])
        events[count++] = (struct key_event){KEY_LEFT_SHIFT, back};
    if (keyboard->shift[1])
        events[count++] = (struct key_event){KEY_RIGHT_SHIFT, back};
    return count;
}

static unsigned press(struct keyboard *keyboard, uint32_t keysym, struct key_event *events)
{
    struct key_meaning meaning;
    unsigned place = find_held(keyboard, keysym), count = 0;
    bool wrong;

    if (!keysym_meaning(keysym, &meaning))
        return 0;
    wrong = shift_is_wrong(keyboard, &meaning);
    if (wrong)
        count += turn_shift(keyboard, false, events);
    events[count++] = (struct key_event){meaning.key, true};
    if (wrong)
        count += turn_shift(keyboard, true, events + count);
    if (place == KEYBOARD_HELD) {
        events[count++] = (struct key_event){meaning.key, false};
        return count;
    }
    /* A key that repeats toggles only once. */
    if (meaning.key == KEY_CAPS_LOCK && place == keyboard->held_count)
        keyboard->caps = !keyboard->caps;
    hold(keyboard, place, keysym, meaning.key);
    note_shift(keyboard, meaning.key, true);
    return count;
}

unsigned keyboard_event(struct keyboard *keyboard, uint32_t keysym, bool pressed,
                        struct key_event events[KEYBOARD_EVENTS])
{
    struct key_meaning meaning;
    unsigned place;

    if (pressed)
        return press(keyboard, keysym, events);
    place = find_held(keyboard, keysym);
    if (place < keyboard->held_count) {
        events[0] = (struct key_event){keyboard->held[place].key, false};
        let_go(keyboard, place);
    } else if (keysym_meaning(keysym, &meaning)) {
        /* With Shift changed meanwhile, the same key has another symbol. */
        for (place = 0; place < keyboard->held_count && keyboard->held[place].key != meaning.key; place++)
            ;
        if (place == keyboard->held_count)
            return 0;
        events[0] = (struct key_event){meaning.key, false};
        let_go(keyboard, place);
    } else {
        return 0;
    }
    note_shift(keyboard, events[0].key, false);
    return 1;
}

bool keyboard_release(struct keyboard *keyboard, struct key_event *event)
{
    if (keyboard->held_count == 0)
        return false;
    *event = (struct key_event){keyboard->held[keyboard->held_count - 1].key, false};
    let_go(keyboard, keyboard->held_count - 1);
    note_shift(keyboard, event->key, false);
    return true;
}
