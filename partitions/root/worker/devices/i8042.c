/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/i8042.h"

#include <string.h>

#define STATUS_OUTPUT_FULL 0x01
#define STATUS_SYSTEM      0x04 /* self-test passed */
#define STATUS_COMMAND     0x08 /* the last write was to port 64h */
#define STATUS_UNLOCKED    0x10
#define STATUS_AUX_DATA    0x20 /* what port 60h holds is the auxiliary device's */

#define BYTE_INTERRUPT        0x01
#define BYTE_AUX_INTERRUPT    0x02
#define BYTE_SYSTEM           0x04
#define BYTE_DISABLE_KEYBOARD 0x10
#define BYTE_DISABLE_AUX      0x20
#define BYTE_TRANSLATE        0x40
#define BYTE_WRITABLE         0x77

#define OUTPUT_NOT_RESET 0x01
#define OUTPUT_A20       0x02
#define OUTPUT_FULL      0x10 /* by the keyboard's byte: IRQ 1 */
#define OUTPUT_AUX_FULL  0x20 /* IRQ 12 */
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
#define COMMAND_WRITE_AUX         0xd3 /* the same, from the auxiliary device */
#define COMMAND_SEND_AUX          0xd4
#define COMMAND_DISABLE_A20       0xdd
#define COMMAND_ENABLE_A20        0xdf
#define COMMAND_READ_TEST_INPUTS  0xe0
#define COMMAND_PULSE             0xf0 /* to ffh: bits that are 0 pulse output port bits low */

#define REPLY_SELF_TEST_PASSED 0x55
#define REPLY_NO_PASSWORD      0xf1
#define REPLY_LINE_TEST_PASSED 0x00
#define INPUT_PORT_UNLOCKED    0x80

/* The next byte for the output buffer, and whether it is the auxiliary device's; false if nobody has one. */
static bool next_byte(struct i8042 *controller, uint8_t *byte, bool *aux)
{
    uint8_t disabled = controller->command_byte;

    *aux = false;
    if (controller->replies.count) {
        *byte = ps2_queue_pop(&controller->replies);
        return true;
    }
    while (!(disabled & BYTE_DISABLE_KEYBOARD) && ps2_keyboard_send(&controller->keyboard, byte))
        if (!(controller->command_byte & BYTE_TRANSLATE) || ps2_translate(byte, &controller->break_prefix))
            return true;
    *aux = true;
    if (controller->aux_replies.count) {
        *byte = ps2_queue_pop(&controller->aux_replies);
        return true;
    }
    return !(disabled & BYTE_DISABLE_AUX) && ps2_mouse_send(&controller->mouse, byte);
}

static void update_lines(struct i8042 *controller)
{
    bool aux = controller->output_aux;

    interrupt_line_set(&controller->line, controller->output_full && !aux && controller->command_byte & BYTE_INTERRUPT);
    interrupt_line_set(&controller->aux_line,
                       controller->output_full && aux && controller->command_byte & BYTE_AUX_INTERRUPT);
}

/* Fills the output buffer if it is free. */
static void update(struct i8042 *controller)
{
    uint8_t byte;
    bool aux;

    if (!controller->output_full && next_byte(controller, &byte, &aux)) {
        controller->output = byte;
        controller->output_aux = aux;
        controller->output_full = true;
    }
    update_lines(controller);
}

static void write_output_port(struct i8042 *controller, uint8_t value)
{
    uint8_t changed = controller->output_port ^ value;

    controller->output_port = value & ~(OUTPUT_FULL | OUTPUT_AUX_FULL);
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
        ps2_queue_push(&controller->replies, value);
        break;
    case COMMAND_WRITE_AUX:
        ps2_queue_push(&controller->aux_replies, value);
        break;
    case COMMAND_SEND_AUX: /* to talk to a device the controller releases its clock */
        controller->command_byte &= ~BYTE_DISABLE_AUX;
        ps2_mouse_receive(&controller->mouse, value);
        break;
    }
}

static void self_test(struct i8042 *controller)
{
    controller->output_full = false;
    ps2_queue_clear(&controller->replies);
    ps2_queue_clear(&controller->aux_replies);
    controller->break_prefix = false;
    controller->status |= STATUS_SYSTEM;
    ps2_queue_push(&controller->replies, REPLY_SELF_TEST_PASSED);
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
    case COMMAND_TEST_KEYBOARD:
        reply = REPLY_LINE_TEST_PASSED;
        break;
    case COMMAND_READ_TEST_INPUTS:
        reply = 0;
        break;
    case COMMAND_READ_INPUT_PORT:
        reply = INPUT_PORT_UNLOCKED;
        break;
    case COMMAND_READ_OUTPUT_PORT:
        reply = controller->output_port;
        if (controller->output_full)
            reply |= controller->output_aux ? OUTPUT_AUX_FULL : OUTPUT_FULL;
        break;
    default:
        return false;
    }
    ps2_queue_push(&controller->replies, reply);
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
    controller->command_byte &= ~BYTE_DISABLE_KEYBOARD;
    ps2_keyboard_receive(&controller->keyboard, value);
}

static uint64_t data_port_read(void *device, uint64_t offset, unsigned size)
{
    struct i8042 *controller = device;
    uint8_t value = controller->output;

    (void)offset;
    (void)size;
    controller->output_full = false;
    update_lines(controller); /* an edge for each byte */
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
    uint8_t status = controller->status | STATUS_UNLOCKED;

    (void)offset;
    (void)size;
    if (controller->output_full)
        status |= STATUS_OUTPUT_FULL | (controller->output_aux ? STATUS_AUX_DATA : 0);
    return status;
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

static const struct bus_operations data_operations = {.read = data_port_read, .write = data_port_write, .widest = 1};
static const struct bus_operations command_operations = {
    .read = command_port_read, .write = command_port_write, .widest = 1};

bool i8042_initialize(struct i8042 *controller, struct bus *bus, struct interrupt_line line,
                      struct interrupt_line aux_line, const struct i8042_outputs *outputs)
{
    memset(controller, 0, sizeof *controller);
    controller->line = line;
    controller->aux_line = aux_line;
    controller->outputs = *outputs;
    i8042_reset(controller);
    return bus_add(bus, BUS_PORTS, 0x60, 1, &data_operations, controller, "keyboard data") &&
           bus_add(bus, BUS_PORTS, 0x64, 1, &command_operations, controller, "keyboard command");
}

void i8042_reset(struct i8042 *controller)
{
    ps2_keyboard_reset(&controller->keyboard);
    ps2_mouse_reset(&controller->mouse);
    ps2_queue_clear(&controller->replies);
    ps2_queue_clear(&controller->aux_replies);
    controller->command_byte = 0;
    controller->status = 0;
    controller->output = 0;
    controller->output_full = false;
    controller->output_aux = false;
    controller->output_port = OUTPUT_POWER_ON;
    controller->command = 0;
    controller->break_prefix = false;
    update(controller);
}

bool i8042_type(struct i8042 *controller, const uint8_t *scancodes, size_t length)
{
    bool taken = ps2_keyboard_type(&controller->keyboard, scancodes, length);

    update(controller);
    return taken;
}

void i8042_move(struct i8042 *controller, int x, int y, int z, unsigned buttons)
{
    ps2_mouse_move(&controller->mouse, x, y, z, buttons);
    update(controller);
}
