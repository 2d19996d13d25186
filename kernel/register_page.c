/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/register_page.h"
#include "kernel/registers.h"
#include "kernel/vp.h"

#define FXSAVE_XMM0   160u
#define PAGE_SEGMENTS 6u

/* The parent may write to the page at any time: each field is read once, and any value must do. */
void register_page_load(struct vp *vp)
{
    struct hv_vp_register_page *page = vp->register_page;
    uint32_t dirty;

    if (!page || !page->isvalid)
        return;
    dirty = ((const volatile struct hv_vp_register_page *)page)->dirty;
    if (dirty & HV_REGISTER_PAGE_DIRTY_GP)
        memcpy(vp->gpr, page->gp_registers, sizeof(vp->gpr));
    if (dirty & HV_REGISTER_PAGE_DIRTY_IP)
        vp->rip = page->rip;
    if (dirty & HV_REGISTER_PAGE_DIRTY_FLAGS)
        vp->rflags = rflags_sanitize(page->rflags);
    if (dirty & HV_REGISTER_PAGE_DIRTY_XMM)
        memcpy((uint8_t *)extended_state_legacy(vp) + FXSAVE_XMM0, page->xmm, sizeof(page->xmm));
    if (dirty & HV_REGISTER_PAGE_DIRTY_SEGMENT)
        for (unsigned i = 0; i < PAGE_SEGMENTS; i++) {
            struct hv_x64_segment_register segment = page->segment[i];

            vendor->set_segment(vp, VP_ES + i, &segment);
        }
    page->dirty = 0;
}

void register_page_invalidate(struct vp *vp)
{
    if (vp->register_page)
        vp->register_page->isvalid = 0;
}

void register_page_fill(struct vp *vp)
{
    struct hv_vp_register_page *page = vp->register_page;
    const struct vp_special *special = &vp->special;

    if (!page)
        return;
    page->version = HV_VP_REGISTER_PAGE_VERSION;
    page->dirty = 0;
    memcpy(page->gp_registers, vp->gpr, sizeof(vp->gpr));
    page->rip = vp->rip;
    page->rflags = vp->rflags;
    memcpy(page->xmm, (const uint8_t *)extended_state_legacy(vp) + FXSAVE_XMM0, sizeof(page->xmm));
    memcpy(page->segment, special->segment, sizeof(page->segment));
    page->cr0 = special->cr0;
    page->cr3 = special->cr3;
    page->cr4 = special->cr4;
    page->cr8 = local_apic_cr8(&vp->apic);
    page->efer = special->efer;
    page->dr7 = special->dr7;
    page->pending_interruption = vp->pending_interruption;
    page->interrupt_state = (special->interrupt_shadow ? HV_INTERRUPT_STATE_SHADOW : 0) |
                            (special->nmi_masked ? HV_INTERRUPT_STATE_NMI_MASKED : 0);
    page->instruction_emulation_hints = 0;
    page->xfem = vp->xcr0;
    page->isvalid = 1;
}

void register_page_refresh(struct vp *vp)
{
    if (vp->register_page && vp->register_page->isvalid) {
        vendor->get_special(vp, &vp->special);
        register_page_fill(vp);
    }
}
