/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the memory instructions of arch/x86_64/cpu/instruction.h do to registers and flags. */
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/instruction.h"
#include "kernel/vp.h"

#define FLAGS_OF_RESULT (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static uint64_t result_flags(uint32_t result)
{
    uint64_t flags = 0;
    if (result == 0)
        flags |= RFLAGS_ZF;
    if ((result >> 31) != 0)
        flags |= RFLAGS_SF;
    if (__builtin_parity(result & 0xFF) == 0)
        flags |= RFLAGS_PF;
    return flags;
}

static uint64_t compare_flags(uint32_t left, uint32_t right)
{
    uint32_t result = left - right;
    uint64_t flags = result_flags(result);
    if (left < right)
        flags |= RFLAGS_CF;
    if (((left ^ right) & (left ^ result)) >> 31 != 0)
        flags |= RFLAGS_OF;
    if (((left ^ right ^ result) & 0x10) != 0)
        flags |= RFLAGS_AF;
    return flags;
}

static void set_flags(struct vp *vp, uint64_t flags)
{
    vp->rflags = (vp->rflags & ~FLAGS_OF_RESULT) | flags;
}

bool memory_instruction_execute(struct vp *vp, const struct memory_instruction *instruction, uint32_t memory,
                                uint32_t *result)
{
    uint32_t source = instruction->has_immediate ? instruction->immediate : (uint32_t)vp->gpr[instruction->gpr];

    *result = source;
    switch ((enum memory_operation)instruction->operation) {
    case MEMORY_NONE: /* is never decoded */
        return false;
    case MEMORY_STORE:
        return true;
    case MEMORY_LOAD:
        vp->gpr[instruction->gpr] = memory;
        return false;
    case MEMORY_EXCHANGE:
        vp->gpr[instruction->gpr] = memory;
        return true;
    case MEMORY_AND:
        *result = memory & source;
        set_flags(vp, result_flags(*result));
        return true;
    case MEMORY_OR:
        *result = memory | source;
        set_flags(vp, result_flags(*result));
        return true;
    case MEMORY_TEST:
        set_flags(vp, result_flags(memory & source));
        return false;
    case MEMORY_COMPARE:
        set_flags(vp, compare_flags(memory, source));
        return false;
    case MEMORY_LOAD_AND:
        vp->gpr[instruction->gpr] = memory & source;
        set_flags(vp, result_flags(memory & source));
        return false;
    case MEMORY_LOAD_OR:
        vp->gpr[instruction->gpr] = memory | source;
        set_flags(vp, result_flags(memory | source));
        return false;
    case MEMORY_LOAD_COMPARE:
        set_flags(vp, compare_flags(source, memory));
        return false;
    }
    return false;
}

bool memory_instruction_fits(const struct memory_instruction *instruction, bool write)
{
    switch ((enum memory_operation)instruction->operation) {
    case MEMORY_STORE:
        return write;
    case MEMORY_EXCHANGE:
    case MEMORY_AND:
    case MEMORY_OR:
        return true;
    default:
        return !write;
    }
}
