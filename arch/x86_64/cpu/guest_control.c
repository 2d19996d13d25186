/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/cpu/cpu_features.h"
#include "kernel/arch.h"
#include "kernel/vp.h"

/* What the processor itself checks when CR0 is written (SDM vol. 2B, MOV to control registers). */
static bool cr0_valid(const struct vp *vp, uint64_t old, uint64_t value)
{
    struct vp_code code;

    if (value >> 32 != 0 || (!(value & CR0_PE) && (value & CR0_PG)) || (!(value & CR0_CD) && (value & CR0_NW)))
        return false;
    vendor->get_code(vp, &code);
    if (!(old & CR0_PG) && (value & CR0_PG) && (code.efer & EFER_LME))
        return (code.cr4 & CR4_PAE) && !(code.cs.attributes & HV_SEGMENT_L);
    if ((old & CR0_PG) && !(value & CR0_PG))
        return !(code.cr4 & CR4_PCIDE) && !((code.efer & EFER_LMA) && (code.cs.attributes & HV_SEGMENT_L));
    return (value & CR0_WP) || !(code.cr4 & CR4_CET);
}

bool guest_cr0_write(struct vp *vp, uint64_t value)
{
    uint64_t old = vendor->get(vp, VP_CR0), efer = vendor->get(vp, VP_EFER);

    if (!cr0_valid(vp, old, value))
        return false;
    if (value & CR0_PG)
        efer |= efer & EFER_LME ? EFER_LMA : 0;
    else
        efer &= ~EFER_LMA;
    vendor->set(vp, VP_EFER, efer);
    vendor->set(vp, VP_CR0, value | CR0_ET);
    return true;
}
