/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operands of the instruction that the MMIO emulator works on. For the emulator's own files. */
#ifndef WORKER_MMIO_OPERAND_H
#define WORKER_MMIO_OPERAND_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/mmio_emulator.h"
#include "partitions/root/worker/processor_mode.h"

/* Size of an operand in bytes. */
static inline unsigned operand_size(const ZydisDecodedOperand *operand)
{
    return operand->size / 8;
}

/* A general register by number and size: 1, 2 or 4 bytes leave or clear the rest as the processor does. */
uint64_t gp_read(const struct hv_vp_register_page *registers, enum gp_register number, unsigned size);
void gp_write(struct hv_vp_register_page *registers, enum gp_register number, unsigned size, uint64_t value);

/* A general register, of any width, by its name in Zydis: register_is_general() must hold. */
uint64_t register_read(const struct hv_vp_register_page *registers, ZydisRegister name);
void register_write(struct hv_vp_register_page *registers, ZydisRegister name, uint64_t value);
bool register_is_general(ZydisRegister name);

/*
 * The linear address of a memory operand, `displacement` bytes further. False: exception.
 */
bool operand_address(struct mmio_emulator *emulator, const ZydisDecodedOperand *operand,
                     uint64_t displacement, bool write, uint64_t *linear);

/*
 * The value of a register, memory or immediate operand, immediates sign-extended. `intent` MEMORY_WRITE: it
 * will be written back. False: exception, nothing happened.
 */
bool operand_read(struct mmio_emulator *emulator, const ZydisDecodedOperand *operand,
                  enum memory_intent intent, uint64_t *value);
bool operand_write(struct mmio_emulator *emulator, const ZydisDecodedOperand *operand, uint64_t value);

/* String instructions: MOVS, STOS, LODS, CMPS, SCAS (mmio_string.c). */
enum emulator_result emulate_string(struct mmio_emulator *emulator);

#endif
