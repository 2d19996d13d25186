/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw exits of VT-x made neutral (SDM vol. 3C, chapter 28 and appendix C). */
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/vmx/vmx.h"
#include "arch/x86_64/vmx/vmx_instructions.h"
#include "kernel/lp.h"
#include "kernel/vp.h"

/* Exit reasons that need no more than this. 0 stands at all others. */
static const uint8_t reasons[VMX_EXIT_COUNT] = {
    [VMX_EXIT_TRIPLE_FAULT] = LOAM_EXIT_TRIPLE_FAULT,
    [VMX_EXIT_INTERRUPT_WINDOW] = LOAM_EXIT_INTERRUPT_WINDOW,
    [VMX_EXIT_NMI_WINDOW] = LOAM_EXIT_INTERRUPT_WINDOW,
    [VMX_EXIT_CPUID] = LOAM_EXIT_CPUID,
    [VMX_EXIT_GETSEC] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [VMX_EXIT_HLT] = LOAM_EXIT_HLT,
    [VMX_EXIT_INVD] = LOAM_EXIT_CACHE,
    [VMX_EXIT_RDPMC] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [VMX_EXIT_RSM] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [VMX_EXIT_VMCLEAR... VMX_EXIT_VMXON] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [VMX_EXIT_RDMSR] = LOAM_EXIT_MSR_READ,
    [VMX_EXIT_WRMSR] = LOAM_EXIT_MSR_WRITE,
    [VMX_EXIT_MWAIT] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [VMX_EXIT_MONITOR] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [VMX_EXIT_PAUSE] = LOAM_EXIT_PAUSE,
    [VMX_EXIT_TPR_BELOW_THRESHOLD] = LOAM_EXIT_INTERRUPT_WINDOW,
    [VMX_EXIT_INVEPT] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [VMX_EXIT_PREEMPTION_TIMER] = LOAM_EXIT_INTERRUPT_WINDOW, /* the VP's timer is due: its APIC is looked at */
    [VMX_EXIT_INVVPID] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [VMX_EXIT_WBINVD] = LOAM_EXIT_CACHE,
    [VMX_EXIT_XSETBV] = LOAM_EXIT_XSETBV,
    [VMX_EXIT_ENCLS] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [VMX_EXIT_ENCLV] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [VMX_EXIT_SEAMCALL] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION, /* whoever executes it, also a program */
    [VMX_EXIT_TDCALL] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
};

/*
 * The exit came when an IRET had already ended the masking of NMIs that it was to end (28.2.3), or when an NMI was
 * being delivered.
 */
static void mask_nmis(void)
{
    vmwrite(VMCS_GUEST_INTERRUPTIBILITY, vmread(VMCS_GUEST_INTERRUPTIBILITY) | BLOCKING_BY_NMI);
}

/* DR6 and DR7 are as before the exception, whose bits are in the qualification only (28.1, 28.2.1). */
static void deliver_debug_state(uint64_t qualification)
{
    write_debug_register(6, (read_debug_register(6) & ~DR6_BREAKPOINTS) | (qualification & DR6_STATUS));
    vmwrite(VMCS_GUEST_DR7, vmread(VMCS_GUEST_DR7) & ~DR7_GD);
}

static void decode_exception(struct vp_exit *exit)
{
    uint32_t event = (uint32_t)vmread(VMCS_EXIT_INTERRUPTION);
    uint8_t vector = event & EVENT_VECTOR_MASK;

    if ((event >> EVENT_TYPE_SHIFT & EVENT_TYPE_MASK) == HV_INTERRUPTION_TYPE_NMI) {
        /* NMIs stay masked in host mode until an IRET: the handler's, which also counts this one. */
        __asm__ volatile("int $2" : : : "memory");
        exit->reason = LOAM_EXIT_NMI;
        return;
    }
    if ((event & EVENT_NMI_UNBLOCKED) && vector != EXCEPTION_DF)
        mask_nmis();
    exit->reason = LOAM_EXIT_EXCEPTION;
    exit->exception.vector = vector;
    exit->exception.has_error_code = (event & EVENT_ERROR_CODE_VALID) != 0;
    exit->exception.error_code = (uint32_t)vmread(VMCS_EXIT_INTERRUPTION_ERROR);
    exit->exception.address = vmread(VMCS_EXIT_QUALIFICATION);
    if (vector == EXCEPTION_DB)
        deliver_debug_state(exit->exception.address);
}

static void decode_io(struct vp_exit *exit)
{
    uint32_t info = (uint32_t)vmread(VMCS_EXIT_QUALIFICATION);

    exit->reason = LOAM_EXIT_IO_PORT;
    exit->io.port = (uint16_t)(info >> IO_PORT_SHIFT);
    exit->io.size = (uint8_t)((info & IO_SIZE_MASK) + 1);
    exit->io.in = (info & IO_IN) != 0;
    exit->io.string = (info & IO_STRING) != 0;
    exit->io.rep = (info & IO_REP) != 0;
    exit->io.segment = VP_ES;
    if (exit->io.string && !exit->io.in)
        exit->io.segment = vmread(VMCS_EXIT_INSTRUCTION) >> IO_SEGMENT_SHIFT & 7;
}

static void decode_control_register(struct vp_exit *exit)
{
    uint64_t info = vmread(VMCS_EXIT_QUALIFICATION);

    exit->reason = LOAM_EXIT_CONTROL_REGISTER;
    exit->control.number = info & CONTROL_NUMBER_MASK;
    exit->control.write = (info >> CONTROL_TYPE_SHIFT & 3) == 0;
    exit->control.gpr = info >> CONTROL_GPR_SHIFT & 15;
}

static void decode_nested_fault(struct vp_exit *exit)
{
    uint64_t info = vmread(VMCS_EXIT_QUALIFICATION);

    if ((info & EPT_NMI_UNBLOCKED) && !(vmread(VMCS_VECTORING) & EVENT_VALID))
        mask_nmis();
    exit->reason = LOAM_EXIT_NESTED_FAULT;
    exit->fault.gpa = vmread(VMCS_GUEST_PHYSICAL_ADDRESS);
    exit->fault.mapped = (info & EPT_MAPPED) != 0;
    exit->fault.write = (info & EPT_WRITE) != 0;
    exit->fault.execute = (info & EPT_EXECUTE) != 0;
    exit->fault.table_walk = (info & (EPT_LINEAR_VALID | EPT_FINAL)) == EPT_LINEAR_VALID;
    exit->fault.bytes_count = 0;
}

/*
 * Task switches always exit (26.4.2), after the checks of privilege and of the new TSS's descriptor. The event that met
 * a task gate is the new task's first, so that it must not be injected again. Only instructions have a length.
 */
static void decode_task_switch(struct vp_exit *exit)
{
    uint32_t info = (uint32_t)vmread(VMCS_EXIT_QUALIFICATION), event = (uint32_t)vmread(VMCS_VECTORING);

    exit->reason = LOAM_EXIT_TASK_SWITCH;
    exit->task_switch.selector = info & TASK_SELECTOR_MASK;
    exit->task_switch.source = (uint8_t)(info >> TASK_SOURCE_SHIFT);
    if (exit->task_switch.source != LOAM_TASK_SWITCH_GATE)
        return;
    exit->task_switch.event = event >> EVENT_TYPE_SHIFT & EVENT_TYPE_MASK;
    exit->task_switch.vector = event & EVENT_VECTOR_MASK;
    exit->task_switch.has_error_code = (event & EVENT_ERROR_CODE_VALID) != 0;
    if (exit->task_switch.has_error_code)
        exit->task_switch.error_code = (uint32_t)vmread(VMCS_VECTORING_ERROR);
    if (exit->task_switch.event < HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT)
        exit->instruction_length = 0;
    if (exit->task_switch.event == HV_INTERRUPTION_TYPE_NMI)
        mask_nmis();
}

/* What exits of some reasons say besides them. Kept out of the way of the others. */
static void __attribute__((noinline)) decode_details(uint32_t reason, struct vp_exit *exit)
{
    switch (reason & VMX_EXIT_REASON_MASK) {
    case VMX_EXIT_EXCEPTION_OR_NMI:
        decode_exception(exit);
        break;
    case VMX_EXIT_EXTERNAL_INTERRUPT:
        exit->reason = LOAM_EXIT_EXTERNAL_INTERRUPT;
        break;
    case VMX_EXIT_INIT: /* as an NMI: something of the parent's, which it gets when a child has been left */
        __atomic_store_n(&lp_current()->parent_init, true, __ATOMIC_SEQ_CST);
        exit->reason = LOAM_EXIT_NMI;
        break;
    case VMX_EXIT_TASK_SWITCH:
        decode_task_switch(exit);
        break;
    case VMX_EXIT_VMCALL:
        exit->reason = LOAM_EXIT_HYPERCALL;
        exit->hypercall_allowed = vmx_privilege() == 0 && (vmread(VMCS_GUEST_CR0) & CR0_PE);
        break;
    case VMX_EXIT_IO:
        decode_io(exit);
        break;
    case VMX_EXIT_CONTROL_REGISTER:
        decode_control_register(exit);
        break;
    case VMX_EXIT_EPT_VIOLATION:
        decode_nested_fault(exit);
        break;
    default:
        exit->reason = LOAM_EXIT_OTHER;
        exit->raw = reason;
        break;
    }
}

void vmx_decode_exit(uint32_t reason, struct vp_exit *exit)
{
    exit->instruction_length = vmread(VMCS_EXIT_INSTRUCTION_LENGTH) & 15;
    if (reason < VMX_EXIT_COUNT && reasons[reason] != 0)
        exit->reason = reasons[reason];
    else
        decode_details(reason, exit);
}
