/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/arch.h"
#include "kernel/cpuid_result.h"
#include "kernel/exit.h"
#include "kernel/log.h"
#include "kernel/lp.h"
#include "kernel/message.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "kernel/vp.h"

#define EXCEPTION_DEBUG         1u
#define EXCEPTION_INVALID       6u
#define EXCEPTION_PROTECTION    13u
#define EXCEPTION_MACHINE_CHECK 18u

#define CR0_PE      (1ull << 0)
#define CR4_OSXSAVE (1ull << 18)
#define EFER_LMA    (1ull << 10)
#define RFLAGS_RF   (1ull << 16)

/* 0F 01 and one of these */
#define OPCODE_VMCALL    0xC1u
#define OPCODE_VMMCALL   0xD9u
#define HYPERCALL_LENGTH 3u

static uint64_t exception_event(unsigned vector, bool has_error_code, uint32_t error_code)
{
    return hv_pending_interruption(HV_INTERRUPTION_TYPE_EXCEPTION, vector) |
           (has_error_code ? HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE |
                                 (uint64_t)error_code << HV_PENDING_INTERRUPTION_ERROR_CODE_SHIFT
                           : 0);
}

static enum exit_action raise(struct vp *vp, unsigned vector, bool has_error_code)
{
    vp->pending_interruption = exception_event(vector, has_error_code, 0);
    return EXIT_CHECK;
}

/* The VP can go on at once, unless there is something to inject. */
static enum exit_action resume(const struct vp *vp)
{
    return vp->pending_interruption ? EXIT_CHECK : EXIT_RESUME;
}

/* The instruction has been emulated. */
static enum exit_action finish(struct vp *vp, const struct vp_exit *exit)
{
    unsigned length = guest_instruction_length(vp, exit);

    if (length)
        guest_instruction_done(vp, length);
    return resume(vp);
}

static enum exit_action exit_ready(struct vp *vp, const struct vp_exit *exit)
{
    (void)vp, (void)exit;
    return EXIT_READY;
}

static enum exit_action exit_check(struct vp *vp, const struct vp_exit *exit)
{
    (void)vp, (void)exit;
    return EXIT_CHECK;
}

static enum exit_action exit_cpuid(struct vp *vp, const struct vp_exit *exit)
{
    const uint32_t *values = cpuid_get(vp, (uint32_t)vp->gpr[GPR_RAX], (uint32_t)vp->gpr[GPR_RCX]);

    vp->gpr[GPR_RAX] = values[0];
    vp->gpr[GPR_RBX] = values[1];
    vp->gpr[GPR_RCX] = values[2];
    vp->gpr[GPR_RDX] = values[3];
    return finish(vp, exit);
}

static enum exit_action exit_hlt(struct vp *vp, const struct vp_exit *exit)
{
    finish(vp, exit);
    vp->halted = true;
    return EXIT_CHECK;
}

static enum exit_action exit_io_port(struct vp *vp, const struct vp_exit *exit)
{
    unsigned length = guest_instruction_length(vp, exit);

    if (!length)
        return EXIT_RESUME;
    message_io_port(vp, exit, length);
    return EXIT_INTERCEPT;
}

static enum exit_action exit_msr_read(struct vp *vp, const struct vp_exit *exit)
{
    uint64_t value;

    if (!child_msr_read(vp, (uint32_t)vp->gpr[GPR_RCX], &value))
        return raise(vp, EXCEPTION_PROTECTION, true);
    vp->gpr[GPR_RAX] = (uint32_t)value;
    vp->gpr[GPR_RDX] = value >> 32;
    return finish(vp, exit);
}

static enum exit_action exit_msr_write(struct vp *vp, const struct vp_exit *exit)
{
    uint64_t value = vp->gpr[GPR_RDX] << 32 | (uint32_t)vp->gpr[GPR_RAX];

    if (!child_msr_write(vp, (uint32_t)vp->gpr[GPR_RCX], value))
        return raise(vp, EXCEPTION_PROTECTION, true);
    finish(vp, exit);
    return EXIT_CHECK;
}

/* Children have no hypercalls yet. One that has introduced itself is told so, any other sees no hypervisor. */
static enum exit_action exit_hypercall(struct vp *vp, const struct vp_exit *exit)
{
    if (vp->guest_os_id == 0 || !exit->hypercall_allowed)
        return raise(vp, EXCEPTION_INVALID, false);
    vp->gpr[GPR_RAX] = HV_STATUS_INVALID_HYPERCALL_CODE;
    if (!(vendor->get(vp, VP_EFER) & EFER_LMA))
        vp->gpr[GPR_RDX] = 0; /* the upper half of the result */
    return finish(vp, exit);
}

static bool allows(const struct nested_translation *translation, const struct vp_exit *exit)
{
    uint32_t needed = HV_MAP_GPA_READABLE;

    if (exit->fault.execute)
        needed = HV_MAP_GPA_EXECUTABLE;
    else if (exit->fault.write)
        needed |= HV_MAP_GPA_WRITABLE;
    return (translation->access & needed) == needed;
}

/* After a read there is nothing new for the dispatcher, but perhaps the interrupt of an error. */
static enum exit_action after_apic_access(struct vp *vp, enum apic_page_result result)
{
    vp->exits[LOAM_EXIT_APIC_ACCESS]++;
    return result == APIC_PAGE_READ && !local_apic_has_error(&vp->apic) ? resume(vp) : EXIT_CHECK;
}

static enum exit_action exit_nested_fault(struct vp *vp, const struct vp_exit *exit)
{
    struct nested_translation translation;
    struct vp *before;
    bool mapped;

    if (local_apic_claims(&vp->apic, exit->fault.gpa)) {
        enum apic_page_result result = apic_page_access(vp, exit);

        if (result != APIC_PAGE_UNKNOWN)
            return after_apic_access(vp, result);
    }
    before = guest_memory_begin(vp);
    mapped = nested_lookup(&vp->partition->map, exit->fault.gpa, &translation);
    guest_memory_end(before);
    if (mapped && allows(&translation, exit)) {
        if (!exit->fault.execute || !translation.split_to_execute)
            return resume(vp); /* mapped meanwhile by another processor */
        vp->fetch_from = exit->fault.gpa + 1;
        return EXIT_READY; /* the next dispatch splits the page: it may have to ask for memory */
    }
    message_memory(vp, exit, mapped ? HVMSG_GPA_INTERCEPT : HVMSG_UNMAPPED_GPA);
    return EXIT_INTERCEPT;
}

/* The hypercall instruction of the other make of processors, which is none on this one. */
static bool is_other_hypercall(struct vp *vp)
{
    uint8_t bytes[15];

    return guest_fetch_instruction(vp, bytes) >= HYPERCALL_LENGTH && bytes[0] == 0x0F && bytes[1] == 0x01 &&
           bytes[2] == (vendor->has_vmmcall ? OPCODE_VMCALL : OPCODE_VMMCALL);
}

static enum exit_action exit_other_hypercall(struct vp *vp)
{
    struct vp_exit exit = {.reason = LOAM_EXIT_HYPERCALL, .instruction_length = HYPERCALL_LENGTH};

    exit.hypercall_allowed = guest_privilege_level(vp) == 0 && (vendor->get(vp, VP_CR0) & CR0_PE);
    vp->rflags &= ~RFLAGS_RF; /* the fault's */
    return exit_hypercall(vp, &exit);
}

/*
 * #DB and #AC are intercepted so that a guest cannot hold the processor in an endless delivery of them; they
 * go on as they are, and so does #UD unless it is a hypercall's. If one came while an exception was being
 * delivered, that one will come again; an interrupt or NMI would be lost, so it goes first, and what it met
 * comes again or is in DR6.
 */
static enum exit_action exit_exception(struct vp *vp, const struct vp_exit *exit)
{
    if (exit->exception.vector == EXCEPTION_MACHINE_CHECK) {
        lp_current()->parent_machine_check = true;
        return EXIT_READY;
    }
    if (exit->exception.vector == EXCEPTION_INVALID && is_other_hypercall(vp))
        return exit_other_hypercall(vp);
    if (!vp->pending_interruption ||
        hv_pending_interruption_type(vp->pending_interruption) == HV_INTERRUPTION_TYPE_EXCEPTION)
        vp->pending_interruption =
            exception_event(exit->exception.vector, exit->exception.has_error_code, exit->exception.error_code);
    return EXIT_CHECK;
}

/* CR8, and writes of CR0 and CR4: nothing else of the control registers is intercepted. */
static enum exit_action exit_control_register(struct vp *vp, const struct vp_exit *exit)
{
    uint64_t *gpr = &vp->gpr[exit->control.gpr];

    if (exit->control.write && (exit->control.number == 0 || exit->control.number == 4)) {
        uint64_t value = vendor->get(vp, VP_EFER) & EFER_LMA ? *gpr : (uint32_t)*gpr;
        bool written = exit->control.number == 0 ? guest_cr0_write(vp, value) : child_cr4_write(vp, value);

        return written ? finish(vp, exit) : raise(vp, EXCEPTION_PROTECTION, true);
    }
    if (exit->control.number != 8) {
        message_unsupported_feature(vp, exit->reason, exit->control.number);
        return EXIT_INTERCEPT;
    }
    if (!exit->control.write) {
        *gpr = local_apic_cr8(&vp->apic);
        return finish(vp, exit);
    }
    if (*gpr > 15)
        return raise(vp, EXCEPTION_PROTECTION, true);
    local_apic_set_cr8(&vp->apic, *gpr);
    finish(vp, exit);
    return EXIT_CHECK;
}

static enum exit_action exit_xsetbv(struct vp *vp, const struct vp_exit *exit)
{
    uint64_t value = vp->gpr[GPR_RDX] << 32 | (uint32_t)vp->gpr[GPR_RAX];

    if (!(vendor->get(vp, VP_CR4) & CR4_OSXSAVE))
        return raise(vp, EXCEPTION_INVALID, false);
    if (guest_privilege_level(vp) != 0 || (uint32_t)vp->gpr[GPR_RCX] != 0 || !extended_state_set_xcr0(vp, value))
        return raise(vp, EXCEPTION_PROTECTION, true);
    return finish(vp, exit);
}

/* WBINVD and INVD: a child's memory is cached like any other and no device bypasses the caches. */
static enum exit_action exit_cache(struct vp *vp, const struct vp_exit *exit)
{
    if (guest_privilege_level(vp) != 0)
        return raise(vp, EXCEPTION_PROTECTION, true);
    return finish(vp, exit);
}

static enum exit_action exit_virtualization_instruction(struct vp *vp, const struct vp_exit *exit)
{
    (void)exit;
    return raise(vp, EXCEPTION_INVALID, false);
}

static enum exit_action exit_triple_fault(struct vp *vp, const struct vp_exit *exit)
{
    (void)exit;
    message_unrecoverable_exception(vp);
    vp_reset_after_shutdown(vp);
    return EXIT_INTERCEPT;
}

static enum exit_action exit_pause(struct vp *vp, const struct vp_exit *exit)
{
    finish(vp, exit);
    return EXIT_READY;
}

static enum exit_action exit_invalid_state(struct vp *vp, const struct vp_exit *exit)
{
    log_limited("partition %lu VP %u: the processor refuses its state: %s (exit %lx)", vp->partition->id, vp->index,
                exit->refused ? exit->refused : "it does not say why", exit->raw);
    message_invalid_register(vp);
    return EXIT_INTERCEPT;
}

/* The VMM does it. What the task gate took is the new task's: it is not pending any more. */
static enum exit_action exit_task_switch(struct vp *vp, const struct vp_exit *exit)
{
    message_task_switch(vp, exit);
    return EXIT_INTERCEPT;
}

static enum exit_action exit_other(struct vp *vp, const struct vp_exit *exit)
{
    log_limited("partition %lu VP %u: unknown exit %lx at %lx", vp->partition->id, vp->index, exit->raw, vp->rip);
    message_unsupported_feature(vp, LOAM_EXIT_OTHER, exit->raw);
    return EXIT_INTERCEPT;
}

/*
 * `delivery`: the exit can come in the middle of the delivery of an event, which then has to be injected
 * again. All others are instructions.
 */
static const struct {
    enum exit_action (*handle)(struct vp *vp, const struct vp_exit *exit);
    bool delivery;
} handlers[LOAM_EXIT_REASON_COUNT] = {
    [LOAM_EXIT_EXTERNAL_INTERRUPT] = {exit_ready,                      true },
    [LOAM_EXIT_NMI] = {exit_ready,                      true },
    [LOAM_EXIT_KICK] = {exit_check,                      true },
    [LOAM_EXIT_INTERRUPT_WINDOW] = {exit_check,                      true },
    [LOAM_EXIT_HLT] = {exit_hlt,                        false},
    [LOAM_EXIT_MSR_READ] = {exit_msr_read,                   false},
    [LOAM_EXIT_MSR_WRITE] = {exit_msr_write,                  false},
    [LOAM_EXIT_NESTED_FAULT] = {exit_nested_fault,               true },
    [LOAM_EXIT_APIC_ACCESS] = {exit_nested_fault,               true },
    [LOAM_EXIT_EXCEPTION] = {exit_exception,                  true },
    [LOAM_EXIT_CONTROL_REGISTER] = {exit_control_register,           false},
    [LOAM_EXIT_XSETBV] = {exit_xsetbv,                     false},
    [LOAM_EXIT_CACHE] = {exit_cache,                      false},
    [LOAM_EXIT_VIRTUALIZATION_INSTRUCTION] = {exit_virtualization_instruction, false},
    [LOAM_EXIT_TRIPLE_FAULT] = {exit_triple_fault,               false},
    [LOAM_EXIT_PAUSE] = {exit_pause,                      false},
    [LOAM_EXIT_INVALID_STATE] = {exit_invalid_state,              false},
    [LOAM_EXIT_OTHER] = {exit_other,                      true },
    [LOAM_EXIT_TASK_SWITCH] = {exit_task_switch,                false},
};

/* The most frequent instructions do not go by way of the table: indirect calls are retpolines. */
enum exit_action exit_handle(struct vp *vp, struct vp_exit *exit)
{
    if (exit->reason == LOAM_EXIT_CPUID) {
        vp->exits[LOAM_EXIT_CPUID]++;
        return exit_cpuid(vp, exit);
    }
    if (exit->reason == LOAM_EXIT_IO_PORT) {
        vp->exits[LOAM_EXIT_IO_PORT]++;
        return exit_io_port(vp, exit);
    }
    if (exit->reason == LOAM_EXIT_HYPERCALL) {
        vp->exits[LOAM_EXIT_HYPERCALL]++;
        return exit_hypercall(vp, exit);
    }
    if (exit->reason == LOAM_EXIT_NMI && !kick_take_nmi())
        exit->reason = LOAM_EXIT_KICK;
    vp->exits[exit->reason]++;
    if (handlers[exit->reason].delivery)
        vp->pending_interruption = vendor->interrupted_event(vp);
    return handlers[exit->reason].handle(vp, exit);
}
