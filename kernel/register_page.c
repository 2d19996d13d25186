/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "kernel/arch.h"
#include "kernel/register_page.h"
#include "kernel/registers.h"
#include "kernel/vp.h"

#define FXSAVE_XMM0   160u
#define PAGE_SEGMENTS 6u

static void __attribute__((noinline)) load_others(struct vp *vp, const struct hv_vp_register_page *page, uint32_t dirty)
{
    if (dirty & HV_REGISTER_PAGE_DIRTY_FLAGS)
        vp->rflags = rflags_sanitize(page->rflags);
    if (dirty & HV_REGISTER_PAGE_DIRTY_XMM)
        memcpy((uint8_t *)extended_state_legacy(vp) + FXSAVE_XMM0, page->xmm, sizeof(page->xmm));
    if (dirty & HV_REGISTER_PAGE_DIRTY_SEGMENT)
        for (unsigned i = 0; i < PAGE_SEGMENTS; i++) {
            struct hv_x64_segment_register segment = page->segment[i];

            vendor->set_segment(vp, VP_ES + i, &segment);
        }
}

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
    if (dirty & ~(uint32_t)(HV_REGISTER_PAGE_DIRTY_GP | HV_REGISTER_PAGE_DIRTY_IP))
        load_others(vp, page, dirty);
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

    if (!page)
        return;
    page->version = HV_VP_REGISTER_PAGE_VERSION;
    page->dirty = 0;
    memcpy(page->gp_registers, vp->gpr, sizeof(vp->gpr));
    page->rip = vp->rip;
    page->rflags = vp->rflags;
    memcpy(page->xmm, (const uint8_t *)extended_state_legacy(vp) + FXSAVE_XMM0, sizeof(page->xmm));
    vendor->get_special(vp, page);
    page->cr8 = local_apic_cr8(&vp->apic);
    page->pending_interruption = vp->pending_interruption;
    page->instruction_emulation_hints = 0;
    page->xfem = vp->xcr0;
    page->isvalid = 1;
}

void register_page_refresh(struct vp *vp)
{
    if (vp->register_page && vp->register_page->isvalid)
        register_page_fill(vp);
}
