/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AMD-V: the vendor backend. Section numbers are of the AMD64 APM vol. 2, chapter 15. */
#include <string.h>

#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/child_policy.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/emulator.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/speculation.h"
#include "arch/x86_64/mm/physical.h"
#include "arch/x86_64/svm/svm.h"
#include "kernel/log.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "kernel/vp.h"

/* CPUID 8000_000A EDX */
#define FEATURE_NESTED_PAGING              (1u << 0)
#define FEATURE_LAST_BRANCH_VIRTUALIZATION (1u << 1)
#define FEATURE_SVM_LOCK                   (1u << 2)
#define FEATURE_NRIP_SAVE                  (1u << 3)
#define FEATURE_FLUSH_BY_ASID              (1u << 6)
#define FEATURE_DECODE_ASSISTS             (1u << 7)

#define CPUID_SVM               0x8000000Au
#define CPUID_MEMORY_ENCRYPTION 0x8000001Fu
#define ECX_SVM                 (1u << 2) /* of CPUID 8000_0001 */
#define ECX_SKINIT              (1u << 12)
#define EDX_1G_PAGES            (1u << 26)

#define PARENT_ASID      1u
#define FIRST_CHILD_ASID 2u

#define OPCODE_HLT 0xF4u

#define MSR_BITMAP_BYTES 8192u
#define IO_BITMAP_BYTES  12288u

/* Bit pairs (read, write) of intercepted MSRs (15.11); IN and OUT of all ports (15.10). */
static uint8_t parent_msr_bitmap[MSR_BITMAP_BYTES] __attribute__((aligned(4096)));
static uint8_t child_msr_bitmap[MSR_BITMAP_BYTES] __attribute__((aligned(4096)));
static uint8_t child_io_bitmap[IO_BITMAP_BYTES] __attribute__((aligned(4096)));

static uint32_t features;   /* CPUID 8000_000A EDX */
static uint32_t asid_count; /* ASIDs are 0 to asid_count - 1; 0 is the host's */
static bool has_invlpgb;
static bool on_tcg;              /* see inject_virtually() and halts_in_shadow() */
static uint16_t child_cr_writes; /* intercepted at all times */

void svm_enter(struct vp *vp, uint64_t vmcb, uint64_t host_vmcb);
void svm_wait(const uint32_t *word, const volatile uint32_t *nmis, uint32_t seen);

static inline struct vmcb *vmcb_of(const struct vp *vp)
{
    return vp->control;
}

/* Position of an MSR's bit pair, or -1 if no map covers it: then it is always intercepted. */
static int msr_bitmap_position(uint32_t msr)
{
    if (msr < 0x2000)
        return (int)msr * 2;
    if (msr >= 0xC0000000u && msr < 0xC0002000u)
        return (int)(0x2000 + msr - 0xC0000000u) * 2;
    if (msr >= 0xC0010000u && msr < 0xC0012000u)
        return (int)(0x4000 + msr - 0xC0010000u) * 2;
    return -1;
}

static void msr_intercept(uint8_t *bitmap, uint32_t msr, bool read, bool write)
{
    int position = msr_bitmap_position(msr);
    uint8_t bits = (uint8_t)((read ? 1u : 0u) | (write ? 2u : 0u));

    ASSERT(position >= 0);
    bitmap[position / 8] = (uint8_t)((bitmap[position / 8] & ~(3u << position % 8)) | bits << position % 8);
}

static const char *unsupported(void)
{
    uint32_t result[4];
    uint64_t vm_cr;

    cpuid(0x80000000u, 0, result);
    if (result[0] < CPUID_SVM)
        return "this processor has no AMD-V: Loam needs AMD-V with nested paging";
    cpuid(0x80000001u, 0, result);
    if (!(result[2] & ECX_SVM))
        return "this processor has no AMD-V, or the firmware hides it: enable SVM in the firmware's setup";
    cpuid(CPUID_SVM, 0, result);
    vm_cr = rdmsr(MSR_VM_CR);
    if (vm_cr & VM_CR_SVM_DISABLED)
        return result[3] & FEATURE_SVM_LOCK
                   ? "AMD-V is disabled and locked by the firmware: enable SVM in the firmware's setup"
                   : "AMD-V is disabled by the firmware: enable SVM in the firmware's setup";
    if (!(result[3] & FEATURE_NESTED_PAGING))
        return "this processor's AMD-V has no nested paging (NPT), which Loam needs";
    if (result[1] < FIRST_CHILD_ASID + 1)
        return "this processor's AMD-V has too few address space identifiers (ASIDs)";
    return NULL;
}

/* Once, on the boot processor. */
static void initialize(void)
{
    uint32_t result[4];

    cpuid(CPUID_SVM, 0, result);
    features = result[3];
    asid_count = result[1];
    cpuid(0x80000008u, 0, result);
    has_invlpgb = (result[1] >> 3 & 1) != 0;
    on_tcg = running_on_tcg();
    child_cr_writes = child_cr4_watched() ? INTERCEPT_CR4 : 0;

    for (const struct parent_msr *msr = svm_parent_msrs; msr->last != 0; msr++)
        msr_intercept(parent_msr_bitmap, msr->first, msr->read != NULL, msr->write != NULL);
    memset(child_msr_bitmap, 0xFF, sizeof child_msr_bitmap);
    for (unsigned i = 0; i < CHILD_DIRECT_MSRS; i++)
        msr_intercept(child_msr_bitmap, child_direct_msrs[i], false, false);
    memset(child_io_bitmap, 0xFF, sizeof child_io_bitmap);
}

/* Memory encryption goes, too: it would take the C-bit out of Loam's physical addresses. */
static void guest_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    cpuid(leaf, subleaf, result);
    if (leaf == 0x80000001u)
        result[2] &= ~(ECX_SVM | ECX_SKINIT);
    else if (leaf == CPUID_SVM || leaf == CPUID_MEMORY_ENCRYPTION)
        memset(result, 0, 4 * sizeof *result);
}

static void enable(struct lp *lp)
{
    struct arch_lp *arch = arch_lp(lp);

    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME | EFER_NXE | speculation_host_efer());
    __asm__ volatile("clgi" : : : "memory");
    wrmsr(MSR_VM_HSAVE_PA, arch->host_save);
    __asm__ volatile("vmsave" : : "a"(arch->host_vmcb) : "memory");
    arch->asid_generation = 1;
    arch->asid_next = FIRST_CHILD_ASID;
    /*
     * GIF = 0 holds all interrupts in host mode. IF = 1 makes a pending one end a child's run even when the child has
     * interrupts disabled (V_INTR_MASKING, 15.21.1).
     */
    __asm__ volatile("sti" : : : "memory");
}

static void initialize_common(struct vmcb *vmcb)
{
    memset(vmcb, 0, sizeof *vmcb);
    vmcb->intercepts3 =
        INTERCEPT_NMI | INTERCEPT_INIT | INTERCEPT_CPUID | INTERCEPT_MSR | INTERCEPT_SHUTDOWN | INTERCEPT_INVLPGA;
    vmcb->intercepts4 = INTERCEPT_SVM_INSTRUCTIONS;
    vmcb->nested_control = NESTED_PAGING_ENABLE;
    vmcb->efer = EFER_SVME;
    vmcb->rflags = 2;
}

static void initialize_parent(struct vmcb *vmcb)
{
    vmcb->msr_permission_map = physical_of_image(parent_msr_bitmap);
    vmcb->asid = PARENT_ASID;
    if (has_invlpgb)
        vmcb->nested_control |= INVLPGB_ENABLE;
    vmcb->pat = rdmsr(MSR_PAT);
}

static void initialize_child(struct vmcb *vmcb)
{
    vmcb->intercepts3 |= INTERCEPT_INTR | INTERCEPT_HLT | INTERCEPT_IOIO | INTERCEPT_INVD | INTERCEPT_RDPMC;
    vmcb->intercepts4 |= INTERCEPT_WBINVD | INTERCEPT_MONITOR | INTERCEPT_MWAIT | INTERCEPT_XSETBV | INTERCEPT_RDPRU;
    if (has_invlpgb)
        vmcb->intercepts5 = INTERCEPT_INVLPGB | INTERCEPT_INVLPGB_ILLEGAL | INTERCEPT_TLBSYNC;
    vmcb->intercept_cr_write = child_cr_writes;
    vmcb->intercept_exceptions = 1u << EXCEPTION_DB | 1u << EXCEPTION_UD | 1u << EXCEPTION_AC | 1u << EXCEPTION_MC;
    vmcb->io_permission_map = physical_of_image(child_io_bitmap);
    vmcb->msr_permission_map = physical_of_image(child_msr_bitmap);
    vmcb->virtual_interrupt = V_INTR_MASKING;
    /* Without it DEBUG_CTL and the last branches would be the parent's (15.23). */
    if (features & FEATURE_LAST_BRANCH_VIRTUALIZATION)
        vmcb->last_branch_control = LAST_BRANCH_VIRTUALIZATION;
}

static void vp_initialize(struct vp *vp)
{
    struct vmcb *vmcb = vmcb_of(vp);

    initialize_common(vmcb);
    if (vp->is_parent)
        initialize_parent(vmcb);
    else
        initialize_child(vmcb);
}

/*
 * A new ASID has no translations in the TLB, so that taking one is the flush. When a processor has used all, its whole
 * TLB goes and the numbers begin again.
 */
static void take_asid(struct vmcb *vmcb, struct arch_lp *arch)
{
    if (arch->asid_next >= asid_count) {
        arch->asid_generation++;
        arch->asid_next = FIRST_CHILD_ASID;
        vmcb->tlb_control = TLB_CONTROL_FLUSH_ALL;
    }
    vmcb->asid = arch->asid_next++;
}

static void __attribute__((noinline)) drop_translations(const struct vp *vp, struct vmcb *vmcb, struct arch_lp *arch)
{
    vmcb->clean = 0; /* on another processor nothing of it is cached */
    if (vp->is_parent)
        vmcb->tlb_control = features & FEATURE_FLUSH_BY_ASID ? TLB_CONTROL_FLUSH_ASID : TLB_CONTROL_FLUSH_ALL;
    else
        take_asid(vmcb, arch);
    vmcb->software.asid_generation = arch->asid_generation;
}

/*
 * TCG does not take the interrupt shadow from the control block (docs/emulators.md): an interrupt that ended the run
 * between a child's STI and its HLT would be handled before the HLT, which then sleeps for ever. There the HLT is taken
 * as executed.
 */
static bool __attribute__((noinline)) halts_in_shadow(struct vp *vp, const struct vmcb *vmcb)
{
    uint8_t bytes[15];

    return !vp->is_parent && vmcb->cpl == 0 && !(vmcb->event_injection & EVENT_VALID) &&
           guest_fetch_instruction(vp, bytes) > 0 && bytes[0] == OPCODE_HLT;
}

static void run(struct vp *vp, struct vp_exit *exit)
{
    struct vmcb *vmcb = vmcb_of(vp);
    struct arch_lp *arch = arch_lp(lp_current());

    if ((vmcb->interrupt_state & INTERRUPT_SHADOW) && on_tcg && halts_in_shadow(vp, vmcb)) {
        exit->reason = LOAM_EXIT_HLT;
        exit->instruction_length = 1;
        return;
    }
    vmcb->rax = vp->gpr[GPR_RAX];
    vmcb->rsp = vp->gpr[GPR_RSP];
    vmcb->rip = vp->rip;
    vmcb->rflags = vp->rflags;
    if (vmcb->software.nmi_stepping)
        vmcb->rflags |= RFLAGS_TF;
    vmcb->tlb_control = TLB_CONTROL_NOTHING;
    if (shoot_down_entry(vp) || vmcb->software.asid_generation != arch->asid_generation)
        drop_translations(vp, vmcb, arch);
    svm_enter(vp, vp->control_page[0], arch->host_vmcb);
    vmcb->clean = CLEAN_ALL;
    vmcb->event_injection = 0;
    vp->gpr[GPR_RAX] = vmcb->rax;
    vp->gpr[GPR_RSP] = vmcb->rsp;
    vp->rip = vmcb->rip;
    vp->rflags = vmcb->rflags;
    if (!vp->is_parent)
        local_apic_set_cr8(&vp->apic, vmcb->virtual_interrupt & V_TPR_MASK);
    svm_decode_exit(vp, vmcb, exit);
    /* Another exit came before the IRET: the guest's flags must not keep the TF of the step. */
    if (vmcb->software.nmi_stepping && !vmcb->software.step_saved_trap)
        vp->rflags &= ~RFLAGS_TF;
}

bool svm_has_next_rip(void)
{
    return (features & FEATURE_NRIP_SAVE) != 0;
}

bool svm_has_decode_assists(void)
{
    return (features & FEATURE_DECODE_ASSISTS) != 0;
}

/*
 * NMIs stay masked from delivery to the next IRET (15.20). IRET is intercepted before it executes, so it is stepped
 * over with TF; the #DB after it is ours.
 */
void svm_iret_reached(struct vmcb *vmcb)
{
    vmcb->intercepts3 &= ~INTERCEPT_IRET;
    vmcb->software.nmi_stepping = 1;
    vmcb->software.step_saved_exceptions = (vmcb->intercept_exceptions >> EXCEPTION_DB & 1) != 0;
    vmcb->software.step_saved_trap = (vmcb->rflags & RFLAGS_TF) != 0;
    vmcb->intercept_exceptions |= 1u << EXCEPTION_DB;
    vmcb->clean &= ~CLEAN_INTERCEPTS;
}

void svm_iret_stepped(struct vmcb *vmcb)
{
    vmcb->software.nmi_stepping = 0;
    vmcb->software.nmi_masked = 0;
    if (!vmcb->software.step_saved_exceptions)
        vmcb->intercept_exceptions &= ~(1u << EXCEPTION_DB);
    vmcb->dr6 &= ~DR6_BS;
    vmcb->clean &= ~(CLEAN_INTERCEPTS | CLEAN_DEBUG_REGISTERS);
}

static void set_nmi_masked(struct vmcb *vmcb, bool masked)
{
    vmcb->software.nmi_masked = masked;
    vmcb->software.nmi_stepping = 0;
    if (masked)
        vmcb->intercepts3 |= INTERCEPT_IRET;
    else
        vmcb->intercepts3 &= ~INTERCEPT_IRET;
    vmcb->clean &= ~CLEAN_INTERCEPTS;
}

/* Where a register lives in the control block, and what the processor must reload when it changes. */
static const struct {
    uint16_t offset;
    uint16_t clean;
} register_places[VP_REGISTER_COUNT] = {
    [VP_CR0] = {offsetof(struct vmcb, cr0),            CLEAN_CONTROL_REGISTERS},
    [VP_CR2] = {offsetof(struct vmcb, cr2),            CLEAN_CR2              },
    [VP_CR3] = {offsetof(struct vmcb, cr3),            CLEAN_CONTROL_REGISTERS},
    [VP_CR4] = {offsetof(struct vmcb, cr4),            CLEAN_CONTROL_REGISTERS},
    [VP_EFER] = {offsetof(struct vmcb, efer),           CLEAN_CONTROL_REGISTERS},
    [VP_DR6] = {offsetof(struct vmcb, dr6),            CLEAN_DEBUG_REGISTERS  },
    [VP_DR7] = {offsetof(struct vmcb, dr7),            CLEAN_DEBUG_REGISTERS  },
    [VP_PAT] = {offsetof(struct vmcb, pat),            CLEAN_NESTED_PAGING    },
    [VP_STAR] = {offsetof(struct vmcb, star),           0                      },
    [VP_LSTAR] = {offsetof(struct vmcb, lstar),          0                      },
    [VP_CSTAR] = {offsetof(struct vmcb, cstar),          0                      },
    [VP_SFMASK] = {offsetof(struct vmcb, sfmask),         0                      },
    [VP_KERNEL_GS_BASE] = {offsetof(struct vmcb, kernel_gs_base), 0                      },
    [VP_SYSENTER_CS] = {offsetof(struct vmcb, sysenter_cs),    0                      },
    [VP_SYSENTER_ESP] = {offsetof(struct vmcb, sysenter_esp),   0                      },
    [VP_SYSENTER_EIP] = {offsetof(struct vmcb, sysenter_eip),   0                      },
    [VP_TSC_OFFSET] = {offsetof(struct vmcb, tsc_offset),     CLEAN_INTERCEPTS       },
    [VP_DEBUG_CTL] = {offsetof(struct vmcb, debug_control),  CLEAN_LAST_BRANCH      },
};

static inline uint64_t *register_place(struct vmcb *vmcb, enum vp_register name)
{
    return (uint64_t *)((uint8_t *)vmcb + register_places[name].offset);
}

/* SVME must stay set in the control block (15.5.1); nobody sees it. */
static uint64_t get(const struct vp *vp, enum vp_register name)
{
    struct vmcb *vmcb = vmcb_of(vp);

    if (name < VP_EFER)
        return *register_place(vmcb, name);
    if (name == VP_INTERRUPT_SHADOW)
        return vmcb->interrupt_state & INTERRUPT_SHADOW;
    return name == VP_EFER ? vmcb->efer & ~EFER_SVME : vmcb->software.nmi_masked;
}

/* Translations go by themselves when the guest writes a control register, not when we do (15.16.1). */
static void set(struct vp *vp, enum vp_register name, uint64_t value)
{
    struct vmcb *vmcb = vmcb_of(vp);

    switch (name) {
    case VP_CR0:
    case VP_CR3:
    case VP_CR4:
        vp->last_lp = ~0u;
        break;
    case VP_INTERRUPT_SHADOW:
        vmcb->interrupt_state = (vmcb->interrupt_state & ~INTERRUPT_SHADOW) | (value & INTERRUPT_SHADOW);
        return;
    case VP_NMI_MASKED:
        if (vmcb->software.nmi_masked != (value & 1))
            set_nmi_masked(vmcb, value & 1);
        return;
    case VP_EFER:
        value |= EFER_SVME;
        vp->last_lp = ~0u;
        break;
    default:
        break;
    }
    *register_place(vmcb, name) = value;
    vmcb->clean &= ~(uint32_t)register_places[name].clean;
}

static const uint16_t segment_offsets[VP_SEGMENT_COUNT] = {
    [VP_ES] = offsetof(struct vmcb, es),     [VP_CS] = offsetof(struct vmcb, cs),
    [VP_SS] = offsetof(struct vmcb, ss),     [VP_DS] = offsetof(struct vmcb, ds),
    [VP_FS] = offsetof(struct vmcb, fs),     [VP_GS] = offsetof(struct vmcb, gs),
    [VP_LDTR] = offsetof(struct vmcb, ldtr), [VP_TR] = offsetof(struct vmcb, tr),
    [VP_IDTR] = offsetof(struct vmcb, idtr), [VP_GDTR] = offsetof(struct vmcb, gdtr),
};

static inline struct vmcb_segment *segment_place(const struct vp *vp, enum vp_segment name)
{
    return (struct vmcb_segment *)((uint8_t *)vp->control + segment_offsets[name]);
}

/* All of a segment but its base: selector, attributes, limit. */
static inline uint64_t segment_form(const struct vmcb_segment *segment)
{
    uint64_t form;

    memcpy(&form, segment, sizeof form);
    return form;
}

/*
 * The TLFS has limit, selector and attributes in that order. The control block keeps descriptor bits 55:52 right above
 * 47:40; the TLFS leaves the limit's nibble between.
 */
static inline struct hv_x64_segment_register neutral_segment(const struct vmcb_segment *segment)
{
    struct hv_x64_segment_register neutral = {.base = segment->base};
    uint64_t form = segment_form(segment);

    form = form >> 32 | form << 32;
    form = (form & 0x00FFFFFFFFFFFFFF) | (form & 0x0F00000000000000) << 4;
    memcpy(&neutral.limit, &form, sizeof form);
    return neutral;
}
HV_ASSERT_OFFSET(struct hv_x64_segment_register, limit, 8);
HV_ASSERT_OFFSET(struct hv_x64_segment_register, selector, 12);
HV_ASSERT_OFFSET(struct hv_x64_segment_register, attributes, 14);

static void get_segment(const struct vp *vp, enum vp_segment name, struct hv_x64_segment_register *value)
{
    *value = neutral_segment(segment_place(vp, name));
}

static void get_special(const struct vp *vp, struct hv_vp_register_page *page)
{
    const struct vmcb *vmcb = vmcb_of(vp);

    page->segment[VP_ES] = neutral_segment(&vmcb->es);
    page->segment[VP_CS] = neutral_segment(&vmcb->cs);
    page->segment[VP_SS] = neutral_segment(&vmcb->ss);
    page->segment[VP_DS] = neutral_segment(&vmcb->ds);
    page->segment[VP_FS] = neutral_segment(&vmcb->fs);
    page->segment[VP_GS] = neutral_segment(&vmcb->gs);
    page->cr0 = vmcb->cr0;
    page->cr3 = vmcb->cr3;
    page->cr4 = vmcb->cr4;
    page->efer = vmcb->efer & ~EFER_SVME;
    page->dr7 = vmcb->dr7;
    page->interrupt_state = (vmcb->interrupt_state & INTERRUPT_SHADOW ? HV_INTERRUPT_STATE_SHADOW : 0) |
                            (vmcb->software.nmi_masked ? HV_INTERRUPT_STATE_NMI_MASKED : 0);
}

static uint16_t get_execution(const struct vp *vp, struct hv_x64_segment_register *cs)
{
    const struct vmcb *vmcb = vmcb_of(vp);

    *cs = neutral_segment(&vmcb->cs);
    return (uint16_t)((vmcb->cpl & HV_EXECUTION_CPL_MASK) | (vmcb->cr0 & CR0_PE ? HV_EXECUTION_CR0_PE : 0) |
                      (vmcb->cr0 & CR0_AM ? HV_EXECUTION_CR0_AM : 0) |
                      (vmcb->efer & EFER_LMA ? HV_EXECUTION_EFER_LMA : 0) |
                      (vmcb->dr7 & DR7_ENABLES ? HV_EXECUTION_DEBUG_ACTIVE : 0) |
                      (vmcb->interrupt_state & INTERRUPT_SHADOW ? HV_EXECUTION_INTERRUPT_SHADOW : 0));
}

static void get_code(const struct vp *vp, struct vp_code *code)
{
    const struct vmcb *vmcb = vmcb_of(vp);

    code->cr0 = vmcb->cr0;
    code->cr3 = vmcb->cr3;
    code->cr4 = vmcb->cr4;
    code->efer = vmcb->efer & ~EFER_SVME;
    code->cs = neutral_segment(&vmcb->cs);
    code->cs_form = segment_form(&vmcb->cs);
}

static bool code_is(const struct vp *vp, const struct vp_code *code)
{
    const struct vmcb *vmcb = vmcb_of(vp);

    return vmcb->cr3 == code->cr3 && vmcb->cr0 == code->cr0 && vmcb->cr4 == code->cr4 &&
           vmcb->efer == (code->efer | EFER_SVME) && vmcb->cs.base == code->cs.base &&
           segment_form(&vmcb->cs) == code->cs_form;
}

static void end_interrupt_shadow(struct vp *vp)
{
    vmcb_of(vp)->interrupt_state &= ~INTERRUPT_SHADOW;
}

static void set_segment(struct vp *vp, enum vp_segment name, const struct hv_x64_segment_register *value)
{
    struct vmcb *vmcb = vmcb_of(vp);
    uint16_t attributes = (uint16_t)((value->attributes & 0xFF) | (value->attributes >> 4 & 0xF00));

    *segment_place(vp, name) = (struct vmcb_segment){value->selector, attributes, value->limit, value->base};
    vmcb->clean &= ~(uint32_t)(CLEAN_SEGMENTS | CLEAN_DESCRIPTOR_TABLES);
    if (name == VP_SS)
        vmcb->cpl = value->attributes >> HV_SEGMENT_DPL_SHIFT & 3;
}

static const uint8_t event_types[8] = {
    [HV_INTERRUPTION_TYPE_EXTERNAL] = EVENT_TYPE_EXTERNAL,
    [HV_INTERRUPTION_TYPE_NMI] = EVENT_TYPE_NMI,
    [HV_INTERRUPTION_TYPE_EXCEPTION] = EVENT_TYPE_EXCEPTION,
    [HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT] = EVENT_TYPE_SOFTWARE,
    [HV_INTERRUPTION_TYPE_PRIVILEGED_SOFTWARE_EXCEPTION] = EVENT_TYPE_EXCEPTION,
    [HV_INTERRUPTION_TYPE_SOFTWARE_EXCEPTION] = EVENT_TYPE_EXCEPTION,
};

/* A virtual interrupt that stands for an injected one, not for a window: its delivery is not intercepted. */
static bool injected_virtually(const struct vmcb *vmcb)
{
    return on_tcg && (vmcb->virtual_interrupt & V_IRQ) && !(vmcb->intercepts3 & INTERCEPT_VINTR);
}

/*
 * TCG delivers an interrupt from the injection field a second time if it interrupts itself before the next exit
 * (docs/emulators.md), so there a child's goes through V_IRQ (15.21.4), which is delivered before the first
 * instruction. False: it could not be, or V_IRQ is taken by a window.
 */
static bool inject_virtually(struct vp *vp, struct vmcb *vmcb, uint64_t vector)
{
    if (vp->is_parent || !(vp->rflags & RFLAGS_IF) || (vmcb->interrupt_state & INTERRUPT_SHADOW) ||
        (vmcb->virtual_interrupt & V_IRQ))
        return false;
    vmcb->virtual_interrupt &= ~(V_VECTOR_MASK << V_VECTOR_SHIFT);
    vmcb->virtual_interrupt |= V_IRQ | V_IGNORE_TPR | vector << V_VECTOR_SHIFT;
    vmcb->clean &= ~CLEAN_TPR;
    return true;
}

static void inject(struct vp *vp, uint64_t event)
{
    struct vmcb *vmcb = vmcb_of(vp);
    unsigned type = hv_pending_interruption_type(event);
    uint64_t vector = event >> HV_PENDING_INTERRUPTION_VECTOR_SHIFT & EVENT_VECTOR_MASK;
    uint64_t raw = 0;

    if (event & HV_PENDING_INTERRUPTION_PENDING) {
        if (on_tcg && type == HV_INTERRUPTION_TYPE_EXTERNAL && inject_virtually(vp, vmcb, vector))
            return;
        raw = EVENT_VALID | (uint64_t)event_types[type] << EVENT_TYPE_SHIFT | vector;
        if (event & HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE)
            raw |= EVENT_ERROR_CODE_VALID | event >> 32 << EVENT_ERROR_CODE_SHIFT;
        if (type == HV_INTERRUPTION_TYPE_NMI)
            set_nmi_masked(vmcb, true);
    }
    vmcb->event_injection = raw;
}

/*
 * Software interrupts and INT3/INTO are not given back: RIP is still on the instruction, which raises them again.
 * Emulated processors record an interrupted hardware interrupt as an exception: vectors above 31 are never one.
 */
static uint64_t interrupted_event(const struct vp *vp)
{
    struct vmcb *vmcb = vmcb_of(vp);
    uint64_t raw = vmcb->exit_interrupt_info, event;
    unsigned vector = raw & EVENT_VECTOR_MASK, type = raw >> EVENT_TYPE_SHIFT & EVENT_TYPE_MASK;

    if (injected_virtually(vmcb)) {
        vmcb->virtual_interrupt &= ~V_IRQ;
        return hv_pending_interruption(HV_INTERRUPTION_TYPE_EXTERNAL,
                                       vmcb->virtual_interrupt >> V_VECTOR_SHIFT & V_VECTOR_MASK);
    }
    if (!(raw & EVENT_VALID))
        return 0;
    if (type == EVENT_TYPE_EXCEPTION && vector > 31)
        type = EVENT_TYPE_EXTERNAL;
    if (type == EVENT_TYPE_SOFTWARE ||
        (type == EVENT_TYPE_EXCEPTION && (vector == EXCEPTION_BP || vector == EXCEPTION_OF)))
        return 0;
    event = hv_pending_interruption(type, vector);
    if (type == EVENT_TYPE_EXCEPTION && (raw & EVENT_ERROR_CODE_VALID))
        event |= HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE | raw >> EVENT_ERROR_CODE_SHIFT
                                                                         << HV_PENDING_INTERRUPTION_ERROR_CODE_SHIFT;
    return event;
}

/* CR8 is in the control block while the child runs. A write is intercepted only when it may unmask an interrupt. */
static void load_task_priority(struct vp *vp, struct vmcb *vmcb)
{
    uint64_t priority = local_apic_cr8(&vp->apic);
    uint16_t writes = child_cr_writes;

    if (priority > 1 && local_apic_pending(&vp->apic) < 0)
        writes |= INTERCEPT_CR8;
    if ((vmcb->virtual_interrupt & V_TPR_MASK) != priority) {
        vmcb->virtual_interrupt = (vmcb->virtual_interrupt & ~V_TPR_MASK) | priority;
        vmcb->clean &= ~CLEAN_TPR;
    }
    if (vmcb->intercept_cr_write != writes) {
        vmcb->intercept_cr_write = writes;
        vmcb->clean &= ~CLEAN_INTERCEPTS;
    }
}

/* A dummy virtual interrupt whose delivery is intercepted (15.21.4). */
static void interrupt_window(struct vp *vp, bool wanted)
{
    struct vmcb *vmcb = vmcb_of(vp);
    int vector = wanted ? local_apic_pending(&vp->apic) : 0;
    uint64_t priority =
        vector < 0 ? 15 : (uint64_t)vector >> 4; /* ExtINT has no priority: any task priority lets it pass */

    load_task_priority(vp, vmcb);
    if (!wanted && !(vmcb->virtual_interrupt & V_IRQ))
        return;
    vmcb->virtual_interrupt &= ~(V_IRQ | 0xFull << V_PRIORITY_SHIFT);
    vmcb->intercepts3 &= ~INTERCEPT_VINTR;
    if (wanted) {
        vmcb->virtual_interrupt |= V_IRQ | priority << V_PRIORITY_SHIFT;
        vmcb->intercepts3 |= INTERCEPT_VINTR;
    }
    vmcb->clean &= ~(uint32_t)(CLEAN_INTERCEPTS | CLEAN_TPR);
}

static void set_nested_root(struct vp *vp, uint64_t spa)
{
    struct vmcb *vmcb = vmcb_of(vp);

    vmcb->nested_cr3 = spa;
    vp->last_lp = ~0u;
}

/* Everything of a VP is in its control block, in memory. */
static void nothing_to_release(struct vp *vp)
{
    (void)vp;
}

static void nothing_to_switch(struct vp *from, struct vp *to)
{
    (void)from, (void)to;
}

/* Hardware would hold an INIT for as long as GIF is 0 (15.17). */
static bool has_init_exits(void)
{
    return false;
}

/* IF = 0: the window is for NMIs alone, the parent's interrupts stay pending. */
static void host_window(bool interrupts)
{
    if (interrupts)
        __asm__ volatile("stgi; nop; nop; clgi" : : : "memory");
    else
        __asm__ volatile("cli; stgi; nop; nop; clgi; sti" : : : "memory");
}

/* Nested page table entries are those of a 64-bit page table, always user (15.25.5). */
#define ENTRY_PRESENT       0x1ull
#define ENTRY_WRITABLE      0x2ull
#define ENTRY_USER          0x4ull
#define ENTRY_CACHE_DISABLE 0x18ull /* PCD and PWT: the host PAT's UC */
#define ENTRY_ACCESSED_BIT  5       /* and dirty */
#define ENTRY_LARGE         0x80ull
#define ENTRY_NO_EXECUTE    (1ull << 63)

static uint64_t nested_leaf(uint64_t spa, uint32_t access, bool large, enum memory_type type)
{
    return spa | ENTRY_PRESENT | ENTRY_USER | (access & HV_MAP_GPA_WRITABLE ? ENTRY_WRITABLE : 0) |
           (access & HV_MAP_GPA_EXECUTABLE ? 0 : ENTRY_NO_EXECUTE) | (large ? ENTRY_LARGE : 0) |
           (type == MEMORY_WRITE_BACK ? 0 : ENTRY_CACHE_DISABLE);
}

static uint64_t nested_table(uint64_t spa)
{
    return spa | ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_USER;
}

static uint32_t nested_access(uint64_t entry)
{
    if (!(entry & ENTRY_PRESENT))
        return 0;
    return HV_MAP_GPA_READABLE | (entry & ENTRY_WRITABLE ? HV_MAP_GPA_WRITABLE : 0) |
           (entry & ENTRY_NO_EXECUTE ? 0 : HV_MAP_GPA_EXECUTABLE);
}

static bool nested_has_1g(void)
{
    uint32_t result[4];

    cpuid(0x80000001, 0, result);
    return (result[3] & EDX_1G_PAGES) != 0;
}

static bool nested_large_execute(void)
{
    return true;
}

static bool nested_sets_accessed(void)
{
    return true;
}

/* The MTRRs count for guests as for the host (15.25.8). */
static enum memory_type nested_type(uint64_t spa, uint64_t size)
{
    (void)spa, (void)size;
    return MEMORY_WRITE_BACK;
}

static bool nested_load_types(uint64_t *first, uint64_t *end)
{
    (void)first, (void)end;
    return false;
}

const struct vendor svm_vendor = {
    .name = "AMD-V",
    .unsupported = unsupported,
    .initialize = initialize,
    .cpuid = guest_cpuid,
    .enable = enable,
    .control_pages = 1,
    .vp_initialize = vp_initialize,
    .release = nothing_to_release,
    .switch_registers = nothing_to_switch,
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
    .host_window = host_window,
    .host_wait = svm_wait,
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
                 .type = nested_type,
                 .load_types = nested_load_types,
                 },
    .parent_msrs = svm_parent_msrs,
    .has_vmmcall = true,
};
