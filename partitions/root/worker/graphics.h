/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine's graphics adapter, with its video memory, and keyboard and mouse: what its users see and touch. */
#ifndef WORKER_GRAPHICS_H
#define WORKER_GRAPHICS_H

#include <pthread.h>
#include "partitions/root/worker/guest_ram.h"
#include "partitions/root/worker/input.h"
#include "partitions/root/worker/screen.h"
#include "partitions/root/worker/devices/platform.h"
#include "partitions/root/worker/devices/vga.h"

#define GRAPHICS_ERROR_SIZE 256

struct graphics {
    struct guest_ram *ram;
    uint64_t *memory_errors; /* counts changes of what is mapped that the hypervisor refused */
    uint8_t *memory;         /* VGA_HOST_SIZE bytes */
    bool writes_unknown;     /* pages may have been written that no window tells of; under the device lock */
    struct vga vga;
    struct input input;
    struct machine_screen screen;
};

/* Puts the adapter on the board. `graphics` must be zeroed; graphics_free is called in any case. */
bool graphics_create(struct graphics *graphics, struct platform *platform, struct guest_ram *ram,
                     pthread_mutex_t *device_lock, uint64_t *memory_errors, char error[GRAPHICS_ERROR_SIZE]);
void graphics_free(struct graphics *graphics);

#endif
