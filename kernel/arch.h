/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the vendor-free core needs of the architecture. With arch/x86_64/vendor.h this is all that kernel/ may
 * include from below; unit tests on the host replace both.
 */
#ifndef KERNEL_ARCH_H
#define KERNEL_ARCH_H

#include "hv/types.h"
#include "hv/status.h"
#include "hv/hypercall.h"
#include "arch/x86_64/vendor.h"

struct vp;

/* Physical memory through the hypervisor's direct map: any SPA that the platform has. */
void *physical_pointer(uint64_t spa);
uint64_t physical_address(const void *pointer); /* of a pointer that physical_pointer gave */

uint64_t arch_tsc(void);
uint64_t arch_tsc_frequency(void); /* Hz */
/* A child's APIC timer, before its divider, counts once in 8 ticks of the TSC: conversions are shifts. */
#define ARCH_APIC_TIMER_SHIFT 3
static inline uint64_t arch_apic_frequency(void) /* Hz */
{
    return arch_tsc_frequency() >> ARCH_APIC_TIMER_SHIFT;
}
unsigned arch_physical_address_bits(void);
void arch_pause(void);

/* NUL-free memory helpers of the freestanding image: memcpy, memset, memcmp, memmove exist as usual. */

/* CPUID without regard to any VP: host values without what no child gets. result: EAX, EBX, ECX, EDX. */
void child_cpuid_policy(uint32_t leaf, uint32_t subleaf, uint32_t result[4]);
/*
 * CPUID as a child sees it when the parent registered no result, but for the features that its partition does
 * not have (kernel/processor_features.c).
 */
void child_cpuid_default(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t result[4]);
/*
 * Bits that follow the VP's live state, applied last: CR4 (OSXSAVE, OSPKE), IA32_APIC_BASE (APIC), in leaf Dh
 * XCR0 and XSS. False: none do.
 */
bool child_cpuid_live(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t result[4]);

/* The MSRs that struct vp holds and the vendor's PAT at power-up. Not for INIT, which leaves them alone. */
void child_msr_reset(struct vp *vp);
/*
 * RDMSR and WRMSR of a child. False: #GP(0). MSRs that are in no table follow the partition's
 * UNIMPLEMENTED_MSR_ACTION.
 */
bool child_msr_read(struct vp *vp, uint32_t msr, uint64_t *value);
bool child_msr_write(struct vp *vp, uint32_t msr, uint64_t value);

/* Bits of CR4 that a child may set: those of features that the policy shows. */
uint64_t child_cr4_bits(void);
/* MOV to CR4 of a child, where the vendor intercepts it. False: #GP(0). */
bool child_cr4_write(struct vp *vp, uint64_t value);

/*
 * MOV to CR0 of any guest, where the vendor intercepts it: LMA follows PG (SDM vol. 3A, 4.1.2; APM vol. 2, 14.6).
 * False: #GP(0).
 */
bool guest_cr0_write(struct vp *vp, uint64_t value);

/*
 * Extended state (x87, SSE, AVX, XCR0, PKRU; DR0-DR3, TSC_AUX, SPEC_CTRL): switches what this processor holds
 * from the parent to the child, or back. The images live in pages of the VP (vp->extended_state) and of the
 * LP.
 */
void extended_state_enter(struct vp *child);
void extended_state_leave(struct vp *child);
/* x87, SSE, XCR0, DR0-DR3 in reset state. vp->extended_state is one page of the VP. */
void extended_state_reset(struct vp *child);
/*
 * Writes of registers that are in the processor while extended state is the child's: XCR0 (XSETBV, register
 * XFEM) and DR0-DR3. False: not a value that XCR0 can have (#GP).
 */
bool extended_state_set_xcr0(struct vp *child, uint64_t value);
uint64_t extended_state_get_debug_register(const struct vp *child, unsigned number);
void extended_state_set_debug_register(struct vp *child, unsigned number, uint64_t value);
/* Components that children may enable, and the size of their compacted image (<= 4096). */
uint64_t extended_state_mask(void);
size_t extended_state_size(void);
/*
 * GET_VP_STATE/SET_VP_STATE XSAVE: compacted image of the components `states`, which are among
 * extended_state_mask()'s. INVALID_PARAMETER: they are not, or `size` is too small. INVALID_REGISTER_VALUE:
 * not an image that XRSTOR would take; nothing has changed. Not while the child's state is loaded.
 */
enum hv_status extended_state_get(const struct vp *child, uint64_t states, void *image, size_t size);
enum hv_status extended_state_set(struct vp *child, uint64_t states, const void *image, size_t size);
/* The x87 and SSE part as the FXSAVE image that registers 0x0003xxxx are made from: 512 bytes, may be changed. */
void *extended_state_legacy(struct vp *child);

/*
 * An instruction that was looked at before, kept in the VP by a hash of its address. As long as the nested
 * map, the registers, the entries of the guest's tables and the bytes that were read then are the same, so is
 * what they said. arch/x86_64/cpu/instruction.c; all zeros: none, as no such exit has reason 0.
 */
#define GUEST_CODE_KEPT 4u
struct guest_code {
    uint64_t rip;
    uint32_t kind;   /* why it was looked at: the exit's reason */
    uint64_t result; /* struct memory_instruction, or the length of an intercepted instruction */
    uint64_t map_generation;
    struct vp_code code;
    const uint8_t *at; /* the bytes, in the direct map; NULL: they are not all in one page */
    uint64_t bytes[2];
    const uint64_t *entry[5]; /* the same of the guest's tables, as many as are needed */
    uint64_t value[5];
};

/*
 * Translates a guest virtual address by the VP's own page tables in whatever paging mode it is in. `access`
 * is HV_TRANSLATE_* flags. Always fills *output.
 */
void guest_translate(struct vp *vp, uint64_t gva, uint64_t access, struct hv_output_translate_virtual_address *output);

/* Fetches up to 15 instruction bytes at CS:RIP; returns how many could be read before the first unreadable page. */
unsigned guest_fetch_instruction(struct vp *vp, uint8_t bytes[15]);
/*
 * Whether nothing of the instruction at CS:RIP can be read because a page on the way - of a page table, or
 * of code - is mapped without access; then *gpa says which. The parent brings it in, and the instruction is
 * tried again.
 */
bool guest_instruction_no_access(struct vp *vp, uint64_t *gpa);
/* CPL: what SS says, 3 in virtual-8086 mode. */
unsigned guest_privilege_level(const struct vp *vp);
/* The instruction at CS:RIP is done: RIP moves behind it, the interrupt shadow ends, a single step traps. */
void guest_instruction_done(struct vp *vp, unsigned length);
/*
 * Length of the intercepted instruction at CS:RIP; if `exit` does not have it, by what it says about the
 * instruction (no general decoder). 0: it is not what it was when it exited, and is to be executed again.
 */
unsigned guest_instruction_length(struct vp *vp, const struct vp_exit *exit);

/*
 * An access of a child to its local APIC's page (xAPIC mode): decodes, performs, advances RIP. UNKNOWN: the
 * instruction is none that the hypervisor knows; the access leaves as a memory intercept.
 */
enum apic_page_result { APIC_PAGE_UNKNOWN, APIC_PAGE_READ, APIC_PAGE_WRITTEN };
enum apic_page_result apic_page_access(struct vp *vp, const struct vp_exit *exit);

/* Cross-processor work; see arch/x86_64/cpu/kick.c. */
void lp_kick(uint32_t lp_index); /* makes that LP leave its guest soon; never waits */
void lp_poll(void);              /* serves kicks that arrived at this LP: called by everything that spins */

/*
 * After an NMI exit: takes the NMI that is still pending, and notes whether it was the parent's
 * (lp->parent_nmi). False: it was a kick.
 */
bool kick_take_nmi(void);

#endif
