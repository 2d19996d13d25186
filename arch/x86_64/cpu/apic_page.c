/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accesses of a child to its local APIC's page: performed here, without the parent. */
#include "arch/x86_64/cpu/instruction.h"
#include "kernel/arch.h"
#include "kernel/interrupt.h"
#include "kernel/lock.h"
#include "kernel/vp.h"

/* What the instruction does to the register at `offset`, under the interrupt lock. True: it wrote to it. */
static bool perform(struct vp *vp, const struct memory_instruction *instruction, uint32_t offset, uint64_t now,
                    struct local_apic_effect *effect)
{
    uint32_t value = 0;

    if (memory_instruction_reads(instruction))
        value = local_apic_read(&vp->apic, offset, now);
    if (!memory_instruction_execute(vp, instruction, value, &value))
        return false;
    local_apic_write(&vp->apic, offset, value, now, effect);
    return true;
}

enum apic_page_result apic_page_access(struct vp *vp, const struct vp_exit *exit)
{
    struct memory_instruction instruction;
    struct local_apic_effect effect = {.send = false};
    uint32_t offset = (uint32_t)exit->fault.gpa & (HV_PAGE_SIZE - 1);
    bool written = false;

    if (exit->fault.execute || exit->fault.table_walk || (offset & 3) != 0)
        return APIC_PAGE_UNKNOWN;
    if (!guest_decode_memory_instruction(vp, exit, &instruction) ||
        !memory_instruction_fits(&instruction, exit->fault.write))
        return APIC_PAGE_UNKNOWN;

    lock_acquire(&vp->interrupt_lock);
    bool claimed = local_apic_claims(&vp->apic, exit->fault.gpa);
    if (claimed)
        written = perform(vp, &instruction, offset, arch_tsc(), &effect);
    lock_release(&vp->interrupt_lock);
    if (!claimed)
        return APIC_PAGE_UNKNOWN;
    if (effect.send)
        interrupt_deliver(vp->partition, &effect.request, vp, &vp->wake);
    guest_instruction_done(vp, instruction.length);
    return written ? APIC_PAGE_WRITTEN : APIC_PAGE_READ;
}
