/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "arch/x86_64/cpu/arch_lp.h"
#include "arch/x86_64/cpu/extended_state.h"
#include "arch/x86_64/cpu/instructions.h"
#include "arch/x86_64/cpu/msr.h"
#include "arch/x86_64/cpu/speculation.h"
#include "kernel/arch.h"
#include "kernel/log.h"
#include "kernel/vp.h"

#define KNOWN_COMPONENTS  (XSTATE_X87 | XSTATE_SSE | XSTATE_AVX | XSTATE_AVX512 | XSTATE_PKRU)
#define HIGHEST_COMPONENT 9u
#define XCOMP_COMPACTED   (1ull << 63)

#define FCW_RESET          0x0040u /* after RESET; what FNINIT and XRSTOR make is FCW_INITIAL */
#define FCW_INITIAL        0x037Fu
#define MXCSR_INITIAL      0x1F80u
#define MXCSR_MASK_DEFAULT 0xFFBFu

/* The legacy region: the FXSAVE64 image (SDM vol. 1, table 10-2). */
struct fxsave_image {
    uint16_t fcw, fsw;
    uint8_t ftw, reserved1;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];
    uint8_t xmm[16][16];
    uint8_t reserved2[96];
};
HV_ASSERT_SIZE(struct fxsave_image, XSAVE_LEGACY_SIZE);

struct xsave_header {
    uint64_t xstate_bv;
    uint64_t xcomp_bv;
    uint64_t reserved[6];
};
HV_ASSERT_SIZE(struct xsave_header, XSAVE_HEADER_SIZE);

struct xsave_image {
    struct fxsave_image legacy;
    struct xsave_header header;
    uint8_t extended[];
};

static struct {
    bool xsave;
    bool xsaves; /* there is an XSS */
    bool tsc_aux;
    bool spec_ctrl;
    bool keeps_x87_pointers; /* FXRSTOR and XRSTOR need clear_x87_pointers() before */
    uint64_t mask;
    uint32_t mxcsr_mask;
    struct xsave_component component[HIGHEST_COMPONENT + 1];
} host;

/* --- detection and formats --- */

static void detect_components(void)
{
    uint32_t leaf[4];
    cpuid(0xD, 0, leaf);
    host.mask = ((uint64_t)leaf[3] << 32 | leaf[0]) & KNOWN_COMPONENTS;
    if ((host.mask & XSTATE_AVX512) != XSTATE_AVX512)
        host.mask &= ~XSTATE_AVX512;
    for (unsigned i = 2; i <= HIGHEST_COMPONENT; i++) {
        if ((host.mask >> i & 1) == 0)
            continue;
        cpuid(0xD, i, leaf);
        host.component[i] = (struct xsave_component){.offset = leaf[1], .size = leaf[0], .aligned = (leaf[2] & 2) != 0};
        ASSERT(leaf[1] >= XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE && leaf[1] + leaf[0] <= XSAVE_IMAGE_MAXIMUM);
    }
    cpuid(0xD, 1, leaf);
    host.xsaves = (leaf[0] & 8) != 0;
}

void extended_state_detect(void)
{
    uint32_t leaf[4], extended[4];
    struct fxsave_image image __attribute__((aligned(16)));

    memset(&host, 0, sizeof(host));
    host.mask = XSTATE_X87 | XSTATE_SSE;
    cpuid(1, 0, leaf);
    host.xsave = (leaf[2] >> 26 & 1) != 0;
    if (host.xsave)
        detect_components();

    cpuid(0x80000000, 0, extended);
    uint32_t maximum = extended[0];
    cpuid(0x80000001, 0, extended);
    host.tsc_aux = (extended[3] >> 27 & 1) != 0; /* RDTSCP */
    cpuid(0, 0, leaf);
    if (maximum >= 0x80000008 && leaf[1] != 0x756E6547) { /* "Genu"ineIntel: always saved and restored */
        cpuid(0x80000008, 0, extended);
        host.keeps_x87_pointers = (extended[1] & 4) == 0;
    }
    if (leaf[0] >= 7) {
        cpuid(7, 0, leaf);
        host.tsc_aux |= (leaf[2] >> 22 & 1) != 0; /* RDPID */
    }
    host.spec_ctrl = speculation_spec_ctrl_mask() != 0;

    memset(&image, 0, sizeof(image));
    fxsave64(&image);
    host.mxcsr_mask = image.mxcsr_mask != 0 ? image.mxcsr_mask : MXCSR_MASK_DEFAULT;
}

const struct xsave_component *extended_state_component(unsigned number)
{
    static const struct xsave_component none;
    return number <= HIGHEST_COMPONENT ? &host.component[number] : &none;
}

uint64_t extended_state_mask(void)
{
    return host.mask;
}

size_t extended_state_size(void)
{
    return xsave_compacted_size(host.mask);
}

uint32_t xsave_standard_size(uint64_t components)
{
    uint32_t size = XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE;
    for (unsigned i = 2; i <= HIGHEST_COMPONENT; i++) {
        uint32_t end = host.component[i].offset + host.component[i].size;
        if ((components >> i & 1) != 0 && end > size)
            size = end;
    }
    return size;
}

/*
 * The offset of component `number` in the compacted format with these components; their total size for
 * number 64.
 */
static uint32_t compacted_offset(uint64_t components, unsigned number)
{
    uint32_t offset = XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE;
    for (unsigned i = 2; i <= HIGHEST_COMPONENT; i++) {
        if ((components >> i & 1) == 0)
            continue;
        if (host.component[i].aligned)
            offset = (offset + 63) & ~63u;
        if (i == number)
            return offset;
        offset += host.component[i].size;
    }
    return offset;
}

uint32_t xsave_compacted_size(uint64_t components)
{
    return compacted_offset(components, 64);
}

bool extended_state_xcr0_valid(uint64_t value, uint64_t mask)
{
    if ((value & ~mask) != 0 || (value & XSTATE_X87) == 0)
        return false;
    if ((value & XSTATE_AVX) != 0 && (value & XSTATE_SSE) == 0)
        return false;
    uint64_t avx512 = value & XSTATE_AVX512;
    return avx512 == 0 || (avx512 == XSTATE_AVX512 && (value & XSTATE_AVX) != 0);
}

/* --- the switch --- */

static struct lp_extended_state *this_lp(void)
{
    return physical_pointer(arch_lp(lp_current())->parent_state);
}

static struct xsave_image *image_of(const struct vp *child)
{
    return (struct xsave_image *)child->extended_state;
}

bool extended_state_loaded(const struct vp *child)
{
    return this_lp()->child == child;
}

uint64_t extended_state_xcr0(const struct vp *child)
{
    return host.xsave && extended_state_loaded(child) ? xgetbv(0) : child->xcr0;
}

/*
 * Both images hold every component that a child may have, so that nothing of one owner stays for the other.
 */
static void switch_image(void *from, const void *to)
{
    if (host.xsave)
        xsave64(from, host.mask);
    else
        fxsave64(from);
    if (host.keeps_x87_pointers)
        clear_x87_pointers();
    if (host.xsave)
        xrstor64(to, host.mask);
    else
        fxrstor64(to);
}

static void set_msr(uint32_t msr, uint64_t from, uint64_t to)
{
    if (from != to)
        wrmsr(msr, to);
}

static void set_debug_registers(const uint64_t from[4], const uint64_t to[4])
{
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++)
        if (from[i] != to[i])
            write_debug_register(i, to[i]);
}

static void read_debug_registers(uint64_t values[4])
{
    for (unsigned i = 0; i < 4; i++)
        values[i] = read_debug_register(i);
}

void extended_state_enter(struct vp *child)
{
    struct lp_extended_state *lp = this_lp();
    ASSERT(lp->child == NULL);
    if (host.xsave) {
        lp->parent_xcr0 = xgetbv(0);
        uint64_t all = lp->parent_xcr0 | host.mask;
        if (lp->parent_xcr0 != all)
            xsetbv(0, all);
        switch_image(lp->parent_image, image_of(child));
        if (child->xcr0 != all)
            xsetbv(0, child->xcr0);
    } else {
        switch_image(lp->parent_image, image_of(child));
    }
    if (host.xsaves) {
        lp->parent_xss = rdmsr(MSR_XSS);
        set_msr(MSR_XSS, lp->parent_xss, child->xss);
    }
    if (host.tsc_aux) {
        lp->parent_tsc_aux = rdmsr(MSR_TSC_AUX);
        set_msr(MSR_TSC_AUX, lp->parent_tsc_aux, child->tsc_aux);
    }
    read_debug_registers(lp->parent_debug_registers);
    set_debug_registers(lp->parent_debug_registers, child->debug_registers);
    speculation_enter_child();
    if (host.spec_ctrl) {
        lp->parent_spec_ctrl = rdmsr(MSR_SPEC_CTRL);
        set_msr(MSR_SPEC_CTRL, lp->parent_spec_ctrl, child->spec_ctrl);
    }
    lp->child = child;
}

void extended_state_leave(struct vp *child)
{
    struct lp_extended_state *lp = this_lp();
    ASSERT(lp->child == child);
    if (host.spec_ctrl)
        set_msr(MSR_SPEC_CTRL, child->spec_ctrl, lp->parent_spec_ctrl);
    speculation_leave_child();
    read_debug_registers(child->debug_registers);
    set_debug_registers(child->debug_registers, lp->parent_debug_registers);
    if (host.tsc_aux)
        set_msr(MSR_TSC_AUX, child->tsc_aux, lp->parent_tsc_aux);
    if (host.xsaves)
        set_msr(MSR_XSS, child->xss, lp->parent_xss);
    if (host.xsave) {
        uint64_t all = lp->parent_xcr0 | host.mask;
        child->xcr0 = extended_state_xcr0(child);
        if (child->xcr0 != all)
            xsetbv(0, all);
        switch_image(image_of(child), lp->parent_image);
        if (lp->parent_xcr0 != all)
            xsetbv(0, lp->parent_xcr0);
    } else {
        switch_image(image_of(child), lp->parent_image);
    }
    lp->child = NULL;
}

void extended_state_set_tsc_aux(struct vp *child, uint64_t value)
{
    child->tsc_aux = value;
    if (extended_state_loaded(child))
        wrmsr(MSR_TSC_AUX, value);
}

void extended_state_set_spec_ctrl(struct vp *child, uint64_t value)
{
    child->spec_ctrl = value;
    if (extended_state_loaded(child))
        wrmsr(MSR_SPEC_CTRL, value);
}

bool extended_state_set_xcr0(struct vp *child, uint64_t value)
{
    if (!host.xsave || !extended_state_xcr0_valid(value, host.mask))
        return false;
    child->xcr0 = value;
    if (extended_state_loaded(child))
        xsetbv(0, value);
    return true;
}

uint64_t extended_state_get_debug_register(const struct vp *child, unsigned number)
{
    return extended_state_loaded(child) ? read_debug_register(number) : child->debug_registers[number];
}

void extended_state_set_debug_register(struct vp *child, unsigned number, uint64_t value)
{
    child->debug_registers[number] = value;
    if (extended_state_loaded(child))
        write_debug_register(number, value);
}

/* --- images --- */

static void reset_x87(struct fxsave_image *image, uint16_t fcw)
{
    image->fcw = fcw;
    image->fsw = 0;
    image->ftw = 0;
    image->reserved1 = 0;
    image->fop = 0;
    image->fip = 0;
    image->fdp = 0;
    memset(image->st, 0, sizeof(image->st));
}

static void reset_sse(struct fxsave_image *image)
{
    image->mxcsr = MXCSR_INITIAL;
    memset(image->xmm, 0, sizeof(image->xmm));
}

/*
 * SDM vol. 3A table 10-1: after RESET the x87 registers hold zeros, tagged as such; XSTATE_BV = 0 would be
 * FNINIT's.
 */
void extended_state_reset(struct vp *child)
{
    struct xsave_image *image = image_of(child);
    memset(image, 0, HV_PAGE_SIZE);
    reset_x87(&image->legacy, FCW_RESET);
    image->legacy.ftw = 0xFF;
    reset_sse(&image->legacy);
    image->header.xstate_bv = XSTATE_X87;
    child->xcr0 = XSTATE_X87;
    child->xss = 0;
    memset(child->debug_registers, 0, sizeof(child->debug_registers));
}

void *extended_state_legacy(struct vp *child)
{
    struct xsave_image *image = image_of(child);
    ASSERT(!extended_state_loaded(child));
    /* The region is always true, whatever XSTATE_BV says; from now on it has to be loaded. */
    image->header.xstate_bv |= XSTATE_X87 | XSTATE_SSE;
    return &image->legacy;
}

enum hv_status extended_state_get(const struct vp *child, uint64_t states, void *buffer, size_t size)
{
    const struct xsave_image *image = image_of(child);
    const uint8_t *standard = (const uint8_t *)image;
    uint8_t *compacted = buffer;
    ASSERT(!extended_state_loaded(child));
    if ((states & ~host.mask) != 0 || size < xsave_compacted_size(states))
        return HV_STATUS_INVALID_PARAMETER;

    struct xsave_header header = {
        .xstate_bv = image->header.xstate_bv & states,
        .xcomp_bv = states | XCOMP_COMPACTED,
    };
    if (!host.xsave)
        header.xstate_bv = states;
    memset(compacted, 0, xsave_compacted_size(states));
    memcpy(compacted, &image->legacy, sizeof(image->legacy));
    memcpy(compacted + XSAVE_LEGACY_SIZE, &header, sizeof(header));
    for (unsigned i = 2; i <= HIGHEST_COMPONENT; i++)
        if ((header.xstate_bv >> i & 1) != 0)
            memcpy(compacted + compacted_offset(states, i), standard + host.component[i].offset,
                   host.component[i].size);
    return HV_STATUS_SUCCESS;
}

static bool header_valid(const struct xsave_header *header)
{
    uint64_t components = header->xcomp_bv & ~XCOMP_COMPACTED;
    for (unsigned i = 0; i < 6; i++)
        if (header->reserved[i] != 0)
            return false;
    return (header->xcomp_bv & XCOMP_COMPACTED) != 0 && (components & ~host.mask) == 0 &&
           (header->xstate_bv & ~components) == 0;
}

static void set_legacy(struct fxsave_image *to, const struct fxsave_image *from, uint64_t states, uint64_t xstate_bv)
{
    if ((states & XSTATE_X87) != 0) {
        reset_x87(to, FCW_INITIAL);
        if ((xstate_bv & XSTATE_X87) != 0) {
            memcpy(to, from, offsetof(struct fxsave_image, mxcsr));
            memcpy(to->st, from->st, sizeof(to->st));
        }
    }
    if ((states & XSTATE_SSE) != 0) {
        reset_sse(to);
        if ((xstate_bv & XSTATE_SSE) != 0) {
            to->mxcsr = from->mxcsr;
            memcpy(to->xmm, from->xmm, sizeof(to->xmm));
        }
    }
}

enum hv_status extended_state_set(struct vp *child, uint64_t states, const void *buffer, size_t size)
{
    struct xsave_image *image = image_of(child);
    uint8_t *standard = (uint8_t *)image;
    const uint8_t *compacted = buffer;
    struct fxsave_image legacy;
    struct xsave_header header;
    ASSERT(!extended_state_loaded(child));

    if ((states & ~host.mask) != 0 || size < sizeof(legacy) + sizeof(header))
        return HV_STATUS_INVALID_PARAMETER;
    memcpy(&legacy, compacted, sizeof(legacy));
    memcpy(&header, compacted + sizeof(legacy), sizeof(header));
    if (!header_valid(&header) || (legacy.mxcsr & ~host.mxcsr_mask) != 0)
        return HV_STATUS_INVALID_REGISTER_VALUE;
    uint64_t components = header.xcomp_bv & ~XCOMP_COMPACTED;
    if (size < xsave_compacted_size(components))
        return HV_STATUS_INVALID_PARAMETER;

    set_legacy(&image->legacy, &legacy, states, header.xstate_bv);
    for (unsigned i = 2; i <= HIGHEST_COMPONENT; i++)
        if ((states & header.xstate_bv) >> i & 1)
            memcpy(standard + host.component[i].offset, compacted + compacted_offset(components, i),
                   host.component[i].size);
    image->header.xstate_bv = (image->header.xstate_bv & ~states) | (header.xstate_bv & states);
    return HV_STATUS_SUCCESS;
}
