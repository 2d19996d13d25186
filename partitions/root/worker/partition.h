/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypercalls that the worker makes for its partition (TLFS), in C. Functions return HV_STATUS_SUCCESS or
 * the status of the hypervisor; PARTITION_NO_ANSWER if the driver refused to pass the call on.
 */
#ifndef WORKER_PARTITION_H
#define WORKER_PARTITION_H

#include <stdbool.h>
#include <stdint.h>
#include "hv/hypercall.h"
#include "hv/registers.h"
#include "hv/status.h"
#include "partitions/root/worker/hypervisor.h"

#define PARTITION_NO_ANSWER 0xFFFFu

struct partition {
    struct hypervisor *hypervisor;
};

/*
 * Creates and initializes a partition with a local APIC per VP, x2APIC, large pages, end-of-interrupt
 * messages, and without any of Hyper-V's own interface towards the guest. On failure 0 is not returned and
 * *step says in words what failed: a negative errno, or a positive HV_STATUS.
 */
int partition_create(struct partition *partition, struct hypervisor *hypervisor, const char **step);

unsigned partition_set_property(const struct partition *partition, uint32_t code, uint64_t value);
unsigned partition_get_property(const struct partition *partition, uint32_t code, uint64_t *value);

/* While no other thread runs the VP. Any number of registers; all or an error. */
unsigned partition_get_registers(const struct partition *partition, uint32_t vp, const uint32_t *names,
                                 union hv_register_value *values, unsigned count);
unsigned partition_set_registers(const struct partition *partition, uint32_t vp,
                                 const struct hv_register_assoc *registers, unsigned count);

/* *output says how far the walk of the guest's tables came; see HV_TRANSLATE_*. */
unsigned partition_translate(const struct partition *partition, uint32_t vp, uint64_t flags, uint64_t linear,
                             struct hv_output_translate_virtual_address *output);

/* From any thread. */
unsigned partition_assert_interrupt(const struct partition *partition, enum hv_interrupt_type type,
                                    uint32_t flags, uint64_t destination, uint8_t vector);

/* What CPUID returns in a VP for one leaf: (value & mask) | (what the hypervisor would return & ~mask). */
struct cpuid_leaf;
unsigned partition_register_cpuid(const struct partition *partition, uint32_t vp,
                                  const struct cpuid_leaf *leaf);

#endif
