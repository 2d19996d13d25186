/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a viewer, or a client of the control socket, can say about keyboard, pointer and screen. The first byte says
 * which: keysyms, names of keys, a text, positions of the pointer, or the bytes of a VNC connection.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/worker/key_name.h"
#include "partitions/root/worker/keysym.h"
#include "partitions/root/worker/pointer.h"
#include "partitions/root/worker/vnc_message.h"
#include "tests/fuzz/fuzz_input.h"

#define LONGEST_TEXT 256u
#define EVENTS       512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

/* ---- Keysyms ---- */

/* After everything, nothing is held down that the viewer could not let go of. */
static void fuzz_keysyms(struct fuzz_input *input)
{
    static uint8_t down[0x10000];
    struct keyboard keyboard = {0};
    struct key_event events[KEYBOARD_EVENTS];

    memset(down, 0, sizeof down);
    while (input->left > 0) {
        uint32_t keysym = fuzz_take(input, 2);
        unsigned how = fuzz_take(input, 1);
        unsigned count = keyboard_event(&keyboard, keysym | (how & 0xF0) << 24, how & 1, events);

        require(count <= KEYBOARD_EVENTS && keyboard.held_count <= KEYBOARD_HELD);
        for (unsigned i = 0; i < count; i++)
            down[events[i].key] = events[i].pressed;
    }
    while (keyboard_release(&keyboard, &events[0]))
        down[events[0].key] = 0;
    for (unsigned key = 0; key < sizeof down; key++)
        require(!down[key]);
}

/* ---- Names and texts ---- */

static void fuzz_words(struct fuzz_input *input, int typed)
{
    struct key_event list[EVENTS];
    struct key_events events = {.events = list, .capacity = fuzz_take(input, 1) * 2};
    char text[LONGEST_TEXT + 1] = "", error[KEY_NAME_ERROR_SIZE] = "";
    size_t length = input->left < LONGEST_TEXT ? input->left : LONGEST_TEXT;
    int good;

    fuzz_take_bytes(input, text, length);
    good = typed ? key_name_type(text, &events, error) : key_name_press(text, &events, error);
    require(events.count <= events.capacity);
    require(good ? events.count % 2 == 0 : events.count == 0 && error[0]);
}

/* ---- The pointer ---- */

static void move(void *context, int dx, int dy, int wheel, unsigned buttons)
{
    (void)context;
    require(abs(dx) <= POINTER_STEP && abs(dy) <= POINTER_STEP && abs(wheel) <= 1 && buttons < 8);
}

static void fuzz_pointer(struct fuzz_input *input)
{
    const struct input_sink sink = {.pointer = move};
    struct pointer pointer = {0};
    unsigned rounds = 0;

    while (input->left > 0) {
        unsigned how = fuzz_take(input, 1);

        pointer_event(&pointer, (how & 7) * 512, (how >> 3 & 7) * 512, fuzz_take(input, 2), fuzz_take(input, 2),
                      fuzz_take(input, 1));
        if (how & 0x40)
            pointer_run(&pointer, &sink, pointer.due);
    }
    for (; pointer_due(&pointer) != UINT64_MAX; rounds++) {
        require(rounds < 100 * POINTER_QUEUE * 3);
        pointer_run(&pointer, &sink, pointer_due(&pointer));
    }
}

/* ---- A connection ---- */

/* As vnc_client.c goes through it: a message that is whole is within what has come, and filtered is no longer. */
static void fuzz_messages(struct fuzz_input *input)
{
    enum vnc_phase phase = (enum vnc_phase)(fuzz_take(input, 1) % VNC_PHASES);
    uint8_t *message;
    uint64_t length, ignored;

    while (input->left > 0) {
        enum vnc_verdict verdict = vnc_message_look(phase, input->data, input->left, &length);

        if (verdict == VNC_MESSAGE_WRONG || verdict == VNC_MESSAGE_INCOMPLETE)
            return;
        require(length > 0 && (verdict == VNC_MESSAGE_IGNORED || length <= VNC_MESSAGE_LONGEST));
        ignored = length < input->left ? length : input->left;
        if (verdict == VNC_MESSAGE_WHOLE) {
            require(length <= input->left);
            message = malloc(length);
            memcpy(message, input->data, length);
            require(vnc_message_filter(phase, message, length) <= length);
            free(message);
        }
        input->data += ignored;
        input->left -= ignored;
        if (phase != VNC_PHASE_NORMAL)
            phase++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};

    switch (fuzz_take(&input, 1) % 5) {
    case 0:
        fuzz_keysyms(&input);
        break;
    case 1:
        fuzz_words(&input, 0);
        break;
    case 2:
        fuzz_words(&input, 1);
        break;
    case 3:
        fuzz_pointer(&input);
        break;
    default:
        fuzz_messages(&input);
        break;
    }
    return 0;
}
