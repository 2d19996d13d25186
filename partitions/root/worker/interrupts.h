/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the machine's interrupt controllers and the local APICs, which are the hypervisor's: messages of
 * the I/O APIC, their ends of interrupt, and the 8259As' request.
 *
 * The 8259A is acknowledged only when the boot VP can take the vector: its thread asks the hypervisor to tell
 * when that is so (deliverability notification), which takes LINT0 and everything else into account,
 * acknowledges then, and injects.
 */
#ifndef WORKER_INTERRUPTS_H
#define WORKER_INTERRUPTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/devices/i8259.h"
#include "partitions/root/worker/devices/ioapic.h"
#include "partitions/root/worker/partition.h"

struct interrupts {
    const struct partition *partition;
    pthread_mutex_t *device_lock;
    struct ioapic *ioapic;
    struct i8259_pair *pic;
    void (*attract)(void *context); /* makes the boot VP's thread call interrupts_request_window */
    void *context;

    bool request;     /* the 8259As' INTR; under the device lock */
    bool window;      /* a notification is asked for; the boot VP's thread only */
    uint64_t refused; /* messages that the hypervisor did not take: the guest asked for the impossible */
};

/* The controllers' outputs (struct platform_outputs); `context` is the struct interrupts. Under the device
 * lock. */
void interrupts_deliver(void *context, const struct ioapic_message *message);
void interrupts_set_request(void *context, bool level);

/* For the boot VP's thread, without the device lock. Return an HV_STATUS. */
unsigned interrupts_request_window(struct interrupts *interrupts);
unsigned interrupts_deliverable(struct interrupts *interrupts);

/* A local APIC has ended a level-triggered vector. From a VP's thread, without the device lock. */
void interrupts_end(struct interrupts *interrupts, uint8_t vector);

/* Everything as at power-on; VPs are held. */
void interrupts_reset(struct interrupts *interrupts);

#endif
