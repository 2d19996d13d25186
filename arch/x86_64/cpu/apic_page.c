/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accesses of a child to its local APIC's page: performed here, without the parent. */
#include "arch/x86_64/cpu/cpu_features.h"
#include "arch/x86_64/cpu/instruction.h"
#include "kernel/arch.h"
#include "kernel/interrupt.h"
#include "kernel/lock.h"
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

/* What the instruction does to the register at `offset`, under the interrupt lock. */
static void perform(struct vp *vp, const struct memory_instruction *instruction, uint32_t offset,
                    uint64_t now, struct local_apic_effect *effect)
{
    struct local_apic *apic = &vp->apic;
    uint32_t source =
        instruction->has_immediate ? instruction->immediate : (uint32_t)vp->gpr[instruction->gpr];
    uint32_t memory = 0;

    if (instruction->operation != MEMORY_STORE)
        memory = local_apic_read(apic, offset, now);
    switch ((enum memory_operation)instruction->operation) {
    case MEMORY_NONE: /* is never decoded */
        break;
    case MEMORY_LOAD:
        vp->gpr[instruction->gpr] = memory;
        break;
    case MEMORY_STORE:
        local_apic_write(apic, offset, source, now, effect);
        break;
    case MEMORY_EXCHANGE:
        local_apic_write(apic, offset, source, now, effect);
        vp->gpr[instruction->gpr] = memory;
        break;
    case MEMORY_AND:
        local_apic_write(apic, offset, memory & source, now, effect);
        set_flags(vp, result_flags(memory & source));
        break;
    case MEMORY_OR:
        local_apic_write(apic, offset, memory | source, now, effect);
        set_flags(vp, result_flags(memory | source));
        break;
    case MEMORY_TEST:
        set_flags(vp, result_flags(memory & source));
        break;
    case MEMORY_COMPARE:
        set_flags(vp, compare_flags(memory, source));
        break;
    case MEMORY_LOAD_AND:
        vp->gpr[instruction->gpr] = memory & source;
        set_flags(vp, result_flags(memory & source));
        break;
    case MEMORY_LOAD_OR:
        vp->gpr[instruction->gpr] = memory | source;
        set_flags(vp, result_flags(memory | source));
        break;
    case MEMORY_LOAD_COMPARE:
        set_flags(vp, compare_flags(source, memory));
        break;
    }
}

/*
 * An exit for a write belongs to an instruction that writes; a read may be the first half of one that does
 * both.
 */
static bool consistent(const struct memory_instruction *instruction, bool write)
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

bool apic_page_access(struct vp *vp, const struct vp_exit *exit)
{
    struct memory_instruction instruction;
    struct local_apic_effect effect = {.send = false};
    uint32_t offset = (uint32_t)exit->fault.gpa & (HV_PAGE_SIZE - 1);

    if (exit->fault.execute || exit->fault.table_walk || (offset & 3) != 0)
        return false;
    if (!guest_decode_memory_instruction(vp, exit, &instruction) ||
        !consistent(&instruction, exit->fault.write))
        return false;

    lock_acquire(&vp->interrupt_lock);
    bool claimed = local_apic_claims(&vp->apic, exit->fault.gpa);
    if (claimed)
        perform(vp, &instruction, offset, arch_tsc(), &effect);
    lock_release(&vp->interrupt_lock);
    if (!claimed)
        return false;
    if (effect.send)
        interrupt_deliver(vp->partition, &effect.request, vp, &vp->wake);
    guest_instruction_done(vp, instruction.length);
    return true;
}
