/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID as a VP sees it: what the parent registered, over the default, under what follows the VP's live state. */
#ifndef KERNEL_CPUID_RESULT_H
#define KERNEL_CPUID_RESULT_H

#include "hv/types.h"

struct vp;

/*
 * EAX, EBX, ECX, EDX of CPUID with these EAX and ECX, kept in the VP until the next call: guests use one leaf again and
 * again to serialize, and CPUID is slow on the hardware, too. Under the VP's claim.
 */
const uint32_t *cpuid_get(struct vp *vp, uint32_t leaf, uint32_t subleaf);

#endif
