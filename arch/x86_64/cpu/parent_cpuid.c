/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/parent_exit.h"
#include "hv/loam.h"
#include "kernel/lp.h"
#include "kernel/vp.h"

enum { EAX, EBX, ECX, EDX };

#define OSXSAVE_BIT 27
#define OSPKE_BIT   4

static uint32_t replace_bit(uint32_t value, unsigned bit, bool set)
{
    return (value & ~(1u << bit)) | (uint32_t)set << bit;
}

/*
 * CPUID executes in the hypervisor: the bits that mirror CR4 are the hypervisor's and are put right.
 * Virtualization is Loam's alone. All else is the machine's.
 */
void parent_cpuid(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    uint64_t cr4 = vendor->get(vp, VP_CR4);

    vendor->cpuid(leaf, subleaf, result);
    switch (leaf) {
    case 1:
        result[ECX] = replace_bit(result[ECX], OSXSAVE_BIT, (cr4 & CR4_OSXSAVE) != 0);
        break;
    case 7:
        if (subleaf == 0)
            result[ECX] = replace_bit(result[ECX], OSPKE_BIT, (cr4 & CR4_PKE) != 0);
        break;
    case LOAM_CPUID_SIGNATURE:
        result[EAX] = LOAM_CPUID_INTERFACE;
        result[EBX] = result[ECX] = result[EDX] = LOAM_SIGNATURE;
        break;
    case LOAM_CPUID_INTERFACE:
        result[EAX] = LOAM_INTERFACE_VERSION;
        result[EBX] = vendor->has_vmmcall ? LOAM_FEATURE_VMMCALL : 0;
        result[ECX] = vp->index;
        result[EDX] = lp_count();
        break;
    }
}
