/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <Zydis/Zydis.h>

#include "tests/unit/instruction_oracle.h"

static bool disassemble(const uint8_t *bytes, unsigned count, enum code_mode mode,
                        ZydisDecodedInstruction *instruction, ZydisDecodedOperand *operands,
                        ZyanStatus *status)
{
    static const ZydisMachineMode machines[] = {
        [CODE_16] = ZYDIS_MACHINE_MODE_LEGACY_16,
        [CODE_32] = ZYDIS_MACHINE_MODE_LEGACY_32,
        [CODE_64] = ZYDIS_MACHINE_MODE_LONG_64,
    };
    static const ZydisStackWidth widths[] = {
        [CODE_16] = ZYDIS_STACK_WIDTH_16, [CODE_32] = ZYDIS_STACK_WIDTH_32, [CODE_64] = ZYDIS_STACK_WIDTH_64};
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, machines[mode], widths[mode]);
    *status = ZydisDecoderDecodeFull(&decoder, bytes, count, instruction, operands);
    return ZYAN_SUCCESS(*status);
}

/* --- lengths of intercepted instructions --- */

static bool is_control_register_move(const ZydisDecodedInstruction *instruction,
                                     const ZydisDecodedOperand *operands)
{
    if (instruction->mnemonic != ZYDIS_MNEMONIC_MOV)
        return false;
    for (unsigned i = 0; i < 2; i++)
        if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(operands[i].reg.value) == ZYDIS_REGCLASS_CONTROL)
            return true;
    return false;
}

/* The reason for which Zydis's instruction exits; LOAM_EXIT_REASON_COUNT: none that the table knows. */
static enum loam_exit_reason reason_of(const ZydisDecodedInstruction *instruction,
                                       const ZydisDecodedOperand *operands)
{
    if (is_control_register_move(instruction, operands))
        return LOAM_EXIT_CONTROL_REGISTER;
    switch (instruction->mnemonic) {
    case ZYDIS_MNEMONIC_CPUID:
        return LOAM_EXIT_CPUID;
    case ZYDIS_MNEMONIC_RDMSR:
        return LOAM_EXIT_MSR_READ;
    case ZYDIS_MNEMONIC_WRMSR:
        return LOAM_EXIT_MSR_WRITE;
    case ZYDIS_MNEMONIC_HLT:
        return LOAM_EXIT_HLT;
    case ZYDIS_MNEMONIC_VMCALL:
    case ZYDIS_MNEMONIC_VMMCALL:
        return LOAM_EXIT_HYPERCALL;
    case ZYDIS_MNEMONIC_IN:
    case ZYDIS_MNEMONIC_OUT:
    case ZYDIS_MNEMONIC_INSB:
    case ZYDIS_MNEMONIC_INSW:
    case ZYDIS_MNEMONIC_INSD:
    case ZYDIS_MNEMONIC_OUTSB:
    case ZYDIS_MNEMONIC_OUTSW:
    case ZYDIS_MNEMONIC_OUTSD:
        return LOAM_EXIT_IO_PORT;
    case ZYDIS_MNEMONIC_XSETBV:
        return LOAM_EXIT_XSETBV;
    case ZYDIS_MNEMONIC_INVD:
    case ZYDIS_MNEMONIC_WBINVD:
        return LOAM_EXIT_CACHE;
    case ZYDIS_MNEMONIC_PAUSE:
        return LOAM_EXIT_PAUSE;
    case ZYDIS_MNEMONIC_RDTSC:
    case ZYDIS_MNEMONIC_RDTSCP:
        return LOAM_EXIT_OTHER;
    default:
        return LOAM_EXIT_REASON_COUNT;
    }
}

static const char *check_length(const uint8_t *bytes, unsigned count, enum code_mode mode,
                                const ZydisDecodedInstruction *instruction,
                                const ZydisDecodedOperand *operands)
{
    enum loam_exit_reason own = reason_of(instruction, operands);
    for (unsigned reason = 0; reason < LOAM_EXIT_REASON_COUNT; reason++) {
        unsigned length = instruction_length(bytes, count, mode, (enum loam_exit_reason)reason);
        if (length != 0 && length != instruction->length)
            return "length of an intercepted instruction";
        if (length == 0 && reason == own)
            return "an intercepted instruction is not known";
    }
    return NULL;
}

/* --- accesses to memory --- */

static bool is_gpr32(const ZydisDecodedOperand *operand)
{
    return operand->type == ZYDIS_OPERAND_TYPE_REGISTER &&
           ZydisRegisterGetClass(operand->reg.value) == ZYDIS_REGCLASS_GPR32;
}

static bool is_memory32(const ZydisDecodedOperand *operand)
{
    return operand->type == ZYDIS_OPERAND_TYPE_MEMORY && operand->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
           operand->size == 32;
}

/* What Zydis makes of the instruction in our terms. False: not one of the forms. */
static bool translate(const ZydisDecodedInstruction *instruction, const ZydisDecodedOperand *operands,
                      struct memory_instruction *form)
{
    const ZydisDecodedOperand *left = &operands[0], *right = &operands[1];
    bool to_memory = is_memory32(left), from_memory = is_memory32(right);
    const ZydisDecodedOperand *other = to_memory ? right : left;
    bool immediate = other->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;

    if (instruction->operand_count_visible != 2 || to_memory == from_memory ||
        (!immediate && !is_gpr32(other)))
        return false;
    switch (instruction->mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
        form->operation = to_memory ? MEMORY_STORE : MEMORY_LOAD;
        break;
    case ZYDIS_MNEMONIC_XCHG:
        form->operation = MEMORY_EXCHANGE;
        break;
    case ZYDIS_MNEMONIC_AND:
        form->operation = to_memory ? MEMORY_AND : MEMORY_LOAD_AND;
        break;
    case ZYDIS_MNEMONIC_OR:
        form->operation = to_memory ? MEMORY_OR : MEMORY_LOAD_OR;
        break;
    case ZYDIS_MNEMONIC_TEST:
        form->operation = MEMORY_TEST;
        break;
    case ZYDIS_MNEMONIC_CMP:
        form->operation = to_memory ? MEMORY_COMPARE : MEMORY_LOAD_COMPARE;
        break;
    default:
        return false;
    }
    form->length = instruction->length;
    form->has_immediate = immediate;
    form->immediate = immediate ? (uint32_t)other->imm.value.u : 0;
    form->gpr = immediate ? 0 : (uint8_t)ZydisRegisterGetId(other->reg.value);
    return true;
}

static const char *check_memory(const uint8_t *bytes, unsigned count, enum code_mode mode,
                                const ZydisDecodedInstruction *instruction,
                                const ZydisDecodedOperand *operands)
{
    struct memory_instruction ours, theirs;
    bool known = memory_instruction_decode(bytes, count, mode, &ours);
    if (known != translate(instruction, operands, &theirs))
        return known ? "a form that is none" : "a form is not known";
    if (!known)
        return NULL;
    if (ours.operation != theirs.operation)
        return "operation";
    if (ours.length != theirs.length)
        return "length of a memory access";
    if (ours.has_immediate != theirs.has_immediate || ours.immediate != theirs.immediate)
        return "immediate";
    return ours.gpr != theirs.gpr ? "register" : NULL;
}

const char *instruction_oracle(const uint8_t *bytes, unsigned count, enum code_mode mode)
{
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    struct memory_instruction ours;
    ZyanStatus status;
    if (disassemble(bytes, count, mode, &instruction, operands, &status)) {
        const char *difference = check_length(bytes, count, mode, &instruction, operands);
        return difference != NULL ? difference : check_memory(bytes, count, mode, &instruction, operands);
    }
    /* A LOCK where none may be is #UD before anything exits: then it does not matter. */
    if (memory_instruction_decode(bytes, count, mode, &ours) && status != ZYDIS_STATUS_ILLEGAL_LOCK)
        return "a memory access that is no instruction";
    return NULL;
}
