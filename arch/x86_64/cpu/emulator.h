/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Emulators whose faults need a detour; docs/emulators.md tells which. */
#ifndef ARCH_CPU_EMULATOR_H
#define ARCH_CPU_EMULATOR_H

#include "arch/x86_64/cpu/instructions.h"

/* QEMU's TCG, which signs with "TCGTCGTCGTCG". */
static inline bool running_on_tcg(void)
{
    uint32_t result[4];

    cpuid(0x40000000u, 0, result);
    return result[1] == 0x54474354u && result[2] == 0x43544743u && result[3] == 0x47435447u;
}

/* Bochs, which answers at its debug port (with port_e9_hack). */
static inline bool running_on_bochs(void)
{
    return in8(0xE9) == 0xE9;
}

#endif
