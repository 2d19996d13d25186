/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares arch/x86_64/cpu/instruction.c with the Zydis disassembler. */
#ifndef TESTS_INSTRUCTION_ORACLE_H
#define TESTS_INSTRUCTION_ORACLE_H

#include "arch/x86_64/cpu/instruction.h"

/* NULL if both say the same about bytes[0..count), count <= 15; else what they differ in. */
const char *instruction_oracle(const uint8_t *bytes, unsigned count, enum code_mode mode);

#endif
