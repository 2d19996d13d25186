/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of a child's processor after power-up and INIT, and how a SIPI starts it. */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/interrupt.h"
#include "kernel/partition.h"
#include "kernel/vp.h"

#define CR0_ET        0x10ull
#define CR0_CD_NW     0x60000000ull
#define RFLAGS_RESET  0x2ull
#define DR6_RESET     0xFFFF0FF0ull
#define DR7_RESET     0x400ull
#define RESET_VECTOR  0xFFF0ull
#define RESET_CS_BASE 0xFFFF0000ull

/* Attributes as in struct hv_x64_segment_register: type, S, P. */
#define ATTRIBUTES_CODE 0x009Bu
#define ATTRIBUTES_DATA 0x0093u
#define ATTRIBUTES_LDT  0x0082u
#define ATTRIBUTES_TASK 0x008Bu

static void reset_segments(struct vp *vp)
{
    struct hv_x64_segment_register segment = {.limit = 0xFFFF};

    vendor->set_segment(vp, VP_IDTR, &segment);
    vendor->set_segment(vp, VP_GDTR, &segment);
    segment.attributes = ATTRIBUTES_LDT;
    vendor->set_segment(vp, VP_LDTR, &segment);
    segment.attributes = ATTRIBUTES_TASK;
    vendor->set_segment(vp, VP_TR, &segment);
    segment.attributes = ATTRIBUTES_DATA;
    for (enum vp_segment name = VP_ES; name <= VP_GS; name++)
        vendor->set_segment(vp, name, &segment);
    segment = (struct hv_x64_segment_register){RESET_CS_BASE, 0xFFFF, 0xF000, ATTRIBUTES_CODE};
    vendor->set_segment(vp, VP_CS, &segment);
}

/* What power-up and INIT have in common. */
static void reset_registers(struct vp *vp, uint64_t cr0)
{
    uint32_t signature[4];

    memset(vp->gpr, 0, sizeof(vp->gpr));
    child_cpuid_default(vp, 1, 0, signature);
    vp->gpr[GPR_RDX] = signature[0];
    vp->rip = RESET_VECTOR;
    vp->rflags = RFLAGS_RESET;
    reset_segments(vp);
    vendor->set(vp, VP_CR0, cr0);
    vendor->set(vp, VP_CR2, 0);
    vendor->set(vp, VP_CR3, 0);
    vendor->set(vp, VP_CR4, 0);
    vendor->set(vp, VP_EFER, 0);
    vendor->set(vp, VP_DR6, DR6_RESET);
    vendor->set(vp, VP_DR7, DR7_RESET);
    vendor->set(vp, VP_INTERRUPT_SHADOW, 0);
    vendor->set(vp, VP_NMI_MASKED, 0);
    vendor->interrupt_window(vp, false);
    vendor->inject(vp, 0);
    vp->pending_interruption = 0;
    vp->halted = false;
}

static void reset_control_block(struct vp *vp)
{
    vendor->vp_initialize(vp);
    vendor->set_nested_root(vp, vp->partition->map.root);
    child_msr_reset(vp);
    reset_registers(vp, CR0_ET | CR0_CD_NW);
}

void vp_reset(struct vp *vp)
{
    reset_control_block(vp);
    extended_state_reset(vp);
}

void vp_init(struct vp *vp)
{
    reset_registers(vp, CR0_ET | (vendor->get(vp, VP_CR0) & CR0_CD_NW));
    for (unsigned i = 0; i < 4; i++)
        extended_state_set_debug_register(vp, i, 0);
    local_apic_init(&vp->apic);
}

void vp_start(struct vp *vp, uint8_t vector)
{
    const struct hv_x64_segment_register code = {(uint64_t)vector << 12, 0xFFFF, (uint16_t)(vector << 8),
                                                 ATTRIBUTES_CODE};

    vendor->set_segment(vp, VP_CS, &code);
    vp->rip = 0;
}

void vp_reset_after_shutdown(struct vp *vp)
{
    reset_control_block(vp);
    vendor->set(vp, VP_TSC_OFFSET, vp->apic.tsc_offset);
}
