/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VT-x: the vendor backend. Section numbers are of the Intel SDM vol. 3C. */
#include <string.h>

#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/child_policy.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/emulator.h"
#include "arch/x86_64/cpu/fault.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/kick.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/processor_start.h"
#include "arch/x86_64/cpu/speculation.h"
#include "arch/x86_64/mm/guest_walk.h"
#include "arch/x86_64/mm/physical.h"
#include "arch/x86_64/vmx/vmx.h"
#include "arch/x86_64/vmx/vmx_instructions.h"
#include "kernel/log.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "kernel/vp.h"

/*
 * A VPID tells the VPs of one partition apart; translations also carry the EPT pointer, which tells partitions apart
 * (29.4.1). 0 is the host's.
 */
#define FIRST_VPID 1u

#define BITMAP_BYTES 4096u
#define BITMAP_HIGH  1024u /* offset of MSRs C0000000h and up */
#define BITMAP_WRITE 2048u /* offset of the writes */

/* Bits of MSRs whose reads and writes exit (25.6.9). */
static uint8_t parent_msr_bitmap[BITMAP_BYTES] __attribute__((aligned(4096)));
static uint8_t commanding_msr_bitmap[BITMAP_BYTES] __attribute__((aligned(4096))); /* the same, and the x2APIC's ICR */
static uint8_t child_msr_bitmap[BITMAP_BYTES] __attribute__((aligned(4096)));

/* Bits of CR0 and CR4 that the guest does not change by itself; it reads its own value of them (25.6.6). */
#define PARENT_CR0_MASK CR0_NE
#define CHILD_CR0_MASK  (CR0_NE | CR0_CD | CR0_NW)
static uint64_t child_cr4_mask;

/*
 * Bochs looks at its pending interrupts only when IF changes: a child that is entered with IF = 0 is not left for them,
 * so that it is left from time to time (docs/emulators.md).
 */
static bool keeps_interrupts;
#define EMULATOR_SLICE 50000u /* ticks of the TSC */
/* Bochs, too: NMIs stay masked at an entry where those of the VP that was left before were (docs/emulators.md). */
static bool leaks_nmi_masking;
/* Not on Bochs, where an INIT stays pending after its exit, so that every entry exits again (docs/emulators.md). */
static bool init_exits;

static unsigned timer_shift; /* of the TSC to the preemption timer */

/*
 * Without PSCHANGE_MC_NO, fetching from a page while the guest changes its size can end in a machine check that stops
 * the processor: so no child's page may be both large and executable.
 */
static bool large_execute;

#define ATTRIBUTES              0xF0FFu /* of a segment that the access rights have, too */
#define SEGMENT_ACCESSED        1u
#define INSTRUCTION_LENGTH_MASK 15u

enum vmx_enter { VMX_ENTER_EXIT, VMX_ENTER_FAIL, VMX_ENTER_NMI };
enum vmx_enter vmx_enter(struct vp *vp, bool launched);
extern const uint8_t vmx_exit_entry[];
void vmx_wait(const uint32_t *word, const volatile uint32_t *nmis, uint32_t seen);

static void msr_exits(uint8_t *bitmap, uint32_t msr, bool read, bool write)
{
    uint32_t bit = msr & 0x1FFF;
    uint8_t *reads = bitmap + (msr >= 0xC0000000u ? BITMAP_HIGH : 0), *writes = reads + BITMAP_WRITE;

    ASSERT(msr == bit || msr == (0xC0000000u | bit));
    reads[bit / 8] = (uint8_t)((reads[bit / 8] & ~(1u << bit % 8)) | (unsigned)read << bit % 8);
    writes[bit / 8] = (uint8_t)((writes[bit / 8] & ~(1u << bit % 8)) | (unsigned)write << bit % 8);
}

static void initialize(void)
{
    vmx_capability_initialize();
    timer_shift = rdmsr(MSR_VMX_MISC) & VMX_MISC_TIMER_SHIFT;
    keeps_interrupts = leaks_nmi_masking = running_on_bochs();
    large_execute = (speculation_arch_capabilities() & ARCH_CAPABILITIES_PSCHANGE_MC_NO) != 0;
    if (!large_execute)
        log_line("a child's large pages are split where it executes: the processor has no PSCHANGE_MC_NO");
    init_exits = (rdmsr(MSR_VMX_MISC) & VMX_MISC_WAIT_FOR_SIPI) && !keeps_interrupts;
    for (const struct parent_msr *range = vmx_parent_msrs; range->last != 0; range++)
        for (uint32_t msr = range->first; msr <= range->last; msr++)
            msr_exits(commanding_msr_bitmap, msr, range->read != NULL, range->write != NULL);
    memcpy(parent_msr_bitmap, commanding_msr_bitmap, sizeof parent_msr_bitmap);
    msr_exits(parent_msr_bitmap, MSR_X2APIC_ICR, false, false);
    memset(child_msr_bitmap, 0xFF, sizeof child_msr_bitmap);
    for (unsigned i = 0; i < CHILD_DIRECT_MSRS; i++)
        msr_exits(child_msr_bitmap, child_direct_msrs[i], false, false);
    child_cr4_mask = CR4_VMXE | (child_cr4_watched() ? ~child_cr4_bits() : 0);
}

/* VMXON fixes bits of CR0 and CR4 for as long as it lasts (24.8), and keeps INIT pending in host mode (26.4). */
static void enable(struct lp *lp)
{
    struct arch_lp *arch = arch_lp(lp);

    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    if (!(rdmsr(MSR_FEATURE_CONTROL) & FEATURE_CONTROL_LOCKED))
        wrmsr(MSR_FEATURE_CONTROL,
              rdmsr(MSR_FEATURE_CONTROL) | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
    write_cr0((read_cr0() | rdmsr(MSR_VMX_CR0_FIXED0)) & rdmsr(MSR_VMX_CR0_FIXED1));
    write_cr4((read_cr4() | rdmsr(MSR_VMX_CR4_FIXED0)) & rdmsr(MSR_VMX_CR4_FIXED1));
    *(uint32_t *)physical_pointer(arch->host_save) = vmx_basic() & VMX_BASIC_REVISION_MASK;
    if (!vmxon(arch->host_save))
        panic("processor %u: VMXON failed", lp->index);
    invept(INVEPT_ALL, 0);
    arch->control = 0;
}

/* The host's side of a VMCS: what differs between processors, and what does not (27.2.2, 27.2.3). */
static void write_host_state(struct arch_lp *arch)
{
    vmwrite(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE);
    vmwrite(VMCS_HOST_ES_SELECTOR, SELECTOR_DATA);
    vmwrite(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
    vmwrite(VMCS_HOST_DS_SELECTOR, SELECTOR_DATA);
    vmwrite(VMCS_HOST_TR_SELECTOR, SELECTOR_TASK);
    vmwrite(VMCS_HOST_GS_BASE, (uint64_t)arch);
    vmwrite(VMCS_HOST_TR_BASE, (uint64_t)&arch->task);
    vmwrite(VMCS_HOST_GDTR_BASE, (uint64_t)arch->gdt);
    vmwrite(VMCS_HOST_IDTR_BASE, fault_descriptors());
    vmwrite(VMCS_HOST_CR0, read_cr0());
    vmwrite(VMCS_HOST_CR3, read_cr3());
    vmwrite(VMCS_HOST_CR4, read_cr4());
    vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
    vmwrite(VMCS_HOST_PAT, rdmsr(MSR_PAT));
    vmwrite(VMCS_HOST_RIP, (uint64_t)vmx_exit_entry);
}

/* Makes the VP's VMCS the processor's current one, which VMREAD and VMWRITE mean. */
static struct vmx_state *use(const struct vp *vp)
{
    struct arch_lp *arch = arch_lp(lp_current());
    struct vmx_state *state = vmx_state(vp);

    if (arch->control != vp->control_page[VMX_PAGE_VMCS]) {
        vmptrld(vp->control_page[VMX_PAGE_VMCS]);
        arch->control = vp->control_page[VMX_PAGE_VMCS];
        state->active = true;
        if (state->host_lp != arch->lp.index + 1) {
            write_host_state(arch);
            state->host_lp = arch->lp.index + 1;
        }
    }
    return state;
}

/* Nothing of the VMCS stays in this processor, and it is no longer the current one. */
static void clear_vmcs(const struct vp *vp)
{
    struct arch_lp *arch = arch_lp(lp_current());

    vmclear(vp->control_page[VMX_PAGE_VMCS]);
    if (arch->control == vp->control_page[VMX_PAGE_VMCS])
        arch->control = 0;
}

/* The claim ends: another processor may want the VP next, and finds its VMCS in memory (25.11.1). */
static void release(struct vp *vp)
{
    struct vmx_state *state = vmx_state(vp);

    if (!state || !state->active)
        return;
    clear_vmcs(vp);
    state->active = false;
    state->launched = false;
}

/* All but the bits that an unrestricted guest may clear (A.7). */
static uint64_t fixed_cr0(uint64_t value)
{
    return value | CR0_NE | CR0_ET;
}

/* The manual does not say that the fields of a cleared VMCS are zero (25.11.3). */
static void clear_fields(void)
{
    static const uint16_t cleared[] = {
        VMCS_TSC_OFFSET,          VMCS_EXCEPTION_BITMAP,
        VMCS_PAGE_FAULT_MASK,     VMCS_PAGE_FAULT_MATCH,
        VMCS_CR3_TARGET_COUNT,    VMCS_EXIT_MSR_STORE_COUNT,
        VMCS_EXIT_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD_COUNT,
        VMCS_ENTRY_INTERRUPTION,  VMCS_TPR_THRESHOLD,
        VMCS_CR0_SHADOW,          VMCS_CR4_SHADOW,
        VMCS_GUEST_CR3,           VMCS_GUEST_DR7,
        VMCS_GUEST_DEBUGCTL,      VMCS_GUEST_EFER,
        VMCS_GUEST_ACTIVITY,      VMCS_GUEST_INTERRUPTIBILITY,
        VMCS_GUEST_PENDING_DEBUG, VMCS_GUEST_SYSENTER_CS,
        VMCS_GUEST_SYSENTER_ESP,  VMCS_GUEST_SYSENTER_EIP,
        VMCS_HOST_FS_BASE,        VMCS_HOST_SYSENTER_CS,
        VMCS_HOST_SYSENTER_ESP,   VMCS_HOST_SYSENTER_EIP,
        VMCS_HOST_FS_SELECTOR,    VMCS_HOST_GS_SELECTOR,
    };

    for (unsigned i = 0; i < sizeof cleared / sizeof cleared[0]; i++)
        vmwrite(cleared[i], 0);
}

static void initialize_common(struct vp *vp, uint32_t pin, uint32_t processor, uint32_t secondary)
{
    uint32_t *vmcs = physical_pointer(vp->control_page[VMX_PAGE_VMCS]);
    struct vmx_state *state = vmx_state(vp);

    memset(state, 0, sizeof *state);
    memset(vmcs, 0, HV_PAGE_SIZE);
    memset(physical_pointer(vp->control_page[VMX_PAGE_VIRTUAL_APIC]), 0, HV_PAGE_SIZE);
    vmcs[0] = vmx_basic() & VMX_BASIC_REVISION_MASK;
    clear_vmcs(vp);
    use(vp);
    clear_fields();
    state->processor = vmx_controls(VMX_PROCESSOR, processor | PROCESSOR_MSR_BITMAPS | PROCESSOR_SECONDARY);
    state->entry = vmx_controls(VMX_ENTRY, ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER);
    state->loaded_processor = state->processor;
    state->pin = state->loaded_pin = vmx_controls(VMX_PIN, pin | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
    vmwrite(VMCS_PIN_CONTROLS, state->pin);
    vmwrite(VMCS_PROCESSOR_CONTROLS, state->processor);
    secondary = vmx_controls(VMX_SECONDARY, secondary | SECONDARY_EPT | SECONDARY_VPID | SECONDARY_UNRESTRICTED_GUEST);
    vmwrite(VMCS_SECONDARY_CONTROLS, secondary);
    if (secondary & SECONDARY_XSAVES)
        vmwrite(VMCS_XSS_EXIT_BITMAP, 0);
    if (secondary & SECONDARY_ENCLS_EXITING)
        vmwrite(VMCS_ENCLS_EXIT_BITMAP, ~0ull);
    if (secondary & SECONDARY_ENCLV_EXITING)
        vmwrite(VMCS_ENCLV_EXIT_BITMAP, ~0ull);
    vmwrite(VMCS_VPID, FIRST_VPID + vp->index);
    vmwrite(VMCS_ENTRY_CONTROLS, state->entry);
    vmwrite(VMCS_EXIT_CONTROLS, vmx_controls(VMX_EXIT, EXIT_SAVE_DEBUG | EXIT_HOST_64_BIT | EXIT_SAVE_PAT |
                                                           EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER));
    vmwrite(VMCS_LINK_POINTER, ~0ull);
    vmwrite(VMCS_GUEST_CR0, fixed_cr0(0));
    vmwrite(VMCS_GUEST_CR4, CR4_VMXE);
    state->swapped[SWAPPED_DR6] = DR6_INIT;
}

/* CD and NW are the processor's, which entries and exits leave alone (27.3.2.1): the parent changes them itself. */
static void initialize_parent(struct vp *vp)
{
    initialize_common(
        vp, 0, 0, SECONDARY_RDTSCP | SECONDARY_INVPCID | SECONDARY_XSAVES | SECONDARY_USER_WAIT | SECONDARY_PCONFIG);
    vmx_state(vp)->swapped_in = true;
    vmx_state(vp)->commands_exit = true;
    vmwrite(VMCS_MSR_BITMAP, physical_of_image(commanding_msr_bitmap));
    vmwrite(VMCS_CR0_MASK, PARENT_CR0_MASK);
    vmwrite(VMCS_CR4_MASK, CR4_VMXE);
    vmwrite(VMCS_GUEST_PAT, rdmsr(MSR_PAT));
}

static void initialize_child(struct vp *vp)
{
    initialize_common(vp, PIN_EXTERNAL_INTERRUPT_EXITING,
                      PROCESSOR_TSC_OFFSETTING | PROCESSOR_HLT_EXITING | PROCESSOR_MWAIT_EXITING |
                          PROCESSOR_RDPMC_EXITING | PROCESSOR_TPR_SHADOW | PROCESSOR_UNCONDITIONAL_IO |
                          PROCESSOR_MONITOR_EXITING,
                      SECONDARY_RDTSCP | SECONDARY_INVPCID | SECONDARY_XSAVES | SECONDARY_WBINVD_EXITING |
                          SECONDARY_ENCLS_EXITING | SECONDARY_ENCLV_EXITING);
    vmwrite(VMCS_EXCEPTION_BITMAP, 1u << EXCEPTION_DB | 1u << EXCEPTION_UD | 1u << EXCEPTION_AC | 1u << EXCEPTION_MC);
    vmwrite(VMCS_MSR_BITMAP, physical_of_image(child_msr_bitmap));
    vmwrite(VMCS_VIRTUAL_APIC_PAGE, vp->control_page[VMX_PAGE_VIRTUAL_APIC]);
    vmwrite(VMCS_CR0_MASK, CHILD_CR0_MASK);
    vmwrite(VMCS_CR4_MASK, child_cr4_mask);
}

static void vp_initialize(struct vp *vp)
{
    if (vp->is_parent)
        initialize_parent(vp);
    else
        initialize_child(vp);
}

static uint64_t ept_pointer(uint64_t root)
{
    return root | EPT_POINTER_WALK_4 | EPT_POINTER_WRITE_BACK |
           (vmx_ept_vpid() & EPT_VPID_ACCESSED_DIRTY ? EPT_POINTER_ACCESSED_DIRTY : 0);
}

static uint8_t *virtual_task_priority(const struct vp *vp)
{
    return (uint8_t *)physical_pointer(vp->control_page[VMX_PAGE_VIRTUAL_APIC]) + APIC_REGISTER_TPR;
}

/* An NMI that waits for the end of another gets an exit then. */
static void load_processor_controls(struct vp *vp, struct vmx_state *state)
{
    bool nmi = vp->is_parent ? __atomic_load_n(&lp_current()->parent_nmi, __ATOMIC_RELAXED)
                             : __atomic_load_n(&vp->nmi_pending, __ATOMIC_RELAXED);
    uint32_t controls = state->processor | (state->interrupt_window ? PROCESSOR_INTERRUPT_WINDOW : 0) |
                        (nmi ? PROCESSOR_NMI_WINDOW : 0);

    if (state->loaded_processor != controls) {
        state->loaded_processor = controls;
        vmwrite(VMCS_PROCESSOR_CONTROLS, controls);
    }
}

/* The run ends when the child's APIC timer is due (26.5.1). The preemption timer counts in 2^n ticks of the TSC. */
static void load_deadline(struct vp *vp, struct vmx_state *state)
{
    uint64_t deadline = local_apic_deadline(&vp->apic), now = deadline == LOAM_NO_DEADLINE ? 0 : arch_tsc(), ticks;
    uint32_t pin = state->pin;

    state->sliced = false;
    ticks = deadline > now ? (deadline - now) >> timer_shift : 0;
    if (keeps_interrupts && !(vp->rflags & RFLAGS_IF) && ticks > EMULATOR_SLICE >> timer_shift) {
        ticks = EMULATOR_SLICE >> timer_shift;
        state->sliced = true;
    }
    if (deadline != LOAM_NO_DEADLINE || state->sliced) {
        pin |= PIN_PREEMPTION_TIMER;
        vmwrite(VMCS_PREEMPTION_TIMER, ticks > UINT32_MAX ? UINT32_MAX : ticks);
    }
    if (state->loaded_pin != pin) {
        state->loaded_pin = pin;
        vmwrite(VMCS_PIN_CONTROLS, pin);
    }
}

/* A bitmap that other processors use must not be changed (25.11.4): there are two. */
static void load_parent_bitmap(struct vmx_state *state)
{
    if (state->commands_exit && !processor_start_watches()) {
        state->commands_exit = false;
        vmwrite(VMCS_MSR_BITMAP, physical_of_image(parent_msr_bitmap));
    }
}

/* PAE paging takes its four top entries from the VMCS when CR3 was not loaded by the guest itself (27.3.2.4). */
static void load_pointers(struct vp *vp, struct vmx_state *state)
{
    uint64_t entries[4];

    state->pointers_stale = false;
    if (!(vmread(VMCS_GUEST_CR0) & CR0_PG) || !(vmread(VMCS_GUEST_CR4) & CR4_PAE) ||
        (vmread(VMCS_GUEST_EFER) & EFER_LMA) || !guest_read_pointers(vp, vmread(VMCS_GUEST_CR3), entries))
        return;
    for (unsigned i = 0; i < 4; i++)
        vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, entries[i]);
}

/* EPT's translations and those that combine it with the guest's tables go together (29.4.3.1). */
static void prepare_translations(struct vp *vp, struct vmx_state *state)
{
    if (state->pointers_stale)
        load_pointers(vp, state);
    if (shoot_down_entry(vp))
        invept(INVEPT_SINGLE, state->ept_pointer);
}

static void decode_refused(struct vmx_state *state, uint64_t raw, const char *refused, struct vp_exit *exit)
{
    state->not_entered = true;
    exit->reason = LOAM_EXIT_INVALID_STATE;
    exit->raw = raw;
    exit->refused = refused;
}

static void decode(struct vmx_state *state, enum vmx_enter result, struct vp_exit *exit)
{
    uint32_t reason;

    state->not_entered = result != VMX_ENTER_EXIT;
    if (result == VMX_ENTER_NMI) {
        exit->reason = LOAM_EXIT_NMI;
        return;
    }
    reason = result == VMX_ENTER_FAIL ? VMX_EXIT_ENTRY_FAILED : (uint32_t)vmread(VMCS_EXIT_REASON);
    if (reason & VMX_EXIT_ENTRY_FAILED) {
        if ((reason & VMX_EXIT_REASON_MASK) == VMX_EXIT_MACHINE_CHECK_ON_ENTRY) {
            state->not_entered = true;
            *exit = (struct vp_exit){.reason = LOAM_EXIT_EXCEPTION, .exception.vector = EXCEPTION_MC};
            return;
        }
        decode_refused(state, result == VMX_ENTER_FAIL ? vmread(VMCS_INSTRUCTION_ERROR) : reason, vmx_refused_state(),
                       exit);
        return;
    }
    state->launched = true;
    vmx_decode_exit(reason, exit);
    if (state->sliced && reason == VMX_EXIT_PREEMPTION_TIMER)
        exit->reason = LOAM_EXIT_EXTERNAL_INTERRUPT;
}

static void set_interruptibility(uint32_t bits, bool on)
{
    uint64_t old = vmread(VMCS_GUEST_INTERRUPTIBILITY);

    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, on ? old | bits : old & ~(uint64_t)bits);
}

/* NMIs are not masked in this run: none is to be delivered. */
static bool nmis_stay_open(void)
{
    const uint32_t type = EVENT_VALID | EVENT_TYPE_MASK << EVENT_TYPE_SHIFT;

    return !(vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_BY_NMI) &&
           (vmread(VMCS_ENTRY_INTERRUPTION) & type) != (EVENT_VALID | HV_INTERRUPTION_TYPE_NMI << EVENT_TYPE_SHIFT);
}

static void run(struct vp *vp, struct vp_exit *exit)
{
    struct vmx_state *state = use(vp);
    const char *refused;
    enum vmx_enter result;
    bool open;

    vmwrite(VMCS_GUEST_RSP, vp->gpr[GPR_RSP]);
    vmwrite(VMCS_GUEST_RIP, vp->rip);
    vmwrite(VMCS_GUEST_RFLAGS, vp->rflags);
    load_processor_controls(vp, state);
    if (vp->is_parent)
        load_parent_bitmap(state);
    else
        load_deadline(vp, state);
    prepare_translations(vp, state);
    refused = VMX_CHECKS_ENTRIES ? vmx_refused_state() : NULL;
    if (refused) {
        decode_refused(state, 0, refused, exit);
        return;
    }
    open = leaks_nmi_masking && nmis_stay_open();
    result = vmx_enter(vp, state->launched);
    vp->gpr[GPR_RSP] = vmread(VMCS_GUEST_RSP);
    vp->rip = vmread(VMCS_GUEST_RIP);
    vp->rflags = vmread(VMCS_GUEST_RFLAGS);
    if (!vp->is_parent)
        local_apic_set_cr8(&vp->apic, *virtual_task_priority(vp) >> 4);
    decode(state, result, exit);
    if (open)
        set_interruptibility(BLOCKING_BY_NMI, false);
}

uint8_t vmx_privilege(void)
{
    return vmread(VMCS_GUEST_ES_ACCESS + 2 * VP_SS) >> HV_SEGMENT_DPL_SHIFT & 3;
}

/* --- registers --- */

#define NO_FIELD 0xFFFFu

/* Where a register lives: a field of the VMCS, or `swapped`. The others are special. */
static const struct {
    uint16_t field;
    uint8_t swapped;
} places[VP_REGISTER_COUNT] = {
    [VP_CR2] = {NO_FIELD,                SWAPPED_CR2           },
    [VP_CR3] = {VMCS_GUEST_CR3,          0                     },
    [VP_DR6] = {NO_FIELD,                SWAPPED_DR6           },
    [VP_DR7] = {VMCS_GUEST_DR7,          0                     },
    [VP_PAT] = {VMCS_GUEST_PAT,          0                     },
    [VP_STAR] = {NO_FIELD,                SWAPPED_STAR          },
    [VP_LSTAR] = {NO_FIELD,                SWAPPED_LSTAR         },
    [VP_CSTAR] = {NO_FIELD,                SWAPPED_CSTAR         },
    [VP_SFMASK] = {NO_FIELD,                SWAPPED_SFMASK        },
    [VP_KERNEL_GS_BASE] = {NO_FIELD,                SWAPPED_KERNEL_GS_BASE},
    [VP_SYSENTER_CS] = {VMCS_GUEST_SYSENTER_CS,  0                     },
    [VP_SYSENTER_ESP] = {VMCS_GUEST_SYSENTER_ESP, 0                     },
    [VP_SYSENTER_EIP] = {VMCS_GUEST_SYSENTER_EIP, 0                     },
    [VP_TSC_OFFSET] = {VMCS_TSC_OFFSET,         0                     },
    [VP_DEBUG_CTL] = {VMCS_GUEST_DEBUGCTL,     0                     },
};

static const uint32_t swapped_msrs[SWAPPED_COUNT] = {
    [SWAPPED_STAR] = MSR_STAR,
    [SWAPPED_LSTAR] = MSR_LSTAR,
    [SWAPPED_CSTAR] = MSR_CSTAR,
    [SWAPPED_SFMASK] = MSR_SFMASK,
    [SWAPPED_KERNEL_GS_BASE] = MSR_KERNEL_GS_BASE,
};

static uint64_t read_swapped(enum vmx_swapped name)
{
    switch (name) {
    case SWAPPED_CR2:
        return read_cr2();
    case SWAPPED_DR6:
        return read_debug_register(6);
    default:
        return rdmsr(swapped_msrs[name]);
    }
}

static void write_swapped(enum vmx_swapped name, uint64_t value)
{
    switch (name) {
    case SWAPPED_CR2:
        write_cr2(value);
        break;
    case SWAPPED_DR6:
        write_debug_register(6, value);
        break;
    default:
        wrmsr(swapped_msrs[name], value);
        break;
    }
}

static void switch_registers(struct vp *from, struct vp *to)
{
    struct vmx_state *out = vmx_state(from), *in = vmx_state(to);

    out->swapped_in = false;
    in->swapped_in = true;
    for (unsigned i = 0; i < SWAPPED_COUNT; i++) {
        out->swapped[i] = read_swapped(i);
        if (in->swapped[i] != out->swapped[i])
            write_swapped(i, in->swapped[i]);
    }
}

static uint64_t get(const struct vp *vp, enum vp_register name)
{
    struct vmx_state *state = use(vp);
    uint64_t mask;

    switch (name) {
    case VP_CR0:
        mask = vp->is_parent ? PARENT_CR0_MASK : CHILD_CR0_MASK;
        return (vmread(VMCS_GUEST_CR0) & ~mask) | (vmread(VMCS_CR0_SHADOW) & mask);
    case VP_CR4:
        mask = vp->is_parent ? CR4_VMXE : child_cr4_mask;
        return (vmread(VMCS_GUEST_CR4) & ~mask) | (vmread(VMCS_CR4_SHADOW) & mask);
    case VP_EFER:
        return vmread(VMCS_GUEST_EFER);
    case VP_INTERRUPT_SHADOW:
        return (vmread(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) != 0;
    case VP_NMI_MASKED:
        return (vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_BY_NMI) != 0;
    default:
        if (places[name].field != NO_FIELD)
            return vmread(places[name].field);
        return state->swapped_in ? read_swapped(places[name].swapped) : state->swapped[places[name].swapped];
    }
}

/* "IA-32e mode guest" says again what EFER.LMA says (27.3.1.1). */
static void set_efer(struct vmx_state *state, uint64_t value)
{
    uint32_t entry = value & EFER_LMA ? state->entry | ENTRY_LONG_MODE : state->entry & ~ENTRY_LONG_MODE;

    vmwrite(VMCS_GUEST_EFER, value);
    state->entry = entry;
    vmwrite(VMCS_ENTRY_CONTROLS, entry);
}

static void set(struct vp *vp, enum vp_register name, uint64_t value)
{
    struct vmx_state *state = use(vp);

    switch (name) {
    case VP_CR0:
        vmwrite(VMCS_CR0_SHADOW, value);
        vmwrite(VMCS_GUEST_CR0, fixed_cr0(vp->is_parent ? value : value & ~(CR0_CD | CR0_NW)));
        break;
    case VP_CR4:
        vmwrite(VMCS_CR4_SHADOW, value);
        vmwrite(VMCS_GUEST_CR4, value | CR4_VMXE);
        break;
    case VP_EFER:
        set_efer(state, value);
        break;
    case VP_INTERRUPT_SHADOW:
        set_interruptibility(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS, false);
        if (value)
            set_interruptibility(BLOCKING_BY_STI, true);
        if (vp->is_parent) { /* reset: the sleep and the trap that the last exit interrupted are over (28.3.4) */
            vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
            vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
        }
        return;
    case VP_NMI_MASKED:
        set_interruptibility(BLOCKING_BY_NMI, value & 1);
        return;
    default:
        if (places[name].field != NO_FIELD)
            vmwrite(places[name].field, value);
        else if (state->swapped_in)
            write_swapped(places[name].swapped, value);
        else
            state->swapped[places[name].swapped] = value;
        break;
    }
    if (name == VP_CR0 || name == VP_CR3 || name == VP_CR4 || name == VP_EFER) {
        vp->last_lp = ~0u;
        state->pointers_stale = true;
    }
}

/* Fields of a segment are two apart in the order ES CS SS DS FS GS LDTR TR; limits and bases go on with GDTR and IDTR.
 */
static const uint8_t segment_order[VP_SEGMENT_COUNT] = {
    [VP_ES] = 0, [VP_CS] = 1,   [VP_SS] = 2, [VP_DS] = 3,   [VP_FS] = 4,
    [VP_GS] = 5, [VP_LDTR] = 6, [VP_TR] = 7, [VP_GDTR] = 8, [VP_IDTR] = 9,
};

static struct hv_x64_segment_register read_segment(enum vp_segment name)
{
    unsigned offset = segment_order[name] * 2u;
    struct hv_x64_segment_register segment = {.base = vmread(VMCS_GUEST_ES_BASE + offset),
                                              .limit = (uint32_t)vmread(VMCS_GUEST_ES_LIMIT + offset)};
    uint32_t access;

    if (name == VP_GDTR || name == VP_IDTR)
        return segment;
    access = (uint32_t)vmread(VMCS_GUEST_ES_ACCESS + offset);
    segment.selector = (uint16_t)vmread(VMCS_GUEST_ES_SELECTOR + offset);
    segment.attributes = (uint16_t)(access & ATTRIBUTES);
    if (access & ACCESS_UNUSABLE)
        segment.attributes &= (uint16_t)~HV_SEGMENT_P;
    return segment;
}

static void get_segment(const struct vp *vp, enum vp_segment name, struct hv_x64_segment_register *value)
{
    use(vp);
    *value = read_segment(name);
}

/* A segment that is not present is not usable. One that is has been accessed, whatever the descriptor says. */
static void set_segment(struct vp *vp, enum vp_segment name, const struct hv_x64_segment_register *value)
{
    unsigned offset = segment_order[name] * 2u;
    uint32_t access = value->attributes & ATTRIBUTES;

    use(vp);
    vmwrite(VMCS_GUEST_ES_BASE + offset, value->base);
    vmwrite(VMCS_GUEST_ES_LIMIT + offset, value->limit);
    if (name == VP_GDTR || name == VP_IDTR)
        return;
    if (!(access & HV_SEGMENT_P))
        access |= ACCESS_UNUSABLE;
    else if (access & HV_SEGMENT_S)
        access |= SEGMENT_ACCESSED;
    vmwrite(VMCS_GUEST_ES_SELECTOR + offset, value->selector);
    vmwrite(VMCS_GUEST_ES_ACCESS + offset, access);
}

static void get_special(const struct vp *vp, struct hv_vp_register_page *page)
{
    for (unsigned i = VP_ES; i <= VP_GS; i++)
        get_segment(vp, i, &page->segment[i]);
    page->cr0 = get(vp, VP_CR0);
    page->cr3 = get(vp, VP_CR3);
    page->cr4 = get(vp, VP_CR4);
    page->efer = get(vp, VP_EFER);
    page->dr7 = get(vp, VP_DR7);
    page->interrupt_state = (get(vp, VP_INTERRUPT_SHADOW) ? HV_INTERRUPT_STATE_SHADOW : 0) |
                            (get(vp, VP_NMI_MASKED) ? HV_INTERRUPT_STATE_NMI_MASKED : 0);
}

static uint16_t get_execution(const struct vp *vp, struct hv_x64_segment_register *cs)
{
    uint64_t cr0;

    use(vp);
    *cs = read_segment(VP_CS);
    cr0 = vmread(VMCS_GUEST_CR0);
    return (uint16_t)(vmx_privilege() | (cr0 & CR0_PE ? HV_EXECUTION_CR0_PE : 0) |
                      (cr0 & CR0_AM ? HV_EXECUTION_CR0_AM : 0) |
                      (vmread(VMCS_GUEST_EFER) & EFER_LMA ? HV_EXECUTION_EFER_LMA : 0) |
                      (vmread(VMCS_GUEST_DR7) & DR7_ENABLES ? HV_EXECUTION_DEBUG_ACTIVE : 0) |
                      (get(vp, VP_INTERRUPT_SHADOW) ? HV_EXECUTION_INTERRUPT_SHADOW : 0));
}

/* All of CS but its base. */
static uint64_t code_form(const struct hv_x64_segment_register *cs)
{
    uint64_t form;

    memcpy(&form, &cs->limit, sizeof form);
    return form;
}

static void get_code(const struct vp *vp, struct vp_code *code)
{
    code->cr0 = get(vp, VP_CR0);
    code->cr3 = get(vp, VP_CR3);
    code->cr4 = get(vp, VP_CR4);
    code->efer = get(vp, VP_EFER);
    code->cs = read_segment(VP_CS);
    code->cs_form = code_form(&code->cs);
}

static bool code_is(const struct vp *vp, const struct vp_code *code)
{
    struct vp_code now;

    get_code(vp, &now);
    return now.cr3 == code->cr3 && now.cr0 == code->cr0 && now.cr4 == code->cr4 && now.efer == code->efer &&
           now.cs.base == code->cs.base && now.cs_form == code->cs_form;
}

static void end_interrupt_shadow(struct vp *vp)
{
    use(vp);
    if (vmread(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS))
        set_interruptibility(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS, false);
}

/* --- events --- */

/* The TLFS took its types from here. Exceptions have no error code in real mode (27.2.1.3). */
static void inject(struct vp *vp, uint64_t event)
{
    unsigned type = hv_pending_interruption_type(event);
    uint32_t raw = 0;

    use(vp);
    if (event & HV_PENDING_INTERRUPTION_PENDING) {
        raw = EVENT_VALID | type << EVENT_TYPE_SHIFT |
              (event >> HV_PENDING_INTERRUPTION_VECTOR_SHIFT & EVENT_VECTOR_MASK);
        if ((event & HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE) && (vmread(VMCS_GUEST_CR0) & CR0_PE)) {
            raw |= EVENT_ERROR_CODE_VALID;
            vmwrite(VMCS_ENTRY_ERROR_CODE, event >> HV_PENDING_INTERRUPTION_ERROR_CODE_SHIFT);
        }
        if (type >= HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT)
            vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH,
                    event >> HV_PENDING_INTERRUPTION_LENGTH_SHIFT & INSTRUCTION_LENGTH_MASK);
    }
    vmwrite(VMCS_ENTRY_INTERRUPTION, raw);
}

/*
 * Software interrupts and exceptions are not given back: RIP is still on the instruction, which raises them again. An
 * NMI whose delivery was interrupted has masked NMIs already (28.3.2.3), which would keep it from being injected.
 */
static uint64_t interrupted_event(const struct vp *vp)
{
    struct vmx_state *state = use(vp);
    uint32_t raw = (uint32_t)vmread(state->not_entered ? VMCS_ENTRY_INTERRUPTION : VMCS_VECTORING);
    unsigned type = raw >> EVENT_TYPE_SHIFT & EVENT_TYPE_MASK;
    uint64_t event;

    if (!(raw & EVENT_VALID) || (type >= HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT && !state->not_entered))
        return 0;
    if (type == HV_INTERRUPTION_TYPE_NMI)
        set_interruptibility(BLOCKING_BY_NMI, false);
    event = hv_pending_interruption(type, raw & EVENT_VECTOR_MASK);
    if (raw & EVENT_ERROR_CODE_VALID)
        event |= HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE |
                 vmread(state->not_entered ? VMCS_ENTRY_ERROR_CODE : VMCS_VECTORING_ERROR)
                     << HV_PENDING_INTERRUPTION_ERROR_CODE_SHIFT;
    if (state->not_entered && type >= HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT)
        event |= vmread(VMCS_ENTRY_INSTRUCTION_LENGTH) << HV_PENDING_INTERRUPTION_LENGTH_SHIFT;
    return event;
}

/* CR8 is in the virtual APIC page while the child runs. A write exits only when it may unmask an interrupt (30.1.1). */
static void load_task_priority(struct vp *vp, struct vmx_state *state)
{
    uint8_t priority = (uint8_t)local_apic_cr8(&vp->apic);
    uint32_t threshold = priority > 1 && local_apic_pending(&vp->apic) < 0 ? priority : 0;

    *virtual_task_priority(vp) = (uint8_t)(priority << 4);
    if (state->tpr_threshold != threshold) {
        state->tpr_threshold = threshold;
        vmwrite(VMCS_TPR_THRESHOLD, threshold);
    }
}

static void interrupt_window(struct vp *vp, bool wanted)
{
    struct vmx_state *state = use(vp);

    state->interrupt_window = wanted;
    if (!vp->is_parent)
        load_task_priority(vp, state);
}

static void set_nested_root(struct vp *vp, uint64_t spa)
{
    struct vmx_state *state = use(vp);

    state->ept_pointer = ept_pointer(spa);
    vmwrite(VMCS_EPT_POINTER, state->ept_pointer);
    vp->last_lp = ~0u;
}

/* --- INIT and SIPI --- */

static bool has_init_exits(void)
{
    return init_exits;
}

/*
 * SIPIs that come sooner are lost, and the parent does not wait long: nothing is done before. The guest's state is what
 * its last exit left, but for what does not go with this activity (27.3.1.5).
 */
static uint8_t wait_for_sipi(struct vp *vp)
{
    struct vmx_state *state = use(vp);
    enum vmx_enter result;

    set_interruptibility(BLOCKING_BY_STI | BLOCKING_BY_MOV_SS, false);
    vmwrite(VMCS_ENTRY_INTERRUPTION, 0);
    do {
        kick_account();
        vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_WAIT_FOR_SIPI);
        result = vmx_enter(vp, state->launched);
        if (result == VMX_ENTER_FAIL || (vmread(VMCS_EXIT_REASON) & VMX_EXIT_ENTRY_FAILED))
            panic("processor %u cannot wait for a SIPI: instruction error %lu, exit %lx", vp->index,
                  vmread(VMCS_INSTRUCTION_ERROR), vmread(VMCS_EXIT_REASON));
    } while (result == VMX_ENTER_NMI || vmread(VMCS_EXIT_REASON) != VMX_EXIT_SIPI);
    return (uint8_t)vmread(VMCS_EXIT_QUALIFICATION);
}

/* --- host mode --- */

/* NMIs are open in host mode: the one that ended a run has been taken when the exit was decoded. */
static void host_window(bool interrupts)
{
    if (interrupts)
        __asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

/* --- nested page tables: EPT entries (29.3.2) --- */

#define ENTRY_READ         0x1ull
#define ENTRY_WRITE        0x2ull
#define ENTRY_EXECUTE      0x4ull
#define ENTRY_TYPE_SHIFT   3
#define ENTRY_LARGE        0x80ull
#define ENTRY_ACCESSED_BIT 8 /* and dirty */

static uint64_t nested_leaf(uint64_t spa, uint32_t access, bool large, enum memory_type type)
{
    return spa | (access & HV_MAP_GPA_READABLE ? ENTRY_READ : 0) | (access & HV_MAP_GPA_WRITABLE ? ENTRY_WRITE : 0) |
           (access & HV_MAP_GPA_EXECUTABLE ? ENTRY_EXECUTE : 0) | (large ? ENTRY_LARGE : 0) |
           (uint64_t)type << ENTRY_TYPE_SHIFT;
}

static uint64_t nested_table(uint64_t spa)
{
    return spa | ENTRY_READ | ENTRY_WRITE | ENTRY_EXECUTE;
}

static uint32_t nested_access(uint64_t entry)
{
    return (entry & ENTRY_READ ? HV_MAP_GPA_READABLE : 0) | (entry & ENTRY_WRITE ? HV_MAP_GPA_WRITABLE : 0) |
           (entry & ENTRY_EXECUTE ? HV_MAP_GPA_EXECUTABLE : 0);
}

static bool nested_has_1g(void)
{
    return (rdmsr(MSR_VMX_EPT_VPID) & EPT_VPID_1G) != 0;
}

static bool nested_large_execute(void)
{
    return large_execute;
}

static bool nested_sets_accessed(void)
{
    return (vmx_ept_vpid() & EPT_VPID_ACCESSED_DIRTY) != 0;
}

const struct vendor vmx_vendor = {
    .name = "VT-x",
    .unsupported = vmx_unsupported,
    .initialize = initialize,
    .cpuid = vmx_cpuid,
    .enable = enable,
    .control_pages = VMX_PAGES,
    .vp_initialize = vp_initialize,
    .release = release,
    .switch_registers = switch_registers,
    .run = run,
    .get = get,
    .set = set,
    .get_segment = get_segment,
    .set_segment = set_segment,
    .get_special = get_special,
    .get_execution = get_execution,
    .get_code = get_code,
    .code_is = code_is,
    .end_interrupt_shadow = end_interrupt_shadow,
    .inject = inject,
    .interrupted_event = interrupted_event,
    .interrupt_window = interrupt_window,
    .set_nested_root = set_nested_root,
    .has_init_exits = has_init_exits,
    .wait_for_sipi = wait_for_sipi,
    .host_window = host_window,
    .host_wait = vmx_wait,
    .parent_msrs = vmx_parent_msrs,
    .has_deadline = true,
    .nested =
        {
                 .leaf = nested_leaf,
                 .table = nested_table,
                 .access = nested_access,
                 .large = ENTRY_LARGE,
                 .has_1g = nested_has_1g,
                 .large_execute = nested_large_execute,
                 .accessed_shift = ENTRY_ACCESSED_BIT,
                 .sets_accessed = nested_sets_accessed,
                 .type = vmx_memory_type,
                 .load_types = vmx_load_memory_types,
                 },
};
