/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Firmware's part, for a machine that starts a system without any. */
#ifndef WORKER_DEVICES_FIRMWARE_SETUP_H
#define WORKER_DEVICES_FIRMWARE_SETUP_H

#include <stdbool.h>
#include "partitions/root/worker/devices/platform.h"

/*
 * Does what firmware does before it starts a system: interrupt controllers at vectors 08h and 70h with all
 * inputs masked, PCI interrupts and the SCI level-triggered, shadow RAM readable and writable, base address
 * registers, PIRQ routing, interrupt line registers, PMBASE, keyboard translation. Call after all devices
 * have joined the PCI bus, at power-on and after each reset. False if the PCI windows cannot hold all base
 * address registers.
 */
bool firmware_setup(struct platform *platform);

#endif
