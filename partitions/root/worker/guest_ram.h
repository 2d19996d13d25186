/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's RAM: where it is in the worker, and where it appears in the guest. It lies at [0, low end),
 * with a hole for VGA at A0000h-BFFFFh and shadow RAM behind it, and from 4 GiB on; all of it is one mapping,
 * aligned so that the driver can map it with large pages.
 */
#ifndef WORKER_GUEST_RAM_H
#define WORKER_GUEST_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/guest_memory.h"
#include "partitions/root/worker/hypervisor.h"
#include "partitions/root/worker/memory_access.h"
#include "partitions/root/worker/devices/host_bridge.h"

#define GUEST_RAM_UNIT    (1ull << 20) /* sizes are multiples of it */
#define GUEST_RAM_MINIMUM (4ull << 20)
#define GUEST_RAM_MAXIMUM (1ull << 40)

#define GUEST_RAM_VGA_HOLE    0xA0000u
#define GUEST_RAM_SHADOW      0xC0000u
#define GUEST_RAM_HIGH_MEMORY 0x100000u
#define GUEST_RAM_ABOVE_4G    (1ull << 32)

struct guest_ram {
    struct hypervisor *hypervisor;
    uint8_t *host;
    uint64_t size;
    uint64_t below_4g; /* the low end */
    uint64_t above_4g;
    struct guest_memory memory; /* as devices see it */
    /* Under the device lock while VPs run; read by VPs without it, one byte a segment. */
    struct guest_ram_shadow {
        uint32_t gpa;
        uint32_t length; /* 0: no such segment */
        bool readable;
        bool writable;
    } shadow[HOST_BRIDGE_SEGMENTS];
};

/* `size` must be within the limits above. False: errno says why it cannot be had. */
bool guest_ram_allocate(struct guest_ram *ram, uint64_t size);
void guest_ram_free(struct guest_ram *ram);

/*
 * Shows the RAM to the guest, except shadow RAM, which appears with guest_ram_set_shadow. 0 or a negative
 * errno.
 */
int guest_ram_map(struct guest_ram *ram, struct hypervisor *hypervisor);

/*
 * A segment between C0000h and FFFFFh changes: what the guest can neither read nor write is not mapped, what
 * it can only write is seen access by access. 0 or a negative errno.
 */
int guest_ram_set_shadow(struct guest_ram *ram, const struct host_bridge_segment *segment);

/* The host address of a GPA that is RAM for the processor, valid to the end of its page; NULL: it is not. */
uint8_t *guest_ram_page(const struct guest_ram *ram, uint64_t gpa, enum memory_intent intent);

#endif
