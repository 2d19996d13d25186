// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/cache.h>
#include <linux/compiler.h>

#include "hv/loam.h"
#include "compat.h"
#include "hypervisor.h"

static bool use_vmmcall __ro_after_init;

bool hypervisor_identify(struct hypervisor_identity *identity)
{
    u32 highest, ebx, ecx, edx, features, index;

    /*
     * A processor without such a leaf answers with the data of another one, so only the signature counts. The
     * hypervisor bit of leaf 1 says nothing: Loam leaves it clear for its parent.
     */
    cpuid(LOAM_CPUID_SIGNATURE, &highest, &ebx, &ecx, &edx);
    if (ebx != LOAM_SIGNATURE || ecx != LOAM_SIGNATURE || edx != LOAM_SIGNATURE ||
        highest < LOAM_CPUID_INTERFACE)
        return false;
    cpuid(LOAM_CPUID_INTERFACE, &identity->interface_version, &features, &index,
          &identity->logical_processors);
    use_vmmcall = features & LOAM_FEATURE_VMMCALL;
    return true;
}

u64 hypervisor_call(u64 control, u64 input, u64 output)
{
    register u64 r8 asm("r8") = output;
    u64 result;

    if (use_vmmcall)
        asm volatile("vmmcall"
                     : "=a"(result), "+c"(control), "+d"(input), "+r"(r8)
                     :
                     : "r9", "r10", "r11", "cc", "memory");
    else
        asm volatile("vmcall"
                     : "=a"(result), "+c"(control), "+d"(input), "+r"(r8)
                     :
                     : "r9", "r10", "r11", "cc", "memory");
    return result;
}
