/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What children see of an invented processor: one that has everything, as AMD or as Intel, and one that has
 * little.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/cpu/child_policy.h"
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/msr.h"
#include "kernel/interrupt.h"
#include "tests/unit/fake_guest.h"

#define ONES 0xFFFFFFFFu

static struct vp *vp;

static void invent_everything(bool intel)
{
    fake_cpuid_clear();
    fake_msr_clear();
    for (uint32_t leaf = 0; leaf <= 0x28; leaf++) {
        fake_cpuid_set(leaf, 0, ONES, ONES, ONES, ONES);
        fake_cpuid_set(0x80000000 + leaf, 0, ONES, ONES, ONES, ONES);
    }
    if (intel)
        fake_cpuid_set(0, 0, 0x28, 0x756E6547, 0x6C65746E, 0x49656E69);
    else
        fake_cpuid_set(0, 0, 0x28, 0x68747541, 0x444D4163, 0x69746E65);
    fake_cpuid_set(0x80000000, 0, 0x80000028, 0x68747541, 0x444D4163, 0x69746E65);
    fake_cpuid_set(7, 0, 5, ONES, ONES, ONES);
    fake_cpuid_set(7, 1, ONES, ONES, ONES, ONES);
    fake_cpuid_set(7, 2, ONES, ONES, ONES, ONES);
    fake_cpuid_set(7, 3, ONES, ONES, ONES, ONES);
    fake_cpuid_set(0xD, 0, 0x602E7, 0, 11008, 0);
    fake_cpuid_set(0xD, 1, ONES, ONES, ONES, ONES);
    fake_cpuid_set(0xD, 2, 256, 576, 0, 0);
    fake_cpuid_set(0xD, 5, 64, 1088, 0, 0);
    fake_cpuid_set(0xD, 6, 512, 1152, 0, 0);
    fake_cpuid_set(0xD, 7, 1024, 1664, 0, 0);
    fake_cpuid_set(0xD, 9, 8, 2688, 0, 0);
    fake_cpuid_set(0xD, 17, 64, 2752, 2, 0);
    fake_msr_set(MSR_ARCH_CAPABILITIES, ~0ull);
    fake_msr_set(MSR_PATCH_LEVEL, 0xA0011CE);
    fake_msr_set(MSR_PRED_CMD, 0);
}

static void start(bool intel)
{
    invent_everything(intel);
    fake_guest_start(4);
    vp = fake_vp(3);
    child_policy_detect();
    for (unsigned i = 0; i < 4; i++) {
        fake_vp(i)->xcr0 = 1;
        child_msr_reset(fake_vp(i));
    }
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_stop();
    return 0;
}

static uint32_t cpuid_of(uint32_t leaf, uint32_t subleaf, enum cpuid_register which)
{
    uint32_t result[4];
    child_cpuid_default(vp, leaf, subleaf, result);
    return result[which];
}

static void expect_zeros(uint32_t leaf, uint32_t subleaf)
{
    uint32_t result[4];
    child_cpuid_default(vp, leaf, subleaf, result);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(result[i], 0);
}

static void test_leaves_that_are_not_there(void **state)
{
    static const uint32_t leaves[] = {
        0x3,        0x5,        0x8,        0x9,        0xA,        0xC,        0xE,        0xF,
        0x10,       0x11,       0x12,       0x13,       0x14,       0x17,       0x18,       0x19,
        0x1A,       0x1B,       0x1C,       0x1D,       0x1E,       0x20,       0x21,       0x24,
        0x28,       0x40000000, 0x40000001, 0x40000003, 0x400000FF, 0x40000100, 0x4FFFFFFF, 0x8000000A,
        0x8000001B, 0x8000001C, 0x8000001F, 0x80000020, 0x80000022, 0x80000023, 0x80000026, 0x80000028,
        0x8FFFFFFF, 0xC0000000, 0xC0000001, 0xFFFFFFFF};
    (void)state;
    for (unsigned intel = 0; intel < 2; intel++) {
        start(intel);
        for (unsigned i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
            for (uint32_t subleaf = 0; subleaf < 4; subleaf++)
                expect_zeros(leaves[i], subleaf);
        for (uint32_t subleaf = 3; subleaf < 70; subleaf++)
            expect_zeros(7, subleaf);
        assert_int_equal(cpuid_of(0, 0, CPUID_EAX), 0x1F);
        assert_int_equal(cpuid_of(0x80000000, 0, CPUID_EAX), 0x80000021);
        fake_guest_stop();
    }
}

/* By name, what must never be shown. */
static void test_features_that_are_hidden(void **state)
{
    static const struct {
        uint32_t leaf, subleaf;
        enum cpuid_register where;
        unsigned bit;
    } hidden[] = {
        {1,          0, CPUID_ECX, 2 }, /* DTES64 */
        {1,          0, CPUID_ECX, 3 }, /* MONITOR */
        {1,          0, CPUID_ECX, 5 }, /* VMX */
        {1,          0, CPUID_ECX, 6 }, /* SMX */
        {1,          0, CPUID_ECX, 7 }, /* EIST */
        {1,          0, CPUID_ECX, 8 }, /* TM2 */
        {1,          0, CPUID_ECX, 15}, /* PDCM */
        {1,          0, CPUID_EDX, 21}, /* DS */
        {1,          0, CPUID_EDX, 22}, /* ACPI clock control */
        {1,          0, CPUID_EDX, 29}, /* TM */
        {1,          0, CPUID_EDX, 28}, /* HTT: one processor a package */
        {7,          0, CPUID_EBX, 2 }, /* SGX */
        {7,          0, CPUID_EBX, 4 }, /* HLE */
        {7,          0, CPUID_EBX, 11}, /* RTM */
        {7,          0, CPUID_EBX, 12}, /* monitoring */
        {7,          0, CPUID_EBX, 14}, /* MPX */
        {7,          0, CPUID_EBX, 15}, /* allocation */
        {7,          0, CPUID_EBX, 25}, /* processor trace */
        {7,          0, CPUID_ECX, 5 }, /* WAITPKG */
        {7,          0, CPUID_ECX, 7 }, /* shadow stacks */
        {7,          0, CPUID_ECX, 13}, /* TME */
        {7,          0, CPUID_ECX, 23}, /* key locker */
        {7,          0, CPUID_ECX, 29}, /* ENQCMD */
        {7,          0, CPUID_ECX, 30}, /* SGX launch control */
        {7,          0, CPUID_ECX, 31}, /* supervisor keys */
        {7,          0, CPUID_EDX, 5 }, /* user interrupts */
        {7,          0, CPUID_EDX, 9 }, /* SRBDS_CTRL */
        {7,          0, CPUID_EDX, 15}, /* hybrid */
        {7,          0, CPUID_EDX, 18}, /* PCONFIG */
        {7,          0, CPUID_EDX, 19}, /* LBR */
        {7,          0, CPUID_EDX, 20}, /* IBT */
        {7,          0, CPUID_EDX, 22}, /* AMX */
        {7,          0, CPUID_EDX, 24}, /* AMX */
        {7,          0, CPUID_EDX, 25}, /* AMX */
        {7,          0, CPUID_EDX, 28}, /* FLUSH_CMD */
        {7,          0, CPUID_EDX, 30}, /* CORE_CAPABILITIES */
        {7,          1, CPUID_EAX, 17}, /* FRED */
        {7,          1, CPUID_EAX, 21}, /* AMX */
        {7,          1, CPUID_EAX, 26}, /* LAM */
        {7,          1, CPUID_EDX, 19}, /* AVX10 */
        {0xD,        1, CPUID_EAX, 4 }, /* XFD */
        {0x80000001, 0, CPUID_ECX, 2 }, /* SVM */
        {0x80000001, 0, CPUID_ECX, 3 }, /* extended APIC space */
        {0x80000001, 0, CPUID_ECX, 10}, /* IBS */
        {0x80000001, 0, CPUID_ECX, 12}, /* SKINIT */
        {0x80000001, 0, CPUID_ECX, 13}, /* watchdog */
        {0x80000001, 0, CPUID_ECX, 15}, /* LWP */
        {0x80000001, 0, CPUID_ECX, 17}, /* TCE */
        {0x80000001, 0, CPUID_ECX, 23}, /* performance counters */
        {0x80000001, 0, CPUID_ECX, 24}, /* performance counters */
        {0x80000001, 0, CPUID_ECX, 26}, /* data breakpoint extension */
        {0x80000001, 0, CPUID_ECX, 27}, /* performance TSC */
        {0x80000001, 0, CPUID_ECX, 28}, /* performance counters */
        {0x80000001, 0, CPUID_ECX, 29}, /* MONITORX */
        {0x80000008, 0, CPUID_EBX, 3 }, /* INVLPGB */
        {0x80000008, 0, CPUID_EBX, 4 }, /* RDPRU */
        {0x80000008, 0, CPUID_EBX, 8 }, /* MCOMMIT */
        {0x80000008, 0, CPUID_EBX, 25}, /* VIRT_SPEC_CTRL */
        {0x80000021, 0, CPUID_EAX, 7 }, /* upper address ignore */
        {0x80000021, 0, CPUID_EAX, 17}, /* CPUID for users off */
    };
    (void)state;
    start(true);
    for (unsigned i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        assert_int_equal(cpuid_of(hidden[i].leaf, hidden[i].subleaf, hidden[i].where) >> hidden[i].bit & 1,
                         0);
    assert_int_equal(cpuid_of(6, 0, CPUID_EAX),
                     4); /* nothing of power and heat but an APIC timer that always runs */
    assert_int_equal(cpuid_of(6, 0, CPUID_ECX), 0);
    assert_int_equal(cpuid_of(0x80000007, 0, CPUID_EDX), 1u << 8);
    fake_cpuid_set(0x80000007, 0, 0, 0, 0, 0);
    assert_int_equal(cpuid_of(0x80000007, 0, CPUID_EDX), 0);
    fake_cpuid_set(0x40000000, 0, 0x40000001, 0x54474354, 0x43544743, 0x47435447); /* TCG's is invariant all the same */
    child_policy_detect();
    assert_int_equal(cpuid_of(0x80000007, 0, CPUID_EDX), 1u << 8);
    assert_int_equal(cpuid_of(0xD, 1, CPUID_ECX) | cpuid_of(0xD, 1, CPUID_EDX), 0); /* no supervisor state */
}

/* What an operating system of today starts from must come through. */
static void test_features_that_pass(void **state)
{
    (void)state;
    start(false);
    assert_int_equal(cpuid_of(1, 0, CPUID_EDX), 0x0F8BFBFF);
    assert_int_equal(cpuid_of(1, 0, CPUID_ECX), 0xF7FA3203 | 1u << 12);
    assert_int_equal(cpuid_of(0x80000001, 0, CPUID_EDX) & (1u << 29 | 1u << 20 | 1u << 11),
                     1u << 29 | 1u << 20 | 1u << 11);
    assert_int_equal(cpuid_of(7, 0, CPUID_EBX) & 0x00180381, 0x00180381); /* SMEP SMAP RDSEED... */
    assert_int_equal(cpuid_of(1, 0, CPUID_EAX), ONES);
    assert_int_equal(cpuid_of(0x80000002, 0, CPUID_ECX), ONES);
    assert_int_equal(cpuid_of(0x80000008, 0, CPUID_EAX), ONES);
}

static void test_a_small_processor(void **state)
{
    (void)state;
    fake_cpuid_clear();
    fake_msr_clear();
    fake_cpuid_set(0, 0, 1, 0x68747541, 0x444D4163, 0x69746E65);
    fake_cpuid_set(1, 0, 0x600F20, 0x00080800, 0, 0x178BFBFF);
    fake_cpuid_set(0x80000000, 0, 0x80000001, 0, 0, 0);
    fake_cpuid_set(0x80000001, 0, 0, 0, 0, 0x20100800);
    fake_guest_start(1);
    vp = fake_vp(0);
    child_policy_detect();
    child_msr_reset(vp);
    assert_int_equal(cpuid_of(0, 0, CPUID_EAX), 1);
    expect_zeros(6, 0);
    expect_zeros(7, 0);
    expect_zeros(0xB, 0);
    expect_zeros(0xD, 0);
    expect_zeros(0xD, 1);
    expect_zeros(0x8000001E, 0);
    uint64_t value;
    assert_false(child_msr_read(vp, MSR_TSC_AUX, &value));
    assert_false(child_msr_read(vp, MSR_SPEC_CTRL, &value));
    assert_false(child_msr_write(vp, MSR_PRED_CMD, 0));
    assert_false(child_msr_read(vp, MSR_XSS, &value));
    assert_false(child_msr_read(vp, MSR_OSVW_ID_LENGTH, &value));
    assert_true(child_msr_read(vp, MSR_PATCH_LEVEL, &value)); /* even if the machine has none */
    assert_int_equal(value, 0);
}

static void test_topology(void **state)
{
    (void)state;
    start(false);
    for (unsigned i = 0; i < 4; i++) {
        vp = fake_vp(i);
        assert_int_equal(cpuid_of(1, 0, CPUID_EBX) >> 24, i);
        assert_int_equal(cpuid_of(1, 0, CPUID_EBX) & 0xFFFFFF, 0x01FFFF);
        for (uint32_t leaf = 0xB; leaf <= 0x1F; leaf += 0x14) {
            assert_int_equal(cpuid_of(leaf, 0, CPUID_EAX), 0);
            assert_int_equal(cpuid_of(leaf, 0, CPUID_EBX), 1);
            assert_int_equal(cpuid_of(leaf, 0, CPUID_ECX), 0x100);
            assert_int_equal(cpuid_of(leaf, 1, CPUID_ECX), 0x201);
            assert_int_equal(cpuid_of(leaf, 1, CPUID_EBX), 1);
            assert_int_equal(cpuid_of(leaf, 2, CPUID_ECX), 2); /* no further level */
            assert_int_equal(cpuid_of(leaf, 2, CPUID_EBX), 0);
            for (uint32_t subleaf = 0; subleaf < 3; subleaf++)
                assert_int_equal(cpuid_of(leaf, subleaf, CPUID_EDX), i);
        }
        assert_int_equal(cpuid_of(0x8000001E, 0, CPUID_EAX), i);
        assert_int_equal(cpuid_of(0x8000001E, 0, CPUID_EBX), 0);
        assert_int_equal(cpuid_of(0x80000008, 0, CPUID_ECX), 0);
        assert_int_equal(cpuid_of(4, 0, CPUID_EAX) >> 10, 0); /* shared with nobody */
        assert_int_equal(cpuid_of(0x8000001D, 0, CPUID_EAX) >> 10, 0);
    }
    vp->apic.x2apic_allowed = false;
    vp->apic.tsc_deadline_allowed = false;
    assert_int_equal(cpuid_of(1, 0, CPUID_ECX) & (1u << 21 | 1u << 24), 0);
}

/* Subleaves of leaf 7 follow EAX, and EAX the host, up to what the policy knows. */
static void test_leaf_7_subleaves(void **state)
{
    (void)state;
    for (uint32_t maximum = 0; maximum < 5; maximum++) {
        uint32_t shown = maximum < 2 ? maximum : 2;
        start(true);
        fake_cpuid_set(7, 0, maximum, ONES, ONES, ONES);
        child_policy_detect();
        assert_int_equal(cpuid_of(7, 0, CPUID_EAX), shown);
        assert_true(cpuid_of(7, 0, CPUID_EBX) != 0);
        assert_int_equal(cpuid_of(7, 1, CPUID_EAX) != 0, shown >= 1);
        assert_int_equal(cpuid_of(7, 2, CPUID_EDX), shown >= 2 ? 1u << 5 : 0);
        fake_guest_stop();
    }
    start(true);
    fake_cpuid_set(0, 0, 6, 0x756E6547, 0x6C65746E, 0x49656E69);
    child_policy_detect();
    expect_zeros(7, 0);
    fake_guest_stop();
    start(false); /* half an Intel is none */
    fake_cpuid_set(0, 0, 0x28, 0x756E6547, 0x6C65746E, 0);
    child_policy_detect();
    assert_int_equal(child_processor_vendor(), PROCESSOR_AMD);
    fake_cpuid_set(0, 0, 0x28, 0, 0x6C65746E, 0x49656E69);
    child_policy_detect();
    assert_int_equal(child_processor_vendor(), PROCESSOR_AMD);
    fake_cpuid_set(0x80000000, 0, 0x8000001E, 0, 0, 0);
    child_policy_detect();
    assert_int_equal(cpuid_of(0x80000000, 0, CPUID_EAX), 0x8000001E);
    assert_int_equal(cpuid_of(0x8000001E, 0, CPUID_EAX), 3);
    assert_int_equal(cpuid_of(0x8000001E, 0, CPUID_ECX), 3);
    fake_cpuid_set(0x80000000, 0, 0, 0, 0, 0); /* no extended leaves */
    child_policy_detect();
    expect_zeros(0x80000001, 0);
}

static void test_xsave_leaf(void **state)
{
    (void)state;
    start(true);
    assert_int_equal(cpuid_of(0xD, 0, CPUID_EAX), 0x2E7);
    assert_int_equal(cpuid_of(0xD, 0, CPUID_EDX), 0);
    assert_int_equal(cpuid_of(0xD, 0, CPUID_ECX), 2696);
    assert_int_equal(cpuid_of(0xD, 1, CPUID_EAX), 0xF);
    assert_int_equal(cpuid_of(0xD, 7, CPUID_EAX), 1024);
    assert_int_equal(cpuid_of(0xD, 7, CPUID_EBX), 1664);
    assert_int_equal(cpuid_of(0xD, 7, CPUID_ECX), 0);
    fake_cpuid_set(0xD, 7, 1024, 1664, 2, 0);
    child_policy_detect();
    assert_int_equal(cpuid_of(0xD, 7, CPUID_ECX), 2);
    fake_cpuid_set(0xD, 7, 1024, 1664, 0, 0);
    child_policy_detect();
    expect_zeros(0xD, 3);
    expect_zeros(0xD, 17);
    expect_zeros(0xD, 18);
    expect_zeros(0xD, 63);
    expect_zeros(0xD, 64);
    expect_zeros(0xD, ONES);
}

static void test_crystal(void **state)
{
    (void)state;
    start(true);
    uint64_t apic = arch_apic_frequency();
    assert_int_equal(cpuid_of(0x15, 0, CPUID_ECX), apic);
    assert_int_equal(apic * cpuid_of(0x15, 0, CPUID_EBX) / cpuid_of(0x15, 0, CPUID_EAX),
                     arch_tsc_frequency());
    fake_guest_stop();
    start(false);
    expect_zeros(0x15, 0);
}

static void live(uint32_t leaf, uint32_t subleaf, uint32_t fill, uint32_t result[4])
{
    for (unsigned i = 0; i < 4; i++)
        result[i] = fill;
    child_cpuid_live(vp, leaf, subleaf, result);
}

/* Whatever the parent has registered. */
static void test_live_bits(void **state)
{
    uint32_t result[4];
    (void)state;
    start(false);
    for (uint32_t fill = 0;; fill = ONES) {
        *fake_register(vp, VP_CR4) = 0;
        live(1, 0, fill, result);
        assert_int_equal(result[CPUID_ECX], fill & ~(1u << 27));
        assert_int_equal(result[CPUID_EDX], fill | 1u << 9);
        live(7, 0, fill, result);
        assert_int_equal(result[CPUID_ECX], fill & ~(1u << 4));
        *fake_register(vp, VP_CR4) = CR4_OSXSAVE | CR4_PKE;
        live(1, 0, fill, result);
        assert_int_equal(result[CPUID_ECX], fill | 1u << 27);
        live(7, 0, fill, result);
        assert_int_equal(result[CPUID_ECX], fill | 1u << 4);
        live(7, 1, fill, result);
        assert_int_equal(result[CPUID_ECX], fill);
        vp->xcr0 = 0x7;
        live(0xD, 0, fill, result);
        assert_int_equal(result[CPUID_EBX], 832);
        vp->xcr0 = 0x2E7;
        live(0xD, 0, fill, result);
        assert_int_equal(result[CPUID_EBX], 2696);
        live(0xD, 1, fill, result);
        assert_int_equal(result[CPUID_EBX], 2440);
        live(0xD, 2, fill, result);
        assert_int_equal(result[CPUID_EBX], fill);
        uint64_t base = vp->apic.base;
        assert_true(local_apic_set_base(&vp->apic, APIC_BASE_DEFAULT, 40));
        live(1, 0, fill, result);
        assert_int_equal(result[CPUID_EDX], fill & ~(1u << 9));
        live(0x80000001, 0, fill, result);
        assert_int_equal(result[CPUID_EDX], fill & ~(1u << 9));
        assert_true(local_apic_set_base(&vp->apic, base, 40));
        if (fill == ONES)
            break;
    }
}

/* While the child runs the sizes follow what it has in the processor (see extended_state_xcr0). */
static void test_live_xcr0(void **state)
{
    uint32_t result[4];
    (void)state;
    start(false);
    vp->xcr0 = 0x3;
    fake_xcr0 = 0x207;
    fake_lp_state(0)->child = vp;
    live(0xD, 0, 0, result);
    assert_int_equal(result[CPUID_EBX], 2696);
    live(0xD, 1, 0, result);
    assert_int_equal(result[CPUID_EBX], 576 + 256 + 8);
    fake_lp_state(0)->child = NULL;
    live(0xD, 0, 0, result);
    assert_int_equal(result[CPUID_EBX], 576);
}

/* --- CR4 --- */

/* Each bit that the host has and children do not get makes the others exit; one that nobody has does not. */
static void test_cr4_of_a_processor_with_everything(void **state)
{
    (void)state;
    start(false);
    assert_int_equal(child_cr4_bits(), 0x771FFF);
    assert_true(child_cr4_watched());
    fake_cpuid_set(1, 0, ONES, ONES, ONES & ~(1u << 5 | 1u << 6), ONES); /* neither VMX nor SMX */
    fake_cpuid_set(7, 0, 0, ONES, 1u << 2 | 1u << 3 | 1u << 16, 0);
    fake_cpuid_set(7, 1, 0, 0, 0, 0);
    child_policy_detect();
    assert_int_equal(child_cr4_bits(), 0x771FFF);
    assert_false(child_cr4_watched());
    fake_cpuid_set(7, 0, 0, ONES, 1u << 2 | 1u << 3 | 1u << 7 | 1u << 16, 0); /* and shadow stacks */
    child_policy_detect();
    assert_int_equal(child_cr4_bits(), 0x771FFF);
    assert_true(child_cr4_watched());
    fake_cpuid_set(7, 0, 0, ONES, 1u << 3, 1u << 20); /* and indirect branch tracking */
    child_policy_detect();
    assert_int_equal(child_cr4_bits(), 0x7707FF);
    assert_true(child_cr4_watched());
    /* Protection keys whose PKRU XSAVE does not know would be the parent's. */
    fake_cpuid_set(7, 0, 0, ONES, 1u << 3, 0);
    child_policy_detect();
    assert_false(child_cr4_watched());
    fake_cpuid_set(0xD, 0, 0x7, 0, 832, 0);
    child_policy_detect();
    assert_int_equal(child_cr4_bits(), 0x3707FF);
    assert_true(child_cr4_watched());
    assert_int_equal(cpuid_of(7, 0, CPUID_ECX) & 8, 0);
}

/* Leaf 7 of a processor that has none may give anything. */
static void test_cr4_of_an_old_processor(void **state)
{
    (void)state;
    start(false);
    fake_cpuid_set(0, 0, 6, 0x68747541, 0x444D4163, 0x69746E65);
    fake_cpuid_set(1, 0, ONES, ONES, 0, ONES);
    child_policy_detect();
    assert_int_equal(child_cr4_bits(), 0x7FF);
    assert_false(child_cr4_watched());
}

static bool write_cr4(uint64_t value)
{
    uint64_t old = *fake_register(vp, VP_CR4);
    bool done = child_cr4_write(vp, value);
    assert_int_equal(*fake_register(vp, VP_CR4), done ? value : old);
    return done;
}

static void test_cr4_writes(void **state)
{
    const uint64_t always = CR4_PAE | CR4_OSFXSR;
    (void)state;
    start(false);
    for (unsigned bit = 0; bit < 64; bit++) {
        *fake_register(vp, VP_CR4) = 0;
        *fake_register(vp, VP_EFER) = EFER_LMA | EFER_LME;
        if (bit == 12) /* LA57 */
            *fake_register(vp, VP_CR4) = CR4_LA57;
        assert_int_equal(write_cr4(always | 1ull << bit), 0x771FFFull >> bit & 1);
    }
    assert_false(write_cr4(always | CR4_CET));
    /* Long mode keeps PAE and the number of levels; PCIDs need it, and an empty one to begin with. */
    assert_true(write_cr4(always));
    assert_false(write_cr4(CR4_OSFXSR));
    assert_false(write_cr4(always | CR4_LA57));
    *fake_register(vp, VP_CR3) = 0x1001;
    assert_false(write_cr4(always | CR4_PCIDE));
    *fake_register(vp, VP_CR3) = 0x1000;
    assert_true(write_cr4(always | CR4_PCIDE));
    *fake_register(vp, VP_CR3) = 0x1001;
    assert_true(write_cr4(always | CR4_PCIDE | CR4_SMEP));
    assert_true(write_cr4(always));
    *fake_register(vp, VP_EFER) = 0;
    *fake_register(vp, VP_CR3) = 0;
    assert_false(write_cr4(always | CR4_PCIDE));
    assert_true(write_cr4(CR4_LA57));
    assert_true(write_cr4(0));
}

/* --- MSRs --- */

/* All that a child may read, or write with at least one value. Everything else is #GP. */
static const struct {
    uint32_t first, last;
    const char *vendors; /* A, I */
    const char *access;  /* R, W: with what was read; w: with 0 */
} expected_msrs[] = {
    {0x10,       0x10,       "AI", "RW"},
    {0x17,       0x17,       "I",  "R" },
    {0x1B,       0x1B,       "AI", "RW"},
    {0x3A,       0x3A,       "I",  "R" },
    {0x3B,       0x3B,       "AI", "RW"},
    {0x48,       0x48,       "AI", "RW"},
    {0x49,       0x49,       "AI", "w" },
    {0x8B,       0x8B,       "A",  "R" },
    {0x8B,       0x8B,       "I",  "Rw"},
    {0xCE,       0xCE,       "I",  "R" },
    {0xFE,       0xFE,       "AI", "R" },
    {0x10A,      0x10A,      "I",  "R" },
    {0x174,      0x176,      "AI", "RW"},
    {0x179,      0x179,      "AI", "R" },
    {0x17A,      0x17A,      "AI", "RW"},
    {0x198,      0x198,      "I",  "R" },
    {0x1A0,      0x1A0,      "I",  "RW"},
    {0x1D9,      0x1D9,      "AI", "RW"},
    {0x200,      0x20F,      "AI", "RW"},
    {0x250,      0x250,      "AI", "RW"},
    {0x258,      0x259,      "AI", "RW"},
    {0x268,      0x26F,      "AI", "RW"},
    {0x277,      0x277,      "AI", "RW"},
    {0x2FF,      0x2FF,      "AI", "RW"},
    {0x6E0,      0x6E0,      "AI", "RW"},
    {0xDA0,      0xDA0,      "AI", "RW"},
    {0x40000000, 0x40000001, "AI", "RW"},
    {0xC0000080, 0xC0000084, "AI", "RW"},
    {0xC0000100, 0xC0000103, "AI", "RW"},
    {0xC0010010, 0xC0010010, "A",  "RW"},
    {0xC0010015, 0xC0010015, "A",  "RW"},
    {0xC001001F, 0xC001001F, "A",  "RW"},
    {0xC0010055, 0xC0010055, "A",  "RW"},
    {0xC0010058, 0xC0010058, "A",  "RW"},
    {0xC0010140, 0xC0010141, "A",  "R" },
    {0xC0011029, 0xC0011029, "A",  "RW"},
};

static const char *expected_access(uint32_t msr, bool intel)
{
    for (unsigned i = 0; i < sizeof(expected_msrs) / sizeof(expected_msrs[0]); i++)
        if (msr >= expected_msrs[i].first && msr <= expected_msrs[i].last &&
            strchr(expected_msrs[i].vendors, intel ? 'I' : 'A') != NULL)
            return expected_msrs[i].access;
    return "";
}

static void test_every_msr(void **state)
{
    static const uint32_t ranges[][2] = {
        {0,          0x1FFF    },
        {0x40000000, 0x40002000},
        {0xC0000000, 0xC0001FFF},
        {0xC0010000, 0xC0011FFF},
        {0xC0020000, 0xC0021000}
    };
    (void)state;
    for (unsigned intel = 0; intel < 2; intel++) {
        start(intel);
        for (unsigned i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
            for (uint32_t msr = ranges[i][0]; msr <= ranges[i][1]; msr++) {
                const char *access = expected_access(msr, intel);
                uint64_t value = 0xA5;
                bool readable = child_msr_read(vp, msr, &value);
                if (readable != (strchr(access, 'R') != NULL))
                    print_error("MSR %x\n", msr);
                assert_int_equal(readable, strchr(access, 'R') != NULL);
                if (!readable)
                    assert_int_equal(value, 0);
                if (strchr(access, 'W') != NULL)
                    assert_true(child_msr_write(vp, msr, value));
                else
                    assert_int_equal(child_msr_write(vp, msr, 0), strchr(access, 'w') != NULL);
            }
        assert_false(child_msr_read(vp, 0xFFFFFFFF, &(uint64_t){0}));
        fake_guest_stop();
    }
}

static void test_unknown_msrs(void **state)
{
    uint64_t value = 7;
    (void)state;
    start(false);
    fake_partition.unimplemented_msr_action = HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO;
    assert_true(child_msr_read(vp, 0x1234, &value));
    assert_int_equal(value, 0);
    assert_true(child_msr_write(vp, 0x1234, 5));
    assert_true(child_msr_read(vp, 0x3A, &value));      /* Intel's: unknown here */
    assert_false(child_msr_write(vp, MSR_MTRR_CAP, 0)); /* known and read-only stays so */
    assert_false(child_msr_write(vp, MSR_EFER, 1ull << 12));
    assert_false(child_msr_read(vp, 0x830, &value)); /* the APIC decides */
}

static uint64_t read_msr(uint32_t msr)
{
    uint64_t value;
    assert_true(child_msr_read(vp, msr, &value));
    return value;
}

/* Which single bits can be set. */
static void expect_bits(uint32_t msr, uint64_t start_value, uint64_t expected)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        bool done = child_msr_write(vp, msr, start_value ^ 1ull << bit);
        if (done != (expected >> bit & 1))
            print_error("MSR %x bit %u\n", msr, bit);
        assert_int_equal(done, expected >> bit & 1);
        assert_true(child_msr_write(vp, msr, start_value));
    }
}

static void test_efer(void **state)
{
    (void)state;
    start(false);
    expect_bits(MSR_EFER, 0, 0x204D01); /* SCE LME LMA (ignored) NXE FFXSR AIBRSE; never SVME */
    assert_true(child_msr_write(vp, MSR_EFER, 0xD01));
    assert_int_equal(*fake_register(vp, VP_EFER), 0x901); /* LMA is not set by writing it */
    *fake_register(vp, VP_CR0) = CR0_PG | CR0_PE;
    *fake_register(vp, VP_EFER) = 0xD00;
    assert_false(child_msr_write(vp, MSR_EFER, 0xC00)); /* LME while paging is on */
    assert_true(child_msr_write(vp, MSR_EFER, 0x901));
    assert_int_equal(*fake_register(vp, VP_EFER), 0xD01); /* nor cleared */
}

static void test_addresses_are_canonical(void **state)
{
    static const uint32_t msrs[] = {MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_LSTAR,         MSR_CSTAR,
                                    MSR_FS_BASE,      MSR_GS_BASE,      MSR_KERNEL_GS_BASE};
    (void)state;
    for (unsigned la57 = 0; la57 < 2; la57++) {
        start(false);
        if (!la57) {
            fake_cpuid_set(7, 0, 5, ONES, ONES & ~(1u << 16), ONES);
            child_policy_detect();
        }
        for (unsigned i = 0; i < sizeof(msrs) / sizeof(msrs[0]); i++) {
            assert_true(child_msr_write(vp, msrs[i], 0x00007FFFFFFFFFFF));
            assert_int_equal(read_msr(msrs[i]), 0x00007FFFFFFFFFFF);
            assert_true(child_msr_write(vp, msrs[i], 0xFFFF800000000000));
            assert_int_equal(child_msr_write(vp, msrs[i], 0x0000800000000000), la57);
            assert_false(child_msr_write(vp, msrs[i], 0x0100000000000000));
        }
        fake_guest_stop();
    }
}

static void test_segment_bases(void **state)
{
    (void)state;
    start(false);
    fake_segment(vp, VP_FS)->selector = 0x33;
    assert_true(child_msr_write(vp, MSR_FS_BASE, 0x1000));
    assert_true(child_msr_write(vp, MSR_GS_BASE, 0x2000));
    assert_int_equal(fake_segment(vp, VP_FS)->base, 0x1000);
    assert_int_equal(fake_segment(vp, VP_FS)->selector, 0x33);
    assert_int_equal(fake_segment(vp, VP_GS)->base, 0x2000);
    assert_int_equal(read_msr(MSR_FS_BASE), 0x1000);
}

static void test_memory_types(void **state)
{
    (void)state;
    start(false);
    assert_int_equal(read_msr(MSR_PAT), 0x0007040600070406);
    assert_int_equal(read_msr(MSR_MTRR_CAP), 0x508);
    for (unsigned type = 0; type < 256; type++) {
        bool valid = type == 0 || type == 1 || (type >= 4 && type <= 6);
        assert_int_equal(child_msr_write(vp, MSR_MTRR_DEF_TYPE, type), valid);
        assert_int_equal(child_msr_write(vp, MSR_MTRR_PHYS_BASE0 + 4, type), valid);
        for (unsigned byte = 0; byte < 8; byte++) {
            assert_int_equal(child_msr_write(vp, MSR_MTRR_FIX4K_C0000, (uint64_t)type << 8 * byte), valid);
            assert_int_equal(child_msr_write(vp, MSR_PAT, (uint64_t)type << 8 * byte), valid || type == 7);
        }
    }
    expect_bits(MSR_MTRR_DEF_TYPE, 0, 0xC00 | 1 | 1 << 2);          /* enables, and the types 1 and 4 */
    expect_bits(MSR_MTRR_PHYS_BASE0, 6, 0xFFFFFFF000 | 2 | 1 << 1); /* 6 ^ 2 is 4 */
    expect_bits(MSR_MTRR_PHYS_MASK7, 0, 0xFFFFFFF800);
    /* Each has a place of its own. */
    static const uint32_t msrs[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26A,
                                    0x26B, 0x26C, 0x26D, 0x26E, 0x26F};
    for (unsigned i = 0; i < 11; i++)
        assert_true(child_msr_write(vp, msrs[i], 0x0606060606060600ull | (i % 2 ? 4 : 5)));
    for (unsigned i = 0; i < 11; i++) {
        assert_int_equal(read_msr(msrs[i]), 0x0606060606060600ull | (i % 2 ? 4 : 5));
        assert_int_equal(vp->mtrr_fixed[i], read_msr(msrs[i]));
    }
    for (unsigned i = 0; i < 16; i++)
        assert_true(child_msr_write(vp, MSR_MTRR_PHYS_BASE0 + i, (uint64_t)(i + 1) << 12));
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(vp->mtrr_phys_base[i], (uint64_t)(2 * i + 1) << 12);
        assert_int_equal(vp->mtrr_phys_mask[i], (uint64_t)(2 * i + 2) << 12);
    }
}

static void test_time_registers(void **state)
{
    (void)state;
    start(false);
    fake_tsc = 50000;
    vp_set_tsc_offset(vp, 100);
    assert_int_equal(read_msr(MSR_TSC), 50100);
    assert_true(child_msr_write(vp, MSR_TSC, 1000));
    assert_int_equal(read_msr(MSR_TSC), 1000);
    assert_int_equal(read_msr(MSR_TSC_ADJUST), 1000ull - 50100);
    fake_tsc = 50500;
    assert_int_equal(read_msr(MSR_TSC), 1500);
    assert_true(child_msr_write(vp, MSR_TSC_ADJUST, 0));
    assert_int_equal(read_msr(MSR_TSC), 50600);
    assert_int_equal(read_msr(MSR_TSC_ADJUST), 0);
    assert_int_equal(vp->apic.tsc_offset, 100);
    assert_true(child_msr_write(vp, MSR_TSC_ADJUST, 7));
    assert_int_equal(read_msr(MSR_TSC), 50607);
    assert_true(child_msr_write(vp, MSR_TSC_ADJUST, 0));
    struct local_apic_effect effect;
    local_apic_write(&vp->apic, APIC_REGISTER_SVR, 0x1FF, 0, &effect);
    local_apic_write(&vp->apic, APIC_REGISTER_LVT_TIMER, 0x40040, 0, &effect);
    assert_true(child_msr_write(vp, MSR_TSC_DEADLINE, 60000));
    assert_int_equal(read_msr(MSR_TSC_DEADLINE), 60000);
    assert_int_equal(local_apic_deadline(&vp->apic), 59900);
    fake_tsc = 59900;
    assert_int_equal(read_msr(MSR_TSC_DEADLINE), 0);
    vp->apic.tsc_deadline_allowed = false;
    assert_false(child_msr_read(vp, MSR_TSC_DEADLINE, &(uint64_t){0}));
    assert_false(child_msr_write(vp, MSR_TSC_DEADLINE, 0));
    assert_true(child_msr_write(vp, MSR_TSC_AUX, 0x12345678));
    assert_false(child_msr_write(vp, MSR_TSC_AUX, 1ull << 32));
    assert_int_equal(read_msr(MSR_TSC_AUX), 0x12345678);
}

/* TSC_ADJUST needs nothing of the processor, but a leaf to be shown in. */
static void test_tsc_adjust_without_the_processors(void **state)
{
    (void)state;
    start(false);
    fake_cpuid_set(7, 0, 0, 0, 0, 0);
    child_policy_detect();
    assert_int_equal(cpuid_of(7, 0, CPUID_EBX), 1u << 1);
    assert_true(child_msr_write(vp, MSR_TSC_ADJUST, 5));
    assert_int_equal(read_msr(MSR_TSC_ADJUST), 5);
    fake_cpuid_set(0, 0, 6, 0x68747541, 0x444D4163, 0x69746E65);
    child_policy_detect();
    expect_zeros(7, 0);
    assert_false(child_msr_read(vp, MSR_TSC_ADJUST, &(uint64_t){0}));
    assert_false(child_msr_write(vp, MSR_TSC_ADJUST, 0));
}

/* Power-up values, whatever was there before, and nothing else of the VP. */
static void test_reset(void **state)
{
    (void)state;
    start(true);
    uint64_t rip = vp->rip, deadline = vp->apic.timer_deadline;
    vp->tsc_aux = vp->xss = vp->spec_ctrl = vp->tsc_adjust = vp->misc_enable = vp->mtrr_def_type = 0xEE;
    memset(vp->mtrr_phys_base, 0xEE, sizeof(vp->mtrr_phys_base));
    memset(vp->mtrr_phys_mask, 0xEE, sizeof(vp->mtrr_phys_mask));
    memset(vp->mtrr_fixed, 0xEE, sizeof(vp->mtrr_fixed));
    *fake_register(vp, VP_PAT) = 0xEE;
    vp->debug_registers[0] = 0x1234;
    child_msr_reset(vp);
    assert_int_equal(vp->tsc_aux | vp->xss | vp->spec_ctrl | vp->tsc_adjust, 0);
    assert_int_equal(*fake_register(vp, VP_PAT), 0x0007040600070406);
    assert_int_equal(vp->debug_registers[0], 0x1234);
    assert_int_equal(vp->rip, rip);
    assert_int_equal(vp->apic.timer_deadline, deadline);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(vp->mtrr_phys_base[i] | vp->mtrr_phys_mask[i], 0);
    for (unsigned i = 0; i < 11; i++)
        assert_int_equal(vp->mtrr_fixed[i], 0);
    assert_int_equal(vp->mtrr_def_type, 0);
    assert_int_equal(vp->misc_enable, 0x1801);
}

static void test_narrow_registers(void **state)
{
    (void)state;
    start(true);
    expect_bits(MSR_SFMASK, 0, 0xFFFFFFFF);
    expect_bits(MSR_XSS, 0, 0);
    expect_bits(MSR_MCG_STATUS, 0, 0);
    expect_bits(MSR_STAR, 0, ~0ull);
}

static void test_apic_registers(void **state)
{
    uint64_t value;
    (void)state;
    start(false);
    assert_int_equal(read_msr(MSR_APIC_BASE), APIC_BASE_DEFAULT | APIC_BASE_ENABLE);
    assert_false(child_msr_write(vp, MSR_APIC_BASE, APIC_BASE_DEFAULT | APIC_BASE_ENABLE | 1ull << 40));
    assert_false(child_msr_read(vp, 0x802, &value));
    assert_true(child_msr_write(vp, MSR_APIC_BASE, APIC_BASE_DEFAULT | APIC_BASE_ENABLE | APIC_BASE_X2APIC));
    assert_int_equal(read_msr(0x802), 3);
    assert_false(child_msr_write(vp, 0x802, 3));
    assert_true(child_msr_write(vp, 0x80F, 0x1FF));
    fake_vp(1)->blocked = true;
    struct local_apic_effect effect;
    local_apic_write(&fake_vp(1)->apic, APIC_REGISTER_SVR, 0x1FF, 0, &effect);
    assert_true(child_msr_write(vp, MSR_X2APIC_ICR, 1ull << 32 | 0x4045));
    assert_int_equal(local_apic_pending(&fake_vp(1)->apic), 0x45);
    assert_int_equal(vp->wake.bank[0], 2);
}

static void test_mitigations(void **state)
{
    (void)state;
    start(true);
    expect_bits(MSR_SPEC_CTRL, 0, 0x87);
    assert_true(child_msr_write(vp, MSR_SPEC_CTRL, 5));
    assert_int_equal(vp->spec_ctrl, 5);
    expect_bits(MSR_PRED_CMD, 0, 0x81);
    assert_int_equal(fake_msr_writes(MSR_PRED_CMD), 2); /* the two that did something */
    /* RDCL_NO and the like, but no bit that promises an MSR: TSX_CTRL, MCU_OPT_CTRL, package controls... */
    uint64_t capabilities = read_msr(MSR_ARCH_CAPABILITIES);
    assert_int_equal(capabilities & 0x17F, 0x17F);
    assert_int_equal(capabilities & (1ull << 7 | 1ull << 9 | 1ull << 10 | 1ull << 18 | 1ull << 21 |
                                     1ull << 23 | 1ull << 25),
                     0);
}

static void test_identities(void **state)
{
    (void)state;
    start(false);
    assert_int_equal(read_msr(MSR_PATCH_LEVEL), 0xA0011CE);
    assert_int_equal(read_msr(MSR_HWCR) >> 24 & 1, 1);
    assert_int_equal(read_msr(MSR_DE_CFG), 2);
    assert_false(child_msr_write(vp, MSR_DE_CFG, 0)); /* LFENCE stays serializing */
    assert_false(child_msr_write(vp, MSR_SYSCFG, 1u << 23));
    expect_bits(MSR_HWCR, read_msr(MSR_HWCR), 1u << 18);
    expect_bits(MSR_NB_CFG, 0, 1ull << 46);
    expect_bits(MSR_DEBUG_CTL, 0, 3);
    fake_guest_stop();
    start(true);
    assert_int_equal(read_msr(MSR_FEATURE_CONTROL), 1);
    assert_int_equal(read_msr(MSR_MISC_ENABLE), 0x1801);
    expect_bits(MSR_MISC_ENABLE, 0x1801, 1);
    assert_true(child_msr_write(vp, MSR_PATCH_LEVEL, 0));
    assert_int_equal(read_msr(MSR_PATCH_LEVEL), 0xA0011CE);
}

static void test_hypervisor_registers(void **state)
{
    (void)state;
    start(false);
    assert_int_equal(read_msr(MSR_HV_GUEST_OS_ID), 0);
    assert_true(child_msr_write(vp, MSR_HV_GUEST_OS_ID, 0x8100000000000000));
    assert_int_equal(vp->guest_os_id, 0x8100000000000000);
    assert_false(child_msr_write(vp, MSR_HV_HYPERCALL, 0x1001)); /* there is no page to enable */
    assert_true(child_msr_write(vp, MSR_HV_HYPERCALL, 0x1000));
    assert_int_equal(read_msr(MSR_HV_HYPERCALL), 0x1000);
}

#define TEST(function) cmocka_unit_test_teardown(function, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_leaves_that_are_not_there),
        TEST(test_features_that_are_hidden),
        TEST(test_features_that_pass),
        TEST(test_a_small_processor),
        TEST(test_topology),
        TEST(test_leaf_7_subleaves),
        TEST(test_xsave_leaf),
        TEST(test_crystal),
        TEST(test_live_bits),
        TEST(test_live_xcr0),
        TEST(test_cr4_of_a_processor_with_everything),
        TEST(test_cr4_of_an_old_processor),
        TEST(test_cr4_writes),
        TEST(test_every_msr),
        TEST(test_unknown_msrs),
        TEST(test_efer),
        TEST(test_addresses_are_canonical),
        TEST(test_segment_bases),
        TEST(test_memory_types),
        TEST(test_time_registers),
        TEST(test_tsc_adjust_without_the_processors),
        TEST(test_reset),
        TEST(test_narrow_registers),
        TEST(test_apic_registers),
        TEST(test_mitigations),
        TEST(test_identities),
        TEST(test_hypervisor_registers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
