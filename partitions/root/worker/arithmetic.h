/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer arithmetic as the processor does it, status flags included (APM vol. 3, "Instruction Reference").
 * `size` is 1, 2, 4 or 8 bytes; operands may have bits above it, results have none. *rflags keeps every bit
 * that the instruction does not change. Where the manual leaves a flag undefined, what processors do is done:
 * AF is cleared.
 */
#ifndef WORKER_ARITHMETIC_H
#define WORKER_ARITHMETIC_H

#include <stdbool.h>
#include <stdint.h>

uint64_t arithmetic_add(uint64_t a, uint64_t b, bool carry, unsigned size, uint64_t *rflags);
uint64_t arithmetic_subtract(uint64_t a, uint64_t b, bool borrow, unsigned size, uint64_t *rflags);

/* The flags of AND, OR, XOR and TEST for their result. */
uint64_t arithmetic_logic(uint64_t result, unsigned size, uint64_t *rflags);

/* Does a condition code (the low 4 bits of the opcodes of Jcc, SETcc, CMOVcc) hold? */
bool arithmetic_condition(unsigned condition, uint64_t rflags);

uint64_t arithmetic_sign_extend(uint64_t value, unsigned size);

#endif
