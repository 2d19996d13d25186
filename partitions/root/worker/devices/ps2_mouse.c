/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ps2_mouse.h"

#include <string.h>

#define SCALING_1_TO_1 0xe6
#define SCALING_2_TO_1 0xe7
#define SET_RESOLUTION 0xe8
#define STATUS_REQUEST 0xe9
#define STREAM_MODE    0xea
#define READ_DATA      0xeb
#define RESET_WRAP     0xec
#define WRAP_MODE      0xee
#define REMOTE_MODE    0xf0
#define READ_ID        0xf2
#define SET_RATE       0xf3
#define ENABLE         0xf4
#define DISABLE        0xf5
#define SET_DEFAULTS   0xf6
#define RESEND         0xfe
#define RESET          0xff

#define LOWEST_COMMAND SCALING_1_TO_1

#define ACKNOWLEDGE      0xfa
#define SELF_TEST_PASSED 0xaa
#define ERROR            0xfc
#define SEND_AGAIN       0xfe

#define STATUS_DOUBLE_SCALE 0x10
#define STATUS_REPORTING    0x20
#define STATUS_REMOTE       0x40

#define PACKET_ALWAYS     0x08
#define PACKET_X_NEGATIVE 0x10
#define PACKET_Y_NEGATIVE 0x20
#define PACKET_X_OVERFLOW 0x40
#define PACKET_Y_OVERFLOW 0x80

#define ID_PLAIN        0
#define ID_INTELLIMOUSE 3
#define ID_EXPLORER     4

#define GREATEST_RESOLUTION 3
#define DEFAULT_RESOLUTION  2
#define DEFAULT_RATE        100

/* What a packet holds; scaling 2:1 doubles it. */
#define PACKET_MOVEMENT        255
#define PACKET_MOVEMENT_SCALED 127
#define WHEEL_LEAST            (-8)
#define WHEEL_GREATEST         7

/* ---- Movement ---- */

static bool streaming(const struct ps2_mouse *mouse)
{
    return mouse->reporting && !mouse->remote && !mouse->wrap;
}

static struct ps2_mouse_event *newest(struct ps2_mouse *mouse)
{
    return &mouse->events[mouse->event_count - 1];
}

/* Only the buttons stay as they are. */
static void forget_movement(struct ps2_mouse *mouse)
{
    uint8_t buttons = newest(mouse)->buttons;

    memset(mouse->events, 0, sizeof mouse->events);
    mouse->events[0].buttons = buttons;
    mouse->event_count = 1;
    mouse->pending = false;
}

static int32_t clamp(int32_t value, int32_t least, int32_t greatest)
{
    if (value < least)
        return least;
    return value > greatest ? greatest : value;
}

static void add(int32_t *sum, bool *overflow, int value)
{
    int64_t exact = (int64_t)*sum + value;

    *sum = exact < 0 ? (exact < -PS2_MOUSE_MOVEMENT ? -PS2_MOUSE_MOVEMENT : (int32_t)exact)
                     : (exact > PS2_MOUSE_MOVEMENT ? PS2_MOUSE_MOVEMENT : (int32_t)exact);
    *overflow |= *sum != exact;
}

void ps2_mouse_move(struct ps2_mouse *mouse, int x, int y, int z, unsigned buttons)
{
    struct ps2_mouse_event *event = newest(mouse);
    bool wheel_overflow = false; /* nobody is told */

    buttons &= PS2_MOUSE_BUTTONS;
    if (!x && !y && !z && buttons == event->buttons)
        return;
    if (buttons != event->buttons && mouse->pending && streaming(mouse) && mouse->event_count < PS2_MOUSE_EVENTS) {
        mouse->event_count++;
        event = newest(mouse);
        *event = (struct ps2_mouse_event){0};
    }
    add(&event->x, &event->x_overflow, x);
    add(&event->y, &event->y_overflow, y);
    add(&event->z, &wheel_overflow, z);
    event->buttons = (uint8_t)buttons;
    mouse->pending = true;
}

/* ---- What it says ---- */

static void say(struct ps2_mouse *mouse, const uint8_t *bytes, unsigned length)
{
    ps2_queue_clear(&mouse->last_said);
    for (unsigned i = 0; i < length; i++) {
        ps2_queue_push(&mouse->replies, bytes[i]);
        ps2_queue_push(&mouse->last_said, bytes[i]);
    }
}

static void say_byte(struct ps2_mouse *mouse, uint8_t byte)
{
    say(mouse, &byte, 1);
}

static void say_again(struct ps2_mouse *mouse)
{
    ps2_queue_clear(&mouse->replies);
    for (unsigned i = 0; i < mouse->last_said.count; i++)
        ps2_queue_push(&mouse->replies, mouse->last_said.bytes[i]);
}

static int32_t take(int32_t *sum, int32_t least, int32_t greatest)
{
    int32_t part = clamp(*sum, least, greatest);

    *sum -= part;
    return part;
}

/* Scaling 2:1: small movements, that need precision, are made smaller. */
static int32_t scale(int32_t value)
{
    static const uint8_t scaled[] = {0, 1, 1, 3, 6, 9};
    int32_t size = value < 0 ? -value : value;

    size = size < (int32_t)sizeof scaled ? scaled[size] : 2 * size;
    return value < 0 ? -size : size;
}

static void next_event(struct ps2_mouse *mouse)
{
    struct ps2_mouse_event *event = &mouse->events[0];

    event->x_overflow = event->y_overflow = false;
    if (event->x || event->y || event->z)
        return;
    if (mouse->event_count == 1) {
        mouse->pending = false;
        return;
    }
    mouse->event_count--;
    memmove(mouse->events, mouse->events + 1, mouse->event_count * sizeof mouse->events[0]);
}

/* The oldest movement as a packet; returns its length. */
static unsigned make_packet(struct ps2_mouse *mouse, bool scaled, uint8_t packet[PS2_MOUSE_LONGEST_PACKET])
{
    struct ps2_mouse_event *event = &mouse->events[0];
    int32_t limit = scaled ? PACKET_MOVEMENT_SCALED : PACKET_MOVEMENT;
    int32_t x = take(&event->x, -limit, limit);
    int32_t y = take(&event->y, -limit, limit);
    int32_t z = take(&event->z, WHEEL_LEAST, WHEEL_GREATEST);

    if (mouse->id == ID_PLAIN)
        event->z = 0;
    packet[0] = (uint8_t)(PACKET_ALWAYS | (event->buttons & (PS2_MOUSE_LEFT | PS2_MOUSE_RIGHT | PS2_MOUSE_MIDDLE)) |
                          (x < 0 ? PACKET_X_NEGATIVE : 0) | (y < 0 ? PACKET_Y_NEGATIVE : 0) |
                          (event->x_overflow ? PACKET_X_OVERFLOW : 0) | (event->y_overflow ? PACKET_Y_OVERFLOW : 0));
    packet[1] = (uint8_t)(scaled ? scale(x) : x);
    packet[2] = (uint8_t)(scaled ? scale(y) : y);
    packet[3] = (uint8_t)z;
    if (mouse->id == ID_EXPLORER)
        packet[3] = (uint8_t)((z & 0x0f) | (event->buttons & (PS2_MOUSE_FOURTH | PS2_MOUSE_FIFTH)) << 1);
    next_event(mouse);
    return mouse->id == ID_PLAIN ? 3 : 4;
}

bool ps2_mouse_send(struct ps2_mouse *mouse, uint8_t *byte)
{
    uint8_t packet[PS2_MOUSE_LONGEST_PACKET];

    if (!mouse->replies.count && mouse->pending && streaming(mouse) && !mouse->command)
        say(mouse, packet, make_packet(mouse, mouse->double_scale, packet));
    if (!mouse->replies.count)
        return false;
    *byte = ps2_queue_pop(&mouse->replies);
    return true;
}

/* ---- What it is told ---- */

static void set_defaults(struct ps2_mouse *mouse)
{
    mouse->reporting = false;
    mouse->remote = false;
    mouse->wrap = false;
    mouse->double_scale = false;
    mouse->resolution = DEFAULT_RESOLUTION;
    mouse->sample_rate = DEFAULT_RATE;
    forget_movement(mouse);
}

void ps2_mouse_reset(struct ps2_mouse *mouse)
{
    memset(mouse, 0, sizeof *mouse);
    mouse->event_count = 1;
    set_defaults(mouse);
}

/* The first byte that is no good is asked for again, a second one is an error. */
static void reject(struct ps2_mouse *mouse)
{
    say_byte(mouse, mouse->bad_before ? ERROR : SEND_AGAIN);
    mouse->bad_before = !mouse->bad_before;
    if (!mouse->bad_before)
        mouse->command = 0;
}

static void set_rate(struct ps2_mouse *mouse, uint8_t rate)
{
    static const uint8_t intellimouse[] = {200, 100, 80};
    static const uint8_t explorer[] = {200, 200, 80};

    mouse->sample_rate = rate;
    memmove(mouse->rates, mouse->rates + 1, sizeof mouse->rates - 1);
    mouse->rates[sizeof mouse->rates - 1] = rate;
    if (memcmp(mouse->rates, intellimouse, sizeof mouse->rates) == 0)
        mouse->id = ID_INTELLIMOUSE;
    else if (memcmp(mouse->rates, explorer, sizeof mouse->rates) == 0)
        mouse->id = ID_EXPLORER;
}

static void take_parameter(struct ps2_mouse *mouse, uint8_t value)
{
    static const uint8_t sample_rates[] = {10, 20, 40, 60, 80, 100, 200};
    bool known = mouse->command == SET_RATE ? memchr(sample_rates, value, sizeof sample_rates) != NULL
                                            : value <= GREATEST_RESOLUTION;

    if (!known) {
        reject(mouse);
        return;
    }
    if (mouse->command == SET_RATE)
        set_rate(mouse, value);
    else
        mouse->resolution = value;
    mouse->command = 0;
    mouse->bad_before = false;
    say_byte(mouse, ACKNOWLEDGE);
}

/* Commands whose answer is more than the acknowledgement; false if it is none of them. */
static bool answer(struct ps2_mouse *mouse, uint8_t command)
{
    uint8_t bytes[1 + PS2_MOUSE_LONGEST_PACKET] = {ACKNOWLEDGE};
    uint8_t buttons = newest(mouse)->buttons;

    switch (command) {
    case STATUS_REQUEST:
        bytes[1] = (uint8_t)((buttons & PS2_MOUSE_RIGHT ? 1 : 0) | (buttons & PS2_MOUSE_MIDDLE ? 2 : 0) |
                             (buttons & PS2_MOUSE_LEFT ? 4 : 0) | (mouse->double_scale ? STATUS_DOUBLE_SCALE : 0) |
                             (mouse->reporting ? STATUS_REPORTING : 0) | (mouse->remote ? STATUS_REMOTE : 0));
        bytes[2] = mouse->resolution;
        bytes[3] = mouse->sample_rate;
        say(mouse, bytes, 4);
        return true;
    case READ_DATA:
        say(mouse, bytes, 1 + make_packet(mouse, false, bytes + 1));
        return true;
    case READ_ID:
        bytes[1] = mouse->id;
        say(mouse, bytes, 2);
        return true;
    case RESET:
        set_defaults(mouse);
        mouse->id = ID_PLAIN;
        memset(mouse->rates, 0, sizeof mouse->rates);
        bytes[1] = SELF_TEST_PASSED;
        bytes[2] = mouse->id;
        say(mouse, bytes, 3);
        return true;
    default:
        return false;
    }
}

/* The others; false if there is no such command. */
static bool obey(struct ps2_mouse *mouse, uint8_t command)
{
    switch (command) {
    case SCALING_1_TO_1:
    case SCALING_2_TO_1:
        mouse->double_scale = command == SCALING_2_TO_1;
        return true;
    case SET_RESOLUTION:
    case SET_RATE:
        mouse->command = command;
        return true;
    case STREAM_MODE:
    case REMOTE_MODE:
        mouse->remote = command == REMOTE_MODE;
        forget_movement(mouse);
        return true;
    case WRAP_MODE:
    case RESET_WRAP:
        mouse->wrap = command == WRAP_MODE;
        forget_movement(mouse);
        return true;
    case ENABLE:
    case DISABLE:
        mouse->reporting = command == ENABLE;
        forget_movement(mouse);
        return true;
    case SET_DEFAULTS:
        set_defaults(mouse);
        return true;
    default:
        return false;
    }
}

static void take_command(struct ps2_mouse *mouse, uint8_t command)
{
    mouse->command = 0;
    if (!answer(mouse, command)) {
        if (!obey(mouse, command)) {
            reject(mouse);
            return;
        }
        say_byte(mouse, ACKNOWLEDGE);
    }
    mouse->bad_before = false;
}

/* A byte ends what the mouse was saying; a command also ends one that waits for a parameter. */
void ps2_mouse_receive(struct ps2_mouse *mouse, uint8_t value)
{
    if (mouse->wrap && value != RESET && value != RESET_WRAP) {
        ps2_queue_clear(&mouse->replies);
        say_byte(mouse, value);
        return;
    }
    if (value == RESEND) {
        say_again(mouse);
        return;
    }
    ps2_queue_clear(&mouse->replies);
    if (mouse->command && value < LOWEST_COMMAND)
        take_parameter(mouse, value);
    else
        take_command(mouse, value);
}
