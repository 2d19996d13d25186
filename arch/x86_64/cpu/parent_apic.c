/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parent's writes to its local APIC's page (xAPIC mode): the hardware's, but for INIT, SIPI and NMI commands. */
#include "arch/x86_64/cpu/host_apic.h"
#include "arch/x86_64/cpu/instruction.h"
#include "arch/x86_64/cpu/parent_exit.h"
#include "arch/x86_64/cpu/processor_start.h"
#include "kernel/local_apic.h"
#include "kernel/vp.h"

#define XAPIC_DESTINATION_SHIFT 24

static void write_register(uint32_t offset, uint32_t value)
{
    if (offset == APIC_REGISTER_ICR_LOW) {
        uint64_t destination = host_apic_read(APIC_REGISTER_ICR_HIGH) >> XAPIC_DESTINATION_SHIFT;

        processor_start_command(destination << ICR_DESTINATION_SHIFT | value);
        return;
    }
    host_apic_write(offset, value);
    if (offset == APIC_REGISTER_LDR || offset == APIC_REGISTER_DFR)
        processor_start_logical(host_apic_read(APIC_REGISTER_LDR), host_apic_read(APIC_REGISTER_DFR));
}

bool parent_apic_write(struct vp *vp, const struct vp_exit *exit)
{
    struct memory_instruction instruction;
    uint32_t offset = (uint32_t)exit->fault.gpa & (HV_PAGE_SIZE - 1), source, old;

    if (host_apic_is_x2apic() || (offset & 3) != 0 || !guest_decode_memory_instruction(vp, exit, &instruction))
        return false;
    source = instruction.has_immediate ? instruction.immediate : (uint32_t)vp->gpr[instruction.gpr];
    switch (instruction.operation) {
    case MEMORY_STORE:
        write_register(offset, source);
        break;
    case MEMORY_EXCHANGE:
        old = host_apic_read(offset);
        write_register(offset, source);
        vp->gpr[instruction.gpr] = old;
        break;
    default:
        return false;
    }
    guest_instruction_done(vp, instruction.length);
    return true;
}
