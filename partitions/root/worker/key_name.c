/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/key_name.h"

#include <rfb/keysym.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define COUNT(list)   (sizeof(list) / sizeof((list)[0]))
#define LONGEST_NAME  16u
#define TYPED_EVENTS  4u /* that a character becomes at most */
#define LONGEST_QUOTE 40 /* of a wrong name in a message */

/* clang-format off */
static const struct {
    const char *name;
    uint16_t keysym;
} names[] = {
    {"ctrl", XK_Control_L}, {"control", XK_Control_L}, {"shift", XK_Shift_L}, {"alt", XK_Alt_L},
    {"win", XK_Super_L}, {"super", XK_Super_L}, {"rctrl", XK_Control_R}, {"rshift", XK_Shift_R},
    {"ralt", XK_Alt_R}, {"altgr", XK_Alt_R}, {"rwin", XK_Super_R}, {"menu", XK_Menu},
    {"enter", XK_Return}, {"return", XK_Return}, {"esc", XK_Escape}, {"escape", XK_Escape}, {"tab", XK_Tab},
    {"space", XK_space}, {"backspace", XK_BackSpace}, {"delete", XK_Delete}, {"del", XK_Delete},
    {"insert", XK_Insert}, {"ins", XK_Insert}, {"home", XK_Home}, {"end", XK_End}, {"pageup", XK_Page_Up},
    {"pgup", XK_Page_Up}, {"pagedown", XK_Page_Down}, {"pgdn", XK_Page_Down}, {"up", XK_Up}, {"down", XK_Down},
    {"left", XK_Left}, {"right", XK_Right}, {"capslock", XK_Caps_Lock}, {"numlock", XK_Num_Lock},
    {"scrolllock", XK_Scroll_Lock}, {"print", XK_Print}, {"sysrq", XK_Sys_Req}, {"pause", XK_Pause},
    {"break", XK_Break},
    {"f1", XK_F1}, {"f2", XK_F2}, {"f3", XK_F3}, {"f4", XK_F4}, {"f5", XK_F5}, {"f6", XK_F6}, {"f7", XK_F7},
    {"f8", XK_F8}, {"f9", XK_F9}, {"f10", XK_F10}, {"f11", XK_F11}, {"f12", XK_F12},
    {"minus", '-'}, {"equal", '='}, {"comma", ','}, {"period", '.'}, {"dot", '.'}, {"slash", '/'},
    {"backslash", '\\'}, {"semicolon", ';'}, {"apostrophe", '\''}, {"grave", '`'}, {"plus", '+'},
    {"kp0", XK_KP_0}, {"kp1", XK_KP_1}, {"kp2", XK_KP_2}, {"kp3", XK_KP_3}, {"kp4", XK_KP_4}, {"kp5", XK_KP_5},
    {"kp6", XK_KP_6}, {"kp7", XK_KP_7}, {"kp8", XK_KP_8}, {"kp9", XK_KP_9}, {"kpdot", XK_KP_Decimal},
    {"kpplus", XK_KP_Add}, {"kpminus", XK_KP_Subtract}, {"kpstar", XK_KP_Multiply},
    {"kpslash", XK_KP_Divide}, {"kpenter", XK_KP_Enter},
};
/* clang-format on */

/* One key's name; a single character is its own, and a letter's case does not count. */
static bool find_name(const char *name, size_t length, struct key_meaning *meaning)
{
    char text[LONGEST_NAME];

    if (length == 0 || length >= sizeof text)
        return false;
    memcpy(text, name, length);
    text[length] = 0;
    if (length == 1) {
        bool letter = (text[0] | 0x20) >= 'a' && (text[0] | 0x20) <= 'z';

        return keysym_meaning((unsigned char)(letter ? text[0] | 0x20 : text[0]), meaning);
    }
    for (unsigned i = 0; i < COUNT(names); i++)
        if (!strcasecmp(names[i].name, text))
            return keysym_meaning(names[i].keysym, meaning);
    return false;
}

static void add(struct key_events *events, uint16_t key, bool pressed)
{
    events->events[events->count++] = (struct key_event){key, pressed};
}

static uint16_t shift_key(void)
{
    struct key_meaning meaning;

    return keysym_meaning(XK_Shift_L, &meaning) ? meaning.key : 0;
}

/* A hyphen ends a name, unless it would be an empty one: then it is the key itself. */
static size_t name_length(const char *name)
{
    return name[0] == '-' ? 1 : strcspn(name, "-");
}

/* Takes a combination apart into the keys to hold. Returns how many; 0: `error`. */
static unsigned read_combination(const char *name, uint16_t keys[2 * KEY_NAME_TOGETHER],
                                 char error[KEY_NAME_ERROR_SIZE])
{
    unsigned count = 0, named = 0;
    const char *rest = name;

    for (;;) {
        size_t length = name_length(rest);
        struct key_meaning meaning;

        if (named++ == KEY_NAME_TOGETHER) {
            snprintf(error, KEY_NAME_ERROR_SIZE, "more than %u keys at a time", KEY_NAME_TOGETHER);
            return 0;
        }
        if (!find_name(rest, length, &meaning)) {
            snprintf(error, KEY_NAME_ERROR_SIZE, "there is no key \"%.*s\"",
                     (int)(length < LONGEST_QUOTE ? length : LONGEST_QUOTE), rest);
            return 0;
        }
        if (meaning.shift == KEY_SHIFT_DOWN)
            keys[count++] = shift_key();
        keys[count++] = meaning.key;
        rest += length;
        if (!*rest)
            return count;
        rest++;
    }
}

bool key_name_press(const char *name, struct key_events *events, char error[KEY_NAME_ERROR_SIZE])
{
    uint16_t keys[2 * KEY_NAME_TOGETHER];
    unsigned count = read_combination(name, keys, error);

    if (count == 0)
        return false;
    if (events->capacity - events->count < 2 * count) {
        snprintf(error, KEY_NAME_ERROR_SIZE, "too many keys");
        return false;
    }
    for (unsigned i = 0; i < count; i++)
        add(events, keys[i], true);
    while (count > 0)
        add(events, keys[--count], false);
    return true;
}

/* Control characters that have a key; others are their own keysym. */
static uint32_t character_keysym(unsigned char character)
{
    switch (character) {
    case '\n':
    case '\r':
        return XK_Return;
    case '\t':
        return XK_Tab;
    case '\b':
        return XK_BackSpace;
    case 0x1B:
        return XK_Escape;
    default:
        return character;
    }
}

bool key_name_type(const char *text, struct key_events *events, char error[KEY_NAME_ERROR_SIZE])
{
    const size_t before = events->count;

    for (const char *next = text; *next; next++) {
        struct key_meaning meaning;

        if (!keysym_meaning(character_keysym((unsigned char)*next), &meaning)) {
            snprintf(error, KEY_NAME_ERROR_SIZE, "character %zu of the text cannot be typed: it is not ASCII",
                     (size_t)(next - text) + 1);
            events->count = before;
            return false;
        }
        if (events->capacity - events->count < TYPED_EVENTS) {
            snprintf(error, KEY_NAME_ERROR_SIZE, "the text is too long");
            events->count = before;
            return false;
        }
        if (meaning.shift == KEY_SHIFT_DOWN)
            add(events, shift_key(), true);
        add(events, meaning.key, true);
        add(events, meaning.key, false);
        if (meaning.shift == KEY_SHIFT_DOWN)
            add(events, shift_key(), false);
    }
    return true;
}
