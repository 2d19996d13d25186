/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtual machine: its partition, memory, VPs and devices, put together from a configuration, and what
 * firmware would do before its kernel starts. When it runs, pauses and ends is life_cycle.h's business.
 *
 * The device lock covers everything that devices own. A VP takes it for each access; nothing waits for a VP
 * under it.
 */
#ifndef WORKER_MACHINE_H
#define WORKER_MACHINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/net/event_loop.h"
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/configuration.h"
#include "partitions/root/worker/console.h"
#include "partitions/root/worker/bios.h"
#include "partitions/root/worker/graphics.h"
#include "partitions/root/worker/guest_ram.h"
#include "partitions/root/worker/host_timer.h"
#include "partitions/root/worker/interrupts.h"
#include "partitions/root/worker/network.h"
#include "partitions/root/worker/partition.h"
#include "partitions/root/worker/serial_backend.h"
#include "partitions/root/worker/storage.h"
#include "partitions/root/worker/screen.h"
#include "partitions/root/worker/timer.h"
#include "partitions/root/worker/vp.h"
#include "partitions/root/worker/vp_state.h"
#include "partitions/root/worker/devices/debug_exit.h"
#include "partitions/root/worker/devices/dec21140.h"
#include "partitions/root/worker/devices/platform.h"

#define MACHINE_ERROR_SIZE 512

/* What happens in a machine that it cannot deal with itself. */
struct machine_events {
    /* Under the device lock, on any thread. None may call back. */
    void (*power_off)(void *context);
    void (*reset)(void *context);
    void (*no_space)(void *context, struct disk *disk);
    void (*ejected)(void *context); /* call machine_tidy */
    void (*debug_exit)(void *context, uint32_t code);
    /* On a VP's thread, without the device lock. The VPs must be held before these return. */
    void (*triple_fault)(void *context, uint32_t vp);
    void (*failed)(void *context, const char *reason);
    void *context;
};

struct machine {
    const struct configuration *configuration;
    struct machine_events events;
    struct event_loop *loop; /* of the main thread */
    pthread_mutex_t device_lock;

    struct partition partition;
    struct guest_ram ram;
    struct vp_group vps;
    struct vp_state *vp_states; /* at power-on, one a VP */

    struct bus bus;
    struct timer_queue timers;
    struct host_timer host_timer;
    struct platform platform;
    struct debug_exit debug_exit; /* if the configuration has it */
    struct interrupts interrupts;
    struct console console;
    struct serial_backend serial[CONFIGURATION_SERIAL]; /* of ports that are not the console's */
    struct storage storage;
    struct graphics graphics;
    struct bios bios;
    struct network network;
    struct dec21140 *cards[CONFIGURATION_NICS];
    const struct machine_screen *screen; /* NULL: no graphics adapter */
    int kernel;                          /* file descriptors; -1: none, the firmware starts the machine */
    int initrd;                          /* -1: none */
    uint64_t memory_errors;              /* changes of what is mapped that the hypervisor refused */
};

/*
 * Builds the machine: opens its files, creates its partition and devices. The VPs' threads are not started.
 * NULL: `error` is one line. The configuration and the hypervisor must outlive it.
 */
struct machine *machine_create(const struct configuration *configuration, struct hypervisor *hypervisor,
                               struct event_loop *loop, const struct machine_events *events,
                               char error[MACHINE_ERROR_SIZE]);

/* Starts the threads: VPs (held), disks, network. From then on only machine_destroy ends them. */
bool machine_start_threads(struct machine *machine, char error[MACHINE_ERROR_SIZE]);

/*
 * Makes the machine ready to start, by its firmware or with its kernel: then this does what firmware does, sets the
 * chipset up, loads the kernel and points the boot VP at it. VPs are held, devices as after a reset.
 */
bool machine_load_guest(struct machine *machine, char error[MACHINE_ERROR_SIZE]);

/* Devices and VPs back to power-on; memory keeps its content. VPs are held. */
bool machine_reset(struct machine *machine, char error[MACHINE_ERROR_SIZE]);

/* No disk request is under way: guest memory may be used for something else. */
bool machine_is_quiet(struct machine *machine);

/* Guest time stands still or goes on. VPs are held. */
bool machine_freeze(struct machine *machine, bool frozen, char error[MACHINE_ERROR_SIZE]);

/* After the event `ejected`; on the main thread. */
void machine_tidy(struct machine *machine);

/*
 * Ends the threads, closes the disks, frees everything. Returns false, with `error`, if a disk could not be
 * put in order.
 */
bool machine_destroy(struct machine *machine, char error[MACHINE_ERROR_SIZE]);

#endif
