/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual processors. */
#ifndef KERNEL_VP_H
#define KERNEL_VP_H

#include "hv/types.h"
#include "hv/registers.h"
#include "hv/message.h"
#include "hv/loam.h"
#include "kernel/arch.h"
#include "kernel/lock.h"
#include "kernel/local_apic.h"

struct cpuid_result;
struct partition;

enum gpr { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI, GPR_R8, GPR_R15 = 15, GPR_COUNT };

#define VP_CONTROL_PAGES          4 /* most that a vendor asks for */
#define VP_CPUID_RESULTS_PER_PAGE 102u
#define VP_CPUID_PAGES            4u

/*
 * `claim` is held by the one processor that works on the VP: dispatches it, or reads or writes its state for
 * a hypercall. Everything is under the claim, except what is marked [i] (under interrupt_lock, may be changed
 * by any processor at any time) and [a] (atomic).
 */
struct vp {
    uint64_t gpr[16]; /* first: the entry code knows the offset. RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 */
    uint64_t rip;
    uint64_t rflags;
    void *control;                           /* the vendor's control block */
    uint64_t control_page[VP_CONTROL_PAGES]; /* SPAs */

    struct partition *partition;
    uint32_t index;
    bool is_parent;
    uint32_t last_lp;            /* LP that entered it last; ~0: its old translations count nowhere any more */
    uint64_t flushed_generation; /* [a] of partition->map_generation: see kernel/shoot_down.h */

    uint64_t fetch_from; /* GPA + 1 in a large page that has to be split to be executable; 0 = none */

    /* Intercepts */
    bool explicit_suspend;
    bool intercept_suspend;            /* a message is in the intercept page; CLEAR_INTERCEPT_SUSPEND lets it run on */
    uint64_t pending_interruption;     /* HV_REGISTER_PENDING_INTERRUPTION: to inject at the next entry */
    uint64_t deliverability;           /* HV_REGISTER_DELIVERABILITY_NOTIFICATIONS */
    struct hv_message *intercept_page; /* state page, NULL until mapped; the parent can read and write it */
    struct hv_vp_register_page *register_page; /* the same */
    uint64_t intercept_pfn, register_pfn;

    /* These three outlive the VP's deletion, since others may still hold a pointer to it. Keep them together. */
    struct spinlock interrupt_lock;
    uint32_t claim; /* [a] 0 or 1 + LP index */
    bool deleted;   /* [a] the structure waits for another CREATE_VP, or for the partition's end */

    /* Interrupts */
    struct local_apic apic; /* [i] APIC_BASE is apic.base */
    bool nmi_pending;       /* [i] */
    bool startup_suspend;   /* [i] waits for SIPI */
    bool init_pending;      /* [i] INIT arrived */
    bool sipi_pending;      /* [i] */
    uint8_t sipi_vector;    /* [i] */
    bool halted;            /* [i] HLT executed, nothing came since */
    bool blocked;           /* [i] the dispatcher returned BLOCKED: whoever makes it runnable reports a wake-up */
    uint32_t running_on;    /* [i] 1 + LP index while it runs: kick it after changing [i] fields */

    /* VPs of this partition that this VP's IPIs made runnable during the dispatch; DISPATCH_VP reports and
     * clears it. */
    struct loam_vp_set wake;

    /* MSRs without a place in the control block */
    uint64_t tsc_aux;
    uint64_t xcr0;
    uint64_t xss;
    uint64_t spec_ctrl;
    uint64_t misc_enable;
    uint64_t mtrr_def_type;
    uint64_t mtrr_phys_base[8];
    uint64_t mtrr_phys_mask[8];
    uint64_t mtrr_fixed[11];
    uint64_t debug_registers[4]; /* DR0-DR3; live in the processor while extended state is the child's */
    uint64_t tsc_adjust;
    uint64_t guest_os_id, hypercall_msr, reference_tsc, vp_assist; /* stored for the parent; no effect yet */
    uint64_t synthetic[20];                                        /* SINT0-15, SCONTROL, SIEFP, SIMP: stored */

    struct guest_code kept_code[GUEST_CODE_KEPT];
    uint64_t *extended_state; /* pages of the VP: compacted or standard image, the architecture's business */
    struct cpuid_result *cpuid_page[VP_CPUID_PAGES]; /* see kernel/cpuid_result.c */
    uint32_t cpuid_results;
    struct cpuid_kept {
        bool valid;
        bool live; /* some of the values follow the VP's live state; CR4 and the APIC's base were these */
        uint64_t cr4, apic_base;
        uint32_t leaf, subleaf;
        uint32_t values[4]; /* what CPUID gave last */
    } cpuid_kept;

    uint64_t told_deadline; /* what the last DISPATCH_VP said; the driver's timer fires then */
    bool told_only;         /* it did nothing else than say so: the next one runs the VP whatever the timer does */
    uint64_t exits[LOAM_EXIT_REASON_COUNT];
};
_Static_assert(sizeof(struct vp) <= HV_PAGE_SIZE, "a VP is one page");

/* Takes the VP for work. False: another processor has it (INVALID_VP_STATE). */
bool vp_claim(struct vp *vp);
void vp_release(struct vp *vp);

/* Gives everything that the VP has back to its partition, but its own page. Under the partition's lock. */
void vp_destroy(struct vp *vp);

/*
 * The child's processor state (SDM vol. 3A table 10-1, APM vol. 2 14.1.3), under the claim and not the
 * interrupt lock (vp_reset), or under both: power-up; INIT; the start by a SIPI with `vector`; and after a
 * shutdown, which leaves the control block undefined.
 */
void vp_reset(struct vp *vp);
void vp_init(struct vp *vp);
void vp_start(struct vp *vp, uint8_t vector);
void vp_reset_after_shutdown(struct vp *vp);

#endif
