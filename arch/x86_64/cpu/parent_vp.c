/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "arch/x86_64/boot/boot_information.h"
#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/kick.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/parent_exit.h"
#include "arch/x86_64/cpu/parent_vp.h"
#include "arch/x86_64/cpu/processor_start.h"
#include "kernel/parent_map.h"
#include "kernel/partition.h"
#include "kernel/shoot_down.h"
#include "kernel/vp.h"

#define CPUID_SIGNATURE_LEAF 1u

/* Attributes as the TLFS has them: type, S, DPL, P, G, D/B. */
#define REAL_MODE_CODE  0x009Bu
#define REAL_MODE_DATA  0x0093u
#define LDT_ATTRIBUTES  0x0082u
#define TASK_ATTRIBUTES 0x008Bu

/* A segment as the firmware's descriptor table describes it. */
static struct hv_x64_segment_register segment_of(uint16_t selector, uint64_t gdt, uint16_t gdt_limit)
{
    struct hv_x64_segment_register segment = {.selector = selector};
    uint64_t descriptor;

    if ((selector & ~7u) == 0 || (selector & 4) || (selector & ~7u) + 7u > gdt_limit)
        return segment;
    memcpy(&descriptor, physical_pointer(gdt + (selector & ~7u)), sizeof descriptor);
    segment.base = (descriptor >> 16 & 0xFFFFFF) | (descriptor >> 32 & 0xFF000000u);
    segment.limit = (uint32_t)((descriptor & 0xFFFF) | (descriptor >> 32 & 0xF0000));
    segment.attributes = (uint16_t)(descriptor >> 40 & 0xF0FF);
    if (segment.attributes & HV_SEGMENT_G)
        segment.limit = segment.limit << 12 | 0xFFF;
    return segment;
}

static void load_segments(struct vp *vp, const struct launch_context *context, uint64_t fs_base, uint64_t gs_base)
{
    const uint16_t selectors[] = {
        [VP_ES] = context->es, [VP_CS] = context->cs, [VP_SS] = context->ss,
        [VP_DS] = context->ds, [VP_FS] = context->fs, [VP_GS] = context->gs,
    };
    struct hv_x64_segment_register segment;

    for (unsigned i = VP_ES; i <= VP_GS; i++) {
        segment = segment_of(selectors[i], context->gdtr_base, context->gdtr_limit);
        if (i == VP_FS)
            segment.base = fs_base;
        if (i == VP_GS)
            segment.base = gs_base;
        vendor->set_segment(vp, i, &segment);
    }
    segment =
        (struct hv_x64_segment_register){.selector = context->ldtr, .limit = 0xFFFF, .attributes = LDT_ATTRIBUTES};
    vendor->set_segment(vp, VP_LDTR, &segment);
    segment = segment_of(context->tr, context->gdtr_base, context->gdtr_limit);
    if (segment.attributes == 0) /* most firmware has no task state segment, but the processor wants one */
        segment = (struct hv_x64_segment_register){.limit = 0xFFFF, .attributes = TASK_ATTRIBUTES};
    else
        segment.base |= (uint64_t) * (const uint32_t *)physical_pointer(context->gdtr_base + (context->tr & ~7u) + 8)
                        << 32;
    vendor->set_segment(vp, VP_TR, &segment);
    segment = (struct hv_x64_segment_register){.base = context->gdtr_base, .limit = context->gdtr_limit};
    vendor->set_segment(vp, VP_GDTR, &segment);
    segment = (struct hv_x64_segment_register){.base = context->idtr_base, .limit = context->idtr_limit};
    vendor->set_segment(vp, VP_IDTR, &segment);
}

static void load_context(struct vp *vp, const struct launch_context *context, uint64_t fs_base, uint64_t gs_base)
{
    load_segments(vp, context, fs_base, gs_base);
    vendor->set(vp, VP_CR0, context->cr0);
    vendor->set(vp, VP_CR3, context->cr3);
    vendor->set(vp, VP_CR4, context->cr4);
    vendor->set(vp, VP_EFER, context->efer);
    vendor->set(vp, VP_DR6, context->dr6);
    vendor->set(vp, VP_DR7, context->dr7);
    vp->rip = context->rip;
    vp->rflags = context->rflags;
    vp->gpr[GPR_RSP] = context->rsp;
}

/* MSRs that no reset touches and that the firmware may have set. */
static void load_msrs(struct vp *vp)
{
    static const struct {
        enum vp_register name;
        uint32_t msr;
    } list[] = {
        {VP_STAR,           MSR_STAR          },
        {VP_LSTAR,          MSR_LSTAR         },
        {VP_CSTAR,          MSR_CSTAR         },
        {VP_SFMASK,         MSR_SFMASK        },
        {VP_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE},
        {VP_SYSENTER_CS,    MSR_SYSENTER_CS   },
        {VP_SYSENTER_ESP,   MSR_SYSENTER_ESP  },
        {VP_SYSENTER_EIP,   MSR_SYSENTER_EIP  },
    };

    for (unsigned i = 0; i < sizeof list / sizeof list[0]; i++)
        vendor->set(vp, list[i].name, rdmsr(list[i].msr));
}

void parent_vp_reset(struct vp *vp, uint8_t vector)
{
    const struct hv_x64_segment_register data = {.limit = 0xFFFF, .attributes = REAL_MODE_DATA},
                                         code = {(uint64_t)vector << 12, 0xFFFF, (uint16_t)(vector << 8),
                                                 REAL_MODE_CODE},
                                         table = {.limit = 0xFFFF},
                                         ldt = {.limit = 0xFFFF, .attributes = LDT_ATTRIBUTES},
                                         task = {.limit = 0xFFFF, .attributes = TASK_ATTRIBUTES};
    uint64_t cache = vendor->get(vp, VP_CR0) & (CR0_CD | CR0_NW); /* INIT leaves them */
    uint32_t signature[4];

    memset(vp->gpr, 0, sizeof vp->gpr);
    cpuid(CPUID_SIGNATURE_LEAF, 0, signature);
    vp->gpr[GPR_RDX] = signature[0];
    vp->rip = 0;
    vp->rflags = 2;
    for (unsigned i = VP_ES; i <= VP_GS; i++)
        vendor->set_segment(vp, i, i == VP_CS ? &code : &data);
    vendor->set_segment(vp, VP_LDTR, &ldt);
    vendor->set_segment(vp, VP_TR, &task);
    vendor->set_segment(vp, VP_IDTR, &table);
    vendor->set_segment(vp, VP_GDTR, &table);
    vendor->set(vp, VP_CR0, CR0_ET | cache);
    vendor->set(vp, VP_CR2, 0);
    vendor->set(vp, VP_CR3, 0);
    vendor->set(vp, VP_CR4, 0);
    vendor->set(vp, VP_EFER, 0);
    vendor->set(vp, VP_DR6, DR6_INIT);
    vendor->set(vp, VP_DR7, DR7_INIT);
    vendor->set(vp, VP_INTERRUPT_SHADOW, 0);
    vendor->set(vp, VP_NMI_MASKED, 0);
    vendor->inject(vp, 0);
    vp->pending_interruption = 0;
    for (unsigned i = 0; i < 4; i++)
        write_debug_register(i, 0);
}

void parent_vp_create(struct lp *lp, const struct launch_context *context, uint64_t fs_base, uint64_t gs_base)
{
    struct vp *vp = lp->parent_vp;

    vp->partition = &parent_partition;
    vp->index = lp->index;
    vp->is_parent = true;
    vp->last_lp = ~0u;
    vp->claim = lp->index + 1;
    vendor->vp_initialize(vp);
    vendor->set_nested_root(vp, parent_map_root());
    load_msrs(vp);
    if (context) {
        load_context(vp, context, fs_base, gs_base);
    } else {
        vendor->set(vp, VP_CR0, CR0_CD | CR0_NW);
        parent_vp_reset(vp, processor_start_vector(lp->apic_id));
    }
}

/* An exception takes the place of an event whose delivery it interrupted; see docs/architecture.md, events. */
void parent_vp_raise(struct vp *vp, uint8_t vector, bool has_error_code)
{
    vp->pending_interruption = hv_pending_interruption(HV_INTERRUPTION_TYPE_EXCEPTION, vector) |
                               (has_error_code ? HV_PENDING_INTERRUPTION_DELIVER_ERROR_CODE : 0);
}

/* An NMI that waits for the parent is delivered unless one is being handled; the IRET that ends that one exits. */
static bool offer_nmi(struct lp *lp, struct vp *vp)
{
    if (!__atomic_load_n(&lp->parent_nmi, __ATOMIC_SEQ_CST) || vendor->get(vp, VP_NMI_MASKED))
        return false;
    __atomic_store_n(&lp->parent_nmi, false, __ATOMIC_SEQ_CST);
    vendor->inject(vp, hv_pending_interruption(HV_INTERRUPTION_TYPE_NMI, EXCEPTION_NMI));
    return true;
}

/* Those that host mode took, highest first. */
static void offer_interrupt(struct arch_lp *arch, struct vp *vp)
{
    bool open = (vp->rflags & RFLAGS_IF) && !vendor->get(vp, VP_INTERRUPT_SHADOW);
    unsigned word = 3;

    while (arch->interrupts[word] == 0)
        word--;
    if (open) {
        unsigned bit = 63 - (unsigned)__builtin_clzll(arch->interrupts[word]);

        vendor->inject(vp, hv_pending_interruption(HV_INTERRUPTION_TYPE_EXTERNAL, word * 64 + bit));
        arch->interrupts[word] &= ~(1ull << bit);
        arch->has_interrupts = arch->interrupts[0] || arch->interrupts[1] || arch->interrupts[2] || arch->interrupts[3];
    }
    vendor->interrupt_window(vp, arch->has_interrupts);
}

/* A machine check goes first. Of what it takes the place, exceptions come again by themselves. */
static void offer_machine_check(struct lp *lp, struct vp *vp)
{
    uint64_t event = vp->pending_interruption;
    enum hv_pending_interruption_type type = hv_pending_interruption_type(event);

    lp->parent_machine_check = false;
    if (event != 0 && type == HV_INTERRUPTION_TYPE_EXTERNAL)
        host_interrupt((uint8_t)(event >> HV_PENDING_INTERRUPTION_VECTOR_SHIFT));
    else if (event != 0 && type == HV_INTERRUPTION_TYPE_NMI)
        __atomic_store_n(&lp->parent_nmi, true, __ATOMIC_SEQ_CST);
    parent_vp_raise(vp, EXCEPTION_MC, false);
}

/* What the next entry delivers: first what the last exit interrupted or raised, then an NMI. */
static void offer_events(struct lp *lp, struct vp *vp)
{
    if (lp->parent_machine_check)
        offer_machine_check(lp, vp);
    if (vp->pending_interruption != 0) {
        vendor->inject(vp, vp->pending_interruption);
        vp->pending_interruption = 0;
    } else if (!offer_nmi(lp, vp) && arch_lp(lp)->has_interrupts) {
        offer_interrupt(arch_lp(lp), vp);
    }
}

void parent_vp_run(struct vp *vp)
{
    struct lp *lp = lp_current();
    struct vp_exit exit;

    for (;;) {
        if (__atomic_load_n(&lp->parent_init, __ATOMIC_SEQ_CST))
            processor_start_serve();
        offer_events(lp, vp);
        host_apic_recheck();
        guest_memory_begin(vp);
        vendor->run(vp, &exit);
        guest_memory_end(NULL);
        vp->exits[exit.reason]++;
        vp->pending_interruption = vendor->interrupted_event(vp);
        parent_exit(vp, &exit);
    }
}
