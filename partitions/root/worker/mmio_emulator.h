/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carries out one instruction of a stopped VP in place of the processor, because it touches memory that is a
 * device's. Zydis decodes; what the instruction does is ours. Covered: the integer instructions that kernels
 * use on device memory, string instructions with repeat prefixes, and plain moves of XMM registers.
 */
#ifndef WORKER_MMIO_EMULATOR_H
#define WORKER_MMIO_EMULATOR_H

#include <stdbool.h>
#include <stdint.h>
#include <Zydis/Zydis.h>
#include "hv/message.h"
#include "hv/registers.h"
#include "partitions/root/worker/memory_access.h"

enum emulator_result {
    EMULATOR_DONE,        /* registers are those after the instruction */
    EMULATOR_AGAIN,       /* a repeated string instruction got this far; it goes on when the VP runs */
    EMULATOR_EXCEPTION,   /* the instruction raised memory->exception; registers are those for its handler */
    EMULATOR_UNSUPPORTED, /* not an instruction that can be emulated; nothing has happened */
};

/* Items that a repeated string instruction moves before the VP is looked after again. */
#define EMULATOR_MAXIMUM_ITEMS 1024u

#define INSTRUCTION_MAXIMUM_LENGTH 15u

struct mmio_emulator;
typedef enum emulator_result emulate_function(struct mmio_emulator *emulator);

/* A decoded instruction, as it is kept for the next time: guests access a device by a handful of
 * instructions. */
struct mmio_instruction {
    uint8_t code_width; /* bits; 0: nothing is kept here */
    uint8_t stack_width;
    bool one_memory_operand;
    uint8_t bytes[INSTRUCTION_MAXIMUM_LENGTH]; /* as many as decoded.length count */
    emulate_function *emulate;
    ZydisDecodedInstruction decoded;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

#define MMIO_INSTRUCTIONS 16 /* a power of two */

/* One per VP. The owner fills the first part. */
struct mmio_emulator {
    struct memory_access *memory;
    /* XMM registers of the VP. False: they cannot be had, and the instruction is not supported. */
    bool (*get_xmm)(void *context, unsigned index, uint8_t value[16]);
    bool (*set_xmm)(void *context, unsigned index, const uint8_t value[16]);
    void *context;

    /* The instruction at hand */
    struct hv_vp_register_page *registers;
    const struct hv_x64_memory_intercept_message *message;
    uint8_t bytes[INSTRUCTION_MAXIMUM_LENGTH];
    unsigned byte_count;
    const struct mmio_instruction *instruction;

    struct mmio_instruction kept[MMIO_INSTRUCTIONS]; /* by RIP */
};

/*
 * Emulates the instruction at CS:RIP that led to `message`. `registers` is the state of the stopped VP; it is
 * changed in place, with its dirty bits. RIP is advanced with EMULATOR_DONE only. After EMULATOR_UNSUPPORTED,
 * emulator->bytes and byte_count are the instruction's first bytes, for the report.
 */
enum emulator_result mmio_emulator_run(struct mmio_emulator *emulator, struct hv_vp_register_page *registers,
                                       const struct hv_x64_memory_intercept_message *message);

#endif
