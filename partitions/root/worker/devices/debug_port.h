/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port 402h, to which SeaBIOS writes what it does. Reads say E9h: by that firmware knows that somebody listens.
 */
#ifndef WORKER_DEVICES_DEBUG_PORT_H
#define WORKER_DEVICES_DEBUG_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"

struct debug_port {
    void (*write)(void *context, const uint8_t *characters, size_t length);
    void *context;
};

/* Claims the port; false if it is taken. `write` is called under the device lock for what the guest says. */
bool debug_port_initialize(struct debug_port *port, struct bus *bus, void (*write)(void *, const uint8_t *, size_t),
                           void *context);

#endif
