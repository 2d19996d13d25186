/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/io_port.h"

#include <string.h>

#include "partitions/root/worker/processor_mode.h"

#define MAXIMUM_INSTRUCTION_LENGTH 15u

/* A string instruction on its way. */
struct port_string {
    struct memory_access *memory;
    struct hv_vp_register_page *registers;
    uint16_t port;
    unsigned size; /* of an item: 1, 2 or 4 */
    bool in;
    bool repeated;
    enum segment_register segment;
    enum gp_register index;
    uint64_t address_mask;
};

static void finish(struct hv_vp_register_page *registers,
                   const struct hv_x64_intercept_message_header *header)
{
    registers->rip = header->rip + (header->instruction_length_cr8 & 0xF);
    if (processor_code_width(registers) != 64)
        registers->rip &= 0xFFFFFFFF;
    registers->dirty |= HV_REGISTER_PAGE_DIRTY_IP;
}

static void single(struct memory_access *memory, struct hv_vp_register_page *registers,
                   const struct hv_x64_io_port_intercept_message *message)
{
    const struct memory_environment *environment = memory->environment;
    unsigned size = message->access_info & HV_IO_PORT_ACCESS_SIZE_MASK;
    uint64_t rax = registers->gp_registers[GP_RAX];
    uint64_t mask = width_mask(8 * size);

    pthread_mutex_lock(environment->device_lock);
    if (message->header.intercept_access_type == HV_INTERCEPT_ACCESS_WRITE) {
        bus_write(environment->bus, BUS_PORTS, message->port_number, size, rax & mask);
    } else {
        uint64_t value = bus_read(environment->bus, BUS_PORTS, message->port_number, size);

        registers->gp_registers[GP_RAX] = size == 4 ? value : (rax & ~mask) | value;
        registers->dirty |= HV_REGISTER_PAGE_DIRTY_GP;
    }
    pthread_mutex_unlock(environment->device_lock);
}

/* The instruction's bytes, from the message or from memory. False: exception. */
static bool instruction_bytes(struct port_string *string,
                              const struct hv_x64_io_port_intercept_message *message, uint8_t *bytes,
                              unsigned length)
{
    uint64_t linear;

    if (message->instruction_byte_count >= length) {
        memcpy(bytes, message->instruction_bytes, length);
        return true;
    }
    for (unsigned i = 0; i < length; i++) {
        struct memory_location location;

        if (!linear_address(string->registers, SEGMENT_CS, message->header.rip + i, 1, false, &linear,
                            &string->memory->exception) ||
            !memory_access_locate(string->memory, linear, MEMORY_EXECUTE, &location))
            return false;
        bytes[i] = location.host ? *location.host : 0;
    }
    return true;
}

/* Address size and source segment are in the prefixes; the destination of INS is always in ES. */
static bool read_prefixes(struct port_string *string, const struct hv_x64_io_port_intercept_message *message)
{
    unsigned length = message->header.instruction_length_cr8 & 0xF;
    unsigned width = processor_code_width(string->registers);
    uint8_t bytes[MAXIMUM_INSTRUCTION_LENGTH];
    bool address_size_prefix = false;

    if (!instruction_bytes(string, message, bytes, length))
        return false;
    for (unsigned i = 0; i + 1 < length; i++) {
        static const struct {
            uint8_t prefix;
            enum segment_register segment;
        } overrides[] = {
            {0x26, SEGMENT_ES},
            {0x2E, SEGMENT_CS},
            {0x36, SEGMENT_SS},
            {0x3E, SEGMENT_DS},
            {0x64, SEGMENT_FS},
            {0x65, SEGMENT_GS},
        };

        address_size_prefix |= bytes[i] == 0x67;
        for (unsigned j = 0; j < sizeof overrides / sizeof overrides[0]; j++)
            if (bytes[i] == overrides[j].prefix && !string->in)
                string->segment = overrides[j].segment;
    }
    if (address_size_prefix)
        width = width == 32 ? 16 : 32;
    string->address_mask = width_mask(width);
    return true;
}

static uint64_t get(const struct port_string *string, enum gp_register name)
{
    return string->registers->gp_registers[name] & string->address_mask;
}

/* A register of the address size: 32 bits clear the upper half, 16 bits keep the rest. */
static void set(struct port_string *string, enum gp_register name, uint64_t value)
{
    uint64_t kept = string->address_mask == 0xFFFF ? string->registers->gp_registers[name] & ~0xFFFFull : 0;

    string->registers->gp_registers[name] = kept | (value & string->address_mask);
}

static void advance(struct port_string *string, uint64_t items)
{
    uint64_t bytes = items * string->size;
    bool down = string->registers->rflags & RFLAGS_DF;

    set(string, string->index, get(string, string->index) + (down ? 0 - bytes : bytes));
    if (string->repeated)
        set(string, GP_RCX, get(string, GP_RCX) - items);
}

/*
 * Moves as many items as lie in one page of RAM from here up, at most `limit`. Returns how many; 0 if items
 * have to be moved one by one.
 */
static size_t move_block(struct port_string *string, uint64_t limit)
{
    struct memory_access *memory = string->memory;
    struct bus *bus = memory->environment->bus;
    uint64_t offset = get(string, string->index);
    struct memory_location location;
    uint64_t linear, count;
    size_t moved;

    if ((string->registers->rflags & RFLAGS_DF) ||
        !linear_address(string->registers, string->segment, offset, string->size, string->in, &linear,
                        &memory->exception))
        return 0;
    count = (HV_PAGE_SIZE - (linear & (HV_PAGE_SIZE - 1))) / string->size;
    if (count > limit)
        count = limit;
    if (count < 2 || count * string->size - 1 > string->address_mask - offset ||
        !linear_address(string->registers, string->segment, offset, (unsigned)count * string->size,
                        string->in, &linear, &memory->exception) ||
        !memory_access_locate(memory, linear, string->in ? MEMORY_WRITE : MEMORY_READ, &location) ||
        !location.host)
        return 0;
    pthread_mutex_lock(memory->environment->device_lock);
    moved = string->in ? bus_block_in(bus, string->port, string->size, location.host, count)
                       : bus_block_out(bus, string->port, string->size, location.host, count);
    pthread_mutex_unlock(memory->environment->device_lock);
    return moved;
}

/* Memory is checked before a port is read: the device would not give its data a second time. */
static bool check_destination(struct port_string *string, uint64_t linear)
{
    struct memory_location location;

    return memory_access_locate(string->memory, linear, MEMORY_WRITE, &location) &&
           memory_access_locate(string->memory, linear + string->size - 1, MEMORY_WRITE, &location);
}

static bool move_item(struct port_string *string)
{
    struct memory_access *memory = string->memory;
    const struct memory_environment *environment = memory->environment;
    uint64_t value = 0;
    uint64_t linear;

    if (!linear_address(string->registers, string->segment, get(string, string->index), string->size,
                        string->in, &linear, &memory->exception))
        return false;
    if (string->in ? !check_destination(string, linear)
                   : !memory_access_read(memory, linear, &value, string->size, MEMORY_READ))
        return false;
    pthread_mutex_lock(environment->device_lock);
    if (string->in)
        value = bus_read(environment->bus, BUS_PORTS, string->port, string->size);
    else
        bus_write(environment->bus, BUS_PORTS, string->port, string->size, value);
    pthread_mutex_unlock(environment->device_lock);
    return !string->in || memory_access_write(memory, linear, &value, string->size);
}

static enum io_port_result move_items(struct port_string *string)
{
    uint64_t room = IO_PORT_MAXIMUM_ITEMS;

    while (room > 0) {
        uint64_t left = string->repeated ? get(string, GP_RCX) : 1;
        uint64_t moved;

        if (left == 0)
            return IO_PORT_DONE;
        moved = move_block(string, left < room ? left : room);
        if (moved == 0) {
            if (!move_item(string))
                return IO_PORT_EXCEPTION;
            moved = 1;
        }
        advance(string, moved);
        room -= moved;
        if (!string->repeated)
            return IO_PORT_DONE;
    }
    return get(string, GP_RCX) == 0 ? IO_PORT_DONE : IO_PORT_AGAIN;
}

/* Kept out of the way of the plain accesses, which are by far the most. */
static enum io_port_result __attribute__((noinline))
string_instruction(struct memory_access *memory, struct hv_vp_register_page *registers,
                   const struct hv_x64_io_port_intercept_message *message)
{
    bool in = message->header.intercept_access_type != HV_INTERCEPT_ACCESS_WRITE;
    struct port_string string = {
        .memory = memory,
        .registers = registers,
        .port = message->port_number,
        .size = message->access_info & HV_IO_PORT_ACCESS_SIZE_MASK,
        .in = in,
        .repeated = message->access_info & HV_IO_PORT_REP_PREFIX,
        .segment = in ? SEGMENT_ES : SEGMENT_DS,
        .index = in ? GP_RDI : GP_RSI,
    };

    memory_access_begin(memory, registers);
    registers->dirty |= HV_REGISTER_PAGE_DIRTY_GP;
    if (!read_prefixes(&string, message))
        return IO_PORT_EXCEPTION;
    return move_items(&string);
}

enum io_port_result io_port_run(struct memory_access *memory, struct hv_vp_register_page *registers,
                                const struct hv_x64_io_port_intercept_message *message)
{
    enum io_port_result result = IO_PORT_DONE;

    if (message->access_info & HV_IO_PORT_STRING_OPERATION)
        result = string_instruction(memory, registers, message);
    else
        single(memory, registers, message);
    if (result == IO_PORT_DONE)
        finish(registers, &message->header);
    return result;
}
