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
    uint32_t offset = (uint32_t)exit->fault.gpa & (HV_PAGE_SIZE - 1), value = 0;

    if (host_apic_is_x2apic() || (offset & 3) != 0 || !guest_decode_memory_instruction(vp, exit, &instruction) ||
        !memory_instruction_fits(&instruction, exit->fault.write))
        return false;
    if (memory_instruction_reads(&instruction))
        value = host_apic_read(offset);
    if (memory_instruction_execute(vp, &instruction, value, &value))
        write_register(offset, value);
    vp->exits[LOAM_EXIT_APIC_ACCESS]++;
    guest_instruction_done(vp, instruction.length);
    return true;
}
