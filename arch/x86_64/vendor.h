/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between the hypervisor and the two kinds of hardware virtualization. svm/ and vmx/ each fill one
 * `struct vendor`; the loader carries an image of each, and nothing above this seam knows which one it is in.
 *
 * All functions run on the logical processor that holds the VP (see vp_claim), in host mode.
 */
#ifndef ARCH_VENDOR_H
#define ARCH_VENDOR_H

#include "hv/message.h"
#include "hv/registers.h"
#include "hv/loam.h"

struct lp;
struct vp;

/* Registers that live in the control block. General registers, RIP and RFLAGS are in struct vp itself. */
enum vp_register {
    VP_CR0,
    VP_CR2,
    VP_CR3,
    VP_CR4,
    VP_DR6,
    VP_DR7,
    VP_PAT,
    VP_STAR,
    VP_LSTAR,
    VP_CSTAR,
    VP_SFMASK,
    VP_KERNEL_GS_BASE,
    VP_SYSENTER_CS,
    VP_SYSENTER_ESP,
    VP_SYSENTER_EIP,
    VP_TSC_OFFSET, /* guest TSC = host TSC + offset */
    VP_DEBUG_CTL,
    VP_EFER,             /* it and what follows is special in some way */
    VP_INTERRUPT_SHADOW, /* 0 or 1 */
    VP_NMI_MASKED,       /* 0 or 1: an NMI was delivered and IRET has not been executed since */
    VP_REGISTER_COUNT
};

/* Order of HV_X64_REGISTER_ES.., then the descriptor tables, whose selector and attributes are 0. */
enum vp_segment { VP_ES, VP_CS, VP_SS, VP_DS, VP_FS, VP_GS, VP_LDTR, VP_TR, VP_IDTR, VP_GDTR, VP_SEGMENT_COUNT };

/* A raw exit, made neutral. `reason` says which member of the union is filled. */
struct vp_exit {
    enum loam_exit_reason reason;
    uint8_t instruction_length; /* of the intercepted instruction; 0: not known, fetch and decode */
    union {
        struct { /* IO_PORT */
            uint16_t port;
            uint8_t size;    /* 1, 2 or 4 */
            uint8_t segment; /* enum vp_segment of a string OUT's source; VP_ES for INS */
            bool in;
            bool string;
            bool rep;
        } io;
        struct { /* NESTED_FAULT; APIC_ACCESS */
            uint64_t gpa;
            bool write;
            bool execute;
            bool mapped;         /* the GPA has a translation, but not with this permission */
            bool table_walk;     /* the fault came from the walk of the guest's own page tables */
            uint8_t bytes_count; /* instruction bytes that the hardware fetched; 0: none */
            uint8_t bytes[15];
        } fault;
        bool hypercall_allowed; /* HYPERCALL: made in protected mode by CPL 0 */
        struct {                /* EXCEPTION, intercepted before delivery */
            uint8_t vector;
            bool has_error_code;
            uint32_t error_code;
            uint64_t address; /* CR2 for #PF */
        } exception;
        struct { /* CONTROL_REGISTER: CR8 only when the hardware has no virtual TPR */
            uint8_t number;
            bool write;
            uint8_t gpr;
        } control;
        struct { /* TASK_SWITCH, begun by the processor, which has delivered an event as far as its task gate */
            uint16_t selector; /* of the new TSS */
            uint8_t source;    /* enum loam_task_switch_source; what follows is of GATE only */
            uint8_t event;     /* enum hv_pending_interruption_type */
            uint8_t vector;
            bool has_error_code;
            uint32_t error_code;
        } task_switch;
        struct {                 /* OTHER, INVALID_STATE: for the log */
            uint64_t raw;        /* the vendor's exit code */
            const char *refused; /* INVALID_STATE: what of the state, or NULL: not known */
        };
    };
};

/* What decides where a VP's instructions are read and what they mean. */
struct vp_code {
    uint64_t cr0, cr3, cr4, efer;
    struct hv_x64_segment_register cs;
    uint64_t cs_form; /* CS but its base, as the vendor keeps it: to compare */
};

/* As PAT, MTRRs and EPT number them (SDM vol. 3A, table 12-2). */
enum memory_type {
    MEMORY_UNCACHEABLE = 0,
    MEMORY_WRITE_COMBINING = 1,
    MEMORY_WRITE_THROUGH = 4,
    MEMORY_WRITE_PROTECTED = 5,
    MEMORY_WRITE_BACK = 6,
    MEMORY_MIXED = 0xFF, /* of a range: more than one */
};

/* One entry of a nested page table. Access is HV_MAP_GPA_READABLE | WRITABLE | EXECUTABLE bits. */
struct nested_format {
    uint64_t (*leaf)(uint64_t spa, uint32_t access, bool large, enum memory_type type);
    uint64_t (*table)(uint64_t spa);
    uint32_t (*access)(uint64_t entry); /* 0: not present */
    uint64_t large;                     /* the bit that makes an entry of level 2 or 3 a leaf */
    bool (*has_1g)(void);               /* entries of level 3 can be leaves. Callable before initialize */
    bool (*large_execute)(void);        /* a child's large leaves may be executable */
    /* Of a leaf's bits the one that the processor sets when the page is used; the next one when it is written. */
    unsigned accessed_shift;
    bool (*sets_accessed)(void); /* the processor does so */
    /*
     * The type that entries of the parent's map give the bytes from `spa`, 4 KiB aligned: write-back where the hardware
     * adds the types of its MTRRs by itself. load_types makes them those of this processor's MTRRs, if these are
     * enabled; true: types have changed, but only from *first on and before *end. Under the parent map's lock.
     */
    enum memory_type (*type)(uint64_t spa, uint64_t size);
    bool (*load_types)(uint64_t *first, uint64_t *end);
};

/* An MSR that is not the parent's alone. NULL: reads, or writes, do not exit. False: #GP(0). */
struct parent_msr {
    uint32_t first, last;
    bool (*read)(struct vp *vp, uint32_t msr, uint64_t *value);
    bool (*write)(struct vp *vp, uint32_t msr, uint64_t value);
};

struct vendor {
    const char *name; /* "AMD-V", "VT-x" */

    /* NULL if this processor can run Loam, else one line that says what is missing and what to do. */
    const char *(*unsupported)(void);
    /* Prepares what all processors share. Once, on the boot processor, before enable. */
    void (*initialize)(void);
    /* CPUID of this processor without what no guest on it can use: virtualization itself, and what it does
     * not let through. */
    void (*cpuid)(uint32_t leaf, uint32_t subleaf, uint32_t result[4]);
    /* Turns virtualization on for this processor. Called once a processor, with interrupts off. */
    void (*enable)(struct lp *lp);

    /* Pages of control block a VP needs. Zeroed, contiguous only as pages; vp->control_page[] holds them. */
    unsigned control_pages;
    /*
     * Control block of a new VP: what is intercepted and where the maps are. The registers in it are zero but
     * for those bits that virtualization itself needs. A parent's keeps the hardware's PAT.
     */
    void (*vp_initialize)(struct vp *vp);

    /* The claim on a child ends: nothing of its control block stays in this processor. */
    void (*release)(struct vp *vp);
    /* The registers that no entry loads are `to`'s from now on: from the parent to a child, and back. */
    void (*switch_registers)(struct vp *from, struct vp *to);

    /* Enters the guest until the next exit. Loads vp->gpr, rip, rflags before and stores them after. */
    void (*run)(struct vp *vp, struct vp_exit *exit);

    /* Setting CR0, CR3, CR4 or EFER also drops the VP's translations at the next entry. */
    uint64_t (*get)(const struct vp *vp, enum vp_register name);
    void (*set)(struct vp *vp, enum vp_register name, uint64_t value);
    void (*get_segment)(const struct vp *vp, enum vp_segment name, struct hv_x64_segment_register *value);
    void (*set_segment)(struct vp *vp, enum vp_segment name, const struct hv_x64_segment_register *value);

    /* The same registers together. Those of the register page: segments, CR0, CR3, CR4, EFER, DR7, interrupt state. */
    void (*get_special)(const struct vp *vp, struct hv_vp_register_page *page);
    /* Of every message: CS and what HV_EXECUTION_* says of the processor, but for the pending interruption. */
    uint16_t (*get_execution)(const struct vp *vp, struct hv_x64_segment_register *cs);
    /* What every instruction that is looked at needs. */
    void (*get_code)(const struct vp *vp, struct vp_code *code);
    /* get_code would give the same now. */
    bool (*code_is)(const struct vp *vp, const struct vp_code *code);
    /* As set(VP_INTERRUPT_SHADOW, 0), which every emulated instruction does. */
    void (*end_interrupt_shadow)(struct vp *vp);

    /*
     * Event to deliver at the next entry, in the layout of HV_REGISTER_PENDING_INTERRUPTION; 0 takes it back.
     * pending() gives the event that the last exit kept from being delivered (0: none), which must be injected again.
     */
    void (*inject)(struct vp *vp, uint64_t event);
    uint64_t (*interrupted_event)(const struct vp *vp);
    /*
     * An INTERRUPT_WINDOW exit as soon as the VP can take an external interrupt. The VP has the task priority of its
     * local APIC from now on, which follows what the guest makes of it. Before a child is entered, whenever its local
     * APIC may have changed.
     */
    void (*interrupt_window)(struct vp *vp, bool wanted);
    /* The VP runs on this nested page table; its old translations are dropped at the next entry. */
    void (*set_nested_root)(struct vp *vp, uint64_t spa);

    /*
     * Whether the hardware itself brings the parent's processors INIT and SIPI: an INIT ends run() and is noted in
     * lp->parent_init, and wait_for_sipi() sleeps until a SIPI comes, which ends in its vector. Nothing reaches the
     * processor in between, not even a kick. Else the parent's commands are intercepted (cpu/processor_start.c).
     */
    bool (*has_init_exits)(void);
    uint8_t (*wait_for_sipi)(struct vp *vp);

    /* Lets pending NMIs, and if `interrupts` also maskable interrupts, come to the host's descriptor table, once. */
    void (*host_window)(bool interrupts);
    /* Sleeps, open to NMIs and SMIs, until *word is not 0 or *nmis, which counts NMIs, is not `seen`. */
    void (*host_wait)(const uint32_t *word, const volatile uint32_t *nmis, uint32_t seen);

    struct nested_format nested;
    const struct parent_msr *parent_msrs; /* the last one is all zeros */
    bool has_deadline;                    /* run() ends when the VP's APIC timer is due */
    bool has_vmmcall;                     /* the guest's hypercall instruction is VMMCALL, not VMCALL */
};

extern const struct vendor svm_vendor, vmx_vendor;

/* Each image has one backend and tells the compiler which, so that it is called directly. Tests replace it. */
#ifdef LOAM_VENDOR
static const struct vendor *const vendor = &LOAM_VENDOR;
#else
extern const struct vendor *vendor;
#endif

#endif
