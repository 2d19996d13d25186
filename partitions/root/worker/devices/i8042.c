/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/i8042.h"

#include <string.h>

#define STATUS_OUTPUT_FULL 0x01
#define STATUS_SYSTEM      0x04 /* self-test passed */
#define STATUS_COMMAND     0x08 /* the last write was to port 64h */
#define STATUS_UNLOCKED    0x10

#define BYTE_INTERRUPT        0x01
#define BYTE_SYSTEM           0x04
#define BYTE_DISABLE_KEYBOARD 0x10
#define BYTE_DISABLE_AUX      0x20
#define BYTE_TRANSLATE        0x40
#define BYTE_WRITABLE         0x77

#define OUTPUT_NOT_RESET 0x01
#define OUTPUT_A20       0x02
#define OUTPUT_POWER_ON  0xcf

#define COMMAND_READ_BYTE         0x20
#define COMMAND_WRITE_BYTE        0x60
#define COMMAND_PASSWORD_TEST     0xa4
#define COMMAND_DISABLE_AUX       0xa7
#define COMMAND_ENABLE_AUX        0xa8
#define COMMAND_TEST_AUX          0xa9
#define COMMAND_SELF_TEST         0xaa
#define COMMAND_TEST_KEYBOARD     0xab
#define COMMAND_DISABLE_KEYBOARD  0xad
#define COMMAND_ENABLE_KEYBOARD   0xae
#define COMMAND_READ_INPUT_PORT   0xc0
#define COMMAND_READ_OUTPUT_PORT  0xd0
#define COMMAND_WRITE_OUTPUT_PORT 0xd1
#define COMMAND_WRITE_KEYBOARD    0xd2 /* into the output buffer, as if it came from the keyboard */
#define COMMAND_WRITE_AUX         0xd3
#define COMMAND_SEND_AUX          0xd4
#define COMMAND_DISABLE_A20       0xdd
#define COMMAND_ENABLE_A20        0xdf
#define COMMAND_READ_TEST_INPUTS  0xe0
#define COMMAND_PULSE             0xf0 /* to ffh: bits that are 0 pulse output port bits low */

#define REPLY_SELF_TEST_PASSED 0x55
#define REPLY_NO_PASSWORD      0xf1
#define REPLY_AUX_CLOCK_STUCK  0x02
#define INPUT_PORT_UNLOCKED    0x80

#define KEYBOARD_SET_LEDS     0xed
#define KEYBOARD_ECHO         0xee
#define KEYBOARD_SCANCODE_SET 0xf0
#define KEYBOARD_IDENTIFY     0xf2
#define KEYBOARD_TYPEMATIC    0xf3
#define KEYBOARD_ENABLE       0xf4
#define KEYBOARD_DISABLE      0xf5
#define KEYBOARD_DEFAULTS     0xf6
#define KEYBOARD_RESEND       0xfe
#define KEYBOARD_RESET        0xff

#define KEYBOARD_ACKNOWLEDGE      0xfa
#define KEYBOARD_BAD_COMMAND      0xfe
#define KEYBOARD_SELF_TEST_PASSED 0xaa
#define RELEASE_PREFIX            0xf0

/*
 * Scancode set 2 to set 1, as the controller of every PC translates; the codes from 85h on stay what they
 * are.
 */
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

static unsigned queue_room(const struct i8042_queue *queue)
{
    return I8042_QUEUE_SIZE - queue->count;
}

/* A full queue drops the byte. */
static void queue_push(struct i8042_queue *queue, uint8_t byte)
{
    if (queue_room(queue) == 0)
        return;
    queue->bytes[(queue->first + queue->count) % I8042_QUEUE_SIZE] = byte;
    queue->count++;
}

static uint8_t queue_pop(struct i8042_queue *queue)
{
    uint8_t byte = queue->bytes[queue->first];

    queue->first = (queue->first + 1) % I8042_QUEUE_SIZE;
    queue->count--;
    return byte;
}

static void queue_clear(struct i8042_queue *queue)
{
    queue->first = 0;
    queue->count = 0;
}

/*
 * One byte of set 2 to set 1; false if it is the release prefix, which becomes bit 7 of the next byte.
 * `break_prefix` is the caller's memory of it.
 */
static bool translate(uint8_t *byte, bool *break_prefix)
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

/* The next byte that the keyboard sends, or false. */
static bool keyboard_send(struct i8042 *controller, uint8_t *byte)
{
    struct ps2_keyboard *keyboard = &controller->keyboard;

    if (controller->command_byte & BYTE_DISABLE_KEYBOARD)
        return false;
    if (keyboard->replies.count)
        *byte = queue_pop(&keyboard->replies);
    else if (keyboard->keys.count && !keyboard->command)
        *byte = queue_pop(&keyboard->keys);
    else
        return false;
    keyboard->last_sent = *byte;
    return true;
}

/* Fills the output buffer if it is free. */
static void update(struct i8042 *controller)
{
    uint8_t byte;

    while (!controller->output_full) {
        if (controller->replies.count)
            byte = queue_pop(&controller->replies);
        else if (!keyboard_send(controller, &byte))
            break;
        else if (controller->command_byte & BYTE_TRANSLATE && !translate(&byte, &controller->break_prefix))
            continue;
        controller->output = byte;
        controller->output_full = true;
    }
    interrupt_line_set(&controller->line,
                       controller->output_full && controller->command_byte & BYTE_INTERRUPT);
}

static void keyboard_defaults(struct ps2_keyboard *keyboard, bool scanning)
{
    queue_clear(&keyboard->keys);
    keyboard->scanning = scanning;
    keyboard->scancode_set = 2;
    keyboard->break_prefix = false;
}

static void keyboard_parameter(struct ps2_keyboard *keyboard, uint8_t command, uint8_t value)
{
    if (command != KEYBOARD_SCANCODE_SET) {
        queue_push(&keyboard->replies, KEYBOARD_ACKNOWLEDGE);
        return;
    }
    if (value > 2) {
        queue_push(&keyboard->replies, KEYBOARD_BAD_COMMAND);
        return;
    }
    queue_push(&keyboard->replies, KEYBOARD_ACKNOWLEDGE);
    if (value == 0)
        queue_push(&keyboard->replies, keyboard->scancode_set);
    else
        keyboard->scancode_set = value;
}

static void keyboard_command(struct ps2_keyboard *keyboard, uint8_t command)
{
    struct i8042_queue *replies = &keyboard->replies;

    switch (command) {
    case KEYBOARD_SET_LEDS:
    case KEYBOARD_SCANCODE_SET:
    case KEYBOARD_TYPEMATIC:
        keyboard->command = command;
        queue_push(replies, KEYBOARD_ACKNOWLEDGE);
        break;
    case KEYBOARD_ECHO:
        queue_push(replies, KEYBOARD_ECHO);
        break;
    case KEYBOARD_IDENTIFY:
        queue_push(replies, KEYBOARD_ACKNOWLEDGE);
        queue_push(replies, 0xab);
        queue_push(replies, 0x83);
        break;
    case KEYBOARD_ENABLE:
        keyboard->scanning = true;
        queue_push(replies, KEYBOARD_ACKNOWLEDGE);
        break;
    case KEYBOARD_DISABLE:
    case KEYBOARD_DEFAULTS:
        keyboard_defaults(keyboard, command == KEYBOARD_DEFAULTS);
        queue_push(replies, KEYBOARD_ACKNOWLEDGE);
        break;
    case KEYBOARD_RESEND:
        queue_push(replies, keyboard->last_sent);
        break;
    case KEYBOARD_RESET:
        keyboard_defaults(keyboard, true);
        queue_push(replies, KEYBOARD_ACKNOWLEDGE);
        queue_push(replies, KEYBOARD_SELF_TEST_PASSED);
        break;
    default:
        queue_push(replies, KEYBOARD_BAD_COMMAND);
        break;
    }
}

/*
 * A byte from the host. It ends what the keyboard was saying; a command also ends one that waits for a
 * parameter.
 */
static void keyboard_receive(struct ps2_keyboard *keyboard, uint8_t value)
{
    uint8_t command = keyboard->command;

    if (value != KEYBOARD_RESEND)
        queue_clear(&keyboard->replies);
    keyboard->command = 0;
    if (command && value < KEYBOARD_SET_LEDS)
        keyboard_parameter(keyboard, command, value);
    else
        keyboard_command(keyboard, value);
}

static void write_output_port(struct i8042 *controller, uint8_t value)
{
    uint8_t changed = controller->output_port ^ value;

    controller->output_port = value;
    if (changed & OUTPUT_A20)
        controller->outputs.a20(controller->outputs.context, value & OUTPUT_A20);
    if (!(value & OUTPUT_NOT_RESET)) {
        controller->output_port |= OUTPUT_NOT_RESET;
        controller->outputs.reset(controller->outputs.context);
    }
}

static void set_command_byte(struct i8042 *controller, uint8_t value)
{
    controller->command_byte = value & BYTE_WRITABLE;
    controller->status &= ~STATUS_SYSTEM;
    if (value & BYTE_SYSTEM)
        controller->status |= STATUS_SYSTEM;
}

/* A byte to port 60h that a command waits for. */
static void command_data(struct i8042 *controller, uint8_t command, uint8_t value)
{
    switch (command) {
    case COMMAND_WRITE_BYTE:
        set_command_byte(controller, value);
        break;
    case COMMAND_WRITE_OUTPUT_PORT:
        write_output_port(controller, value);
        break;
    case COMMAND_WRITE_KEYBOARD:
    case COMMAND_WRITE_AUX:
        queue_push(&controller->replies, value);
        break;
    case COMMAND_SEND_AUX: /* nobody is there */
        break;
    }
}

static void self_test(struct i8042 *controller)
{
    controller->output_full = false;
    queue_clear(&controller->replies);
    controller->break_prefix = false;
    controller->status |= STATUS_SYSTEM;
    queue_push(&controller->replies, REPLY_SELF_TEST_PASSED);
}

/* Commands that answer with a byte; false if it is none of them. */
static bool reply_command(struct i8042 *controller, uint8_t command)
{
    uint8_t reply;

    switch (command) {
    case COMMAND_READ_BYTE:
        reply = controller->command_byte;
        break;
    case COMMAND_PASSWORD_TEST:
        reply = REPLY_NO_PASSWORD;
        break;
    case COMMAND_TEST_AUX:
        reply = REPLY_AUX_CLOCK_STUCK;
        break;
    case COMMAND_TEST_KEYBOARD:
    case COMMAND_READ_TEST_INPUTS:
        reply = 0;
        break;
    case COMMAND_READ_INPUT_PORT:
        reply = INPUT_PORT_UNLOCKED;
        break;
    case COMMAND_READ_OUTPUT_PORT:
        reply = controller->output_port;
        break;
    default:
        return false;
    }
    queue_push(&controller->replies, reply);
    return true;
}

static void controller_command(struct i8042 *controller, uint8_t command)
{
    controller->command = 0;
    if (reply_command(controller, command))
        return;
    switch (command) {
    case COMMAND_WRITE_BYTE:
    case COMMAND_WRITE_OUTPUT_PORT:
    case COMMAND_WRITE_KEYBOARD:
    case COMMAND_WRITE_AUX:
    case COMMAND_SEND_AUX:
        controller->command = command;
        break;
    case COMMAND_SELF_TEST:
        self_test(controller);
        break;
    case COMMAND_DISABLE_AUX:
        controller->command_byte |= BYTE_DISABLE_AUX;
        break;
    case COMMAND_ENABLE_AUX:
        controller->command_byte &= ~BYTE_DISABLE_AUX;
        break;
    case COMMAND_DISABLE_KEYBOARD:
        controller->command_byte |= BYTE_DISABLE_KEYBOARD;
        break;
    case COMMAND_ENABLE_KEYBOARD:
        controller->command_byte &= ~BYTE_DISABLE_KEYBOARD;
        break;
    case COMMAND_DISABLE_A20:
        write_output_port(controller, controller->output_port & ~OUTPUT_A20);
        break;
    case COMMAND_ENABLE_A20:
        write_output_port(controller, controller->output_port | OUTPUT_A20);
        break;
    default:
        if (command >= COMMAND_PULSE && !(command & OUTPUT_NOT_RESET))
            controller->outputs.reset(controller->outputs.context);
        break;
    }
}

static void write_data(struct i8042 *controller, uint8_t value)
{
    uint8_t command = controller->command;

    controller->command = 0;
    if (command) {
        command_data(controller, command, value);
        return;
    }
    /* To talk to the keyboard the controller releases its clock. */
    controller->command_byte &= ~BYTE_DISABLE_KEYBOARD;
    keyboard_receive(&controller->keyboard, value);
}

static uint64_t data_port_read(void *device, uint64_t offset, unsigned size)
{
    struct i8042 *controller = device;
    uint8_t value = controller->output;

    (void)offset;
    (void)size;
    controller->output_full = false;
    interrupt_line_set(&controller->line, false);
    update(controller);
    return value;
}

static void data_port_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8042 *controller = device;

    (void)offset;
    (void)size;
    controller->status &= ~STATUS_COMMAND;
    write_data(controller, (uint8_t)value);
    update(controller);
}

static uint64_t command_port_read(void *device, uint64_t offset, unsigned size)
{
    const struct i8042 *controller = device;

    (void)offset;
    (void)size;
    return controller->status | STATUS_UNLOCKED | (controller->output_full ? STATUS_OUTPUT_FULL : 0);
}

static void command_port_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8042 *controller = device;

    (void)offset;
    (void)size;
    controller->status |= STATUS_COMMAND;
    controller_command(controller, (uint8_t)value);
    update(controller);
}

static const struct bus_operations data_operations = {
    .read = data_port_read, .write = data_port_write, .widest = 1};
static const struct bus_operations command_operations = {
    .read = command_port_read, .write = command_port_write, .widest = 1};

bool i8042_initialize(struct i8042 *controller, struct bus *bus, struct interrupt_line line,
                      const struct i8042_outputs *outputs)
{
    memset(controller, 0, sizeof *controller);
    controller->line = line;
    controller->outputs = *outputs;
    i8042_reset(controller);
    return bus_add(bus, BUS_PORTS, 0x60, 1, &data_operations, controller, "keyboard data") &&
           bus_add(bus, BUS_PORTS, 0x64, 1, &command_operations, controller, "keyboard command");
}

void i8042_reset(struct i8042 *controller)
{
    struct ps2_keyboard *keyboard = &controller->keyboard;

    queue_clear(&keyboard->replies);
    keyboard_defaults(keyboard, true);
    keyboard->command = 0;
    keyboard->last_sent = 0;
    queue_clear(&controller->replies);
    controller->command_byte = 0;
    controller->status = 0;
    controller->output = 0;
    controller->output_full = false;
    controller->output_port = OUTPUT_POWER_ON;
    controller->command = 0;
    controller->break_prefix = false;
    update(controller);
}

/* A keyboard set to set 1 translates for itself. */
static void push_key(struct ps2_keyboard *keyboard, uint8_t byte)
{
    if (keyboard->scancode_set == 1 && !translate(&byte, &keyboard->break_prefix))
        return;
    queue_push(&keyboard->keys, byte);
}

bool i8042_type(struct i8042 *controller, const uint8_t *scancodes, size_t length)
{
    struct ps2_keyboard *keyboard = &controller->keyboard;

    if (!keyboard->scanning || length > queue_room(&keyboard->keys))
        return false;
    for (size_t i = 0; i < length; i++)
        push_key(keyboard, scancodes[i]);
    update(controller);
    return true;
}
