/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/parent_exit.h"
#include "hv/loam.h"
#include "kernel/lp.h"
#include "kernel/vp.h"

enum { EAX, EBX, ECX, EDX };

#define SVM_AND_SKINIT (1u << 2 | 1u << 12) /* of 8000_0001 ECX */
#define VMX_AND_SMX (1u << 5 | 1u << 6)     /* of 1 ECX */
#define OSXSAVE_BIT 27
#define OSPKE_BIT 4

static uint32_t replace_bit(uint32_t value, unsigned bit, bool set)
{
    return (value & ~(1u << bit)) | (uint32_t)set << bit;
}

static void clear(uint32_t result[4])
{
    result[EAX] = result[EBX] = result[ECX] = result[EDX] = 0;
}

/*
 * CPUID executes in the hypervisor: the bits that mirror CR4 are the hypervisor's and are put right. Virtualization
 * and memory encryption are Loam's alone. All else is the machine's.
 */
void parent_cpuid(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    uint64_t cr4 = vendor->get(vp, VP_CR4);

    cpuid(leaf, subleaf, result);
    switch (leaf) {
    case 1:
        result[ECX] = replace_bit(result[ECX], OSXSAVE_BIT, (cr4 & CR4_OSXSAVE) != 0) & ~VMX_AND_SMX;
        break;
    case 7:
        if (subleaf == 0)
            result[ECX] = replace_bit(result[ECX], OSPKE_BIT, (cr4 & CR4_PKE) != 0);
        break;
    case 0x80000001:
        result[ECX] &= ~SVM_AND_SKINIT;
        break;
    case 0x8000000A: /* SVM */
    case 0x8000001F: /* SME and SEV */
        clear(result);
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
