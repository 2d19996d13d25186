/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID of children. Only what a table below names passes; leaves that are in no table are zeros, among them
 * the hypervisor's (4000_00xx), performance counters (A), SGX (12), AMX (1D, 1E), AMD-V (8000_000A) and SEV
 * (8000_001F).
 */
#include "arch/x86_64/cpu/child_policy.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/emulator.h"
#include "arch/x86_64/cpu/extended_state.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/speculation.h"
#include "kernel/arch.h"
#include "kernel/vp.h"

#define EXTENDED         0x80000000u
#define MAXIMUM_BASIC    0x1Fu
#define MAXIMUM_EXTENDED 0x21u /* counted from EXTENDED */

#define ALL    0xFFFFFFFFu
#define BIT(n) (1u << (n))
/* Bits a to b, inclusive. */
#define BITS(a, b) (ALL >> (31 - (b)) & ALL << (a))

/* Leaf 1 */
#define ECX1_X2APIC       BIT(21)
#define ECX1_TSC_DEADLINE BIT(24)
#define ECX1_OSXSAVE      BIT(27)
#define ECX1_HYPERVISOR   BIT(31)
#define EDX1_APIC         BIT(9)
/* SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND */
#define ECX1_PASS                                                                                                      \
    (BITS(0, 1) | BIT(9) | BITS(12, 13) | BIT(17) | BITS(19, 20) | BITS(22, 23) | BITS(25, 26) | BITS(28, 30))
/* FPU VME DE PSE TSC MSR PAE MCE CX8 APIC SEP MTRR PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 SS */
#define EDX1_PASS       (BITS(0, 9) | BITS(11, 17) | BIT(19) | BITS(23, 27))
#define EBX7_TSC_ADJUST BIT(1)
/*
 * FSGSBASE BMI1 AVX2 FDP_EXCPTN SMEP BMI2 ERMS INVPCID ZERO_FCS AVX512F AVX512DQ RDSEED ADX SMAP
 * AVX512IFMA CLFLUSHOPT CLWB AVX512PF AVX512ER AVX512CD SHA AVX512BW AVX512VL
 */
#define EBX7_PASS (BIT(0) | BIT(3) | BITS(5, 10) | BIT(13) | BITS(16, 21) | BITS(23, 24) | BITS(26, 31))
/*
 * PREFETCHWT1 AVX512VBMI UMIP PKU AVX512VBMI2 GFNI VAES VPCLMUL AVX512VNNI AVX512BITALG AVX512VPOPCNTDQ LA57
 * RDPID CLDEMOTE MOVDIRI MOVDIR64B
 */
#define ECX7_PKU   BIT(3)
#define ECX7_OSPKE BIT(4)
#define ECX7_PASS  (BITS(0, 3) | BIT(6) | BITS(8, 12) | BIT(14) | BIT(16) | BIT(22) | BIT(25) | BITS(27, 28))
/* 4VNNIW 4FMAPS FSRM VP2INTERSECT MD_CLEAR SERIALIZE AVX512FP16 IBRS/IBPB STIBP ARCH_CAPABILITIES SSBD */
#define EDX7_PASS (BITS(2, 4) | BIT(8) | BIT(10) | BIT(14) | BIT(23) | BITS(26, 27) | BIT(29) | BIT(31))
/*
 * SHA512 SM3 SM4 AVX_VNNI AVX512BF16 FZRM FSRS FSRC AVX_IFMA; AVX_VNNI_INT8 AVX_NE_CONVERT AVX_VNNI_INT16
 * PREFETCHI
 */
#define EAX7_1_PASS (BITS(0, 2) | BITS(4, 5) | BITS(10, 12) | BIT(23))
#define EDX7_1_PASS (BITS(4, 5) | BIT(10) | BIT(14))
#define EDX7_2_PASS BIT(5) /* MCDT_NO */
/* XSAVEOPT XSAVEC XGETBV(1) XSAVES */
#define EAXD_1_PASS BITS(0, 3)
/* LAHF AltMovCr8 ABM SSE4A MisalignSSE 3DNowPrefetch OSVW XOP FMA4 TBM TopologyExtensions */
#define ECX8_1_PASS (BIT(0) | BITS(4, 9) | BIT(11) | BIT(16) | BITS(21, 22))
/* as leaf 1, and SYSCALL NX MMXEXT FFXSR 1G RDTSCP LM 3DNOWEXT 3DNOW */
#define EDX8_1_PASS (BITS(0, 9) | BITS(11, 17) | BIT(20) | BITS(22, 27) | BITS(29, 31))
#define EDX8_7_PASS BIT(8) /* invariant TSC */
/*
 * CLZERO XSAVEERPTR WBNOINVD IBPB IBRS STIBP and their preferences, EferLmsleUnsupported SSBD SSB_NO PSFD
 * BTC_NO IBPB_RET
 */
#define EBX8_8_PASS (BIT(0) | BIT(2) | BIT(9) | BIT(12) | BITS(14, 20) | BIT(24) | BIT(26) | BITS(28, 30))
/*
 * NoNestedDataBp LfenceAlwaysSerializing VERW_CLEAR NullSelectorClearsBase AutomaticIBRS NoSmmCtlMsr FSRS
 * FSRC SBPB IBPB_BRTYPE SRSO_NO
 */
#define EAX8_21_PASS (BIT(0) | BIT(2) | BITS(5, 6) | BITS(8, 11) | BITS(27, 29))
#define ECX8_21_PASS BITS(1, 2) /* TSA_SQ_NO TSA_L1_NO */

struct cpuid_policy {
    uint32_t pass[4]; /* bits of EAX, EBX, ECX, EDX that are the host's */
};

/* clang-format off */
static const struct cpuid_policy basic_leaves[MAXIMUM_BASIC + 1] = {
    [0x00] = {{0, ALL, ALL, ALL}},
    [0x01] = {{ALL, BITS(0, 15), ECX1_PASS, EDX1_PASS}},
    [0x02] = {{ALL, ALL, ALL, ALL}},
    [0x04] = {{BITS(0, 9), ALL, ALL, ALL}},
    [0x16] = {{ALL, ALL, ALL, 0}},
};

static const struct cpuid_policy leaf_7[] = {
    {{0, EBX7_PASS, ECX7_PASS, EDX7_PASS}},
    {{EAX7_1_PASS, 0, 0, EDX7_1_PASS}},
    {{0, 0, 0, EDX7_2_PASS}},
};
#define LEAF_7_SUBLEAVES (sizeof(leaf_7) / sizeof(leaf_7[0]))

static const struct cpuid_policy extended_leaves[MAXIMUM_EXTENDED + 1] = {
    [0x00] = {{0, ALL, ALL, ALL}},
    [0x01] = {{ALL, BITS(28, 31), ECX8_1_PASS, EDX8_1_PASS}},
    [0x02] = {{ALL, ALL, ALL, ALL}}, /* brand string */
    [0x03] = {{ALL, ALL, ALL, ALL}},
    [0x04] = {{ALL, ALL, ALL, ALL}},
    [0x05] = {{ALL, ALL, ALL, ALL}}, /* caches and TLBs */
    [0x06] = {{ALL, ALL, ALL, ALL}},
    [0x07] = {{0, 0, 0, EDX8_7_PASS}},
    [0x08] = {{ALL, EBX8_8_PASS, 0, 0}},
    [0x19] = {{ALL, ALL, 0, 0}}, /* TLBs of 1 GiB pages, performance hints */
    [0x1A] = {{ALL, 0, 0, 0}},
    [0x1D] = {{BITS(0, 9), ALL, ALL, ALL}},
    [0x21] = {{EAX8_21_PASS, 0, ECX8_21_PASS, 0}},
};
/* clang-format on */

static struct {
    uint32_t maximum_basic;
    uint32_t maximum_extended; /* counted from EXTENDED */
    uint32_t maximum_7;
    enum processor_vendor vendor;
    bool on_tcg;
} host;

enum processor_vendor child_processor_vendor(void)
{
    return host.vendor;
}

void child_policy_detect(void)
{
    uint32_t leaf[4];
    cpuid(0, 0, leaf);
    host.maximum_basic = leaf[0] < MAXIMUM_BASIC ? leaf[0] : MAXIMUM_BASIC;
    /* "GenuineIntel"; everybody else follows AMD, of whom Loam knows AMD and Hygon. */
    bool intel = leaf[1] == 0x756E6547 && leaf[3] == 0x49656E69 && leaf[2] == 0x6C65746E;
    host.vendor = intel ? PROCESSOR_INTEL : PROCESSOR_AMD;
    host.on_tcg = running_on_tcg();
    cpuid(EXTENDED, 0, leaf);
    uint32_t maximum = leaf[0] >= EXTENDED ? leaf[0] - EXTENDED : 0;
    host.maximum_extended = maximum < MAXIMUM_EXTENDED ? maximum : MAXIMUM_EXTENDED;
    host.maximum_7 = 0;
    if (host.maximum_basic >= 7) {
        cpuid(7, 0, leaf);
        host.maximum_7 = leaf[0] < LEAF_7_SUBLEAVES - 1 ? leaf[0] : LEAF_7_SUBLEAVES - 1;
    }
    speculation_detect();
    extended_state_detect();
    child_msr_detect();
    child_control_detect();
}

/* --- computed leaves --- */

/*
 * One VP is a package of its own with one core and one thread, unless the parent registers another topology.
 */
static void topology_levels(uint32_t subleaf, uint32_t result[4])
{
    uint32_t type = subleaf < 2 ? subleaf + 1 : 0; /* thread, core, no more */
    result[CPUID_EBX] = type == 0 ? 0 : 1;
    result[CPUID_ECX] = type << 8 | (subleaf & 0xFF);
}

static void xsave_leaf(uint32_t subleaf, uint32_t result[4])
{
    uint64_t mask = extended_state_mask();
    uint32_t native[4];
    if (subleaf == 0) {
        result[CPUID_EAX] = (uint32_t)mask;
        result[CPUID_ECX] = xsave_standard_size(mask);
        result[CPUID_EDX] = (uint32_t)(mask >> 32);
    } else if (subleaf == 1) {
        vendor->cpuid(0xD, 1, native);
        result[CPUID_EAX] = native[CPUID_EAX] & EAXD_1_PASS;
    } else if (subleaf < 64 && (mask >> subleaf & 1) != 0) {
        const struct xsave_component *component = extended_state_component(subleaf);
        result[CPUID_EAX] = component->size;
        result[CPUID_EBX] = component->offset;
        result[CPUID_ECX] = component->aligned ? 2 : 0;
    }
}

/* The TSC as a multiple of a crystal's frequency, which is also the APIC timer's (SDM vol. 3A 11.5.4). */
static void crystal_leaf(uint32_t result[4])
{
    result[CPUID_EAX] = 1;
    result[CPUID_EBX] = 1u << ARCH_APIC_TIMER_SHIFT;
    result[CPUID_ECX] = (uint32_t)arch_apic_frequency();
}

static void pass(const struct cpuid_policy *policy, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    uint32_t native[4];
    if ((policy->pass[0] | policy->pass[1] | policy->pass[2] | policy->pass[3]) == 0)
        return;
    vendor->cpuid(leaf, subleaf, native);
    for (unsigned i = 0; i < 4; i++)
        result[i] = native[i] & policy->pass[i];
}

static void basic_leaf(uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    if (leaf == 7) {
        if (subleaf <= host.maximum_7)
            pass(&leaf_7[subleaf], leaf, subleaf, result);
        if (subleaf == 0) {
            result[CPUID_EAX] = host.maximum_7;
            /* The VP's own, on processors without it, too: with it and an invariant TSC, Linux trusts its clock. */
            result[CPUID_EBX] |= EBX7_TSC_ADJUST;
            if ((extended_state_mask() & XSTATE_PKRU) == 0) /* PKRU would not be switched */
                result[CPUID_ECX] &= ~ECX7_PKU;
        }
        return;
    }
    pass(&basic_leaves[leaf], leaf, subleaf, result);
    switch (leaf) {
    case 0x0:
        result[CPUID_EAX] = host.maximum_basic;
        break;
    case 0x1:
        result[CPUID_EBX] |= BIT(16); /* one logical processor */
        result[CPUID_ECX] |= ECX1_X2APIC | ECX1_TSC_DEADLINE | ECX1_HYPERVISOR;
        break;
    case 0x6:
        result[CPUID_EAX] = BIT(2); /* ARAT: the APIC timer never stops */
        break;
    case 0xB:
    case 0x1F:
        topology_levels(subleaf, result);
        break;
    case 0xD:
        xsave_leaf(subleaf, result);
        break;
    case 0x15:
        if (host.vendor == PROCESSOR_INTEL)
            crystal_leaf(result);
        break;
    }
}

void child_cpuid_policy(uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    for (unsigned i = 0; i < 4; i++)
        result[i] = 0;
    if (leaf <= host.maximum_basic) {
        basic_leaf(leaf, subleaf, result);
    } else if (leaf >= EXTENDED && leaf - EXTENDED <= host.maximum_extended) {
        pass(&extended_leaves[leaf - EXTENDED], leaf, subleaf, result);
        if (leaf == EXTENDED)
            result[CPUID_EAX] = EXTENDED + host.maximum_extended;
        if (leaf == EXTENDED + 7 && host.on_tcg) /* whose TSC is invariant but is not said to be */
            result[CPUID_EDX] |= EDX8_7_PASS;
    }
}

bool child_cpuid_has(uint32_t leaf, uint32_t subleaf, enum cpuid_register which, unsigned bit)
{
    uint32_t result[4];
    child_cpuid_policy(leaf, subleaf, result);
    return (result[which] >> bit & 1) != 0;
}

/* --- a VP's view --- */

void child_cpuid_default(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    child_cpuid_policy(leaf, subleaf, result);
    switch (leaf) {
    case 0x1:
        result[CPUID_EBX] |= vp->apic.id << 24;
        if (!vp->apic.x2apic_allowed)
            result[CPUID_ECX] &= ~ECX1_X2APIC;
        if (!vp->apic.tsc_deadline_allowed)
            result[CPUID_ECX] &= ~ECX1_TSC_DEADLINE;
        break;
    case 0xB:
    case 0x1F:
        if (leaf <= host.maximum_basic)
            result[CPUID_EDX] = vp->apic.id;
        break;
    case EXTENDED + 0x1E:
        if (host.maximum_extended >= 0x1E && host.vendor == PROCESSOR_AMD) {
            result[CPUID_EAX] = vp->apic.id;
            result[CPUID_ECX] = vp->apic.id & 0xFF; /* a node of its own, as a package is */
        }
        break;
    }
}

static void replace(uint32_t *value, uint32_t bit, bool set)
{
    *value = (*value & ~bit) | (set ? bit : 0);
}

bool child_cpuid_live(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t result[4])
{
    switch (leaf) {
    case 0x1:
        replace(&result[CPUID_ECX], ECX1_OSXSAVE, (vendor->get(vp, VP_CR4) & CR4_OSXSAVE) != 0);
        replace(&result[CPUID_EDX], EDX1_APIC, local_apic_enabled(&vp->apic));
        return true;
    case 0x7:
        if (subleaf == 0)
            replace(&result[CPUID_ECX], ECX7_OSPKE, (vendor->get(vp, VP_CR4) & CR4_PKE) != 0);
        return true;
    case 0xD:
        if (host.maximum_basic < 0xD)
            return false;
        if (subleaf == 0)
            result[CPUID_EBX] = xsave_standard_size(extended_state_xcr0(vp));
        else if (subleaf == 1)
            result[CPUID_EBX] = xsave_compacted_size(extended_state_xcr0(vp) | vp->xss);
        return true;
    case EXTENDED + 1:
        if (host.vendor == PROCESSOR_AMD)
            replace(&result[CPUID_EDX], EDX1_APIC, local_apic_enabled(&vp->apic));
        return true;
    default:
        return false;
    }
}
