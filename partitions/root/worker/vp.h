/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual processors: a thread each, which runs the VP and answers its messages. A vp_group is all VPs of a
 * machine; it can be held, which parks every thread at an instruction boundary, and released.
 */
#ifndef WORKER_VP_H
#define WORKER_VP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "hv/message.h"
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/interrupts.h"
#include "partitions/root/worker/memory_access.h"
#include "partitions/root/worker/mmio_emulator.h"
#include "partitions/root/worker/partition.h"

/* Bits of vp.attention: what the VP's thread has to look at before it enters the guest again. */
#define VP_ATTENTION_HOLD      0x1u
#define VP_ATTENTION_INTERRUPT 0x2u /* the 8259A's request changed; boot VP only */

/* Why a VP cannot go on: one line for people. */
#define VP_REASON_SIZE 256

struct vp_group;

struct vp {
    struct vp_group *group;
    uint32_t index;
    atomic_uint attention;
    struct hv_vp_register_page *registers; /* shared with the hypervisor, as is the message */
    const struct hv_message *message;
    pthread_t thread;
    bool started;
    struct memory_environment environment;
    struct memory_access memory;
    struct mmio_emulator emulator;
    uint64_t port_accesses; /* messages of each kind */
    uint64_t memory_accesses;
    uint64_t other_messages;
};

/* What the VPs of a machine share, and whom they tell. */
struct vp_group_configuration {
    const struct partition *partition;
    struct bus *bus;
    pthread_mutex_t *device_lock;
    struct interrupts *interrupts;
    uint8_t *(*ram)(void *context, uint64_t gpa,
                    enum memory_intent intent); /* as in struct memory_environment */
    void *ram_context;
    /*
     * Called on a VP's thread, without locks; both must hold the group. triple_fault: the VP has shut itself
     * down. failed: it cannot go on; `reason` is one line.
     */
    void (*triple_fault)(void *context, uint32_t vp);
    void (*failed)(void *context, const char *reason);
    void *context;
};

struct vp_group {
    struct vp_group_configuration configuration;
    uint32_t count;
    struct vp *vps;

    pthread_mutex_t lock; /* never held while another is taken */
    pthread_cond_t changed;
    bool held;
    bool ending;
    uint32_t parked;
};

/*
 * Creates `count` VPs in the hypervisor, APIC id = index. The group begins held, without threads. False:
 * *reason is filled.
 */
bool vp_group_initialize(struct vp_group *group, uint32_t count,
                         const struct vp_group_configuration *configuration, char reason[VP_REASON_SIZE]);

/* Starts the threads. 0 or a negative errno. */
int vp_group_start(struct vp_group *group);

/* Asks every VP to park. From any thread, also a VP's own with the device lock held; does not wait. */
void vp_group_hold(struct vp_group *group);

/* Waits until all have parked. Not from a VP's thread; without the device lock. */
void vp_group_wait(struct vp_group *group);

void vp_group_release(struct vp_group *group);

/* Ends the threads and frees the group. Not from a VP's thread; without the device lock. */
void vp_group_end(struct vp_group *group);

/* Makes the VP's thread look at `bits`. From any thread. */
void vp_attract(struct vp *vp, unsigned bits);

/* One message, as the thread answers it. For tests. */
void vp_dispatch(struct vp *vp);

#endif
