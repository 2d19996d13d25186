/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/i8259.h"

#include <string.h>

#define CASCADE_INPUT  2
#define SPURIOUS_INPUT 7
#define NOTHING        (-1)

#define ICW1_SELECT 0x10
#define ICW1_IC4    0x01
#define ICW1_SINGLE 0x02

#define ICW4_AUTOMATIC_EOI        0x02
#define ICW4_SPECIAL_FULLY_NESTED 0x10

#define OCW3_SELECT              0x08
#define OCW3_ENABLE_SPECIAL_MASK 0x40
#define OCW3_SPECIAL_MASK        0x20
#define OCW3_POLL                0x04
#define OCW3_READ_REGISTER       0x02
#define OCW3_IN_SERVICE          0x01

#define POLL_INTERRUPT 0x80

static uint8_t requests(const struct i8259 *chip)
{
    return (chip->edges & ~chip->level_triggered) | (chip->lines & chip->level_triggered);
}

/* The input of highest priority among `inputs`, or NOTHING. */
static int highest_priority(const struct i8259 *chip, uint8_t inputs)
{
    for (unsigned i = 1; i <= 8; i++) {
        unsigned input = (chip->lowest_priority + i) & 7;

        if (inputs & 1u << input)
            return (int)input;
    }
    return NOTHING;
}

/* 0 is the highest. */
static unsigned priority_of(const struct i8259 *chip, int input)
{
    return ((unsigned)input - chip->lowest_priority - 1) & 7;
}

/* The input that the chip would report to an acknowledge now, or NOTHING. */
static int pending(const struct i8259 *chip)
{
    int request = highest_priority(chip, requests(chip) & ~chip->masked);
    uint8_t blocking = chip->in_service;
    int serviced;

    if (chip->state != I8259_READY || request == NOTHING)
        return NOTHING;
    if (chip->special_mask)
        blocking &= ~chip->masked;
    /*
     * Special fully nested mode: the second chip may interrupt its own service routine with a higher input.
     */
    if (chip->special_fully_nested)
        blocking &= ~(1u << CASCADE_INPUT);
    serviced = highest_priority(chip, blocking);
    if (serviced == NOTHING || priority_of(chip, request) < priority_of(chip, serviced))
        return request;
    return NOTHING;
}

static void chip_set(struct i8259 *chip, unsigned input, bool level)
{
    uint8_t bit = 1u << input;

    if (level && !(chip->lines & bit))
        chip->edges |= bit;
    chip->lines = level ? chip->lines | bit : chip->lines & ~bit;
}

/* The cascade input follows the second chip's output, which falls when its requests do. */
static void update(struct i8259_pair *pair)
{
    struct i8259 *first = &pair->chips[0];
    bool cascade = pending(&pair->chips[1]) != NOTHING;
    bool output;

    first->edges = (first->edges & ~(1u << CASCADE_INPUT)) | (cascade ? 1u << CASCADE_INPUT : 0);
    output = pending(first) != NOTHING;
    if (output != pair->output) {
        pair->output = output;
        pair->interrupt_request(pair->context, output);
    }
}

/* Returns the input acknowledged: SPURIOUS_INPUT, and no change, if there is none. */
static int chip_acknowledge(struct i8259 *chip)
{
    int input = pending(chip);

    if (input == NOTHING)
        return SPURIOUS_INPUT;
    chip->edges &= ~(1u << input);
    if (!chip->automatic_eoi)
        chip->in_service |= 1u << input;
    else if (chip->rotate_in_automatic_eoi)
        chip->lowest_priority = (uint8_t)input;
    return input;
}

uint8_t i8259_acknowledge(struct i8259_pair *pair)
{
    struct i8259 *chip = &pair->chips[0];
    int input = chip_acknowledge(chip);

    if (input == CASCADE_INPUT) {
        chip = &pair->chips[1];
        input = chip_acknowledge(chip);
    }
    update(pair);
    return chip->vector_base | (uint8_t)input;
}

void i8259_set(struct i8259_pair *pair, unsigned irq, bool level)
{
    chip_set(&pair->chips[irq >> 3 & 1], irq & 7, level);
    update(pair);
}

/* ICW1 (8259A datasheet, "Initialization Command Words"). */
static void begin_initialization(struct i8259 *chip, uint8_t value)
{
    chip->edges = 0;
    chip->in_service = 0;
    chip->masked = 0;
    chip->lowest_priority = 7;
    chip->automatic_eoi = false;
    chip->rotate_in_automatic_eoi = false;
    chip->special_mask = false;
    chip->special_fully_nested = false;
    chip->poll = false;
    chip->read_in_service = false;
    chip->icw3_expected = !(value & ICW1_SINGLE);
    chip->icw4_expected = value & ICW1_IC4;
    chip->state = I8259_ICW2;
}

/* OCW2: bits 7-5 are rotate, specific, end of interrupt. */
static void end_of_interrupt(struct i8259 *chip, uint8_t value)
{
    bool rotate = value & 0x80;
    bool specific = value & 0x40;
    bool end = value & 0x20;
    int input = value & 7;

    if (!end && !specific) {
        chip->rotate_in_automatic_eoi = rotate;
        return;
    }
    /* A masked input is left in service in special mask mode. */
    if (!specific)
        input = highest_priority(chip, chip->in_service & (chip->special_mask ? ~chip->masked : 0xff));
    if (input == NOTHING)
        return;
    if (end)
        chip->in_service &= ~(1u << input);
    if (rotate)
        chip->lowest_priority = (uint8_t)input;
}

static void write_ocw3(struct i8259 *chip, uint8_t value)
{
    if (value & OCW3_ENABLE_SPECIAL_MASK)
        chip->special_mask = value & OCW3_SPECIAL_MASK;
    chip->poll = value & OCW3_POLL;
    if (!chip->poll && value & OCW3_READ_REGISTER)
        chip->read_in_service = value & OCW3_IN_SERVICE;
}

/* The odd port: the rest of the initialization, then the mask. */
static void write_odd(struct i8259 *chip, uint8_t value)
{
    switch (chip->state) {
    case I8259_ICW2:
        chip->vector_base = value & 0xf8;
        chip->state = chip->icw3_expected ? I8259_ICW3 : chip->icw4_expected ? I8259_ICW4 : I8259_READY;
        break;
    case I8259_ICW3: /* the cascade is wired */
        chip->state = chip->icw4_expected ? I8259_ICW4 : I8259_READY;
        break;
    case I8259_ICW4:
        chip->automatic_eoi = value & ICW4_AUTOMATIC_EOI;
        chip->special_fully_nested = value & ICW4_SPECIAL_FULLY_NESTED;
        chip->state = I8259_READY;
        break;
    case I8259_UNINITIALIZED:
    case I8259_READY:
        chip->masked = value;
        break;
    }
}

static void chip_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8259 *chip = device;

    (void)size;
    if (offset & 1)
        write_odd(chip, (uint8_t)value);
    else if (value & ICW1_SELECT)
        begin_initialization(chip, (uint8_t)value);
    else if (value & OCW3_SELECT)
        write_ocw3(chip, (uint8_t)value);
    else
        end_of_interrupt(chip, (uint8_t)value);
    update(chip->pair);
}

static uint8_t read_poll(struct i8259 *chip)
{
    uint8_t value = 0;

    chip->poll = false;
    if (pending(chip) != NOTHING)
        value = POLL_INTERRUPT | (uint8_t)chip_acknowledge(chip);
    update(chip->pair);
    return value;
}

static uint64_t chip_read(void *device, uint64_t offset, unsigned size)
{
    struct i8259 *chip = device;

    (void)size;
    if (chip->poll)
        return read_poll(chip);
    if (offset & 1)
        return chip->masked;
    return chip->read_in_service ? chip->in_service : requests(chip);
}

/* Ports 4D0h and 4D1h. */
static uint64_t edge_level_read(void *device, uint64_t offset, unsigned size)
{
    const struct i8259_pair *pair = device;

    (void)size;
    return pair->chips[offset].level_triggered;
}

static void edge_level_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8259_pair *pair = device;
    struct i8259 *chip = &pair->chips[offset];

    (void)size;
    chip->level_triggered = (uint8_t)value & chip->level_selectable;
    update(pair);
}

static const struct bus_operations chip_operations = {.read = chip_read, .write = chip_write, .widest = 1};
static const struct bus_operations edge_level_operations = {
    .read = edge_level_read, .write = edge_level_write, .widest = 1};

bool i8259_initialize(struct i8259_pair *pair, struct bus *bus, void (*interrupt_request)(void *, bool),
                      void *context)
{
    memset(pair, 0, sizeof *pair);
    pair->interrupt_request = interrupt_request;
    pair->context = context;
    pair->chips[0] = (struct i8259){.pair = pair, .level_selectable = 0xf8};
    pair->chips[1] = (struct i8259){.pair = pair, .level_selectable = 0xde};
    i8259_reset(pair);
    return bus_add(bus, BUS_PORTS, 0x20, 2, &chip_operations, &pair->chips[0], "interrupt controller 1") &&
           bus_add(bus, BUS_PORTS, 0xa0, 2, &chip_operations, &pair->chips[1], "interrupt controller 2") &&
           bus_add(bus, BUS_PORTS, 0x4d0, 2, &edge_level_operations, pair, "interrupt edge/level");
}

void i8259_reset(struct i8259_pair *pair)
{
    for (unsigned i = 0; i < 2; i++) {
        struct i8259 *chip = &pair->chips[i];

        begin_initialization(chip, 0);
        chip->state = I8259_UNINITIALIZED;
        chip->level_triggered = 0;
        chip->vector_base = 0;
    }
    update(pair);
}
