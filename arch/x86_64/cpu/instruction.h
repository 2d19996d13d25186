/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions of a guest, as far as the hypervisor has to know them: the lengths of those that are
 * intercepted, and the few forms with which operating systems access the local APIC's page. Besides what
 * kernel/arch.h declares.
 */
#ifndef ARCH_CPU_INSTRUCTION_H
#define ARCH_CPU_INSTRUCTION_H

#include "hv/types.h"
#include "arch/x86_64/vendor.h"

struct vp;

#define INSTRUCTION_MAXIMUM 15u

/* How the code segment makes the processor read instructions. */
enum code_mode { CODE_16, CODE_32, CODE_64 };

/*
 * Length of the instruction at bytes[0..count), which has to be one of those that exit with this reason; 0:
 * it is none (another processor has changed it since), or not all of it is there.
 */
unsigned instruction_length(const uint8_t *bytes, unsigned count, enum code_mode mode, enum loam_exit_reason reason);

enum memory_operation {
    MEMORY_NONE,
    MEMORY_LOAD,     /* register = memory */
    MEMORY_STORE,    /* memory = source */
    MEMORY_EXCHANGE, /* register and memory change places */
    MEMORY_AND,      /* memory = memory op source, with flags */
    MEMORY_OR,
    MEMORY_TEST,     /* flags of memory & source */
    MEMORY_COMPARE,  /* flags of memory - source */
    MEMORY_LOAD_AND, /* register = register op memory, with flags */
    MEMORY_LOAD_OR,
    MEMORY_LOAD_COMPARE, /* flags of register - memory */
};

/* An instruction with one memory operand of 32 bits. */
struct memory_instruction {
    uint8_t operation; /* enum memory_operation */
    uint8_t length;
    bool has_immediate; /* the source is `immediate`, not `gpr` */
    uint8_t gpr;        /* enum gpr */
    uint32_t immediate;
};

/*
 * Executes it on the VP's registers and flags with what the operand holds. True: the operand becomes *result.
 * `memory` may be 0 unless memory_instruction_reads(). RIP stays.
 */
bool memory_instruction_execute(struct vp *vp, const struct memory_instruction *instruction, uint32_t memory,
                                uint32_t *result);
static inline bool memory_instruction_reads(const struct memory_instruction *instruction)
{
    return instruction->operation != MEMORY_STORE;
}

/*
 * Whether it can be what faulted: a write fault belongs to an instruction that writes; a read fault may be
 * the first half of one that does both.
 */
bool memory_instruction_fits(const struct memory_instruction *instruction, bool write);

/* False: not one of the forms above, or not all of it is there. */
bool memory_instruction_decode(const uint8_t *bytes, unsigned count, enum code_mode mode,
                               struct memory_instruction *instruction);

/*
 * The same for the instruction that `exit` (a fault) interrupted, fetched unless the hardware gave its
 * bytes.
 */
bool guest_decode_memory_instruction(struct vp *vp, const struct vp_exit *exit, struct memory_instruction *instruction);

#endif
