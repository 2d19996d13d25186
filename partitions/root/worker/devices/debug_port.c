/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/debug_port.h"

#define PORT    0x402
#define PRESENT 0xe9

static uint64_t port_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return PRESENT;
}

static void port_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct debug_port *port = device;
    uint8_t character = (uint8_t)value;

    (void)offset;
    (void)size;
    port->write(port->context, &character, 1);
}

/* Items are single bytes: the port is one wide. */
static size_t port_block_out(void *device, uint64_t offset, unsigned size, const void *items, size_t count)
{
    struct debug_port *port = device;

    (void)offset;
    (void)size;
    port->write(port->context, items, count);
    return count;
}

static const struct bus_operations operations = {
    .read = port_read, .write = port_write, .block_out = port_block_out, .widest = 1};

bool debug_port_initialize(struct debug_port *port, struct bus *bus, void (*write)(void *, const uint8_t *, size_t),
                           void *context)
{
    port->write = write;
    port->context = context;
    return bus_add(bus, BUS_PORTS, PORT, 1, &operations, port, "debug port");
}
