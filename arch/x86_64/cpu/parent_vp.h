/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parent's virtual processors: one beneath each logical processor, made at launch. */
#ifndef ARCH_CPU_PARENT_VP_H
#define ARCH_CPU_PARENT_VP_H

#include "hv/types.h"

struct launch_context;
struct lp;
struct vp;

/*
 * Makes this processor's VP: it goes on where the firmware left off, with its FS and GS base, or, without context, at
 * its SIPI vector. Virtualization is on.
 */
void parent_vp_create(struct lp *lp, const struct launch_context *context, uint64_t fs_base, uint64_t gs_base);

/* The state in which a SIPI starts a processor (APM vol. 2, 14.1.3 and 15.27.8). */
void parent_vp_reset(struct vp *vp, uint8_t vector);

/* Runs the parent on this processor for ever. */
void parent_vp_run(struct vp *vp) __attribute__((noreturn));

/* #GP(0), #UD and the like for the parent's current instruction. */
void parent_vp_raise(struct vp *vp, uint8_t vector, bool has_error_code);

#endif
