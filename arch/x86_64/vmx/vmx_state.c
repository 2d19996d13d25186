/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the processor checks of a guest's state before it enters it (SDM vol. 3C, 27.3.1), to name what it refuses: a
 * failed entry itself does not say. Each check is of the current VMCS; NULL: nothing is wrong.
 */
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/vmx/vmx.h"
#include "arch/x86_64/vmx/vmx_instructions.h"

#define EFER_BITS     (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define DEBUGCTL_BITS 0xFFC7ull
#define DEBUGCTL_BTF  (1ull << 1)
#define RFLAGS_ALWAYS 0x2ull
#define RFLAGS_BITS   0x3F7FD7ull

#define TYPE_MASK           0xFu
#define TYPE_CODE           0x8u
#define TYPE_CONFORMING     0x4u
#define TYPE_READABLE       0x2u /* of code */
#define TYPE_DATA_WRITABLE  0x3u /* and accessed, growing up */
#define TYPE_DATA_DOWN      0x7u
#define TYPE_LDT            0x2u
#define TYPE_TASK_16        0x3u
#define TYPE_TASK           0xBu
#define VIRTUAL_8086_ACCESS 0xF3u

#define SHADOW (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)

enum segment_field { ES, CS, SS, DS, FS, GS, LDTR, TR, GDTR, IDTR };

struct segment_state {
    uint64_t base;
    uint32_t limit, access;
    uint16_t selector;
    bool usable;
};

static bool is_canonical(uint64_t address)
{
    unsigned bits = vmread(VMCS_GUEST_CR4) & CR4_LA57 ? 57 : 48;

    return (uint64_t)((int64_t)(address << (64 - bits)) >> (64 - bits)) == address;
}

static bool is_long_mode(void)
{
    return (vmread(VMCS_ENTRY_CONTROLS) & ENTRY_LONG_MODE) != 0;
}

static struct segment_state segment(enum segment_field name)
{
    struct segment_state state = {.base = vmread(VMCS_GUEST_ES_BASE + 2u * name),
                                  .limit = (uint32_t)vmread(VMCS_GUEST_ES_LIMIT + 2u * name)};

    if (name == GDTR || name == IDTR)
        return state;
    state.access = (uint32_t)vmread(VMCS_GUEST_ES_ACCESS + 2u * name);
    state.selector = (uint16_t)vmread(VMCS_GUEST_ES_SELECTOR + 2u * name);
    state.usable = !(state.access & ACCESS_UNUSABLE);
    return state;
}

static unsigned privilege(uint32_t access)
{
    return access >> HV_SEGMENT_DPL_SHIFT & 3;
}

static const char *check_control_registers(void)
{
    uint64_t cr0 = vmread(VMCS_GUEST_CR0), cr4 = vmread(VMCS_GUEST_CR4);
    uint32_t sizes[4];

    /* An unrestricted guest may clear PE and PG. */
    if ((cr0 & ~rdmsr(MSR_VMX_CR0_FIXED1)) || (~cr0 & rdmsr(MSR_VMX_CR0_FIXED0) & ~(CR0_PE | CR0_PG)))
        return "CR0: a bit that VMX fixes";
    if ((cr0 & CR0_PG) && !(cr0 & CR0_PE))
        return "CR0: PG without PE";
    if ((cr4 & ~rdmsr(MSR_VMX_CR4_FIXED1)) || (~cr4 & rdmsr(MSR_VMX_CR4_FIXED0)))
        return "CR4: a bit that the processor or VMX fixes";
    if ((cr4 & CR4_CET) && !(cr0 & CR0_WP))
        return "CR4: CET without CR0.WP";
    if (is_long_mode() && (!(cr0 & CR0_PG) || !(cr4 & CR4_PAE)))
        return "IA-32e mode without CR0.PG and CR4.PAE";
    if (!is_long_mode() && (cr4 & CR4_PCIDE))
        return "CR4: PCIDE outside IA-32e mode";
    cpuid(0x80000008, 0, sizes);
    return vmread(VMCS_GUEST_CR3) >> (sizes[0] & 0xFF) ? "CR3" : NULL;
}

static const char *check_msrs(void)
{
    uint64_t efer = vmread(VMCS_GUEST_EFER), pat = vmread(VMCS_GUEST_PAT);

    if (vmread(VMCS_GUEST_DR7) >> 32)
        return "DR7";
    if (vmread(VMCS_GUEST_DEBUGCTL) & ~DEBUGCTL_BITS)
        return "DEBUGCTL";
    if (!is_canonical(vmread(VMCS_GUEST_SYSENTER_ESP)))
        return "SYSENTER_ESP";
    if (!is_canonical(vmread(VMCS_GUEST_SYSENTER_EIP)))
        return "SYSENTER_EIP";
    for (unsigned i = 0; i < 8; i++, pat >>= 8)
        if ((pat & 0xFF) > 7 || (pat & 0xFF) == 2 || (pat & 0xFF) == 3)
            return "PAT";
    if ((efer & ~EFER_BITS) || !(efer & EFER_LMA) != !is_long_mode())
        return "EFER";
    if ((vmread(VMCS_GUEST_CR0) & CR0_PG) && !(efer & EFER_LMA) != !(efer & EFER_LME))
        return "EFER: LMA and LME differ under paging";
    return NULL;
}

/* Granularity follows the limit: below 1 MiB in bytes, else in pages. */
static bool limit_fits(const struct segment_state *state)
{
    if ((state->limit & 0xFFF) != 0xFFF && (state->access & HV_SEGMENT_G))
        return false;
    return !(state->limit >> 20) || (state->access & HV_SEGMENT_G);
}

static bool is_present(const struct segment_state *state)
{
    return (state->access & (HV_SEGMENT_S | HV_SEGMENT_P)) == (HV_SEGMENT_S | HV_SEGMENT_P) && limit_fits(state);
}

static const char *check_code_segment(void)
{
    struct segment_state cs = segment(CS), ss = segment(SS);
    unsigned type = cs.access & TYPE_MASK, dpl = privilege(cs.access), stack = privilege(ss.access);

    if (!cs.usable || !is_present(&cs) || cs.base >> 32)
        return "CS";
    if (type == TYPE_DATA_WRITABLE)
        return dpl == 0 ? NULL : "CS: a data segment whose DPL is not 0";
    if (!(type & TYPE_CODE) || !(type & 1))
        return "CS: not code that has been accessed";
    if (type & TYPE_CONFORMING ? dpl > stack : dpl != stack)
        return "CS: its DPL and that of SS";
    return is_long_mode() && (cs.access & HV_SEGMENT_L) && (cs.access & HV_SEGMENT_DB) ? "CS: L and D" : NULL;
}

static const char *check_stack_segment(void)
{
    struct segment_state ss = segment(SS);
    unsigned type = ss.access & TYPE_MASK;

    if ((!(vmread(VMCS_GUEST_CR0) & CR0_PE) || (segment(CS).access & TYPE_MASK) == TYPE_DATA_WRITABLE) &&
        privilege(ss.access) != 0)
        return "SS: its DPL is not 0";
    if (ss.usable && ((type != TYPE_DATA_WRITABLE && type != TYPE_DATA_DOWN) || !is_present(&ss) || ss.base >> 32))
        return "SS";
    return NULL;
}

static const char *check_data_segments(void)
{
    static const char *const names[] = {[ES] = "ES", [DS] = "DS", [FS] = "FS", [GS] = "GS"};

    for (enum segment_field i = ES; i <= GS; i++) {
        struct segment_state state = segment(i);

        if (i == CS || i == SS)
            continue;
        if (i >= FS ? !is_canonical(state.base) : state.usable && state.base >> 32)
            return names[i];
        if (state.usable && (!(state.access & 1) || !is_present(&state) ||
                             ((state.access & TYPE_CODE) && !(state.access & TYPE_READABLE))))
            return names[i];
    }
    return NULL;
}

static const char *check_virtual_8086_segments(void)
{
    for (enum segment_field i = ES; i <= GS; i++) {
        struct segment_state state = segment(i);

        if (state.base != (uint64_t)state.selector << 4 || state.limit != 0xFFFF || state.access != VIRTUAL_8086_ACCESS)
            return "a segment of virtual-8086 mode";
    }
    return NULL;
}

static const char *check_segments(void)
{
    const char *problem;

    if (vmread(VMCS_GUEST_RFLAGS) & RFLAGS_VM)
        return check_virtual_8086_segments();
    problem = check_code_segment();
    if (!problem)
        problem = check_stack_segment();
    return problem ? problem : check_data_segments();
}

static const char *check_system_segments(void)
{
    struct segment_state tr = segment(TR), ldtr = segment(LDTR), gdtr = segment(GDTR), idtr = segment(IDTR);
    unsigned type = tr.access & TYPE_MASK;

    if (!tr.usable || (type != TYPE_TASK && (type != TYPE_TASK_16 || is_long_mode())) || (tr.access & HV_SEGMENT_S) ||
        !(tr.access & HV_SEGMENT_P) || !limit_fits(&tr) || !is_canonical(tr.base) || (tr.selector & 4))
        return "TR";
    if (ldtr.usable &&
        ((ldtr.access & TYPE_MASK) != TYPE_LDT || (ldtr.access & HV_SEGMENT_S) || !(ldtr.access & HV_SEGMENT_P) ||
         !limit_fits(&ldtr) || !is_canonical(ldtr.base) || (ldtr.selector & 4)))
        return "LDTR";
    if (gdtr.limit >> 16 || !is_canonical(gdtr.base))
        return "GDTR";
    return idtr.limit >> 16 || !is_canonical(idtr.base) ? "IDTR" : NULL;
}

static const char *check_flags(void)
{
    uint64_t rip = vmread(VMCS_GUEST_RIP), rflags = vmread(VMCS_GUEST_RFLAGS);
    uint32_t event = (uint32_t)vmread(VMCS_ENTRY_INTERRUPTION);

    if (is_long_mode() && (segment(CS).access & HV_SEGMENT_L) ? !is_canonical(rip) : rip >> 32)
        return "RIP";
    if ((rflags & ~RFLAGS_BITS) || !(rflags & RFLAGS_ALWAYS))
        return "RFLAGS";
    if ((rflags & RFLAGS_VM) && (is_long_mode() || !(vmread(VMCS_GUEST_CR0) & CR0_PE)))
        return "RFLAGS: VM";
    if ((event & EVENT_VALID) && (event >> EVENT_TYPE_SHIFT & EVENT_TYPE_MASK) == HV_INTERRUPTION_TYPE_EXTERNAL &&
        !(rflags & RFLAGS_IF))
        return "RFLAGS: an interrupt is injected with IF = 0";
    return NULL;
}

static const char *check_activity(void)
{
    uint64_t activity = vmread(VMCS_GUEST_ACTIVITY), blocking = vmread(VMCS_GUEST_INTERRUPTIBILITY),
             rflags = vmread(VMCS_GUEST_RFLAGS);
    uint32_t event = (uint32_t)vmread(VMCS_ENTRY_INTERRUPTION), type = event >> EVENT_TYPE_SHIFT & EVENT_TYPE_MASK;
    bool single_step = (rflags & RFLAGS_TF) && !(vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);
    bool pending_step = (vmread(VMCS_GUEST_PENDING_DEBUG) & PENDING_DEBUG_BS) != 0;

    if (activity > ACTIVITY_WAIT_FOR_SIPI || (activity == ACTIVITY_HALTED && privilege(segment(SS).access) != 0))
        return "activity state";
    if (activity != ACTIVITY_ACTIVE && (blocking & SHADOW))
        return "activity state: not active in an interrupt shadow";
    if ((blocking & SHADOW) == SHADOW || ((blocking & BLOCKING_BY_STI) && !(rflags & RFLAGS_IF)))
        return "interruptibility state";
    if ((event & EVENT_VALID) && (blocking & SHADOW) &&
        (type == HV_INTERRUPTION_TYPE_EXTERNAL ||
         (type == HV_INTERRUPTION_TYPE_NMI && (blocking & BLOCKING_BY_MOV_SS))))
        return "interruptibility state: an event is injected in an interrupt shadow";
    if ((event & EVENT_VALID) && type == HV_INTERRUPTION_TYPE_NMI && (blocking & BLOCKING_BY_NMI))
        return "interruptibility state: an NMI is injected while NMIs are masked";
    if (((blocking & SHADOW) || activity == ACTIVITY_HALTED) && single_step != pending_step)
        return "pending debug exceptions: BS and RFLAGS.TF";
    return vmread(VMCS_LINK_POINTER) != ~0ull ? "link pointer" : NULL;
}

const char *vmx_refused_state(void)
{
    static const char *(*const checks[])(void) = {check_control_registers, check_msrs,    check_flags, check_segments,
                                                  check_system_segments,   check_activity};
    const char *problem = NULL;

    for (unsigned i = 0; !problem && i < sizeof checks / sizeof checks[0]; i++)
        problem = checks[i]();
    return problem;
}
