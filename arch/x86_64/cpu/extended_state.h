/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State that the hardware's world switch leaves in the processor: x87, SSE, AVX and further XSAVE components,
 * XCR0, XSS, DR0-DR3, TSC_AUX, SPEC_CTRL. The functions that the core uses are in kernel/arch.h.
 *
 * In memory, images are in XSAVE's standard format, which every processor with XSAVE reads and writes; the
 * compacted format of GET_VP_STATE is made from it by copying. Components that children cannot enable (AMX,
 * supervisor state) are never saved: nobody but the parent can change them.
 */
#ifndef ARCH_CPU_EXTENDED_STATE_H
#define ARCH_CPU_EXTENDED_STATE_H

#include "hv/types.h"

struct vp;

#define XSTATE_X87      0x1ull
#define XSTATE_SSE      0x2ull
#define XSTATE_AVX      0x4ull
#define XSTATE_OPMASK   0x20ull
#define XSTATE_ZMM_HIGH 0x40ull
#define XSTATE_HIGH_ZMM 0x80ull
#define XSTATE_AVX512   (XSTATE_OPMASK | XSTATE_ZMM_HIGH | XSTATE_HIGH_ZMM)
#define XSTATE_PKRU     0x200ull

#define XSAVE_LEGACY_SIZE   512u
#define XSAVE_HEADER_SIZE   64u
#define XSAVE_IMAGE_MAXIMUM 3584u

/* A logical processor's page (struct arch_lp's parent_state), zeroed at boot. */
struct lp_extended_state {
    uint8_t parent_image[XSAVE_IMAGE_MAXIMUM] __attribute__((aligned(64)));
    uint64_t parent_xcr0;
    uint64_t parent_xss;
    uint64_t parent_tsc_aux;
    uint64_t parent_spec_ctrl;
    uint64_t parent_debug_registers[4];
    struct vp *child; /* whose state the processor holds; NULL: the parent's */
};
_Static_assert(sizeof(struct lp_extended_state) <= HV_PAGE_SIZE, "one page");

/*
 * Learns what the processor has. Once, at boot, before any other function; CR4.OSXSAVE is on if there is
 * XSAVE.
 */
void extended_state_detect(void);

/* `child`'s state is what this processor holds. */
bool extended_state_loaded(const struct vp *child);

/*
 * XCR0 of `child` at this moment. XSETBV exits on every processor, but not on every emulated one
 * (docs/emulators.md): while the state is loaded only the processor knows.
 */
uint64_t extended_state_xcr0(const struct vp *child);

/* MSRs of `child`, also in the processor if its state is loaded. The caller has checked the values. */
void extended_state_set_tsc_aux(struct vp *child, uint64_t value);
void extended_state_set_spec_ctrl(struct vp *child, uint64_t value);

/*
 * XCR0 may have this value as far as the SDM's rules go (vol. 1, 13.3), with `mask` as the components there
 * are.
 */
bool extended_state_xcr0_valid(uint64_t value, uint64_t mask);

/* Offset in the standard format and size of component 2..62; size 0: the processor has it not. */
struct xsave_component {
    uint32_t offset;
    uint32_t size;
    bool aligned; /* to 64 bytes in the compacted format */
};
const struct xsave_component *extended_state_component(unsigned number);

/* Size of an image with these components in the standard and in the compacted format. */
uint32_t xsave_standard_size(uint64_t components);
uint32_t xsave_compacted_size(uint64_t components);

#endif
