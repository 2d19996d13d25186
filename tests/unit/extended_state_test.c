/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Formats and checks are tested on invented processors; the switch runs the real XSAVE, XRSTOR, FXSAVE and
 * FXRSTOR of the processor that the test runs on.
 */
#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86_64/cpu/child_policy.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/speculation.h"
#include "tests/unit/fake_guest.h"

#define BV        XSAVE_LEGACY_SIZE
#define COMP      (XSAVE_LEGACY_SIZE + 8)
#define COMPACTED (1ull << 63)

static struct vp *vp;

static void detect(void)
{
    speculation_detect();
    extended_state_detect();
}

/* A server processor with AVX-512 and protection keys, and AMX, which children do not get. */
static void invent_avx512(void)
{
    fake_cpuid_clear();
    fake_msr_clear();
    fake_cpuid_set(0, 0, 0x1F, 0x756E6547, 0x6C65746E, 0x49656E69);
    fake_cpuid_set(1, 0, 0, 0, 1u << 26, 0);
    fake_cpuid_set(0xD, 0, 0x602E7, 0, 0, 0);
    fake_cpuid_set(0xD, 1, 0xF, 0, 0, 0);
    fake_cpuid_set(0xD, 2, 256, 576, 0, 0);
    fake_cpuid_set(0xD, 5, 64, 1088, 0, 0);
    fake_cpuid_set(0xD, 6, 512, 1152, 0, 0);
    fake_cpuid_set(0xD, 7, 1024, 1664, 0, 0);
    fake_cpuid_set(0xD, 9, 8, 2688, 0, 0);
    fake_cpuid_set(0xD, 17, 64, 2752, 2, 0);
    fake_cpuid_set(0xD, 18, 8192, 2816, 6, 0);
    fake_cpuid_set(0x80000000, 0, 0x80000008, 0, 0, 0);
    fake_msr_set(MSR_XSS, 0);
    fake_guest_start(1);
    vp = fake_vp(0);
    detect();
    extended_state_reset(vp);
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_stop();
    return 0;
}

static uint64_t get_64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, 8);
    return value;
}

static void put_64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, 8);
}

static void put_32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, 4);
}

static void test_sizes(void **state)
{
    (void)state;
    invent_avx512();
    assert_int_equal(extended_state_mask(), 0x2E7);
    assert_int_equal(xsave_standard_size(0x3), 576);
    assert_int_equal(xsave_standard_size(0x7), 832);
    assert_int_equal(xsave_standard_size(0xE7), 2688);
    assert_int_equal(xsave_standard_size(0x2E7), 2696);
    assert_int_equal(xsave_compacted_size(0x3), 576);
    assert_int_equal(xsave_compacted_size(0x203), 584);
    assert_int_equal(xsave_compacted_size(0x2E7), 576 + 256 + 64 + 512 + 1024 + 8);
    assert_int_equal(extended_state_size(), 2440);
    /* A component that is aligned in the compacted format, behind one with an odd size. */
    fake_cpuid_set(0xD, 2, 260, 576, 0, 0);
    fake_cpuid_set(0xD, 5, 64, 1088, 2, 0);
    detect();
    assert_int_equal(xsave_compacted_size(0x27), 896 + 64);
    /* Two of the three parts of AVX-512 are none. */
    fake_cpuid_set(0xD, 0, 0x67, 0, 0, 0);
    detect();
    assert_int_equal(extended_state_mask(), 0x7);
    /* No XSAVE at all. */
    fake_cpuid_set(1, 0, 0, 0, 0, 0);
    detect();
    assert_int_equal(extended_state_mask(), 0x3);
    assert_int_equal(extended_state_size(), 576);
    assert_false(extended_state_set_xcr0(vp, 3));
}

static void test_components(void **state)
{
    (void)state;
    invent_avx512();
    assert_int_equal(extended_state_component(9)->offset, 2688);
    assert_int_equal(extended_state_component(9)->size, 8);
    assert_false(extended_state_component(9)->aligned);
    assert_int_equal(extended_state_component(3)->size, 0);
    assert_int_equal(extended_state_component(10)->size, 0);
    assert_int_equal(extended_state_component(17)->size, 0);
    fake_cpuid_set(0xD, 9, 8, 2688, 2, 0);
    detect();
    assert_true(extended_state_component(9)->aligned);
    /* Components above 31 are none of ours, whatever is in EDX. */
    fake_cpuid_set(0xD, 0, 0x7, 0, 0, 0x2E0);
    detect();
    assert_int_equal(extended_state_mask(), 0x7);
}

static void test_xcr0_rules(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 1024; value++)
        for (unsigned masks = 0; masks < 3; masks++) {
            static const uint64_t mask[] = {0x3, 0x207, 0x2E7};
            bool valid = (value & 1) == 1 && (value & ~mask[masks]) == 0;
            if ((value >> 2 & 1) && !(value >> 1 & 1))
                valid = false;
            unsigned avx512 = (unsigned)((value >> 5 & 1) + (value >> 6 & 1) + (value >> 7 & 1));
            if (avx512 == 1 || avx512 == 2 || (avx512 == 3 && !(value >> 2 & 1)))
                valid = false;
            assert_int_equal(extended_state_xcr0_valid(value, mask[masks]), valid);
        }
}

static void test_reset(void **state)
{
    uint8_t image[4096];
    (void)state;
    invent_avx512();
    memset(vp->debug_registers, 0xFF, sizeof(vp->debug_registers));
    extended_state_reset(vp);
    assert_int_equal(vp->xcr0, 1);
    assert_int_equal(vp->debug_registers[3], 0);
    assert_int_equal(extended_state_get(vp, 0x2E7, image, sizeof(image)), HV_STATUS_SUCCESS);
    assert_int_equal(image[0] | image[1] << 8, 0x0040);
    assert_int_equal(image[4], 0xFF); /* tags: valid, zero */
    assert_int_equal(image[24] | image[25] << 8, 0x1F80);
    assert_int_equal(get_64(image + BV), 1);
    assert_int_equal(get_64(image + COMP), COMPACTED | 0x2E7);
}

/* Where components lie in an image with XCOMP_BV 0x2E7, by hand. */
static const struct {
    unsigned number, standard, compacted, size;
} layout[] = {
    {2, 576,  576,  256 },
    {5, 1088, 832,  64  },
    {6, 1152, 896,  512 },
    {7, 1664, 1408, 1024},
    {9, 2688, 2432, 8   }
};

static void random_image(uint8_t *image, uint64_t xstate_bv, uint64_t xcomp_bv)
{
    for (unsigned i = 0; i < 4096; i++)
        image[i] = (uint8_t)rand();
    memset(image + BV, 0, 64);
    put_64(image + BV, xstate_bv);
    put_64(image + COMP, COMPACTED | xcomp_bv);
    put_32(image + 24, (uint32_t)rand() & 0xFFBF);
}

static void test_compacted_to_standard_and_back(void **state)
{
    uint8_t image[4096], out[4096];
    (void)state;
    invent_avx512();
    srand(1);
    const uint8_t *standard = (const uint8_t *)vp->extended_state;
    for (unsigned round = 0; round < 2000; round++) {
        uint64_t bv = (uint64_t)rand() & 0x2E7;
        random_image(image, bv, 0x2E7);
        assert_int_equal(extended_state_set(vp, 0x2E7, image, sizeof(image)), HV_STATUS_SUCCESS);
        assert_int_equal(get_64(standard + BV), bv);
        assert_int_equal(get_64(standard + COMP), 0);
        assert_int_equal(extended_state_get(vp, 0x2E7, out, sizeof(out)), HV_STATUS_SUCCESS);
        assert_int_equal(get_64(out + BV), bv);
        assert_int_equal(get_64(out + COMP), COMPACTED | 0x2E7);
        for (unsigned i = 0; i < sizeof(layout) / sizeof(layout[0]); i++)
            if (bv >> layout[i].number & 1) {
                assert_memory_equal(standard + layout[i].standard, image + layout[i].compacted,
                                    layout[i].size);
                assert_memory_equal(out + layout[i].compacted, image + layout[i].compacted, layout[i].size);
            }
        if (bv & 1) {
            assert_memory_equal(standard, image, 24);
            assert_memory_equal(standard + 32, image + 32, 128);
        } else {
            assert_int_equal(standard[0] | standard[1] << 8, 0x37F);
            assert_int_equal(get_64(standard + 48), 0);
        }
        if (bv & 2) {
            assert_memory_equal(standard + 160, image + 160, 256);
            assert_memory_equal(standard + 24, image + 24, 4);
        } else {
            assert_int_equal(get_64(standard + 400), 0);
            assert_int_equal(standard[24] | standard[25] << 8, 0x1F80);
        }
    }
}

/* Components that were not asked for keep what they have, whatever the image says of them. */
static void test_some_components(void **state)
{
    uint8_t first[4096], second[4096], out[4096];
    (void)state;
    invent_avx512();
    srand(2);
    random_image(first, 0x2E7, 0x2E7);
    random_image(second, 0x7, 0x7);
    assert_int_equal(extended_state_set(vp, 0x2E7, first, sizeof(first)), HV_STATUS_SUCCESS);
    assert_int_equal(extended_state_set(vp, 0x6, second, 832), HV_STATUS_SUCCESS);
    assert_int_equal(extended_state_get(vp, 0x2E7, out, sizeof(out)), HV_STATUS_SUCCESS);
    assert_memory_equal(out + 24, second + 24, 4);
    assert_memory_equal(out + 32, first + 32, 128);    /* x87: the first's */
    assert_memory_equal(out + 160, second + 160, 256); /* SSE and AVX: the second's */
    assert_memory_equal(out + 576, second + 576, 256);
    assert_memory_equal(out + 1408, first + 1408, 1024); /* the rest: the first's */
    assert_int_equal(get_64(out + BV), 0x2E7);
    random_image(first, 0x2E7, 0x2E7);
    assert_int_equal(extended_state_set(vp, 0x200, first, sizeof(first)),
                     HV_STATUS_SUCCESS); /* one of them alone */
    assert_int_equal(extended_state_get(vp, 0x2E7, out, sizeof(out)), HV_STATUS_SUCCESS);
    assert_memory_equal(out + 576, second + 576, 256);
    assert_memory_equal(out + 2432, first + 2432, 8);
    random_image(first, 0, 0x2E7);
    assert_int_equal(extended_state_set(vp, 0x1, first, sizeof(first)), HV_STATUS_SUCCESS); /* SSE as it is */
    assert_int_equal(extended_state_get(vp, 0x2E7, out, sizeof(out)), HV_STATUS_SUCCESS);
    assert_memory_equal(out + 160, second + 160, 256);
    assert_int_equal(get_64(out + BV), 0x2E6);
    /* What is in its initial state reads as zeros, not as what lies in the page. */
    random_image(first, 0x3, 0x2E7);
    assert_int_equal(extended_state_set(vp, 0x2E7, first, sizeof(first)), HV_STATUS_SUCCESS);
    assert_int_equal(extended_state_get(vp, 0x2E7, out, sizeof(out)), HV_STATUS_SUCCESS);
    for (unsigned i = 576; i < 2440; i++)
        assert_int_equal(out[i], 0);
    random_image(first, 0x2E7, 0x2E7);
    assert_int_equal(extended_state_set(vp, 0x2E7, first, sizeof(first)), HV_STATUS_SUCCESS);
    /* A smaller selection is a smaller image. */
    assert_int_equal(extended_state_get(vp, 0x203, out, 584), HV_STATUS_SUCCESS);
    assert_memory_equal(out + 576, first + 2432, 8);
    assert_int_equal(get_64(out + BV), 0x203);
    assert_int_equal(extended_state_get(vp, 0x203, out, 583), HV_STATUS_INVALID_PARAMETER);
    assert_int_equal(extended_state_get(vp, 0x20003, out, sizeof(out)), HV_STATUS_INVALID_PARAMETER);
}

static void expect_refused(const uint8_t *image, uint64_t states, size_t size, enum hv_status status)
{
    uint8_t before[4096];
    memcpy(before, vp->extended_state, sizeof(before));
    assert_int_equal(extended_state_set(vp, states, image, size), status);
    assert_memory_equal(before, vp->extended_state, sizeof(before));
}

static void test_invalid_images(void **state)
{
    uint8_t image[4096];
    (void)state;
    invent_avx512();
    srand(3);
    random_image(image, 0x2E7, 0x2E7);
    expect_refused(image, 0x2E7, 2439, HV_STATUS_INVALID_PARAMETER);
    expect_refused(image, 0x2E7, 575, HV_STATUS_INVALID_PARAMETER);
    expect_refused(image, 0x2E7, 0, HV_STATUS_INVALID_PARAMETER);
    expect_refused(image, 0x602E7, 4096, HV_STATUS_INVALID_PARAMETER);
    for (unsigned bit = 0; bit < 64; bit++) {
        if (0x2E7ull >> bit & 1)
            continue;
        random_image(image, 0x2E7 | 1ull << bit, 0x2E7); /* not in XCOMP_BV, or not there at all */
        expect_refused(image, 0x2E7, 4096, HV_STATUS_INVALID_REGISTER_VALUE);
        if (bit == 63)
            continue;
        random_image(image, 0x3, 0x2E7 | 1ull << bit);
        expect_refused(image, 0x2E7, 4096, HV_STATUS_INVALID_REGISTER_VALUE);
    }
    random_image(image, 0x4, 0x3);
    expect_refused(image, 0x2E7, 4096, HV_STATUS_INVALID_REGISTER_VALUE);
    random_image(image, 0x3, 0x2E7);
    put_64(image + COMP, 0x2E7); /* the standard format */
    expect_refused(image, 0x2E7, 4096, HV_STATUS_INVALID_REGISTER_VALUE);
    for (unsigned byte = 16; byte < 64; byte++) {
        random_image(image, 0x3, 0x2E7);
        image[BV + byte] = 1;
        expect_refused(image, 0x2E7, 4096, HV_STATUS_INVALID_REGISTER_VALUE);
    }
    random_image(image, 0x3, 0x2E7);
    put_32(image + 24, 0x10000);
    expect_refused(image, 0x2E7, 4096, HV_STATUS_INVALID_REGISTER_VALUE);
    /*
     * DAZ is this processor's since MXCSR_MASK says so; the smallest image is the legacy region and the
     * header.
     */
    random_image(image, 0x3, 0x3);
    put_32(image + 24, 0x40);
    assert_int_equal(extended_state_set(vp, 0x3, image, 576), HV_STATUS_SUCCESS);
}

static void test_legacy_region(void **state)
{
    uint8_t image[4096], out[4096];
    (void)state;
    invent_avx512();
    random_image(image, 0, 0x2E7);
    assert_int_equal(extended_state_set(vp, 0x2E7, image, sizeof(image)), HV_STATUS_SUCCESS);
    uint8_t *legacy = extended_state_legacy(vp);
    assert_int_equal(legacy[0] | legacy[1] << 8, 0x37F); /* what XSTATE_BV = 0 means stands there in full */
    for (unsigned i = 2; i < 24; i++)
        assert_int_equal(legacy[i], 0);
    legacy[160] = 0x99;
    assert_int_equal(extended_state_get(vp, 0x2E7, out, sizeof(out)), HV_STATUS_SUCCESS);
    assert_int_equal(get_64(out + BV), 3);
    assert_int_equal(out[160], 0x99);
}

/* --- the real processor --- */

static bool host_has_xsave(void)
{
    uint32_t eax, ebx, ecx, edx;
    __cpuid(1, eax, ebx, ecx, edx);
    return (ecx >> 27 & 1) != 0; /* OSXSAVE */
}

static uint64_t host_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* This processor's CPUID, without what its operating system has not enabled in XCR0. */
static void copy_host(bool xsave)
{
    uint32_t eax, ebx, ecx, edx;
    fake_cpuid_copy_host();
    fake_msr_clear();
    fake_msr_set(MSR_XSS, 0x100);
    fake_msr_set(MSR_TSC_AUX, 0xAA);
    fake_msr_set(MSR_SPEC_CTRL, 0);
    fake_msr_set(MSR_PRED_CMD, 0);
    fake_msr_set(MSR_FLUSH_CMD, 0);
    fake_msr_set(MSR_ARCH_CAPABILITIES, 0);
    __cpuid(1, eax, ebx, ecx, edx);
    fake_cpuid_set(1, 0, eax, ebx, xsave ? ecx | 1u << 26 : ecx & ~(1u << 26), edx);
    if (xsave) {
        uint64_t xcr0 = host_xcr0();
        __cpuid_count(0xD, 0, eax, ebx, ecx, edx);
        fake_cpuid_set(0xD, 0, eax & (uint32_t)xcr0, ebx, ecx, edx & (uint32_t)(xcr0 >> 32));
        __cpuid_count(0xD, 1, eax, ebx, ecx, edx);
        fake_cpuid_set(0xD, 1, eax | 8, ebx, ecx, edx); /* XSAVES: a hypervisor may hide it, and XSS is the fake's */
        fake_xcr0 = xcr0;
    }
    fake_guest_start(2);
    vp = fake_vp(0);
    detect();
    for (unsigned i = 0; i < 2; i++) {
        extended_state_reset(fake_vp(i));
        fake_vp(i)->xcr0 = XSTATE_X87 | XSTATE_SSE;
    }
}

/*
 * Enters the child, stores what the processor has then, changes some of it, and leaves. Nothing in here or in
 * the functions that it calls uses other than general registers.
 */
__attribute__((target("general-regs-only"), noinline)) static void visit(struct vp *child, uint8_t *seen)
{
    static const uint64_t pattern[2] = {0x1122334455667788, 0x99AABBCCDDEEFF00};
    static const uint16_t fcw = 0x027F;
    extended_state_enter(child);
    fxsave64(seen);
    __asm__ volatile("movups %0, %%xmm9; fldcw %1; fldpi" : : "m"(pattern), "m"(fcw));
    extended_state_leave(child);
}

static void check_switch(bool xsave)
{
    static const double parent_value[2] = {3.5, -7.25};
    static uint8_t seen[512] __attribute__((aligned(16)));
    uint8_t image[4096], out[4096];
    double after[2];
    uint16_t fcw_before, fcw_after;

    copy_host(xsave);
    srand(4);
    random_image(image, 3, 3);
    put_64(image, 0xFF00000F7F); /* FCW, FSW, tags: all registers in use */
    put_32(image + 24, 0x1FA0);
    assert_int_equal(extended_state_set(vp, 3, image, sizeof(image)), HV_STATUS_SUCCESS);

    __asm__ volatile("fnstcw %0" : "=m"(fcw_before));
    __asm__ volatile("movups %0, %%xmm9" : : "m"(parent_value) : "xmm9");
    visit(vp, seen);
    __asm__ volatile("movups %%xmm9, %0; fnstcw %1" : "=m"(after), "=m"(fcw_after) : : "xmm9");

    assert_memory_equal(after, parent_value, sizeof(after)); /* the parent has its own back */
    assert_int_equal(fcw_after, fcw_before);
    assert_memory_equal(seen + 160, image + 160, 256); /* the child had what was set for it */
    assert_memory_equal(seen + 24, image + 24, 4);
    assert_memory_equal(seen, image, 2);
    for (unsigned i = 0; i < 8; i++)
        assert_memory_equal(seen + 32 + 16 * i, image + 32 + 16 * i, 10);
    assert_int_equal(extended_state_get(vp, 3, out, sizeof(out)), HV_STATUS_SUCCESS);
    assert_int_equal(out[0] | out[1] << 8, 0x27F); /* and kept what it did */
    assert_int_equal(get_64(out + 160 + 9 * 16), 0x1122334455667788);
    assert_int_equal(get_64(out + 160 + 9 * 16 + 8), 0x99AABBCCDDEEFF00);
    assert_memory_equal(out + 160, image + 160, 9 * 16);
}

static void test_switch_with_fxsave(void **state)
{
    (void)state;
    check_switch(false);
    assert_int_equal(fake_xsetbvs, 0);
}

static void test_switch_with_xsave(void **state)
{
    (void)state;
    if (!host_has_xsave())
        skip();
    check_switch(true);
}

__attribute__((target("general-regs-only"), noinline)) static void visit_avx(struct vp *child)
{
    extended_state_enter(child);
    __asm__ volatile("vmovdqu %0, %%ymm11" : : "m"(*(const char(*)[32]) "a child's secret, 32 bytes long!"));
    extended_state_leave(child);
}

/* What one child leaves in registers that another has not enabled must not reach it, nor the parent. */
static void test_upper_halves_do_not_leak(void **state)
{
    static uint8_t seen[4096] __attribute__((aligned(64))), parent[32];
    static const uint8_t zeros[16];
    (void)state;
    if (!host_has_xsave() || !(host_xcr0() & XSTATE_AVX))
        skip();
    copy_host(true);
    memset(parent, 0x5A, sizeof(parent));
    __asm__ volatile("vmovdqu %0, %%ymm11" : : "m"(parent) : "xmm11");
    visit_avx(vp);
    __asm__ volatile("vmovdqu %%ymm11, %0" : "=m"(*(char(*)[32])seen) : : "xmm11");
    assert_memory_equal(seen, parent, 32);
    visit(fake_vp(1), seen);
    extended_state_get(fake_vp(1), XSTATE_X87 | XSTATE_SSE | XSTATE_AVX, seen, sizeof(seen));
    if (get_64(seen + BV) & XSTATE_AVX)
        assert_memory_equal(seen + 576 + 11 * 16, zeros, 16);
    extended_state_get(vp, XSTATE_X87 | XSTATE_SSE | XSTATE_AVX, seen, sizeof(seen));
    assert_memory_equal(seen + 576 + 11 * 16, ", 32 bytes long!", 16);
}

/* An image that SET made is what XRSTOR and XSAVEC of this processor make of the same compacted image. */
static void test_formats_against_the_processor(void **state)
{
    static uint8_t image[4096] __attribute__((aligned(64))), ours[4096] __attribute__((aligned(64)));
    static uint8_t theirs[4096] __attribute__((aligned(64))), parent[4096] __attribute__((aligned(64)));
    uint32_t eax, ebx, ecx, edx;
    (void)state;
    __cpuid_count(0xD, 1, eax, ebx, ecx, edx);
    if (!host_has_xsave() || (eax & 2) == 0)
        skip();
    copy_host(true);
    uint64_t mask = extended_state_mask() & ~XSTATE_PKRU; /* which would change what this process may touch */
    srand(5);
    for (unsigned round = 0; round < 200; round++) {
        uint64_t bv = (uint64_t)rand() & mask;
        random_image(image, bv, mask);
        put_64(image, (uint64_t)(rand() & 0xFF) << 32 | 0x37F);
        for (unsigned i = 0; i < 8; i++)
            memset(image + 32 + 16 * i + 10, 0, 6);
        memset(image + 416, 0, 96);
        put_32(image + 28, 0);
        assert_int_equal(extended_state_set(vp, mask, image, sizeof(image)), HV_STATUS_SUCCESS);
        assert_int_equal(extended_state_get(vp, mask, ours, sizeof(ours)), HV_STATUS_SUCCESS);
        memset(theirs, 0, sizeof(theirs));
        xsave64(parent, mask);
        xrstor64(vp->extended_state, mask);
        __asm__ volatile("xsavec64 (%0)"
                         :
                         : "r"(theirs), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
                         : "memory");
        xrstor64(parent, mask);
        uint64_t seen = get_64(theirs + BV);
        assert_int_equal(get_64(theirs + COMP), get_64(ours + COMP));
        assert_int_equal(seen & ~bv, 0);
        if (seen & XSTATE_X87)
            assert_memory_equal(theirs + 32, ours + 32, 128);
        if (seen & XSTATE_SSE)
            assert_memory_equal(theirs + 160, ours + 160, 256);
        for (unsigned i = 2; i <= 7; i++)
            if (seen >> i & 1) {
                uint32_t at = xsave_compacted_size(mask & ((1ull << i) - 1));
                assert_memory_equal(theirs + at, ours + at, extended_state_component(i)->size);
            }
    }
}

/* --- what goes with it --- */

/* Which MSRs are touched, by the CPUID bits that promise them: one that is not there would fault. */
static void check_msrs(uint32_t leaf_7_ecx, uint32_t extended_edx, uint32_t leaf_d_1_eax,
                       uint32_t expected_msr)
{
    fake_cpuid_clear();
    fake_msr_clear();
    fake_cpuid_set(0, 0, 0xD, 0x68747541, 0, 0);
    fake_cpuid_set(1, 0, 0, 0, host_has_xsave() ? 1u << 26 : 0, 0);
    fake_cpuid_set(7, 0, 0, 0, leaf_7_ecx, 0);
    fake_cpuid_set(0xD, 0, 3, 576, 576, 0);
    fake_cpuid_set(0xD, 1, leaf_d_1_eax, 0, 0, 0);
    fake_cpuid_set(0x80000000, 0, 0x80000001, 0, 0, 0);
    fake_cpuid_set(0x80000001, 0, 0, 0, 0, extended_edx);
    if (expected_msr != 0)
        fake_msr_set(expected_msr, 0xAB);
    fake_guest_start(1);
    fake_xcr0 = 3;
    vp = fake_vp(0);
    detect();
    extended_state_reset(vp);
    extended_state_enter(vp);
    if (expected_msr != 0)
        assert_int_equal(fake_msr_get(expected_msr), 0);
    extended_state_leave(vp);
    if (expected_msr != 0)
        assert_int_equal(fake_msr_get(expected_msr), 0xAB);
    fake_guest_stop();
}

static void test_only_msrs_that_exist(void **state)
{
    (void)state;
    check_msrs(0, 0, 0, 0);
    check_msrs(1u << 22, 0, 0, MSR_TSC_AUX); /* RDPID */
    check_msrs(~(1u << 22), ~(1u << 27), ~8u & 0xF, 0);
    check_msrs(0, 1u << 27, 0, MSR_TSC_AUX); /* RDTSCP */
    if (host_has_xsave())
        check_msrs(0, 0, 8, MSR_XSS); /* XSAVES */
}

static void test_registers_that_are_switched(void **state)
{
    (void)state;
    copy_host(host_has_xsave());
    /* a processor with all of it */
    fake_cpuid_set(0x80000000, 0, 0x80000008, 0, 0, 0);
    fake_cpuid_set(0x80000001, 0, 0, 0, 0, 1u << 27);
    fake_cpuid_set(0x80000008, 0, 0, 4 | 1u << 12 | 1u << 14 | 1u << 24, 0, 0);
    detect();
    uint64_t parent_xcr0 = fake_xcr0;
    vp->tsc_aux = 0x55;
    vp->spec_ctrl = 4;
    fake_msr_set(MSR_SPEC_CTRL, 1);
    for (unsigned i = 0; i < 4; i++) {
        vp->debug_registers[i] = 0x1000 + i;
        fake_debug_registers[i] = 0x2000 + i;
    }
    assert_false(extended_state_loaded(vp));
    extended_state_enter(vp);
    assert_true(extended_state_loaded(vp));
    assert_false(extended_state_loaded(fake_vp(1)));
    assert_int_equal(fake_msr_get(MSR_TSC_AUX), 0x55);
    assert_int_equal(fake_msr_get(MSR_SPEC_CTRL), 4);
    assert_int_equal(fake_msr_writes(MSR_PRED_CMD), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fake_debug_registers[i], 0x1000 + i);
    if (host_has_xsave()) {
        assert_int_equal(fake_xcr0, 3);
        assert_true(extended_state_set_xcr0(vp, XSTATE_X87));
        assert_int_equal(fake_xcr0, 1);
        assert_false(extended_state_set_xcr0(vp, XSTATE_SSE));
        assert_int_equal(fake_xcr0, 1);
        assert_int_equal(fake_msr_get(MSR_XSS), 0);
    }
    extended_state_set_tsc_aux(vp, 0x66);
    assert_int_equal(fake_msr_get(MSR_TSC_AUX), 0x66);
    extended_state_set_spec_ctrl(vp, 5);
    assert_int_equal(fake_msr_get(MSR_SPEC_CTRL), 5);
    fake_debug_registers[2] = 0x3000; /* the child moves one */
    assert_int_equal(extended_state_get_debug_register(vp, 2), 0x3000);
    extended_state_set_debug_register(vp, 1, 0x4000);
    assert_int_equal(fake_debug_registers[1], 0x4000);
    extended_state_leave(vp);
    assert_int_equal(fake_msr_get(MSR_TSC_AUX), 0xAA);
    assert_int_equal(fake_msr_get(MSR_SPEC_CTRL), 1);
    assert_int_equal(fake_msr_writes(MSR_PRED_CMD), 1); /* IBPB towards the parent */
    assert_int_equal(fake_msr_get(MSR_PRED_CMD), 1);
    assert_int_equal(fake_xcr0, parent_xcr0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fake_debug_registers[i], 0x2000 + i);
    if (host_has_xsave())
        assert_int_equal(fake_msr_get(MSR_XSS), 0x100);
    assert_int_equal(vp->debug_registers[2], 0x3000);
    assert_int_equal(vp->debug_registers[1], 0x4000);
    assert_int_equal(vp->tsc_aux, 0x66);
    extended_state_set_tsc_aux(vp, 0x77); /* not loaded: the processor's stays */
    assert_int_equal(fake_msr_get(MSR_TSC_AUX), 0xAA);
    fake_become(1);
    assert_false(extended_state_loaded(vp));
    extended_state_enter(vp); /* it may go on elsewhere */
    assert_int_equal(fake_msr_get(MSR_TSC_AUX), 0x77);
    assert_int_equal(fake_debug_registers[2], 0x3000);
    extended_state_leave(vp);
}

/* An emulator on which XSETBV does not exit: what the child has done shows in the processor alone. */
static void test_xcr0_changed_without_exit(void **state)
{
    (void)state;
    if (!host_has_xsave() || !(host_xcr0() & XSTATE_AVX))
        skip();
    copy_host(true);
    uint64_t parent_xcr0 = fake_xcr0;
    vp->xcr0 = XSTATE_X87;
    assert_int_equal(extended_state_xcr0(vp), XSTATE_X87);
    extended_state_enter(vp);
    assert_int_equal(extended_state_xcr0(vp), XSTATE_X87);
    fake_xcr0 = XSTATE_X87 | XSTATE_SSE | XSTATE_AVX;
    assert_int_equal(extended_state_xcr0(vp), XSTATE_X87 | XSTATE_SSE | XSTATE_AVX);
    assert_int_equal(extended_state_xcr0(fake_vp(1)), XSTATE_X87 | XSTATE_SSE); /* not its own */
    extended_state_leave(vp);
    assert_int_equal(vp->xcr0, XSTATE_X87 | XSTATE_SSE | XSTATE_AVX);
    assert_int_equal(extended_state_xcr0(vp), XSTATE_X87 | XSTATE_SSE | XSTATE_AVX);
    assert_int_equal(fake_xcr0, parent_xcr0);
    extended_state_enter(vp);
    assert_int_equal(fake_xcr0, XSTATE_X87 | XSTATE_SSE | XSTATE_AVX);
    extended_state_leave(vp);
    /* Without XSAVE there is no XCR0 to be read. */
    fake_guest_stop();
    copy_host(false);
    fake_xcr0 = 0x55;
    vp->xcr0 = XSTATE_X87;
    extended_state_enter(vp);
    assert_int_equal(extended_state_xcr0(vp), XSTATE_X87);
    extended_state_leave(vp);
    assert_int_equal(vp->xcr0, XSTATE_X87);
}

/* A parent that has not enabled what a child has: it is saved for it all the same, and is off again after. */
static void test_parent_with_less_than_the_child(void **state)
{
    (void)state;
    if (!host_has_xsave() || !(host_xcr0() & XSTATE_AVX))
        skip();
    copy_host(true);
    fake_xcr0 = XSTATE_X87;
    vp->xcr0 = XSTATE_X87 | XSTATE_SSE | XSTATE_AVX;
    fake_xsetbvs = 0;
    visit_avx(vp);
    assert_int_equal(fake_xcr0, XSTATE_X87);
    assert_true(fake_xsetbvs > 0);
    /* The same everywhere: no XSETBV at all. */
    fake_xcr0 = vp->xcr0 = extended_state_mask();
    fake_xsetbvs = 0;
    visit_avx(vp);
    assert_int_equal(fake_xsetbvs, 0);
}

/* Each bit alone: what it means, and that no other is taken for it. */
static void test_speculation_bits(void **state)
{
    static const struct {
        unsigned leaf_7_edx, leaf_8_ebx, leaf_21_eax; /* bit numbers; 32: none */
        uint64_t spec_ctrl, pred_cmd;
        bool verw, flush;
    } bits[] = {
        {10, 32, 32, 0,    0,    true,  false},
        {26, 32, 32, 1,    1,    false, false},
        {27, 32, 32, 2,    0,    false, false},
        {28, 32, 32, 0,    0,    false, true },
        {31, 32, 32, 4,    0,    false, false},
        {32, 12, 32, 0,    1,    false, false},
        {32, 14, 32, 1,    0,    false, false},
        {32, 15, 32, 2,    0,    false, false},
        {32, 24, 32, 4,    0,    false, false},
        {32, 28, 32, 0x80, 0,    false, false},
        {32, 32, 5,  0,    0,    true,  false},
        {32, 32, 27, 0,    0x80, false, false},
    };
    (void)state;
    fake_guest_start(1);
    for (unsigned others = 0; others < 2; others++)
        for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
            uint32_t leaf_7 = 0, leaf_8 = 0, leaf_21 = 0;
            uint64_t spec_ctrl = 0, pred_cmd = 0;
            bool verw = false, flush = false;
            for (unsigned j = 0; j < sizeof(bits) / sizeof(bits[0]); j++) {
                if ((i == j) == (others != 0)) /* this one only, or all but this one */
                    continue;
                leaf_7 |= bits[j].leaf_7_edx < 32 ? 1u << bits[j].leaf_7_edx : 0;
                leaf_8 |= bits[j].leaf_8_ebx < 32 ? 1u << bits[j].leaf_8_ebx : 0;
                leaf_21 |= bits[j].leaf_21_eax < 32 ? 1u << bits[j].leaf_21_eax : 0;
                spec_ctrl |= bits[j].spec_ctrl;
                pred_cmd |= bits[j].pred_cmd;
                verw |= bits[j].verw;
                flush |= bits[j].flush;
            }
            fake_cpuid_clear();
            fake_msr_clear();
            fake_cpuid_set(0, 0, 7, 0, 0, 0);
            fake_cpuid_set(7, 0, 0, 0, 0, leaf_7);
            fake_cpuid_set(0x80000000, 0, 0x80000021, 0, 0, 0);
            fake_cpuid_set(0x80000008, 0, 0, leaf_8, 0, 0);
            fake_cpuid_set(0x80000021, 0, leaf_21, 0, 0, 0);
            if (flush)
                fake_msr_set(MSR_FLUSH_CMD, 0);
            if (pred_cmd & 1)
                fake_msr_set(MSR_PRED_CMD, 0);
            fake_verws = 0;
            speculation_detect();
            assert_int_equal(speculation_spec_ctrl_mask(), spec_ctrl);
            assert_int_equal(speculation_pred_cmd_mask(), pred_cmd);
            speculation_enter_child();
            speculation_leave_child();
            assert_int_equal(fake_verws, verw);
            assert_int_equal(speculation_host_efer(), 0);
            assert_int_equal(flush ? fake_msr_writes(MSR_FLUSH_CMD) : 1, 1);
            assert_int_equal(pred_cmd & 1 ? fake_msr_writes(MSR_PRED_CMD) : 1, 1);
        }
}

static void test_speculation(void **state)
{
    (void)state;
    fake_guest_start(1);
    fake_cpuid_clear();
    fake_msr_clear();
    fake_cpuid_set(0x80000000, 0, 0x80000021, 0, 0, 0);
    fake_cpuid_set(0x80000021, 0, 1u << 8, 0, 0, 0);
    speculation_detect();
    assert_int_equal(speculation_host_efer(), 1u << 21);
    fake_cpuid_clear();
    fake_verws = 0;
    speculation_detect(); /* a processor with nothing */
    speculation_enter_child();
    speculation_leave_child();
    assert_int_equal(speculation_spec_ctrl_mask(), 0);
    assert_int_equal(speculation_pred_cmd_mask(), 0);
    assert_int_equal(fake_verws, 0);

    fake_cpuid_set(0, 0, 7, 0, 0,
                   0); /* Intel: MD_CLEAR, IBRS and IBPB, STIBP, L1D flush, ARCH_CAPABILITIES, SSBD */
    fake_cpuid_set(7, 0, 0, 0, 0, 1u << 10 | 0xBC000000);
    fake_msr_set(MSR_ARCH_CAPABILITIES, 0);
    fake_msr_set(MSR_FLUSH_CMD, 0);
    fake_msr_set(MSR_PRED_CMD, 0);
    speculation_detect();
    assert_int_equal(speculation_spec_ctrl_mask(), 7);
    assert_int_equal(speculation_pred_cmd_mask(), 1);
    speculation_enter_child();
    assert_int_equal(fake_verws, 1);
    assert_int_equal(fake_msr_writes(MSR_FLUSH_CMD), 1);
    assert_int_equal(fake_msr_writes(MSR_PRED_CMD), 0);
    speculation_leave_child();
    assert_int_equal(fake_msr_writes(MSR_PRED_CMD), 1);
    fake_msr_set(MSR_ARCH_CAPABILITIES, 1); /* not vulnerable to L1TF */
    speculation_detect();
    speculation_enter_child();
    assert_int_equal(fake_msr_writes(MSR_FLUSH_CMD), 1);

    fake_cpuid_clear(); /* AMD: IBPB, IBRS, STIBP, SSBD, PSFD; VERW_CLEAR, SBPB */
    fake_cpuid_set(0x80000000, 0, 0x80000021, 0, 0, 0);
    fake_cpuid_set(0x80000008, 0, 0, 1u << 12 | 3u << 14 | 1u << 24 | 1u << 28, 0, 0);
    fake_cpuid_set(0x80000021, 0, 1u << 5 | 1u << 27, 0, 0, 0);
    speculation_detect();
    assert_int_equal(speculation_spec_ctrl_mask(), 0x87);
    assert_int_equal(speculation_pred_cmd_mask(), 0x81);
    fake_verws = 0;
    speculation_enter_child();
    assert_int_equal(fake_verws, 1);
}

#define TEST(function) cmocka_unit_test_teardown(function, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sizes),
        TEST(test_components),
        TEST(test_xcr0_rules),
        TEST(test_reset),
        TEST(test_compacted_to_standard_and_back),
        TEST(test_some_components),
        TEST(test_invalid_images),
        TEST(test_legacy_region),
        TEST(test_switch_with_fxsave),
        TEST(test_switch_with_xsave),
        TEST(test_upper_halves_do_not_leak),
        TEST(test_formats_against_the_processor),
        TEST(test_only_msrs_that_exist),
        TEST(test_registers_that_are_switched),
        TEST(test_xcr0_changed_without_exit),
        TEST(test_parent_with_less_than_the_child),
        TEST(test_speculation_bits),
        TEST(test_speculation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
