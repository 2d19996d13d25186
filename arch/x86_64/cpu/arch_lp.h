/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The architecture's part of a logical processor. */
#ifndef ARCH_CPU_ARCH_LP_H
#define ARCH_CPU_ARCH_LP_H

#include "hv/types.h"
#include "kernel/lp.h"

/* 64-bit task state segment (APM vol. 2, 12.2.5). */
struct task_state {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
} HV_PACKED;
HV_ASSERT_SIZE(struct task_state, 104);

enum gdt_selector {
    SELECTOR_CODE = 0x08,
    SELECTOR_DATA = 0x10,
    SELECTOR_TASK = 0x18, /* two entries */
    GDT_BYTES = 0x28,
};

/* Interrupt stacks: the task state's IST number of a vector (0: the current stack). */
#define IST_FAULT 1u

struct arch_lp {
    struct lp *self;         /* = &lp; GS points here */
    volatile uint32_t nmis;  /* taken on the host's IDT */
    uint32_t nmis_accounted; /* of them, those that kick_account() has seen */
    bool kick_sent_again;    /* atomic: one NMI more than kicks_wanted says may come (lost requests, host_apic.h) */
    bool draining;           /* interrupts that come in host mode are dropped, not kept for the parent */
    bool has_interrupts;     /* a bit of `interrupts` is set */
    uint64_t interrupts[4];  /* vectors that came in host mode and are to be injected into the parent */
    struct lp lp;
    uint64_t gdt[GDT_BYTES / 8];
    struct task_state task;
    uint64_t host_vmcb; /* SPA: the host's state for VMLOAD (AMD-V) */
    uint64_t host_save; /* SPA: VM_HSAVE_PA (AMD-V), VMXON region (VT-x) */
    uint64_t control;   /* SPA of the current VMCS, 0: none (VT-x) */
    uint64_t asid_generation;
    uint32_t asid_next;
    uint64_t parent_state; /* SPA: the parent's extended state while a child runs (struct lp_extended_state) */
};

static inline struct arch_lp *arch_lp(struct lp *lp)
{
    return (struct arch_lp *)((uint8_t *)lp - offsetof(struct arch_lp, lp));
}

#endif
