/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is done against leaks through speculative execution when a processor changes hands. */
#ifndef ARCH_CPU_SPECULATION_H
#define ARCH_CPU_SPECULATION_H

#include "hv/types.h"

/* Learns what the processor needs and has. Once, at boot. */
void speculation_detect(void);

/* The processor goes from the parent to a child, and back. */
void speculation_enter_child(void);
void speculation_leave_child(void);

/* Bits of SPEC_CTRL that the processor has and a child may set, and of PRED_CMD. 0: there is no such MSR. */
uint64_t speculation_spec_ctrl_mask(void);
uint64_t speculation_pred_cmd_mask(void);

/* IA32_ARCH_CAPABILITIES; 0 where there is no such MSR. */
uint64_t speculation_arch_capabilities(void);
#define ARCH_CAPABILITIES_RDCL_NO        0x1ull
#define ARCH_CAPABILITIES_SKIP_L1DFL     0x8ull
#define ARCH_CAPABILITIES_PSCHANGE_MC_NO 0x40ull

/* Bits of EFER that the hypervisor itself runs with. */
uint64_t speculation_host_efer(void);

#endif
