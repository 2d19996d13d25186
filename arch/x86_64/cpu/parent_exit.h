/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parent's exits mean: few, because it owns the hardware. */
#ifndef ARCH_CPU_PARENT_EXIT_H
#define ARCH_CPU_PARENT_EXIT_H

#include "arch/x86_64/vendor.h"

/* Serves an exit. An exception that it raises is left in vp->pending_interruption. */
void parent_exit(struct vp *vp, const struct vp_exit *exit);

/* parent_cpuid.c: the hardware's answer with what Loam hides and adds. Result: EAX, EBX, ECX, EDX. */
void parent_cpuid(const struct vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t result[4]);

/* parent_msr.c. False: #GP(0). The first four are for the vendors' tables. */
bool parent_write_apic_base(struct vp *vp, uint32_t msr, uint64_t value);
bool parent_write_icr(struct vp *vp, uint32_t msr, uint64_t value);
bool parent_deny_read(struct vp *vp, uint32_t msr, uint64_t *value);
bool parent_deny_write(struct vp *vp, uint32_t msr, uint64_t value);
bool parent_msr_read(struct vp *vp, uint32_t msr, uint64_t *value);
bool parent_msr_write(struct vp *vp, uint32_t msr, uint64_t value);

/* A write to the local APIC's page, which is read-only for the parent. False: an instruction that is not known. */
bool parent_apic_write(struct vp *vp, const struct vp_exit *exit);

#endif
