/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Logical processors. */
#ifndef KERNEL_LP_H
#define KERNEL_LP_H

#include "hv/types.h"

struct vp;
struct partition;

/*
 * One per processor, found through lp_current(). Fields that other processors read or write are marked [o]
 * and are accessed atomically; the rest is the processor's own.
 */
struct lp {
    uint32_t index;   /* 0 = the boot processor */
    uint32_t apic_id; /* the hardware's, 32 bits */
    struct vp *parent_vp;

    /* [o] The VP that this processor runs, or whose memory the hypervisor is reading here. See kernel/shoot_down.h. */
    struct vp *running;

    /* A page each, from boot memory (hypercall_initialize): copies of the caller's input, and output on its way. */
    void *hypercall_input;
    void *hypercall_output;

    uint32_t kicks_wanted;     /* [o] NMIs sent to this processor that are kicks */
    bool parent_nmi;           /* [o] an NMI for the parent is waiting */
    bool parent_init;          /* [o] an INIT for the parent is waiting */
    bool parent_machine_check; /* one came in a child's run or in host mode: #MC for the parent before it runs on */
    void *arch;                /* struct arch_lp: descriptor tables, host save area, stack */
};

struct lp *lp_current(void);
uint32_t lp_count(void);
struct lp *lp_by_index(uint32_t index); /* index < lp_count() */

#endif
