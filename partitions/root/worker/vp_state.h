/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of a VP at power-on: taken from the hypervisor when the VP is new, put back at each reset of the
 * machine, and then what firmware changes in it before it starts a system. Only while the VP is not running.
 */
#ifndef WORKER_VP_STATE_H
#define WORKER_VP_STATE_H

#include <stdint.h>
#include "hv/hypercall.h"
#include "partitions/root/worker/partition.h"

#define VP_STATE_REGISTERS 112

struct vp_state {
    uint32_t count;
    struct hv_register_assoc registers[VP_STATE_REGISTERS];
    struct hv_local_interrupt_controller_state apic;
    uint8_t *extended_state; /* a page: XSAVE image */
};

/* 0, a negative errno or a positive HV_STATUS. */
int vp_state_save(struct vp_state *state, const struct partition *partition, uint32_t vp);
int vp_state_restore(const struct vp_state *state, const struct partition *partition, uint32_t vp);
void vp_state_free(struct vp_state *state);

/*
 * What firmware leaves behind: the local APIC on, the 8259As on its LINT0 and NMI on its LINT1 (boot VP),
 * memory types by MTRRs: write-back but for [uncached, 4 GiB), whose length is a power of two. As above.
 */
int vp_state_set_up(const struct partition *partition, uint32_t vp, uint32_t uncached);

#endif
