/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host bridge with the identity of the i440FX (82441FX datasheet): slot 0, 8086:1237, with QEMU's subsystem
 * 1AF4:1100. Its PAM registers say, for each of 13 segments between C0000h and FFFFFh, whether the
 * processor's reads and writes go to RAM or to the ROM behind. SMRAM keeps its bits and its lock; there is no
 * system management mode.
 */
#ifndef WORKER_DEVICES_HOST_BRIDGE_H
#define WORKER_DEVICES_HOST_BRIDGE_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/devices/pci.h"

#define HOST_BRIDGE_SEGMENTS 13

/* A segment of the shadow area and where its accesses go now. */
struct host_bridge_segment {
    uint32_t gpa;
    uint32_t length;
    bool read_ram;  /* else reads go to the ROM */
    bool write_ram; /* else writes are dropped */
};

struct host_bridge {
    struct pci_device pci;
    struct host_bridge_segment segments[HOST_BRIDGE_SEGMENTS]; /* ascending */
    void (*shadow_changed)(void *context, const struct host_bridge_segment *segment);
    void *context;
};

/*
 * Joins the bus as slot 0, function 0; false if that is taken. shadow_changed is called, under the device
 * lock, for each segment whose setting changes. At power-on all of them read from ROM and drop writes,
 * without a call.
 */
bool host_bridge_initialize(struct host_bridge *bridge, struct pci_bus *pci,
                            void (*shadow_changed)(void *, const struct host_bridge_segment *),
                            void *context);

#endif
