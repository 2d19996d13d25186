/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CR4 of children. Most of its bits concern only the guest that sets them. Behind some stands state that the
 * world switch leaves in the processor: shadow stacks (U_CET, PL0_SSP to PL3_SSP), protection keys of the
 * supervisor, user interrupts, FRED. Children do not get those features, and on a processor that has one of
 * them their writes of CR4 exit, so that the bit stays clear; on others the processor itself refuses it.
 */
#include "arch/x86_64/cpu/child_policy.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/instructions.h"
#include "kernel/arch.h"
#include "kernel/vp.h"

#define CR3_PCID 0xFFFull

/* CR4's bits and what brings them (APM vol. 2, 3.1.3; SDM vol. 3A, 2.5): one of several features for some. */
static const struct {
    uint8_t bit;
    uint8_t cpuid_bit;
    uint8_t which; /* enum cpuid_register */
    uint8_t subleaf;
    uint32_t leaf;
} features[] = {
    {0,  1,  CPUID_EDX, 0, 1}, /* VME */
    {1,  1,  CPUID_EDX, 0, 1}, /* PVI */
    {2,  4,  CPUID_EDX, 0, 1}, /* TSD */
    {3,  2,  CPUID_EDX, 0, 1}, /* DE */
    {4,  3,  CPUID_EDX, 0, 1}, /* PSE */
    {5,  6,  CPUID_EDX, 0, 1}, /* PAE */
    {6,  7,  CPUID_EDX, 0, 1}, /* MCE */
    {7,  13, CPUID_EDX, 0, 1}, /* PGE */
    {8,  5,  CPUID_EDX, 0, 1}, /* PCE; RDPMC exits */
    {9,  24, CPUID_EDX, 0, 1}, /* OSFXSR */
    {10, 25, CPUID_EDX, 0, 1}, /* OSXMMEXCPT */
    {11, 2,  CPUID_ECX, 0, 7}, /* UMIP */
    {12, 16, CPUID_ECX, 0, 7}, /* LA57 */
    {13, 5,  CPUID_ECX, 0, 1}, /* VMXE */
    {14, 6,  CPUID_ECX, 0, 1}, /* SMXE */
    {16, 0,  CPUID_EBX, 0, 7}, /* FSGSBASE */
    {17, 17, CPUID_ECX, 0, 1}, /* PCIDE */
    {18, 26, CPUID_ECX, 0, 1}, /* OSXSAVE */
    {19, 23, CPUID_ECX, 0, 7}, /* KL */
    {20, 7,  CPUID_EBX, 0, 7}, /* SMEP */
    {21, 20, CPUID_EBX, 0, 7}, /* SMAP */
    {22, 3,  CPUID_ECX, 0, 7}, /* PKE */
    {23, 7,  CPUID_ECX, 0, 7}, /* CET: shadow stacks */
    {23, 20, CPUID_EDX, 0, 7}, /* CET: indirect branch tracking */
    {24, 31, CPUID_ECX, 0, 7}, /* PKS */
    {25, 5,  CPUID_EDX, 0, 7}, /* UINTR */
    {27, 6,  CPUID_EAX, 1, 7}, /* LASS */
    {28, 26, CPUID_EAX, 1, 7}, /* LAM_SUP */
    {32, 17, CPUID_EAX, 1, 7}, /* FRED */
};

static struct {
    uint64_t allowed;
    bool watched;
} cr4;

void child_control_detect(void)
{
    uint64_t present = 0;
    uint32_t leaf[4], maximum;

    cpuid(0, 0, leaf);
    maximum = leaf[CPUID_EAX];
    cr4.allowed = 0;
    for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        uint64_t bit = 1ull << features[i].bit;

        if (features[i].leaf > maximum)
            continue;
        cpuid(features[i].leaf, features[i].subleaf, leaf);
        if ((leaf[features[i].which] >> features[i].cpuid_bit & 1) != 0)
            present |= bit;
        if (child_cpuid_has(features[i].leaf, features[i].subleaf, features[i].which, features[i].cpuid_bit))
            cr4.allowed |= bit;
    }
    cr4.watched = (present & ~cr4.allowed) != 0;
}

uint64_t child_cr4_bits(void)
{
    return cr4.allowed;
}

bool child_cr4_watched(void)
{
    return cr4.watched;
}

bool child_cr4_write(struct vp *vp, uint64_t value)
{
    uint64_t old = vendor->get(vp, VP_CR4);
    bool long_mode = (vendor->get(vp, VP_EFER) & EFER_LMA) != 0;

    if ((value & ~cr4.allowed) != 0)
        return false;
    if (long_mode && ((value & CR4_PAE) == 0 || ((value ^ old) & CR4_LA57) != 0))
        return false;
    if ((value & ~old & CR4_PCIDE) != 0 && (!long_mode || (vendor->get(vp, VP_CR3) & CR3_PCID) != 0))
        return false;
    vendor->set(vp, VP_CR4, value);
    return true;
}
