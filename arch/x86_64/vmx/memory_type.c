/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory types of the parent. EPT has a type of its own for each page, in the place of what the MTRRs say (SDM vol. 3C,
 * 29.3.7.2), so that the parent's entries repeat them. They are the same on all processors, as the manual demands (SDM
 * vol. 3A, 12.11.8): the first one that enables other MTRRs speaks for all. One that has disabled them is about to
 * change them, with its caches off: CR0.CD counts for guests, too.
 */
#include "arch/x86_64/vmx/mtrr.h"
#include "arch/x86_64/vmx/vmx.h"
#include "kernel/arch.h"

/* Under the parent map's lock. */
static struct mtrr_types types[2]; /* the new ones are made beside those that count */
static unsigned current;

enum memory_type vmx_memory_type(uint64_t spa, uint64_t size)
{
    return mtrr_type(&types[current], spa, size);
}

bool vmx_load_memory_types(uint64_t *first, uint64_t *end)
{
    struct mtrrs mtrrs;

    mtrr_read(&mtrrs, arch_physical_address_bits());
    if (!mtrr_enabled(&mtrrs) && types[current].count > 0)
        return false;
    mtrr_evaluate(&mtrrs, &types[!current]);
    current = !current;
    return mtrr_difference(&types[!current], &types[current], first, end);
}
