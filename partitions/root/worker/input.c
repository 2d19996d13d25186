/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/input.h"

#include <limits.h>
#include <stddef.h>
#include "partitions/root/worker/devices/i8042.h"

/* Scancode set 2. */
#define EXTENSION_PREFIX 0xe0
#define RELEASE_PREFIX   0xf0

#define LONGEST_SEQUENCE 8

struct sequence {
    uint8_t bytes[LONGEST_SEQUENCE];
    size_t length;
};

/*
 * Print Screen comes with a left Shift that nobody holds, from the time when it was Shift and the keypad's asterisk.
 * Pause is the old Ctrl and Num Lock, and says so at once: it has no release.
 */
static const struct {
    uint16_t key;
    bool pressed;
    struct sequence sequence;
} sequences[] = {
    {INPUT_KEY_PRINT_SCREEN, true,  {{0xe0, 0x12, 0xe0, 0x7c}, 4}                        },
    {INPUT_KEY_PRINT_SCREEN, false, {{0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12}, 6}            },
    {INPUT_KEY_PAUSE,        true,  {{0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}, 8}},
    {INPUT_KEY_PAUSE,        false, {{0}, 0}                                             },
};

static void append(struct sequence *sequence, uint8_t byte)
{
    sequence->bytes[sequence->length++] = byte;
}

/* What a keyboard sends in set 2; nothing for a key that no keyboard has. */
static struct sequence sequence_of(uint16_t key, bool pressed)
{
    struct sequence sequence = {0};
    uint16_t prefix = key & 0xff00;
    uint8_t code = key & 0xff;

    for (unsigned i = 0; i < sizeof sequences / sizeof sequences[0]; i++)
        if (sequences[i].key == key && sequences[i].pressed == pressed)
            return sequences[i].sequence;
    if (code == 0 || code > 0x7f || (prefix != 0 && prefix != INPUT_KEY_EXTENDED))
        return sequence;
    if (prefix)
        append(&sequence, EXTENSION_PREFIX);
    if (!pressed)
        append(&sequence, RELEASE_PREFIX);
    append(&sequence, ps2_untranslate(code));
    return sequence;
}

static bool type_key(void *context, uint16_t key, bool pressed)
{
    struct input *input = context;
    struct sequence sequence = sequence_of(key, pressed);
    bool taken;

    pthread_mutex_lock(input->device_lock);
    taken = i8042_type(input->controller, sequence.bytes, sequence.length);
    pthread_mutex_unlock(input->device_lock);
    return taken;
}

static void move_pointer(void *context, int dx, int dy, int wheel, unsigned buttons)
{
    struct input *input = context;
    int up = dy == INT_MIN ? INT_MAX : -dy;

    pthread_mutex_lock(input->device_lock);
    i8042_move(input->controller, dx, up, wheel, buttons);
    pthread_mutex_unlock(input->device_lock);
}

struct input_sink input_sink(struct input *input)
{
    return (struct input_sink){.key = type_key, .pointer = move_pointer, .context = input};
}
