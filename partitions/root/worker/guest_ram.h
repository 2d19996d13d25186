/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory: where it is in the worker, and where it appears in the guest. RAM lies at [0, low end),
 * with a hole for VGA at A0000h-BFFFFh and shadow RAM behind it, and from 4 GiB on; all of it is one mapping,
 * aligned so that the driver can map it with large pages. The firmware's ROM ends at 4 GiB; its last 128 KiB
 * are also what lies behind the shadow RAM. A device can show memory of its own.
 */
#ifndef WORKER_GUEST_RAM_H
#define WORKER_GUEST_RAM_H

#include <pthread.h>
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
#define GUEST_RAM_LOW_ROM     0xE0000u /* the firmware's, up to 1 MiB */
#define GUEST_RAM_HIGH_MEMORY 0x100000u
#define GUEST_RAM_WRAP        0x110000u /* what a real-mode address reaches above 1 MiB ends here */
#define GUEST_RAM_ABOVE_4G    (1ull << 32)

#define GUEST_RAM_ROM_UNIT    (64u << 10)
#define GUEST_RAM_ROM_MAXIMUM (1u << 20)

/* The shadow segments, the ROM, what follows address line 20, and four ranges of devices. */
#define GUEST_RAM_WINDOWS        (HOST_BRIDGE_SEGMENTS + 2 + 4)
#define GUEST_RAM_OCCUPIED_WORDS 16u

/* Memory that the guest sees at a place that changes, or that is not RAM. */
struct guest_ram_window {
    uint64_t gpa;
    uint64_t length; /* 0: unused */
    uint8_t *host;
    bool writable;
};

struct guest_ram {
    struct hypervisor *hypervisor;
    uint8_t *host;
    uint64_t size;
    uint64_t below_4g; /* the low end */
    uint64_t above_4g;
    uint8_t *rom; /* NULL: no firmware */
    uint32_t rom_size;
    struct guest_memory memory; /* as devices see it */
    /* Changed under the device lock, and under `lock`; VPs read under `lock`. */
    pthread_mutex_t lock;
    struct guest_ram_window windows[GUEST_RAM_WINDOWS];
    /* A bit for each 4 MiB of the first 4 GiB: a window has something of it. Devices elsewhere need no lock. */
    uint64_t occupied[GUEST_RAM_OCCUPIED_WORDS];
    struct host_bridge_segment shadow[HOST_BRIDGE_SEGMENTS]; /* length 0: unused */
};

/*
 * `size` must be within the limits above. False: errno says why it cannot be had. guest_ram_free is called in any
 * case.
 */
bool guest_ram_allocate(struct guest_ram *ram, uint64_t size);
void guest_ram_free(struct guest_ram *ram);

/*
 * Copies the firmware into ROM, before guest_ram_map. `size`: a multiple of GUEST_RAM_ROM_UNIT, at least 128 KiB, at
 * most GUEST_RAM_ROM_MAXIMUM. False: errno.
 */
bool guest_ram_set_rom(struct guest_ram *ram, const void *image, size_t size);

/*
 * Shows RAM and ROM to the guest, except the shadow area, which appears with guest_ram_set_shadow. 0 or a negative
 * errno.
 */
int guest_ram_map(struct guest_ram *ram, struct hypervisor *hypervisor);

/*
 * A segment between C0000h and FFFFFh changes: what the guest can neither read nor write is not mapped, what
 * it can only write is seen access by access. 0 or a negative errno.
 */
int guest_ram_set_shadow(struct guest_ram *ram, const struct host_bridge_segment *segment);

/*
 * Address line 20, which real mode notices in the 64 KiB above 1 MiB: without it they are the lowest 64 KiB. Other
 * odd megabytes stay what they are. 0 or a negative errno.
 */
int guest_ram_set_a20(struct guest_ram *ram, bool enabled);

/*
 * Memory of a device, page-aligned on both sides, is at `gpa` from now on; it must exist as long as the machine.
 * guest_ram_hide takes it away again. 0 or a negative errno: -ENOSPC, too many; -EEXIST, there is something.
 */
int guest_ram_show(struct guest_ram *ram, uint64_t gpa, uint64_t length, uint8_t *host);
int guest_ram_hide(struct guest_ram *ram, uint64_t gpa);

/* The host address of a GPA that is memory for the processor, valid to the end of its page; NULL: it is not. */
uint8_t *guest_ram_page(struct guest_ram *ram, uint64_t gpa, enum memory_intent intent);

#endif
