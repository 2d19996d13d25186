/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/system_ports.h"

#include <string.h>

#define PORT92_RESET 0x01
#define PORT92_A20   0x02

static uint64_t port92_read(void *device, uint64_t offset, unsigned size)
{
    const struct system_ports *ports = device;

    (void)offset;
    (void)size;
    return ports->port92;
}

static void port92_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct system_ports *ports = device;
    uint8_t changed = ports->port92 ^ (uint8_t)value;

    (void)offset;
    (void)size;
    ports->port92 = value & (PORT92_RESET | PORT92_A20);
    if (changed & PORT92_A20)
        ports->a20(ports->context, value & PORT92_A20);
    if (changed & value & PORT92_RESET)
        ports->reset(ports->context);
}

/*
 * A write takes back IRQ 13, by which the chipset reports an unmasked floating-point error to systems that
 * leave CR0.NE clear. Virtual processors raise no such error, so there is nothing to take back.
 */
static void coprocessor_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    (void)offset;
    (void)size;
    (void)value;
}

static uint64_t coprocessor_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return UINT64_MAX;
}

static const struct bus_operations port92_operations = {
    .read = port92_read, .write = port92_write, .widest = 1};
static const struct bus_operations coprocessor_operations = {
    .read = coprocessor_read, .write = coprocessor_write, .widest = 1};

bool system_ports_initialize(struct system_ports *ports, struct bus *bus, void (*a20)(void *, bool),
                             void (*reset)(void *), void *context)
{
    memset(ports, 0, sizeof *ports);
    ports->a20 = a20;
    ports->reset = reset;
    ports->context = context;
    system_ports_reset(ports);
    return bus_add(bus, BUS_PORTS, 0x92, 1, &port92_operations, ports, "A20 gate and fast reset") &&
           bus_add(bus, BUS_PORTS, 0xf0, 1, &coprocessor_operations, ports, "coprocessor error");
}

void system_ports_reset(struct system_ports *ports)
{
    ports->port92 = 0;
}
