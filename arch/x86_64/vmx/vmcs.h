/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virtual-machine control structure of VT-x (SDM vol. 3C, chapters 25 to 28 and appendix B). */
#ifndef ARCH_VMX_VMCS_H
#define ARCH_VMX_VMCS_H

#include "hv/types.h"

enum vmcs_field {
    VMCS_VPID = 0x0000,
    VMCS_GUEST_ES_SELECTOR = 0x0800, /* ES CS SS DS FS GS LDTR TR, two apart, as all segment fields */
    VMCS_GUEST_TR_SELECTOR = 0x080E,
    VMCS_HOST_ES_SELECTOR = 0x0C00,
    VMCS_HOST_CS_SELECTOR = 0x0C02,
    VMCS_HOST_SS_SELECTOR = 0x0C04,
    VMCS_HOST_DS_SELECTOR = 0x0C06,
    VMCS_HOST_FS_SELECTOR = 0x0C08,
    VMCS_HOST_GS_SELECTOR = 0x0C0A,
    VMCS_HOST_TR_SELECTOR = 0x0C0C,
    VMCS_IO_BITMAP_A = 0x2000,
    VMCS_IO_BITMAP_B = 0x2002,
    VMCS_MSR_BITMAP = 0x2004,
    VMCS_TSC_OFFSET = 0x2010,
    VMCS_VIRTUAL_APIC_PAGE = 0x2012,
    VMCS_EPT_POINTER = 0x201A,
    VMCS_XSS_EXIT_BITMAP = 0x202C,
    VMCS_ENCLS_EXIT_BITMAP = 0x202E,
    VMCS_ENCLV_EXIT_BITMAP = 0x2036,
    VMCS_GUEST_PHYSICAL_ADDRESS = 0x2400,
    VMCS_LINK_POINTER = 0x2800,
    VMCS_GUEST_DEBUGCTL = 0x2802,
    VMCS_GUEST_PAT = 0x2804,
    VMCS_GUEST_EFER = 0x2806,
    VMCS_GUEST_PDPTE0 = 0x280A, /* four, two apart */
    VMCS_HOST_PAT = 0x2C00,
    VMCS_HOST_EFER = 0x2C02,
    VMCS_PIN_CONTROLS = 0x4000,
    VMCS_PROCESSOR_CONTROLS = 0x4002,
    VMCS_EXCEPTION_BITMAP = 0x4004,
    VMCS_PAGE_FAULT_MASK = 0x4006,
    VMCS_PAGE_FAULT_MATCH = 0x4008,
    VMCS_CR3_TARGET_COUNT = 0x400A,
    VMCS_EXIT_CONTROLS = 0x400C,
    VMCS_EXIT_MSR_STORE_COUNT = 0x400E,
    VMCS_EXIT_MSR_LOAD_COUNT = 0x4010,
    VMCS_ENTRY_CONTROLS = 0x4012,
    VMCS_ENTRY_MSR_LOAD_COUNT = 0x4014,
    VMCS_ENTRY_INTERRUPTION = 0x4016,
    VMCS_ENTRY_ERROR_CODE = 0x4018,
    VMCS_ENTRY_INSTRUCTION_LENGTH = 0x401A,
    VMCS_TPR_THRESHOLD = 0x401C,
    VMCS_SECONDARY_CONTROLS = 0x401E,
    VMCS_INSTRUCTION_ERROR = 0x4400,
    VMCS_EXIT_REASON = 0x4402,
    VMCS_EXIT_INTERRUPTION = 0x4404,
    VMCS_EXIT_INTERRUPTION_ERROR = 0x4406,
    VMCS_VECTORING = 0x4408,
    VMCS_VECTORING_ERROR = 0x440A,
    VMCS_EXIT_INSTRUCTION_LENGTH = 0x440C,
    VMCS_EXIT_INSTRUCTION = 0x440E,
    VMCS_GUEST_ES_LIMIT = 0x4800, /* ES .. TR, then GDTR and IDTR */
    VMCS_GUEST_ES_ACCESS = 0x4814,
    VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
    VMCS_GUEST_ACTIVITY = 0x4826,
    VMCS_GUEST_SYSENTER_CS = 0x482A,
    VMCS_PREEMPTION_TIMER = 0x482E,
    VMCS_HOST_SYSENTER_CS = 0x4C00,
    VMCS_CR0_MASK = 0x6000,
    VMCS_CR4_MASK = 0x6002,
    VMCS_CR0_SHADOW = 0x6004,
    VMCS_CR4_SHADOW = 0x6006,
    VMCS_EXIT_QUALIFICATION = 0x6400,
    VMCS_GUEST_CR0 = 0x6800,
    VMCS_GUEST_CR3 = 0x6802,
    VMCS_GUEST_CR4 = 0x6804,
    VMCS_GUEST_ES_BASE = 0x6806, /* ES .. TR, then GDTR and IDTR */
    VMCS_GUEST_DR7 = 0x681A,
    VMCS_GUEST_RSP = 0x681C,
    VMCS_GUEST_RIP = 0x681E,
    VMCS_GUEST_RFLAGS = 0x6820,
    VMCS_GUEST_PENDING_DEBUG = 0x6822,
    VMCS_GUEST_SYSENTER_ESP = 0x6824,
    VMCS_GUEST_SYSENTER_EIP = 0x6826,
    VMCS_HOST_CR0 = 0x6C00,
    VMCS_HOST_CR3 = 0x6C02,
    VMCS_HOST_CR4 = 0x6C04,
    VMCS_HOST_FS_BASE = 0x6C06,
    VMCS_HOST_GS_BASE = 0x6C08,
    VMCS_HOST_TR_BASE = 0x6C0A,
    VMCS_HOST_GDTR_BASE = 0x6C0C,
    VMCS_HOST_IDTR_BASE = 0x6C0E,
    VMCS_HOST_SYSENTER_ESP = 0x6C10,
    VMCS_HOST_SYSENTER_EIP = 0x6C12,
    VMCS_HOST_RSP = 0x6C14, /* enter.asm writes it */
    VMCS_HOST_RIP = 0x6C16,
};

/* Pin-based controls (25.6.1) */
#define PIN_EXTERNAL_INTERRUPT_EXITING (1u << 0)
#define PIN_NMI_EXITING                (1u << 3)
#define PIN_VIRTUAL_NMIS               (1u << 5)
#define PIN_PREEMPTION_TIMER           (1u << 6)

/* Primary processor-based controls (25.6.2) */
#define PROCESSOR_INTERRUPT_WINDOW  (1u << 2)
#define PROCESSOR_TSC_OFFSETTING    (1u << 3)
#define PROCESSOR_HLT_EXITING       (1u << 7)
#define PROCESSOR_MWAIT_EXITING     (1u << 10)
#define PROCESSOR_RDPMC_EXITING     (1u << 11)
#define PROCESSOR_CR3_LOAD_EXITING  (1u << 15)
#define PROCESSOR_CR3_STORE_EXITING (1u << 16)
#define PROCESSOR_TPR_SHADOW        (1u << 21)
#define PROCESSOR_NMI_WINDOW        (1u << 22)
#define PROCESSOR_UNCONDITIONAL_IO  (1u << 24)
#define PROCESSOR_MSR_BITMAPS       (1u << 28)
#define PROCESSOR_MONITOR_EXITING   (1u << 29)
#define PROCESSOR_SECONDARY         (1u << 31)

/* Secondary processor-based controls (25.6.2) */
#define SECONDARY_EPT                (1u << 1)
#define SECONDARY_RDTSCP             (1u << 3)
#define SECONDARY_VPID               (1u << 5)
#define SECONDARY_WBINVD_EXITING     (1u << 6)
#define SECONDARY_UNRESTRICTED_GUEST (1u << 7)
#define SECONDARY_INVPCID            (1u << 12)
#define SECONDARY_ENCLS_EXITING      (1u << 15)
#define SECONDARY_XSAVES             (1u << 20)
#define SECONDARY_USER_WAIT          (1u << 26) /* TPAUSE, UMONITOR, UMWAIT */
#define SECONDARY_PCONFIG            (1u << 27)
#define SECONDARY_ENCLV_EXITING      (1u << 28)

/* Exit controls (25.7.1) */
#define EXIT_SAVE_DEBUG  (1u << 2)
#define EXIT_HOST_64_BIT (1u << 9)
#define EXIT_SAVE_PAT    (1u << 18)
#define EXIT_LOAD_PAT    (1u << 19)
#define EXIT_SAVE_EFER   (1u << 20)
#define EXIT_LOAD_EFER   (1u << 21)

/* Entry controls (25.8.1) */
#define ENTRY_LOAD_DEBUG (1u << 2)
#define ENTRY_LONG_MODE  (1u << 9) /* "IA-32e mode guest" */
#define ENTRY_LOAD_PAT   (1u << 14)
#define ENTRY_LOAD_EFER  (1u << 15)

/* Event in VMCS_ENTRY_INTERRUPTION, _EXIT_INTERRUPTION and _VECTORING; the types are the TLFS's */
#define EVENT_VECTOR_MASK      0xFFu
#define EVENT_TYPE_SHIFT       8
#define EVENT_TYPE_MASK        7u
#define EVENT_ERROR_CODE_VALID (1u << 11)
#define EVENT_NMI_UNBLOCKED    (1u << 12) /* of _EXIT_INTERRUPTION: the exit undid what an IRET had done */
#define EVENT_VALID            (1u << 31)

/* VMCS_GUEST_INTERRUPTIBILITY (25.4.2) */
#define BLOCKING_BY_STI    (1u << 0)
#define BLOCKING_BY_MOV_SS (1u << 1)
#define BLOCKING_BY_NMI    (1u << 3)

/* VMCS_GUEST_ACTIVITY */
#define ACTIVITY_ACTIVE        0u
#define ACTIVITY_HALTED        1u
#define ACTIVITY_WAIT_FOR_SIPI 3u

#define PENDING_DEBUG_BS (1u << 14)

/* Access rights beyond a descriptor's bits (25.4.1) */
#define ACCESS_UNUSABLE (1u << 16)

/* Exit qualifications (28.2.1) */
#define IO_SIZE_MASK        7u /* size - 1 */
#define IO_IN               (1u << 3)
#define IO_STRING           (1u << 4)
#define IO_REP              (1u << 5)
#define IO_PORT_SHIFT       16
#define IO_SEGMENT_SHIFT    15 /* of VMCS_EXIT_INSTRUCTION, table 28-8 */
#define CONTROL_NUMBER_MASK 15u
#define CONTROL_TYPE_SHIFT  4 /* 0 to CR, 1 from CR, 2 CLTS, 3 LMSW */
#define CONTROL_GPR_SHIFT   8
#define TASK_SELECTOR_MASK  0xFFFFu
#define TASK_SOURCE_SHIFT   30
#define EPT_READ            (1u << 0)
#define EPT_WRITE           (1u << 1)
#define EPT_EXECUTE         (1u << 2)
#define EPT_MAPPED          (7u << 3) /* readable, writable or executable */
#define EPT_LINEAR_VALID    (1u << 7)
#define EPT_FINAL           (1u << 8) /* not of the walk of the guest's own tables */
#define EPT_NMI_UNBLOCKED   (1u << 12)

enum vmx_exit {
    VMX_EXIT_EXCEPTION_OR_NMI = 0,
    VMX_EXIT_EXTERNAL_INTERRUPT = 1,
    VMX_EXIT_TRIPLE_FAULT = 2,
    VMX_EXIT_INIT = 3,
    VMX_EXIT_SIPI = 4,
    VMX_EXIT_INTERRUPT_WINDOW = 7,
    VMX_EXIT_NMI_WINDOW = 8,
    VMX_EXIT_TASK_SWITCH = 9,
    VMX_EXIT_CPUID = 10,
    VMX_EXIT_GETSEC = 11,
    VMX_EXIT_HLT = 12,
    VMX_EXIT_INVD = 13,
    VMX_EXIT_RDPMC = 15,
    VMX_EXIT_RSM = 17,
    VMX_EXIT_VMCALL = 18,
    VMX_EXIT_VMCLEAR = 19,
    VMX_EXIT_VMXON = 27,
    VMX_EXIT_CONTROL_REGISTER = 28,
    VMX_EXIT_IO = 30,
    VMX_EXIT_RDMSR = 31,
    VMX_EXIT_WRMSR = 32,
    VMX_EXIT_INVALID_STATE = 33,
    VMX_EXIT_MSR_LOADING = 34,
    VMX_EXIT_MWAIT = 36,
    VMX_EXIT_MONITOR = 39,
    VMX_EXIT_PAUSE = 40,
    VMX_EXIT_MACHINE_CHECK_ON_ENTRY = 41,
    VMX_EXIT_TPR_BELOW_THRESHOLD = 43,
    VMX_EXIT_EPT_VIOLATION = 48,
    VMX_EXIT_EPT_MISCONFIGURATION = 49,
    VMX_EXIT_INVEPT = 50,
    VMX_EXIT_PREEMPTION_TIMER = 52,
    VMX_EXIT_INVVPID = 53,
    VMX_EXIT_WBINVD = 54,
    VMX_EXIT_XSETBV = 55,
    VMX_EXIT_ENCLS = 60,
    VMX_EXIT_ENCLV = 70,
    VMX_EXIT_SEAMCALL = 76,
    VMX_EXIT_TDCALL = 77,
    VMX_EXIT_COUNT,
};
#define VMX_EXIT_REASON_MASK  0xFFFFu
#define VMX_EXIT_ENTRY_FAILED (1u << 31)

/* Capability MSRs (appendix A) */
#define MSR_VMX_BASIC      0x480u
#define MSR_VMX_CR0_FIXED0 0x486u
#define MSR_VMX_CR0_FIXED1 0x487u
#define MSR_VMX_CR4_FIXED0 0x488u
#define MSR_VMX_CR4_FIXED1 0x489u
#define MSR_VMX_MISC       0x485u
#define MSR_VMX_SECONDARY  0x48Bu
#define MSR_VMX_EPT_VPID   0x48Cu
#define MSR_VMX_TRUE_PIN   0x48Du /* then processor, exit, entry */

#define VMX_BASIC_REVISION_MASK           0x7FFFFFFFu
#define VMX_BASIC_INSTRUCTION_INFORMATION (1ull << 54)
#define VMX_BASIC_TRUE_CONTROLS           (1ull << 55)

#define VMX_MISC_TIMER_SHIFT     0x1Full
#define VMX_MISC_PROCESSOR_TRACE (1ull << 14) /* may be used in VMX operation */
#define VMX_MISC_WAIT_FOR_SIPI   (1ull << 8)

#define EPT_VPID_WALK_4         (1ull << 6)
#define EPT_VPID_WRITE_BACK     (1ull << 14)
#define EPT_VPID_2M             (1ull << 16)
#define EPT_VPID_1G             (1ull << 17)
#define EPT_VPID_INVEPT         (1ull << 20)
#define EPT_VPID_ACCESSED_DIRTY (1ull << 21)
#define EPT_VPID_INVEPT_SINGLE  (1ull << 25)
#define EPT_VPID_INVEPT_ALL     (1ull << 26)
#define EPT_VPID_INVVPID        (1ull << 32)
#define EPT_VPID_INVVPID_SINGLE (1ull << 41)

/* EPT pointer (25.6.11) and entries (29.3.2) */
#define EPT_POINTER_WALK_4         (3ull << 3)
#define EPT_POINTER_WRITE_BACK     6ull
#define EPT_POINTER_ACCESSED_DIRTY (1ull << 6)

#endif
