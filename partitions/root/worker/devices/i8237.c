/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/i8237.h"

#include <string.h>

/* Registers behind the addresses and counts; the second controller has them at every other port. */
#define REGISTER_STATUS          0x8 /* written: command */
#define REGISTER_REQUEST         0x9
#define REGISTER_MASK            0xa
#define REGISTER_MODE            0xb
#define REGISTER_CLEAR_FLIP_FLOP 0xc
#define REGISTER_MASTER_CLEAR    0xd /* read: temporary */
#define REGISTER_CLEAR_MASK      0xe
#define REGISTER_ALL_MASKS       0xf

#define COMMAND_DISABLE 0x04

#define SET_BIT 0x04 /* of the request and the mask register: set, or else clear, the bit of a channel */

#define MODE_TYPE(mode)     ((mode) >> 2 & 3)
#define TYPE_WRITE          1 /* to memory */
#define TYPE_READ           2
#define MODE_AUTOINITIALIZE 0x10
#define MODE_DECREMENT      0x20
#define MODE_CASCADE        0xc0 /* both bits */

#define CASCADE 0 /* channel of the second controller */

#define ALL_CHANNELS 0x0f

/* Which page register belongs to each channel. */
static const uint8_t channel_pages[I8237_CONTROLLERS][I8237_CHANNELS] = {
    {0x7, 0x3, 0x1, 0x2},
    {0xf, 0xb, 0x9, 0xa},
};

static bool cascades(const struct i8237_channel *channel)
{
    return (channel->mode & MODE_CASCADE) == MODE_CASCADE;
}

static bool enabled(const struct i8237_controller *controller, unsigned channel)
{
    return !(controller->command & COMMAND_DISABLE) && !(controller->masked & 1u << channel);
}

/* Whether a request of the channel gets through: those of the first controller pass the second. */
static bool ready(const struct i8237 *dma, unsigned controller, unsigned channel)
{
    const struct i8237_controller *second = &dma->controllers[1];

    if (!enabled(&dma->controllers[controller], channel) || cascades(&dma->controllers[controller].channels[channel]))
        return false;
    return controller == 1 || (enabled(second, CASCADE) && cascades(&second->channels[CASCADE]));
}

static void master_clear(struct i8237_controller *controller)
{
    controller->command = 0;
    controller->requested = 0;
    controller->terminal_count = 0;
    controller->high_byte = false;
    controller->masked = ALL_CHANNELS;
}

/* ---- Transfers ---- */

static void write_memory(const struct guest_memory *memory, uint64_t gpa, const uint8_t *buffer, size_t length)
{
    if (guest_memory_write(memory, gpa, buffer, length))
        return;
    for (size_t i = 0; i < length; i++)
        guest_memory_write(memory, gpa + i, buffer + i, 1);
}

static void read_memory(const struct guest_memory *memory, uint64_t gpa, uint8_t *buffer, size_t length)
{
    if (guest_memory_read(memory, gpa, buffer, length))
        return;
    for (size_t i = 0; i < length; i++)
        if (!guest_memory_read(memory, gpa + i, buffer + i, 1))
            buffer[i] = 0xff;
}

static void move(const struct i8237 *dma, const struct i8237_channel *channel, uint64_t gpa, uint8_t *buffer,
                 size_t length, enum i8237_direction direction)
{
    unsigned type = MODE_TYPE(channel->mode);

    if (direction == I8237_TO_MEMORY && type == TYPE_WRITE)
        write_memory(dma->memory, gpa, buffer, length);
    else if (direction == I8237_FROM_MEMORY && type == TYPE_READ)
        read_memory(dma->memory, gpa, buffer, length);
    else if (direction == I8237_FROM_MEMORY)
        memset(buffer, 0xff, length);
}

static void end_of_process(struct i8237_controller *controller, unsigned channel)
{
    struct i8237_channel *state = &controller->channels[channel];

    controller->terminal_count |= 1u << channel;
    controller->requested &= ~(1u << channel);
    if (state->mode & MODE_AUTOINITIALIZE) {
        state->current_address = state->base_address;
        state->current_count = state->base_count;
    } else {
        controller->masked |= 1u << channel;
    }
}

/* How many units lie in a row in memory: the address wraps within its 64 Ki units. */
static size_t units_in_a_row(const struct i8237_channel *channel, size_t units)
{
    size_t to_end = 0x10000u - channel->current_address;

    if (channel->mode & MODE_DECREMENT)
        return 1;
    if (units > to_end)
        units = to_end;
    return units > channel->current_count ? channel->current_count + 1u : units;
}

/* Words have even addresses: bit 0 of their page register does not count. */
static uint64_t address(const struct i8237 *dma, unsigned controller, unsigned channel)
{
    uint32_t page = dma->pages[channel_pages[controller][channel]];
    uint32_t offset = dma->controllers[controller].channels[channel].current_address;

    return controller ? (page & ~1u) << 16 | offset << 1 : page << 16 | offset;
}

size_t i8237_transfer(struct i8237 *dma, unsigned channel, void *buffer, size_t length, enum i8237_direction direction,
                      bool *terminal_count)
{
    unsigned number = channel / I8237_CHANNELS % I8237_CONTROLLERS;
    unsigned input = channel % I8237_CHANNELS;
    struct i8237_channel *state = &dma->controllers[number].channels[input];
    size_t unit = number ? 2 : 1;
    size_t moved = 0;

    *terminal_count = false;
    while (!*terminal_count && length - moved >= unit && ready(dma, number, input)) {
        size_t units = units_in_a_row(state, (length - moved) / unit);

        move(dma, state, address(dma, number, input), (uint8_t *)buffer + moved, units * unit, direction);
        moved += units * unit;
        state->current_address += state->mode & MODE_DECREMENT ? -units : units;
        *terminal_count = units > state->current_count;
        state->current_count -= units;
        if (*terminal_count)
            end_of_process(&dma->controllers[number], input);
    }
    return moved;
}

void i8237_request(struct i8237 *dma, unsigned channel, bool level)
{
    struct i8237_controller *controller = &dma->controllers[channel / I8237_CHANNELS % I8237_CONTROLLERS];
    uint8_t bit = 1u << channel % I8237_CHANNELS;

    controller->lines = level ? controller->lines | bit : controller->lines & ~bit;
}

/* ---- Registers ---- */

/* Addresses and counts, alternately, are reached bytewise; the flip-flop says which byte is next. */
static uint8_t read_channel(struct i8237_controller *controller, unsigned offset)
{
    const struct i8237_channel *channel = &controller->channels[offset / 2 % I8237_CHANNELS];
    uint16_t value = offset & 1 ? channel->current_count : channel->current_address;
    uint8_t byte = controller->high_byte ? value >> 8 : value & 0xff;

    controller->high_byte = !controller->high_byte;
    return byte;
}

static void set_byte(uint16_t *value, bool high, uint8_t byte)
{
    *value = high ? (uint16_t)((*value & 0x00ff) | byte << 8) : (uint16_t)((*value & 0xff00) | byte);
}

static void write_channel(struct i8237_controller *controller, unsigned offset, uint8_t byte)
{
    struct i8237_channel *channel = &controller->channels[offset / 2 % I8237_CHANNELS];

    set_byte(offset & 1 ? &channel->base_count : &channel->base_address, controller->high_byte, byte);
    set_byte(offset & 1 ? &channel->current_count : &channel->current_address, controller->high_byte, byte);
    controller->high_byte = !controller->high_byte;
}

static uint8_t read_status(struct i8237_controller *controller)
{
    uint8_t value = (uint8_t)((controller->lines | controller->requested) << 4 | controller->terminal_count);

    controller->terminal_count = 0;
    return value;
}

static uint8_t controller_read(struct i8237_controller *controller, unsigned offset)
{
    if (offset < REGISTER_STATUS)
        return read_channel(controller, offset);
    switch (offset) {
    case REGISTER_STATUS:
        return read_status(controller);
    case REGISTER_MASTER_CLEAR: /* the temporary register, of memory-to-memory transfers */
        return 0;
    case REGISTER_ALL_MASKS:
        return controller->masked;
    default: /* write-only */
        return 0xff;
    }
}

static void write_bit(uint8_t *bits, uint8_t value)
{
    uint8_t bit = 1u << (value & 3);

    *bits = value & SET_BIT ? *bits | bit : *bits & ~bit;
}

static void controller_write(struct i8237_controller *controller, unsigned offset, uint8_t value)
{
    if (offset < REGISTER_STATUS) {
        write_channel(controller, offset, value);
        return;
    }
    switch (offset) {
    case REGISTER_STATUS:
        controller->command = value;
        break;
    case REGISTER_REQUEST:
        write_bit(&controller->requested, value);
        break;
    case REGISTER_MASK:
        write_bit(&controller->masked, value);
        break;
    case REGISTER_MODE:
        controller->channels[value & 3].mode = value & 0xfc;
        break;
    case REGISTER_CLEAR_FLIP_FLOP:
        controller->high_byte = false;
        break;
    case REGISTER_MASTER_CLEAR:
        master_clear(controller);
        break;
    case REGISTER_CLEAR_MASK:
        controller->masked = 0;
        break;
    case REGISTER_ALL_MASKS:
        controller->masked = value & ALL_CHANNELS;
        break;
    }
}

static uint64_t first_read(void *device, uint64_t offset, unsigned size)
{
    struct i8237 *dma = device;

    (void)size;
    return controller_read(&dma->controllers[0], (unsigned)offset);
}

static void first_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8237 *dma = device;

    (void)size;
    controller_write(&dma->controllers[0], (unsigned)offset, (uint8_t)value);
}

static uint64_t second_read(void *device, uint64_t offset, unsigned size)
{
    struct i8237 *dma = device;

    (void)size;
    return controller_read(&dma->controllers[1], (unsigned)offset / 2);
}

static void second_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8237 *dma = device;

    (void)size;
    controller_write(&dma->controllers[1], (unsigned)offset / 2, (uint8_t)value);
}

static uint64_t page_read(void *device, uint64_t offset, unsigned size)
{
    const struct i8237 *dma = device;

    (void)size;
    return dma->pages[offset % I8237_PAGES];
}

static void page_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8237 *dma = device;

    (void)size;
    dma->pages[offset % I8237_PAGES] = (uint8_t)value;
}

static const struct bus_operations first_operations = {.read = first_read, .write = first_write, .widest = 1};
static const struct bus_operations second_operations = {.read = second_read, .write = second_write, .widest = 1};
static const struct bus_operations page_operations = {.read = page_read, .write = page_write, .widest = 1};

bool i8237_initialize(struct i8237 *dma, struct bus *bus, const struct guest_memory *memory)
{
    memset(dma, 0, sizeof *dma);
    dma->memory = memory;
    i8237_reset(dma);
    return bus_add(bus, BUS_PORTS, 0x00, 16, &first_operations, dma, "DMA controller 1") &&
           bus_add(bus, BUS_PORTS, 0xc0, 32, &second_operations, dma, "DMA controller 2") &&
           bus_add(bus, BUS_PORTS, 0x80, I8237_PAGES, &page_operations, dma, "DMA pages, diagnostic code");
}

void i8237_reset(struct i8237 *dma)
{
    for (unsigned i = 0; i < I8237_CONTROLLERS; i++) {
        uint8_t lines = dma->controllers[i].lines; /* are their devices' */

        dma->controllers[i] = (struct i8237_controller){.lines = lines};
        master_clear(&dma->controllers[i]);
    }
    memset(dma->pages, 0, sizeof dma->pages);
}
