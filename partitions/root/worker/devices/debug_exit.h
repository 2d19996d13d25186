/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A port by which a test that runs as the guest ends its machine and says how it went. Real machines have none, and
 * so it is only there when it is asked for.
 */
#ifndef WORKER_DEVICES_DEBUG_EXIT_H
#define WORKER_DEVICES_DEBUG_EXIT_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"

#define DEBUG_EXIT_PORT  0xf4 /* where test programs for emulators expect it */
#define DEBUG_EXIT_PORTS 4

struct debug_exit {
    void (*written)(void *context, uint32_t code);
    void *context;
};

/*
 * Claims DEBUG_EXIT_PORTS ports from `port` on; false if they are taken. `written` is told each value that the guest
 * writes, 1, 2 or 4 bytes wide, under the device lock, and ends the machine. Reads give zeros.
 */
bool debug_exit_initialize(struct debug_exit *device, struct bus *bus, uint16_t port,
                           void (*written)(void *context, uint32_t code), void *context);

#endif
