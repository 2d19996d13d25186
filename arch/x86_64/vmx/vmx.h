/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of the VT-x backend. */
#ifndef ARCH_VMX_VMX_H
#define ARCH_VMX_VMX_H

#include "arch/x86_64/vendor.h"
#include "arch/x86_64/vmx/vmcs.h"
#include "kernel/vp.h"

/* Registers that neither entries nor exits switch: the processor holds the running guest's. */
enum vmx_swapped {
    SWAPPED_CR2,
    SWAPPED_DR6,
    SWAPPED_STAR,
    SWAPPED_LSTAR,
    SWAPPED_CSTAR,
    SWAPPED_SFMASK,
    SWAPPED_KERNEL_GS_BASE,
    SWAPPED_COUNT
};

/* Pages of a VP: vp->control is the first; the processor writes the others. */
enum vmx_page { VMX_PAGE_STATE, VMX_PAGE_VMCS, VMX_PAGE_VIRTUAL_APIC, VMX_PAGES };

struct vmx_state {
    uint32_t host_lp; /* 1 + index of the processor whose state stands in the VMCS's host fields */
    bool active;      /* its VMCS may be in the cache of the processor that holds the claim */
    bool launched;
    bool swapped_in;           /* `swapped` is in the processor */
    bool pointers_stale;       /* CR0, CR3, CR4 or EFER were set: PAE's top entries have to be read */
    bool not_entered;          /* the last run: an event that was to be injected still is */
    bool interrupt_window;     /* wanted */
    bool commands_exit;        /* the parent's writes to its x2APIC's ICR do */
    uint32_t processor;        /* primary processor-based controls without windows, */
    uint32_t loaded_processor; /* and as they stand in the VMCS */
    uint32_t entry;            /* entry controls */
    uint32_t pin, loaded_pin;  /* pin-based controls without the preemption timer, and as they stand in the VMCS */
    bool sliced;               /* the preemption timer is the emulator's slice, not the VP's deadline */
    uint32_t tpr_threshold;
    uint64_t ept_pointer;
    uint64_t swapped[SWAPPED_COUNT];
};

static inline struct vmx_state *vmx_state(const struct vp *vp)
{
    return vp->control;
}

/* vmx_capability.c: what the processor allows and Loam needs (SDM vol. 3D, appendix A). */
enum vmx_controls { VMX_PIN, VMX_PROCESSOR, VMX_EXIT, VMX_ENTRY, VMX_SECONDARY, VMX_CONTROLS };

/* NULL, or what is missing and what to do. */
const char *vmx_unsupported(void);
/* struct vendor's cpuid */
void vmx_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t result[4]);
/* Once, on the boot processor, before the two below. */
void vmx_capability_initialize(void);
/* `wanted`, with what the processor insists on and without what it does not have. */
uint32_t vmx_controls(enum vmx_controls which, uint32_t wanted);
uint64_t vmx_ept_vpid(void); /* EPT_VPID_... */
uint64_t vmx_basic(void);    /* VMX_BASIC_... */

/* CPL of the VP whose VMCS is current: the DPL of SS (25.4.1). */
uint8_t vmx_privilege(void);

/* vmx_state.c: what of the guest's state in the current VMCS the processor will not enter, or NULL. */
const char *vmx_refused_state(void);
/* Debug builds (make DEBUG=1) ask before each entry, so that a mistake is found also where the processor lets
 * it pass. */
#ifdef LOAM_DEBUG
#define VMX_CHECKS_ENTRIES true
#else
#define VMX_CHECKS_ENTRIES false
#endif

/* memory_type.c: see struct nested_format */
enum memory_type vmx_memory_type(uint64_t spa, uint64_t size);
bool vmx_load_memory_types(uint64_t *first, uint64_t *end);

/* vmx_parent_msr.c: see struct vendor */
extern const struct parent_msr vmx_parent_msrs[];

/* vmx_exit.c */
void vmx_decode_exit(uint32_t reason, struct vp_exit *exit);

#endif
