/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single ports of a PC's chipset: 92h (A20 gate and fast reset) and F0h (coprocessor error clear).
 */
#ifndef WORKER_DEVICES_SYSTEM_PORTS_H
#define WORKER_DEVICES_SYSTEM_PORTS_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"

struct system_ports {
    uint8_t port92;
    void (*a20)(void *context, bool enabled);
    void (*reset)(void *context); /* of the processor */
    void *context;
};

/* Claims the ports. The callbacks are called under the device lock. */
bool system_ports_initialize(struct system_ports *ports, struct bus *bus, void (*a20)(void *, bool),
                             void (*reset)(void *), void *context);
void system_ports_reset(struct system_ports *ports);

#endif
