/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virtual machine control block and the constants of AMD-V (AMD64 APM vol. 2, chapter 15 and appendix B). */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include "hv/types.h"

/* Appendix B.1, offset 00Ch: intercepts, vector 3 */
#define INTERCEPT_INTR     (1u << 0)
#define INTERCEPT_NMI      (1u << 1)
#define INTERCEPT_INIT     (1u << 3)
#define INTERCEPT_VINTR    (1u << 4)
#define INTERCEPT_RDPMC    (1u << 15)
#define INTERCEPT_CPUID    (1u << 18)
#define INTERCEPT_IRET     (1u << 20)
#define INTERCEPT_INVD     (1u << 22)
#define INTERCEPT_HLT      (1u << 24)
#define INTERCEPT_INVLPGA  (1u << 26)
#define INTERCEPT_IOIO     (1u << 27)
#define INTERCEPT_MSR      (1u << 28)
#define INTERCEPT_SHUTDOWN (1u << 31)

/* offset 000h and 002h: reads and writes of CR0 to CR15 */
#define INTERCEPT_CR4 (1u << 4)
#define INTERCEPT_CR8 (1u << 8)

/* offset 010h: intercepts, vector 4 */
#define INTERCEPT_WBINVD           (1u << 9)
#define INTERCEPT_MONITOR          (1u << 10)
#define INTERCEPT_MWAIT            (1u << 11)
#define INTERCEPT_XSETBV           (1u << 13)
#define INTERCEPT_RDPRU            (1u << 14)
#define INTERCEPT_SVM_INSTRUCTIONS 0x7Fu /* VMRUN VMMCALL VMLOAD VMSAVE STGI CLGI SKINIT */

/* offset 014h: intercepts, vector 5 */
#define INTERCEPT_INVLPGB         (1u << 0)
#define INTERCEPT_INVLPGB_ILLEGAL (1u << 1)
#define INTERCEPT_TLBSYNC         (1u << 4)

/* offset 05Ch */
#define TLB_CONTROL_NOTHING    0u
#define TLB_CONTROL_FLUSH_ALL  1u
#define TLB_CONTROL_FLUSH_ASID 3u

/* offset 060h: virtual interrupt control */
#define V_TPR_MASK       0xFull
#define V_IRQ            (1ull << 8)
#define V_PRIORITY_SHIFT 16
#define V_IGNORE_TPR     (1ull << 20)
#define V_INTR_MASKING   (1ull << 24)
#define V_VECTOR_SHIFT   32
#define V_VECTOR_MASK    0xFFull

/* offset 090h */
#define NESTED_PAGING_ENABLE (1ull << 0)
#define INVLPGB_ENABLE       (1ull << 7)

/* offset 0B8h */
#define LAST_BRANCH_VIRTUALIZATION (1ull << 0)

/* offset 0C0h: fields that the processor may take from its cache; a set bit = unchanged since the last run */
#define CLEAN_INTERCEPTS        (1u << 0)
#define CLEAN_TPR               (1u << 3)
#define CLEAN_NESTED_PAGING     (1u << 4)
#define CLEAN_CONTROL_REGISTERS (1u << 5)
#define CLEAN_DEBUG_REGISTERS   (1u << 6)
#define CLEAN_DESCRIPTOR_TABLES (1u << 7)
#define CLEAN_SEGMENTS          (1u << 8)
#define CLEAN_CR2               (1u << 9)
#define CLEAN_LAST_BRANCH       (1u << 10)
#define CLEAN_ALL               0xFFFu

/* EVENTINJ and EXITINTINFO (15.20, 15.7.2) */
#define EVENT_VECTOR_MASK      0xFFull
#define EVENT_TYPE_SHIFT       8
#define EVENT_TYPE_MASK        7u
#define EVENT_TYPE_EXTERNAL    0u
#define EVENT_TYPE_NMI         2u
#define EVENT_TYPE_EXCEPTION   3u
#define EVENT_TYPE_SOFTWARE    4u
#define EVENT_ERROR_CODE_VALID (1ull << 11)
#define EVENT_VALID            (1ull << 31)
#define EVENT_ERROR_CODE_SHIFT 32

#define INTERRUPT_SHADOW 1ull

/* Exit codes (appendix C) */
enum svm_exit_code {
    SVM_EXIT_CR0_READ = 0x000,
    SVM_EXIT_CR0_WRITE = 0x010,
    SVM_EXIT_EXCEPTION = 0x040,
    SVM_EXIT_EXCEPTION_LAST = 0x05F,
    SVM_EXIT_INTR = 0x060,
    SVM_EXIT_NMI = 0x061,
    SVM_EXIT_INIT = 0x063,
    SVM_EXIT_VINTR = 0x064,
    SVM_EXIT_RDPMC = 0x06F,
    SVM_EXIT_CPUID = 0x072,
    SVM_EXIT_IRET = 0x074,
    SVM_EXIT_INVD = 0x076,
    SVM_EXIT_PAUSE = 0x077,
    SVM_EXIT_HLT = 0x078,
    SVM_EXIT_INVLPGA = 0x07A,
    SVM_EXIT_IOIO = 0x07B,
    SVM_EXIT_MSR = 0x07C,
    SVM_EXIT_SHUTDOWN = 0x07F,
    SVM_EXIT_VMRUN = 0x080,
    SVM_EXIT_VMMCALL = 0x081,
    SVM_EXIT_VMLOAD = 0x082,
    SVM_EXIT_SKINIT = 0x086,
    SVM_EXIT_WBINVD = 0x089,
    SVM_EXIT_MONITOR = 0x08A,
    SVM_EXIT_MWAIT = 0x08B,
    SVM_EXIT_MWAIT_ARMED = 0x08C,
    SVM_EXIT_XSETBV = 0x08D,
    SVM_EXIT_RDPRU = 0x08E,
    SVM_EXIT_INVLPGB = 0x0A0,
    SVM_EXIT_TLBSYNC = 0x0A4,
    SVM_EXIT_COUNT = 0x0A8,
    SVM_EXIT_NESTED_PAGE_FAULT = 0x400,
};
#define SVM_EXIT_INVALID 0xFFFFFFFFu /* compare 32 bits */

/* EXITINFO1 of a nested page fault (15.25.6) */
#define NESTED_FAULT_PRESENT    (1ull << 0)
#define NESTED_FAULT_WRITE      (1ull << 1)
#define NESTED_FAULT_EXECUTE    (1ull << 4)
#define NESTED_FAULT_TABLE_WALK (1ull << 33)

/* EXITINFO1 of IOIO (15.10.2) */
#define IOIO_IN            (1u << 0)
#define IOIO_STRING        (1u << 2)
#define IOIO_REP           (1u << 3)
#define IOIO_SIZE_SHIFT    4
#define IOIO_SEGMENT_SHIFT 10
#define IOIO_PORT_SHIFT    16

struct vmcb_segment {
    uint16_t selector;
    uint16_t attributes; /* [7:0] type S DPL P, [11:8] AVL L D/B G */
    uint32_t limit;
    uint64_t base;
} HV_PACKED;

struct vmcb {
    uint16_t intercept_cr_read, intercept_cr_write;
    uint16_t intercept_dr_read, intercept_dr_write;
    uint32_t intercept_exceptions;
    uint32_t intercepts3, intercepts4, intercepts5;
    uint8_t reserved1[0x3C - 0x18];
    uint16_t pause_threshold, pause_count;
    uint64_t io_permission_map, msr_permission_map;
    uint64_t tsc_offset;
    uint32_t asid;
    uint8_t tlb_control, reserved2[3];
    uint64_t virtual_interrupt;
    uint64_t interrupt_state;
    uint64_t exit_code, exit_info1, exit_info2, exit_interrupt_info;
    uint64_t nested_control;
    uint64_t avic_bar, ghcb;
    uint64_t event_injection;
    uint64_t nested_cr3;
    uint64_t last_branch_control;
    uint32_t clean, reserved3;
    uint64_t next_rip;
    uint8_t bytes_count, bytes[15];
    uint8_t reserved4[0x3E0 - 0xE0];
    /* Reserved for software: ours. */
    struct {
        uint64_t asid_generation;      /* of the processor on which the ASID was taken */
        uint8_t nmi_masked;            /* an NMI was injected; IRET is intercepted */
        uint8_t nmi_stepping;          /* its IRET is being stepped over */
        uint8_t step_saved_exceptions; /* #DB was intercepted before the step */
        uint8_t step_saved_trap;       /* the guest's own TF was set before the step */
        uint8_t padding[20];
    } HV_PACKED software;
    struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved5[0x4CB - 0x4A0];
    uint8_t cpl;
    uint32_t reserved6;
    uint64_t efer;
    uint8_t reserved7[0x548 - 0x4D8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved8[0x5D8 - 0x580];
    uint64_t rsp;
    uint8_t reserved9[0x5F8 - 0x5E0];
    uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint8_t reserved10[0x668 - 0x648];
    uint64_t pat, debug_control;
    uint8_t reserved11[4096 - 0x678];
} HV_PACKED;
HV_ASSERT_SIZE(struct vmcb, 4096);
HV_ASSERT_OFFSET(struct vmcb, io_permission_map, 0x40);
HV_ASSERT_OFFSET(struct vmcb, asid, 0x58);
HV_ASSERT_OFFSET(struct vmcb, exit_code, 0x70);
HV_ASSERT_OFFSET(struct vmcb, event_injection, 0xA8);
HV_ASSERT_OFFSET(struct vmcb, clean, 0xC0);
HV_ASSERT_OFFSET(struct vmcb, bytes_count, 0xD0);
HV_ASSERT_OFFSET(struct vmcb, software, 0x3E0);
HV_ASSERT_OFFSET(struct vmcb, es, 0x400);
HV_ASSERT_OFFSET(struct vmcb, cpl, 0x4CB);
HV_ASSERT_OFFSET(struct vmcb, efer, 0x4D0);
HV_ASSERT_OFFSET(struct vmcb, cr4, 0x548);
HV_ASSERT_OFFSET(struct vmcb, rsp, 0x5D8);
HV_ASSERT_OFFSET(struct vmcb, rax, 0x5F8);
HV_ASSERT_OFFSET(struct vmcb, cr2, 0x640);
HV_ASSERT_OFFSET(struct vmcb, pat, 0x668);

#endif
