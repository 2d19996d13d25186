/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/arch.h"
#include "kernel/partition.h"
#include "kernel/processor_features.h"

enum cpuid_register_index { EAX, EBX, ECX, EDX };

#define LEAF_1  0x1u, 0u
#define LEAF_7  0x7u, 0u
#define LEAF_71 0x7u, 1u
#define LEAF_D1 0xDu, 1u
#define LEAF_E1 0x80000001u, 0u
#define LEAF_E7 0x80000007u, 0u
#define LEAF_E8 0x80000008u, 0u

#define BANK_0     FEATURE_BANK_0
#define BANK_1     FEATURE_BANK_1
#define BANK_XSAVE FEATURE_BANK_XSAVE

/* A feature may stand for several CPUID bits: it is there if one of them is, and takes all with it. */
static const struct feature {
    uint32_t leaf, subleaf;
    uint8_t cpuid_register, cpuid_bit;
    uint8_t bank, number;
} features[] = {
    {LEAF_1,  ECX, 0,  BANK_0,     0 }, /* SSE3 */
    {LEAF_E1, ECX, 0,  BANK_0,     1 }, /* LAHF and SAHF in 64-bit mode */
    {LEAF_1,  ECX, 9,  BANK_0,     2 }, /* SSSE3 */
    {LEAF_1,  ECX, 19, BANK_0,     3 }, /* SSE4.1 */
    {LEAF_1,  ECX, 20, BANK_0,     4 }, /* SSE4.2 */
    {LEAF_E1, ECX, 6,  BANK_0,     5 }, /* SSE4A */
    {LEAF_E1, ECX, 11, BANK_0,     6 }, /* XOP */
    {LEAF_1,  ECX, 23, BANK_0,     7 }, /* POPCNT */
    {LEAF_1,  ECX, 13, BANK_0,     8 }, /* CMPXCHG16B */
    {LEAF_E1, ECX, 4,  BANK_0,     9 }, /* LOCK MOV CR0 as MOV CR8 */
    {LEAF_E1, ECX, 5,  BANK_0,     10}, /* LZCNT */
    {LEAF_E1, ECX, 7,  BANK_0,     11}, /* misaligned SSE */
    {LEAF_E1, EDX, 22, BANK_0,     12}, /* MMX extensions */
    {LEAF_E1, EDX, 31, BANK_0,     13}, /* 3DNow! */
    {LEAF_E1, EDX, 30, BANK_0,     14}, /* 3DNow! extensions */
    {LEAF_E1, EDX, 26, BANK_0,     15}, /* 1 GiB pages */
    {LEAF_1,  ECX, 25, BANK_0,     16}, /* AES */
    {LEAF_1,  ECX, 1,  BANK_0,     17}, /* PCLMULQDQ */
    {LEAF_1,  ECX, 17, BANK_0,     18}, /* PCID */
    {LEAF_E1, ECX, 16, BANK_0,     19}, /* FMA4 */
    {LEAF_1,  ECX, 29, BANK_0,     20}, /* F16C */
    {LEAF_1,  ECX, 30, BANK_0,     21}, /* RDRAND */
    {LEAF_7,  EBX, 0,  BANK_0,     22}, /* FSGSBASE */
    {LEAF_7,  EBX, 7,  BANK_0,     23}, /* SMEP */
    {LEAF_7,  EBX, 9,  BANK_0,     24}, /* enhanced REP MOVSB */
    {LEAF_7,  EBX, 3,  BANK_0,     25}, /* BMI1 */
    {LEAF_7,  EBX, 8,  BANK_0,     26}, /* BMI2 */
    {LEAF_1,  ECX, 22, BANK_0,     29}, /* MOVBE */
    {LEAF_7,  EBX, 13, BANK_0,     31}, /* the FPU saves neither CS nor DS */
    {LEAF_7,  EBX, 18, BANK_0,     32}, /* RDSEED */
    {LEAF_7,  EBX, 19, BANK_0,     33}, /* ADX */
    {LEAF_E1, ECX, 8,  BANK_0,     34}, /* PREFETCHW */
    {LEAF_7,  EBX, 20, BANK_0,     35}, /* SMAP */
    {LEAF_E1, EDX, 27, BANK_0,     38}, /* RDTSCP */
    {LEAF_7,  EBX, 23, BANK_0,     39}, /* CLFLUSHOPT */
    {LEAF_7,  EBX, 24, BANK_0,     40}, /* CLWB */
    {LEAF_7,  EBX, 29, BANK_0,     41}, /* SHA */
    {LEAF_7,  EBX, 10, BANK_0,     43}, /* INVPCID */
    {LEAF_7,  EDX, 26, BANK_0,     44}, /* IBRS */
    {LEAF_E8, EBX, 14, BANK_0,     44},
    {LEAF_7,  EDX, 27, BANK_0,     45}, /* STIBP */
    {LEAF_E8, EBX, 15, BANK_0,     45},
    {LEAF_7,  EDX, 26, BANK_0,     46}, /* IBPB */
    {LEAF_E8, EBX, 12, BANK_0,     46},
    {LEAF_7,  EDX, 31, BANK_0,     48}, /* SSBD */
    {LEAF_E8, EBX, 24, BANK_0,     48},
    {LEAF_7,  EDX, 4,  BANK_0,     49}, /* fast short REP MOVSB */
    {LEAF_7,  ECX, 22, BANK_0,     57}, /* RDPID */
    {LEAF_7,  ECX, 2,  BANK_0,     58}, /* UMIP */
    {LEAF_7,  EDX, 10, BANK_0,     60}, /* MD_CLEAR */
    {LEAF_E7, EDX, 8,  BANK_1,     1 }, /* invariant TSC */
    {LEAF_E8, EBX, 0,  BANK_1,     2 }, /* CLZERO */
    {LEAF_7,  ECX, 16, BANK_1,     4 }, /* LA57 */
    {LEAF_E8, EBX, 28, BANK_1,     7 }, /* PSFD */
    {LEAF_7,  ECX, 27, BANK_1,     13}, /* MOVDIRI */
    {LEAF_7,  ECX, 28, BANK_1,     14}, /* MOVDIR64B */
    {LEAF_7,  ECX, 25, BANK_1,     15}, /* CLDEMOTE */
    {LEAF_7,  EDX, 14, BANK_1,     16}, /* SERIALIZE */
    {LEAF_1,  ECX, 24, BANK_1,     17}, /* TSC-deadline timer */
    {LEAF_7,  EBX, 1,  BANK_1,     18}, /* TSC_ADJUST */
    {LEAF_71, EAX, 10, BANK_1,     19}, /* fast zero-length REP MOVSB */
    {LEAF_71, EAX, 11, BANK_1,     20}, /* fast short REP STOSB */
    {LEAF_71, EAX, 12, BANK_1,     21}, /* fast short REP CMPSB and SCASB */
    {LEAF_1,  ECX, 26, BANK_XSAVE, 0 }, /* XSAVE */
    {LEAF_D1, EAX, 0,  BANK_XSAVE, 1 }, /* XSAVEOPT */
    {LEAF_1,  ECX, 28, BANK_XSAVE, 2 }, /* AVX */
};
#define FEATURE_COUNT (sizeof(features) / sizeof(*features))

/* Real mode runs on the hardware: bit 47 of bank 0 stands for no CPUID bit. */
#define UNRESTRICTED_GUEST (1ull << 47)

static uint64_t available[PROCESSOR_FEATURE_BANKS]; /* set at boot */

void processor_features_initialize(void)
{
    for (unsigned i = 0; i < FEATURE_COUNT; i++) {
        uint32_t result[4];

        child_cpuid_policy(features[i].leaf, features[i].subleaf, result);
        if (result[features[i].cpuid_register] >> features[i].cpuid_bit & 1)
            available[features[i].bank] |= 1ull << features[i].number;
    }
    available[FEATURE_BANK_0] |= UNRESTRICTED_GUEST;
}

uint64_t processor_features(enum processor_feature_bank bank)
{
    return available[bank];
}

void processor_features_apply(const struct partition *partition, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    const uint64_t disabled[PROCESSOR_FEATURE_BANKS] = {
        available[FEATURE_BANK_0] & ~partition->features[FEATURE_BANK_0],
        available[FEATURE_BANK_1] & ~partition->features[FEATURE_BANK_1],
        available[FEATURE_BANK_XSAVE] & ~partition->features[FEATURE_BANK_XSAVE],
    };
    /* Leaves other than these have no subleaves. */
    bool has_subleaves = leaf == 0x7 || leaf == 0xD;

    if ((disabled[0] | disabled[1] | disabled[2]) == 0)
        return;
    for (unsigned i = 0; i < FEATURE_COUNT; i++)
        if (features[i].leaf == leaf && (!has_subleaves || features[i].subleaf == subleaf) &&
            (disabled[features[i].bank] >> features[i].number & 1))
            result[features[i].cpuid_register] &= ~(1u << features[i].cpuid_bit);
}
