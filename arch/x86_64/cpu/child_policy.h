/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a child may see of the processor: CPUID and MSRs. The core's side is in kernel/arch.h. */
#ifndef ARCH_CPU_CHILD_POLICY_H
#define ARCH_CPU_CHILD_POLICY_H

#include "hv/types.h"

/* EAX, EBX, ECX, EDX as CPUID gives them */
enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

enum processor_vendor { PROCESSOR_AMD = 1, PROCESSOR_INTEL = 2 };

/*
 * Learns all that the policies, extended_state.c and speculation.c have to know of the processor. Once, at
 * boot, on the boot processor; CR4.OSFXSR is on, CR4.OSXSAVE too if there is XSAVE.
 */
void child_policy_detect(void);

enum processor_vendor child_processor_vendor(void);

/* Whether the policy shows a CPUID bit. */
bool child_cpuid_has(uint32_t leaf, uint32_t subleaf, enum cpuid_register which, unsigned bit);

/* child_msr.c */
void child_msr_detect(void);
/* MSRs of a child's own: a world switch, or the way from the parent to the child, loads them, so that they do not exit. */
#define CHILD_DIRECT_MSRS 10u
extern const uint32_t child_direct_msrs[CHILD_DIRECT_MSRS];

/* child_control.c */
void child_control_detect(void);
/* The vendor has to intercept children's writes of CR4 (child_cr4_write in kernel/arch.h). */
bool child_cr4_watched(void);

#endif
