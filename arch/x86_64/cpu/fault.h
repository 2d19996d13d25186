/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hypervisor's own exceptions: fix-ups and panics. */
#ifndef ARCH_CPU_FAULT_H
#define ARCH_CPU_FAULT_H

#include "hv/types.h"

struct arch_lp;

/* As vectors.asm pushes it. */
struct fault_frame {
    uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t vector, error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};

void fault_initialize(uint32_t panic_seconds);
/* Segments, task state and interrupt descriptors of this processor; GS names it from here on. */
void fault_load_descriptors(struct arch_lp *lp);
/* Address of the interrupt descriptor table, which all processors share. */
uint64_t fault_descriptors(void);
/* NULL, or the name of the function that `address` is in and the distance to its beginning. */
const char *symbol_find(uint64_t address, uint64_t *offset);

#endif
