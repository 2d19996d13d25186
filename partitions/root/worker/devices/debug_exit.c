/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/debug_exit.h"

static uint64_t debug_exit_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0;
}

static void debug_exit_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    const struct debug_exit *debug_exit = device;

    (void)offset;
    (void)size;
    debug_exit->written(debug_exit->context, (uint32_t)value);
}

static const struct bus_operations operations = {.read = debug_exit_read, .write = debug_exit_write};

bool debug_exit_initialize(struct debug_exit *device, struct bus *bus, uint16_t port,
                           void (*written)(void *context, uint32_t code), void *context)
{
    *device = (struct debug_exit){.written = written, .context = context};
    return bus_add(bus, BUS_PORTS, port, DEBUG_EXIT_PORTS, &operations, device, "debug exit");
}
