/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent's MSRs. Everything is the hardware's but for the vendor's table; an MSR that is not in it exited only
 * because the processor's permission map does not cover it.
 */
#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/parent_exit.h"
#include "arch/x86_64/cpu/processor_start.h"
#include "kernel/local_apic.h"
#include "kernel/log.h"
#include "kernel/vp.h"

/* Loam watches the page at the address that it found at boot. */
bool parent_write_apic_base(struct vp *vp, uint32_t msr, uint64_t value)
{
    uint64_t old = rdmsr(MSR_APIC_BASE);

    (void)vp, (void)msr;
    if ((value ^ old) & APIC_BASE_ADDRESS) {
        log_limited("parent: APIC_BASE is %lx; moving it by writing %lx is refused", old, value);
        return false;
    }
    return wrmsr_safe(MSR_APIC_BASE, value);
}

bool parent_write_icr(struct vp *vp, uint32_t msr, uint64_t value)
{
    (void)vp, (void)msr;
    if (!host_apic_is_x2apic())
        return false;
    processor_start_command(value);
    return true;
}

bool parent_deny_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
    (void)vp, (void)msr, (void)value;
    return false;
}

bool parent_deny_write(struct vp *vp, uint32_t msr, uint64_t value)
{
    (void)vp, (void)msr, (void)value;
    return false;
}

/* NULL: it is the hardware's. */
static const struct parent_msr *find(uint32_t msr)
{
    for (const struct parent_msr *found = vendor->parent_msrs; found->last != 0; found++)
        if (msr >= found->first && msr <= found->last)
            return found;
    return NULL;
}

bool parent_msr_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
    const struct parent_msr *found = find(msr);

    return found && found->read ? found->read(vp, msr, value) : rdmsr_safe(msr, value);
}

bool parent_msr_write(struct vp *vp, uint32_t msr, uint64_t value)
{
    const struct parent_msr *found = find(msr);

    return found && found->write ? found->write(vp, msr, value) : wrmsr_safe(msr, value);
}
