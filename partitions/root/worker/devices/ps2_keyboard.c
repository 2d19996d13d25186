/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ps2_keyboard.h"

#define SET_LEDS     0xed
#define ECHO         0xee
#define SCANCODE_SET 0xf0
#define IDENTIFY     0xf2
#define TYPEMATIC    0xf3
#define ENABLE       0xf4
#define DISABLE      0xf5
#define DEFAULTS     0xf6
#define RESEND       0xfe
#define RESET        0xff

#define ACKNOWLEDGE      0xfa
#define BAD_COMMAND      0xfe
#define SELF_TEST_PASSED 0xaa
#define RELEASE_PREFIX   0xf0

#define LEDS 0x07

/* Scancode set 2 to set 1; the codes from 85h on stay what they are. */
static const uint8_t set_1[0x85] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, /* 00 */
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, /* 10 */
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, /* 20 */
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, /* 30 */
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, /* 40 */
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, /* 50 */
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, /* 60 */
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, /* 70 */
    0x80, 0x81, 0x82, 0x41, 0x54,                                                                   /* 80 */
};

bool ps2_translate(uint8_t *byte, bool *break_prefix)
{
    if (*byte == RELEASE_PREFIX) {
        *break_prefix = true;
        return false;
    }
    if (*byte < sizeof set_1)
        *byte = set_1[*byte];
    if (*break_prefix)
        *byte |= 0x80;
    *break_prefix = false;
    return true;
}

/* From the end: where two codes become one (F7, System Request), keyboards send the greater. */
uint8_t ps2_untranslate(uint8_t code)
{
    unsigned i = sizeof set_1 - 1;

    while (i > 0 && set_1[i] != code)
        i--;
    return (uint8_t)i;
}

static void set_defaults(struct ps2_keyboard *keyboard, bool scanning)
{
    ps2_queue_clear(&keyboard->keys);
    keyboard->scanning = scanning;
    keyboard->scancode_set = 2;
    keyboard->break_prefix = false;
}

void ps2_keyboard_reset(struct ps2_keyboard *keyboard)
{
    ps2_queue_clear(&keyboard->replies);
    set_defaults(keyboard, true);
    keyboard->command = 0;
    keyboard->last_sent = 0;
    keyboard->leds = 0;
}

static void select_set(struct ps2_keyboard *keyboard, uint8_t value)
{
    if (value > 2) {
        ps2_queue_push(&keyboard->replies, BAD_COMMAND);
        return;
    }
    ps2_queue_push(&keyboard->replies, ACKNOWLEDGE);
    if (value == 0)
        ps2_queue_push(&keyboard->replies, keyboard->scancode_set);
    else
        keyboard->scancode_set = value;
}

static void take_parameter(struct ps2_keyboard *keyboard, uint8_t command, uint8_t value)
{
    if (command == SCANCODE_SET) {
        select_set(keyboard, value);
        return;
    }
    if (command == SET_LEDS)
        keyboard->leds = value & LEDS;
    ps2_queue_push(&keyboard->replies, ACKNOWLEDGE);
}

static void take_command(struct ps2_keyboard *keyboard, uint8_t command)
{
    struct ps2_queue *replies = &keyboard->replies;

    switch (command) {
    case SET_LEDS:
    case SCANCODE_SET:
    case TYPEMATIC:
        keyboard->command = command;
        ps2_queue_push(replies, ACKNOWLEDGE);
        break;
    case ECHO:
        ps2_queue_push(replies, ECHO);
        break;
    case IDENTIFY:
        ps2_queue_push(replies, ACKNOWLEDGE);
        ps2_queue_push(replies, 0xab);
        ps2_queue_push(replies, 0x83);
        break;
    case ENABLE:
        keyboard->scanning = true;
        ps2_queue_push(replies, ACKNOWLEDGE);
        break;
    case DISABLE:
    case DEFAULTS:
        set_defaults(keyboard, command == DEFAULTS);
        ps2_queue_push(replies, ACKNOWLEDGE);
        break;
    case RESEND:
        ps2_queue_push(replies, keyboard->last_sent);
        break;
    case RESET:
        set_defaults(keyboard, true);
        keyboard->leds = 0;
        ps2_queue_push(replies, ACKNOWLEDGE);
        ps2_queue_push(replies, SELF_TEST_PASSED);
        break;
    default:
        ps2_queue_push(replies, BAD_COMMAND);
        break;
    }
}

/* It ends what the keyboard was saying; a command also ends one that waits for a parameter. */
void ps2_keyboard_receive(struct ps2_keyboard *keyboard, uint8_t value)
{
    uint8_t command = keyboard->command;

    if (value != RESEND)
        ps2_queue_clear(&keyboard->replies);
    keyboard->command = 0;
    if (command && value < SET_LEDS)
        take_parameter(keyboard, command, value);
    else
        take_command(keyboard, value);
}

bool ps2_keyboard_send(struct ps2_keyboard *keyboard, uint8_t *byte)
{
    if (keyboard->replies.count)
        *byte = ps2_queue_pop(&keyboard->replies);
    else if (keyboard->keys.count && !keyboard->command)
        *byte = ps2_queue_pop(&keyboard->keys);
    else
        return false;
    keyboard->last_sent = *byte;
    return true;
}

/* A keyboard set to set 1 translates for itself. */
static void push_key(struct ps2_keyboard *keyboard, uint8_t byte)
{
    if (keyboard->scancode_set == 1 && !ps2_translate(&byte, &keyboard->break_prefix))
        return;
    ps2_queue_push(&keyboard->keys, byte);
}

bool ps2_keyboard_type(struct ps2_keyboard *keyboard, const uint8_t *scancodes, size_t length)
{
    if (!keyboard->scanning || length > ps2_queue_room(&keyboard->keys))
        return false;
    for (size_t i = 0; i < length; i++)
        push_key(keyboard, scancodes[i]);
    return true;
}
