/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw exits of AMD-V made neutral (AMD64 APM vol. 2, 15.6 to 15.14 and appendix C). */
#include <string.h>

#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/svm/svm.h"
#include "kernel/vp.h"

/* Exit codes that need no more than a reason. 0 stands at all others, and at INTR, whose reason it is. */
static const uint8_t reasons[SVM_EXIT_COUNT] = {
    [SVM_EXIT_NMI] = LOAM_EXIT_NMI,
    [SVM_EXIT_INIT] = LOAM_EXIT_TRIPLE_FAULT, /* the board's INIT#: what it resets is the machine */
    [SVM_EXIT_VINTR] = LOAM_EXIT_INTERRUPT_WINDOW,
    [SVM_EXIT_RDPMC] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [SVM_EXIT_CPUID] = LOAM_EXIT_CPUID,
    [SVM_EXIT_INVD] = LOAM_EXIT_CACHE,
    [SVM_EXIT_PAUSE] = LOAM_EXIT_PAUSE,
    [SVM_EXIT_HLT] = LOAM_EXIT_HLT,
    [SVM_EXIT_INVLPGA] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [SVM_EXIT_SHUTDOWN] = LOAM_EXIT_TRIPLE_FAULT,
    [SVM_EXIT_VMRUN] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [SVM_EXIT_VMLOAD... SVM_EXIT_SKINIT] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [SVM_EXIT_WBINVD] = LOAM_EXIT_CACHE,
    [SVM_EXIT_MONITOR... SVM_EXIT_MWAIT_ARMED] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
    [SVM_EXIT_XSETBV] = LOAM_EXIT_XSETBV,
    [SVM_EXIT_RDPRU] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION, /* CPUID does not show it: #UD */
    [SVM_EXIT_INVLPGB... SVM_EXIT_TLBSYNC] = LOAM_EXIT_VIRTUALIZATION_INSTRUCTION,
};

/* Error codes come with these exceptions. */
#define ERROR_CODE_EXCEPTIONS (1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17 | 1u << 21)

static void decode_exception(struct vmcb *vmcb, uint32_t code, struct vp_exit *exit)
{
    uint8_t vector = (uint8_t)(code - SVM_EXIT_EXCEPTION);

    if (vector == EXCEPTION_DB && vmcb->software.nmi_stepping) {
        svm_iret_stepped(vmcb);
        exit->reason = LOAM_EXIT_INTERRUPT_WINDOW;
        return;
    }
    exit->reason = LOAM_EXIT_EXCEPTION;
    exit->exception.vector = vector;
    exit->exception.has_error_code = (ERROR_CODE_EXCEPTIONS >> vector & 1) != 0;
    exit->exception.error_code = (uint32_t)vmcb->exit_info1;
    exit->exception.address = vmcb->exit_info2;
}

/* A string OUT reads DS unless a prefix says otherwise; processors without decode assists do not tell. */
static uint8_t __attribute__((noinline)) string_segment(struct vp *vp)
{
    uint8_t bytes[15], segment = VP_DS;
    unsigned count = guest_fetch_instruction(vp, bytes);

    for (unsigned i = 0; i < count; i++) {
        switch (bytes[i]) {
        case 0x26:
            segment = VP_ES;
            break;
        case 0x2E:
            segment = VP_CS;
            break;
        case 0x36:
            segment = VP_SS;
            break;
        case 0x3E:
            segment = VP_DS;
            break;
        case 0x64:
            segment = VP_FS;
            break;
        case 0x65:
            segment = VP_GS;
            break;
        case 0x66:
        case 0x67:
        case 0xF0:
        case 0xF2:
        case 0xF3:
            break;
        default:
            return segment;
        }
    }
    return segment;
}

static void decode_io(struct vp *vp, struct vmcb *vmcb, struct vp_exit *exit)
{
    uint32_t info = (uint32_t)vmcb->exit_info1;

    exit->reason = LOAM_EXIT_IO_PORT;
    exit->instruction_length = (uint8_t)(vmcb->exit_info2 - vmcb->rip);
    exit->io.port = (uint16_t)(info >> IOIO_PORT_SHIFT);
    exit->io.size = info >> IOIO_SIZE_SHIFT & 7;
    exit->io.in = (info & IOIO_IN) != 0;
    exit->io.string = (info & IOIO_STRING) != 0;
    exit->io.rep = (info & IOIO_REP) != 0;
    exit->io.segment = VP_ES;
    if (exit->io.string && !exit->io.in)
        exit->io.segment = svm_has_decode_assists() ? info >> IOIO_SEGMENT_SHIFT & 7 : string_segment(vp);
}

static void decode_nested_fault(struct vmcb *vmcb, struct vp_exit *exit)
{
    uint64_t info = vmcb->exit_info1;

    exit->reason = LOAM_EXIT_NESTED_FAULT;
    exit->fault.gpa = vmcb->exit_info2;
    exit->fault.mapped = (info & NESTED_FAULT_PRESENT) != 0;
    exit->fault.write = (info & NESTED_FAULT_WRITE) != 0;
    exit->fault.execute = (info & NESTED_FAULT_EXECUTE) != 0;
    exit->fault.table_walk = (info & NESTED_FAULT_TABLE_WALK) != 0;
    exit->fault.bytes_count = svm_has_decode_assists() ? vmcb->bytes_count & 15 : 0;
    if (exit->fault.bytes_count > 0)
        memcpy(exit->fault.bytes, vmcb->bytes, sizeof exit->fault.bytes);
}

/* The general register of MOV CRn: what decode assists would say (15.8.1). Prefixes, then 0F 20 or 0F 22, then ModRM.
 */
static uint8_t __attribute__((noinline)) control_register_operand(struct vp *vp)
{
    uint8_t bytes[15], rex = 0;
    unsigned count = guest_fetch_instruction(vp, bytes);

    for (unsigned i = 0; i + 2 < count; i++) {
        if (bytes[i] == 0x0F)
            return (bytes[i + 2] & 7) | (rex & 1) << 3;
        rex = (bytes[i] & 0xF0) == 0x40 ? bytes[i] : 0;
    }
    return 0;
}

static void decode_control_register(struct vp *vp, struct vmcb *vmcb, uint32_t code, struct vp_exit *exit)
{
    exit->reason = LOAM_EXIT_CONTROL_REGISTER;
    exit->control.number = code & 15;
    exit->control.write = code >= SVM_EXIT_CR0_WRITE;
    exit->control.gpr = svm_has_decode_assists() ? vmcb->exit_info1 & 15 : control_register_operand(vp);
}

/* What exits of some codes say besides their reason. Kept out of the way of the others. */
static void __attribute__((noinline))
decode_details(struct vp *vp, struct vmcb *vmcb, uint32_t code, struct vp_exit *exit)
{
    if (code == SVM_EXIT_IOIO) {
        decode_io(vp, vmcb, exit);
    } else if (code == SVM_EXIT_VMMCALL) {
        exit->reason = LOAM_EXIT_HYPERCALL;
        exit->hypercall_allowed = vmcb->cpl == 0 && (vmcb->cr0 & CR0_PE);
    } else if (code == SVM_EXIT_MSR) {
        exit->reason = vmcb->exit_info1 & 1 ? LOAM_EXIT_MSR_WRITE : LOAM_EXIT_MSR_READ;
    } else if (code >= SVM_EXIT_EXCEPTION && code <= SVM_EXIT_EXCEPTION_LAST) {
        decode_exception(vmcb, code, exit);
    } else if (code == SVM_EXIT_IRET) {
        svm_iret_reached(vmcb);
        exit->reason = LOAM_EXIT_INTERRUPT_WINDOW;
    } else if (code < SVM_EXIT_EXCEPTION) {
        decode_control_register(vp, vmcb, code, exit);
    } else if (code == SVM_EXIT_INTR) {
        exit->reason = LOAM_EXIT_EXTERNAL_INTERRUPT;
    } else {
        exit->reason = code == SVM_EXIT_INVALID ? LOAM_EXIT_INVALID_STATE : LOAM_EXIT_OTHER;
        exit->raw = vmcb->exit_code;
        exit->refused = NULL;
    }
}

/* Of the intercepted instruction, from processors that say where the next one is; 0: not known. */
static uint8_t next_rip_length(const struct vmcb *vmcb)
{
    uint64_t length;

    if (!svm_has_next_rip())
        return 0;
    length = vmcb->next_rip - vmcb->rip;
    return length <= 15 ? (uint8_t)length : 0;
}

void svm_decode_exit(struct vp *vp, struct vmcb *vmcb, struct vp_exit *exit)
{
    uint32_t code = (uint32_t)vmcb->exit_code;

    exit->instruction_length = next_rip_length(vmcb);
    if (code < SVM_EXIT_COUNT && reasons[code] != 0)
        exit->reason = reasons[code];
    else if (code == SVM_EXIT_NESTED_PAGE_FAULT)
        decode_nested_fault(vmcb, exit);
    else
        decode_details(vp, vmcb, code, exit);
}
