/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names and layouts of virtual processor registers (TLFS 7.9; HV_REGISTER_NAME). */
#ifndef HV_REGISTERS_H
#define HV_REGISTERS_H

#include "types.h"

enum hv_register_name {
    HV_REGISTER_EXPLICIT_SUSPEND = 0x00000000,
    HV_REGISTER_INTERCEPT_SUSPEND = 0x00000001,
    HV_REGISTER_INSTRUCTION_EMULATION_HINTS = 0x00000002,
    HV_REGISTER_DISPATCH_SUSPEND = 0x00000003,
    HV_REGISTER_INTERNAL_ACTIVITY_STATE = 0x00000004,
    HV_REGISTER_HYPERVISOR_VERSION = 0x00000100,
    HV_REGISTER_PENDING_INTERRUPTION = 0x00010002,
    HV_REGISTER_INTERRUPT_STATE = 0x00010003,
    HV_REGISTER_PENDING_EVENT0 = 0x00010004,
    HV_REGISTER_PENDING_EVENT1 = 0x00010005,
    HV_REGISTER_DELIVERABILITY_NOTIFICATIONS = 0x00010006,
    HV_REGISTER_PENDING_DEBUG_EXCEPTION = 0x00010007,

    HV_X64_REGISTER_RAX = 0x00020000,
    HV_X64_REGISTER_RCX = 0x00020001,
    HV_X64_REGISTER_RDX = 0x00020002,
    HV_X64_REGISTER_RBX = 0x00020003,
    HV_X64_REGISTER_RSP = 0x00020004,
    HV_X64_REGISTER_RBP = 0x00020005,
    HV_X64_REGISTER_RSI = 0x00020006,
    HV_X64_REGISTER_RDI = 0x00020007,
    HV_X64_REGISTER_R8 = 0x00020008,
    HV_X64_REGISTER_R15 = 0x0002000F,
    HV_X64_REGISTER_RIP = 0x00020010,
    HV_X64_REGISTER_RFLAGS = 0x00020011,

    HV_X64_REGISTER_XMM0 = 0x00030000,
    HV_X64_REGISTER_XMM15 = 0x0003000F,
    HV_X64_REGISTER_FP_MMX0 = 0x00030010,
    HV_X64_REGISTER_FP_MMX7 = 0x00030017,
    HV_X64_REGISTER_FP_CONTROL_STATUS = 0x00030018,
    HV_X64_REGISTER_XMM_CONTROL_STATUS = 0x00030019,

    HV_X64_REGISTER_CR0 = 0x00040000,
    HV_X64_REGISTER_CR2 = 0x00040001,
    HV_X64_REGISTER_CR3 = 0x00040002,
    HV_X64_REGISTER_CR4 = 0x00040003,
    HV_X64_REGISTER_CR8 = 0x00040004,
    HV_X64_REGISTER_XFEM = 0x00040005,

    HV_X64_REGISTER_DR0 = 0x00050000,
    HV_X64_REGISTER_DR1 = 0x00050001,
    HV_X64_REGISTER_DR2 = 0x00050002,
    HV_X64_REGISTER_DR3 = 0x00050003,
    HV_X64_REGISTER_DR6 = 0x00050004,
    HV_X64_REGISTER_DR7 = 0x00050005,

    HV_X64_REGISTER_ES = 0x00060000,
    HV_X64_REGISTER_CS = 0x00060001,
    HV_X64_REGISTER_SS = 0x00060002,
    HV_X64_REGISTER_DS = 0x00060003,
    HV_X64_REGISTER_FS = 0x00060004,
    HV_X64_REGISTER_GS = 0x00060005,
    HV_X64_REGISTER_LDTR = 0x00060006,
    HV_X64_REGISTER_TR = 0x00060007,
    HV_X64_REGISTER_IDTR = 0x00070000,
    HV_X64_REGISTER_GDTR = 0x00070001,

    HV_X64_REGISTER_TSC = 0x00080000,
    HV_X64_REGISTER_EFER = 0x00080001,
    HV_X64_REGISTER_KERNEL_GS_BASE = 0x00080002,
    HV_X64_REGISTER_APIC_BASE = 0x00080003,
    HV_X64_REGISTER_PAT = 0x00080004,
    HV_X64_REGISTER_SYSENTER_CS = 0x00080005,
    HV_X64_REGISTER_SYSENTER_EIP = 0x00080006,
    HV_X64_REGISTER_SYSENTER_ESP = 0x00080007,
    HV_X64_REGISTER_STAR = 0x00080008,
    HV_X64_REGISTER_LSTAR = 0x00080009,
    HV_X64_REGISTER_CSTAR = 0x0008000A,
    HV_X64_REGISTER_SFMASK = 0x0008000B,
    HV_X64_REGISTER_INITIAL_APIC_ID = 0x0008000C,
    HV_X64_REGISTER_MTRR_CAP = 0x0008000D,
    HV_X64_REGISTER_MTRR_DEF_TYPE = 0x0008000E,
    HV_X64_REGISTER_MTRR_PHYS_BASE0 = 0x00080010,
    HV_X64_REGISTER_MTRR_PHYS_BASEF = 0x0008001F,
    HV_X64_REGISTER_MTRR_PHYS_MASK0 = 0x00080040,
    HV_X64_REGISTER_MTRR_PHYS_MASKF = 0x0008004F,
    HV_X64_REGISTER_MTRR_FIX64K00000 = 0x00080070,
    HV_X64_REGISTER_MTRR_FIX4KF8000 = 0x0008007A,
    HV_X64_REGISTER_TSC_AUX = 0x0008007B,
    HV_X64_REGISTER_BNDCFGS = 0x0008007C,
    HV_X64_REGISTER_DEBUG_CTL = 0x0008007D,
    HV_X64_REGISTER_SPEC_CTRL = 0x00080084,
    HV_X64_REGISTER_PRED_CMD = 0x00080085,
    HV_X64_REGISTER_VIRT_SPEC_CTRL = 0x00080086,
    HV_X64_REGISTER_U_XSS = 0x0008008B,
    HV_X64_REGISTER_TSC_ADJUST = 0x00080096,
    HV_X64_REGISTER_MISC_ENABLE = 0x000800A0,

    HV_REGISTER_VP_RUNTIME = 0x00090000,
    HV_REGISTER_HYPERCALL = 0x00090001,
    HV_REGISTER_GUEST_OS_ID = 0x00090002,
    HV_REGISTER_VP_INDEX = 0x00090003,
    HV_REGISTER_TIME_REF_COUNT = 0x00090004,
    HV_REGISTER_VP_ASSIST_PAGE = 0x00090013,
    HV_REGISTER_REFERENCE_TSC = 0x00090017,
    HV_REGISTER_SINT0 = 0x000A0000,
    HV_REGISTER_SINT15 = 0x000A000F,
    HV_REGISTER_SCONTROL = 0x000A0010,
    HV_REGISTER_SVERSION = 0x000A0011,
    HV_REGISTER_SIEFP = 0x000A0012,
    HV_REGISTER_SIMP = 0x000A0013,
};

/* HV_REGISTER_INTERNAL_ACTIVITY_STATE */
#define HV_ACTIVITY_STARTUP_SUSPEND 0x1u
#define HV_ACTIVITY_HALT_SUSPEND 0x2u

/* Segment attributes: [3:0] type, 4 S, [6:5] DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G. Not present: unusable. */
struct hv_x64_segment_register {
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint16_t attributes;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_x64_segment_register, 16);

#define HV_SEGMENT_TYPE_MASK 0x000Fu
#define HV_SEGMENT_S 0x0010u
#define HV_SEGMENT_DPL_SHIFT 5
#define HV_SEGMENT_P 0x0080u
#define HV_SEGMENT_L 0x2000u
#define HV_SEGMENT_DB 0x4000u
#define HV_SEGMENT_G 0x8000u

struct hv_x64_table_register {
    uint16_t padding[3];
    uint16_t limit;
    uint64_t base;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_x64_table_register, 16);

/* HV_REGISTER_PENDING_INTERRUPTION */
#define HV_PENDING_INTERRUPTION_PENDING 0x1ull
#define HV_PENDING_INTERRUPTION_TYPE_SHIFT 1
#define HV_PENDING_INTERRUPTION_TYPE_MASK 0x7u
#define HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE 0x10ull
#define HV_PENDING_INTERRUPTION_LENGTH_SHIFT 5
#define HV_PENDING_INTERRUPTION_VECTOR_SHIFT 16
#define HV_PENDING_INTERRUPTION_ERROR_CODE_SHIFT 32
enum hv_pending_interruption_type {
    HV_INTERRUPTION_TYPE_EXTERNAL = 0,
    HV_INTERRUPTION_TYPE_NMI = 2,
    HV_INTERRUPTION_TYPE_EXCEPTION = 3,
    HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT = 4,
    HV_INTERRUPTION_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION = 5,
    HV_INTERRUPTION_TYPE_SOFTWARE_EXCEPTION = 6,
};

/* An event without an error code. */
static inline uint64_t hv_pending_interruption(enum hv_pending_interruption_type type, unsigned vector)
{
    return HV_PENDING_INTERRUPTION_PENDING | (uint64_t)type << HV_PENDING_INTERRUPTION_TYPE_SHIFT |
           (uint64_t)vector << HV_PENDING_INTERRUPTION_VECTOR_SHIFT;
}
static inline enum hv_pending_interruption_type hv_pending_interruption_type(uint64_t event)
{
    return event >> HV_PENDING_INTERRUPTION_TYPE_SHIFT & HV_PENDING_INTERRUPTION_TYPE_MASK;
}

/* HV_REGISTER_PENDING_EVENT0: the low half; the high half is the parameter (#PF: CR2, #DB: bits of DR6). */
#define HV_PENDING_EVENT_PENDING 0x1ull
#define HV_PENDING_EVENT_TYPE_SHIFT 1 /* 3 bits; 0 = exception */
#define HV_PENDING_EVENT_DELIVER_ERROR_CODE 0x100ull
#define HV_PENDING_EVENT_VECTOR_SHIFT 16
#define HV_PENDING_EVENT_ERROR_CODE_SHIFT 32

/* HV_REGISTER_INTERRUPT_STATE */
#define HV_INTERRUPT_STATE_SHADOW 0x1ull
#define HV_INTERRUPT_STATE_NMI_MASKED 0x2ull

/* HV_REGISTER_DELIVERABILITY_NOTIFICATIONS */
#define HV_DELIVERABILITY_NMI 0x1ull
#define HV_DELIVERABILITY_INTERRUPT 0x2ull
#define HV_DELIVERABILITY_PRIORITY_SHIFT 2
#define HV_DELIVERABILITY_PRIORITY_MASK 0xFu

struct hv_x64_fp_control_status {
    uint16_t fp_control;
    uint16_t fp_status;
    uint8_t fp_tag;
    uint8_t reserved;
    uint16_t last_fp_op;
    uint64_t last_fp_rip;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_x64_fp_control_status, 16);

struct hv_x64_xmm_control_status {
    uint64_t last_fp_rdp;
    uint32_t xmm_status_control;
    uint32_t xmm_status_control_mask;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_x64_xmm_control_status, 16);

/* The local APIC's state as GET/SET_VP_STATE moves it (HV_VP_STATE_LAPIC). Every field in xAPIC register format. */
struct hv_local_interrupt_controller_state {
    uint32_t apic_id;
    uint32_t apic_version;
    uint32_t apic_ldr;
    uint32_t apic_dfr;
    uint32_t apic_spurious;
    uint32_t apic_isr[8];
    uint32_t apic_tmr[8];
    uint32_t apic_irr[8];
    uint32_t apic_esr;
    uint32_t apic_icr_high;
    uint32_t apic_icr_low;
    uint32_t apic_lvt_timer;
    uint32_t apic_lvt_thermal;
    uint32_t apic_lvt_perfmon;
    uint32_t apic_lvt_lint0;
    uint32_t apic_lvt_lint1;
    uint32_t apic_lvt_error;
    uint32_t apic_lvt_cmci;
    uint32_t apic_error_status;
    uint32_t apic_initial_count;
    uint32_t apic_counter_value;
    uint32_t apic_divide_configuration;
    uint32_t apic_remote_read;
} HV_PACKED;
HV_ASSERT_SIZE(struct hv_local_interrupt_controller_state, 176);

/* dirty classes of the register page */
#define HV_REGISTER_PAGE_DIRTY_GP 0x01u
#define HV_REGISTER_PAGE_DIRTY_IP 0x02u
#define HV_REGISTER_PAGE_DIRTY_XMM 0x04u
#define HV_REGISTER_PAGE_DIRTY_SEGMENT 0x08u
#define HV_REGISTER_PAGE_DIRTY_FLAGS 0x10u
#define HV_VP_REGISTER_PAGE_VERSION 1

/* One page, shared with the parent while the VP does not run (HV_VP_STATE_PAGE_REGISTERS). */
struct hv_vp_register_page {
    uint16_t version;
    uint8_t isvalid;
    uint8_t reserved0;
    uint32_t dirty;
    uint64_t gp_registers[16]; /* RAX RCX RDX RBX RSP RBP RSI RDI R8..R15 */
    uint64_t rip;
    uint64_t rflags;
    uint64_t reserved1;
    union {
        uint8_t bytes[16];
        uint64_t words[2];
    } xmm[6];
    struct hv_x64_segment_register segment[6]; /* ES CS SS DS FS GS */
    uint64_t cr0;
    uint64_t cr3;
    uint64_t cr4;
    uint64_t cr8;
    uint64_t efer;
    uint64_t dr7;
    uint64_t pending_interruption;
    uint64_t interrupt_state;
    uint64_t instruction_emulation_hints;
    uint64_t xfem;
    uint8_t reserved2[0x100];
    uint8_t vector_count;
    uint8_t vectors[7];
} HV_PACKED;
HV_ASSERT_OFFSET(struct hv_vp_register_page, rip, 0x88);
HV_ASSERT_OFFSET(struct hv_vp_register_page, xmm, 0xA0);
HV_ASSERT_OFFSET(struct hv_vp_register_page, segment, 0x100);
HV_ASSERT_OFFSET(struct hv_vp_register_page, cr0, 0x160);
HV_ASSERT_OFFSET(struct hv_vp_register_page, xfem, 0x1A8);
HV_ASSERT_OFFSET(struct hv_vp_register_page, vector_count, 0x2B0);

#endif
