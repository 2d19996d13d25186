/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/instruction.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/kick.h"
#include "arch/x86_64/cpu/machine_reset.h"
#include "arch/x86_64/cpu/parent_exit.h"
#include "arch/x86_64/cpu/parent_vp.h"
#include "arch/x86_64/cpu/processor_start.h"
#include "kernel/arch.h"
#include "kernel/hypercall.h"
#include "kernel/log.h"
#include "kernel/parent_map.h"
#include "kernel/vp.h"

#define LOW_HALF 0xFFFFFFFFull

static void advance(struct vp *vp, const struct vp_exit *exit)
{
    guest_instruction_done(vp, guest_instruction_length(vp, exit));
}

static void exit_cpuid(struct vp *vp, const struct vp_exit *exit)
{
    uint32_t result[4];

    parent_cpuid(vp, (uint32_t)vp->gpr[GPR_RAX], (uint32_t)vp->gpr[GPR_RCX], result);
    vp->gpr[GPR_RAX] = result[0];
    vp->gpr[GPR_RBX] = result[1];
    vp->gpr[GPR_RCX] = result[2];
    vp->gpr[GPR_RDX] = result[3];
    advance(vp, exit);
}

static void exit_msr_read(struct vp *vp, const struct vp_exit *exit)
{
    uint64_t value;

    if (!parent_msr_read(vp, (uint32_t)vp->gpr[GPR_RCX], &value)) {
        parent_vp_raise(vp, EXCEPTION_GP, true);
        return;
    }
    vp->gpr[GPR_RAX] = value & LOW_HALF;
    vp->gpr[GPR_RDX] = value >> 32;
    advance(vp, exit);
}

static uint64_t edx_eax(const struct vp *vp)
{
    return (vp->gpr[GPR_RDX] & LOW_HALF) << 32 | (vp->gpr[GPR_RAX] & LOW_HALF);
}

static void exit_msr_write(struct vp *vp, const struct vp_exit *exit)
{
    if (!parent_msr_write(vp, (uint32_t)vp->gpr[GPR_RCX], edx_eax(vp))) {
        parent_vp_raise(vp, EXCEPTION_GP, true);
        return;
    }
    advance(vp, exit);
}

static void exit_hypercall(struct vp *vp, const struct vp_exit *exit)
{
    if (!exit->hypercall_allowed) {
        parent_vp_raise(vp, EXCEPTION_UD, false);
        return;
    }
    if (hypercall_dispatch(vp))
        advance(vp, exit);
}

static void exit_nested_fault(struct vp *vp, const struct vp_exit *exit)
{
    switch (parent_map_fault(exit->fault.gpa, exit->fault.write)) {
    case PARENT_MAP_RETRY:
        return;
    case PARENT_MAP_PROTECTED:
        if (!processor_start_watches()) {
            parent_map_unprotect();
            return;
        }
        if (parent_apic_write(vp, exit))
            return;
        log_limited("parent: instruction at %lx writes to the local APIC in a way that is not known", vp->rip);
        break;
    case PARENT_MAP_HIDDEN:
        log_limited("parent: instruction at %lx writes to hidden memory at %lx", vp->rip, exit->fault.gpa);
        break;
    case PARENT_MAP_OUTSIDE:
        log_limited("parent: instruction at %lx reaches beyond physical memory, at %lx", vp->rip, exit->fault.gpa);
        break;
    }
    parent_vp_raise(vp, EXCEPTION_GP, true);
}

static void exit_nmi(struct vp *vp, const struct vp_exit *exit)
{
    (void)vp, (void)exit;
    kick_take_nmi();
}

/* None is intercepted: this is a machine check that kept the parent from being entered. */
static void exit_exception(struct vp *vp, const struct vp_exit *exit)
{
    (void)vp, (void)exit;
    lp_current()->parent_machine_check = true;
}

static void exit_virtualization_instruction(struct vp *vp, const struct vp_exit *exit)
{
    (void)exit;
    parent_vp_raise(vp, EXCEPTION_UD, false);
}

static void exit_triple_fault(struct vp *vp, const struct vp_exit *exit)
{
    (void)exit;
    log_line("parent: triple fault on processor %u at %lx: resetting the machine", vp->index, vp->rip);
    machine_reset();
}

/* XSETBV exits on VT-x, once its privilege has been checked; its operands are the hardware's to judge. */
static void exit_xsetbv(struct vp *vp, const struct vp_exit *exit)
{
    if (xsetbv_safe((uint32_t)vp->gpr[GPR_RCX], edx_eax(vp)))
        advance(vp, exit);
    else
        parent_vp_raise(vp, EXCEPTION_GP, true);
}

/* INVD, which exits like XSETBV: what is dirty in the caches may be Loam's. */
static void exit_cache(struct vp *vp, const struct vp_exit *exit)
{
    wbinvd();
    advance(vp, exit);
}

/* Bits of CR0 and CR4 that virtualization fixes. The parent has no VMX to enable. */
static void exit_control_register(struct vp *vp, const struct vp_exit *exit)
{
    uint64_t value = vp->gpr[exit->control.gpr];

    if (!(vendor->get(vp, VP_EFER) & EFER_LMA))
        value &= LOW_HALF;
    if (exit->control.number != 0 || !exit->control.write || !guest_cr0_write(vp, value)) {
        parent_vp_raise(vp, EXCEPTION_GP, true);
        return;
    }
    advance(vp, exit);
}

/* The window that IRET interception opens: events are looked at again before the next entry. */
static void exit_interrupt_window(struct vp *vp, const struct vp_exit *exit)
{
    (void)vp, (void)exit;
}

static void (*const handlers[LOAM_EXIT_REASON_COUNT])(struct vp *vp, const struct vp_exit *exit) = {
    [LOAM_EXIT_NMI] = exit_nmi,
    [LOAM_EXIT_INTERRUPT_WINDOW] = exit_interrupt_window,
    [LOAM_EXIT_CPUID] = exit_cpuid,
    [LOAM_EXIT_MSR_READ] = exit_msr_read,
    [LOAM_EXIT_MSR_WRITE] = exit_msr_write,
    [LOAM_EXIT_HYPERCALL] = exit_hypercall,
    [LOAM_EXIT_NESTED_FAULT] = exit_nested_fault,
    [LOAM_EXIT_EXCEPTION] = exit_exception,
    [LOAM_EXIT_VIRTUALIZATION_INSTRUCTION] = exit_virtualization_instruction,
    [LOAM_EXIT_TRIPLE_FAULT] = exit_triple_fault,
    [LOAM_EXIT_XSETBV] = exit_xsetbv,
    [LOAM_EXIT_CACHE] = exit_cache,
    [LOAM_EXIT_CONTROL_REGISTER] = exit_control_register,
};

void parent_exit(struct vp *vp, const struct vp_exit *exit)
{
    if (exit->reason == LOAM_EXIT_INVALID_STATE)
        panic("parent: the processor refuses the state of processor %u: %s (exit %lx)", vp->index,
              exit->refused ? exit->refused : "it does not say why", exit->raw);
    if (!handlers[exit->reason])
        panic("parent: unexpected exit %u (%lx) at %lx on processor %u", exit->reason, exit->raw, vp->rip, vp->index);
    handlers[exit->reason](vp, exit);
}
