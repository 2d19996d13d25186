/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor itself: is it there, and the instruction that calls it. Nothing else touches either. */
#ifndef DRIVER_HYPERVISOR_H
#define DRIVER_HYPERVISOR_H

#include <linux/types.h>

/* What the CPUID leaf LOAM_CPUID_INTERFACE says. */
struct hypervisor_identity {
    u32 interface_version; /* LOAM_INTERFACE_VERSION of the hypervisor's release */
    u32 logical_processors;
};

/*
 * False: there is no Loam beneath this kernel. Must have returned true before the first hypervisor_call().
 * Process context, at module load.
 */
bool hypervisor_identify(struct hypervisor_identity *identity);

/*
 * One hypercall (TLFS 3.7): control word, input and output as they go into RCX, RDX and R8; RAX comes back.
 * Any context. The hypervisor changes no other register of the caller, extended state included.
 */
u64 hypervisor_call(u64 control, u64 input, u64 output);

#endif
