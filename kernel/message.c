/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "kernel/message.h"
#include "kernel/partition.h"
#include "kernel/vp.h"

#define CACHE_UNCACHED   0u
#define CACHE_WRITE_BACK 6u

/* Begins a message in the page, which the parent can read at any time: the type comes last. */
static void *begin(struct vp *vp, uint8_t payload_size)
{
    struct hv_message *message = vp->intercept_page;

    message->header.payload_size = payload_size;
    message->header.message_flags = 0;
    message->header.reserved[0] = message->header.reserved[1] = 0;
    message->header.sender = vp->partition->id;
    return message->payload;
}

HV_ASSERT_OFFSET(struct hv_message, header.message_type, 0);

static void end(struct vp *vp, enum hv_message_type type)
{
    uint32_t *message_type = (void *)vp->intercept_page; /* aligned, which a packed structure's member need not be */

    __atomic_store_n(message_type, type, __ATOMIC_RELEASE);
}

static void fill_header(struct vp *vp, struct hv_x64_intercept_message_header *header, unsigned instruction_length,
                        enum hv_intercept_access_type access)
{
    header->vp_index = vp->index;
    header->instruction_length_cr8 = (uint8_t)(instruction_length | local_apic_cr8(&vp->apic) << 4);
    header->intercept_access_type = access;
    header->execution_state = vendor->get_execution(vp, &header->cs);
    if (vp->pending_interruption)
        header->execution_state |= HV_EXECUTION_INTERRUPTION_PENDING;
    header->rip = vp->rip;
    header->rflags = vp->rflags;
}

void message_io_port(struct vp *vp, const struct vp_exit *exit, unsigned instruction_length)
{
    struct hv_x64_io_port_intercept_message *message = begin(vp, sizeof(*message));

    fill_header(vp, &message->header, instruction_length,
                exit->io.in ? HV_INTERCEPT_ACCESS_READ : HV_INTERCEPT_ACCESS_WRITE);
    message->port_number = exit->io.port;
    message->access_info = (uint8_t)(exit->io.size | (exit->io.string ? HV_IO_PORT_STRING_OPERATION : 0) |
                                     (exit->io.rep ? HV_IO_PORT_REP_PREFIX : 0));
    message->instruction_byte_count = 0;
    message->reserved = 0;
    message->rax = vp->gpr[GPR_RAX];
    message->rcx = vp->gpr[GPR_RCX];
    message->rsi = vp->gpr[GPR_RSI];
    message->rdi = vp->gpr[GPR_RDI];
    /* Segments matter to string instructions only. */
    if (exit->io.string) {
        vendor->get_segment(vp, exit->io.in ? VP_DS : exit->io.segment, &message->ds);
        vendor->get_segment(vp, VP_ES, &message->es);
    } else {
        message->ds = message->es = (struct hv_x64_segment_register){0};
    }
    end(vp, HVMSG_X64_IO_PORT_INTERCEPT);
}

/* The instruction that met the fault: as many bytes as can be read. */
static uint8_t get_instruction(struct vp *vp, const struct vp_exit *exit, uint8_t bytes[16])
{
    memset(bytes, 0, 16);
    if (exit->fault.bytes_count) {
        memcpy(bytes, exit->fault.bytes, sizeof(exit->fault.bytes));
        return exit->fault.bytes_count;
    }
    return exit->fault.execute ? 0 : (uint8_t)guest_fetch_instruction(vp, bytes);
}

/*
 * An instruction that cannot be read because the parent took a page away meanwhile is the parent's to bring
 * back first: the message is about that page then, and the fault comes again.
 */
void message_memory(struct vp *vp, const struct vp_exit *exit, enum hv_message_type type)
{
    struct hv_x64_memory_intercept_message *message = begin(vp, sizeof(*message));
    enum hv_intercept_access_type access = HV_INTERCEPT_ACCESS_READ;
    uint64_t gpa = exit->fault.gpa;
    uint8_t bytes[16];

    message->instruction_byte_count = get_instruction(vp, exit, bytes);
    if (exit->fault.execute)
        access = HV_INTERCEPT_ACCESS_EXECUTE;
    else if (message->instruction_byte_count == 0 && guest_instruction_no_access(vp, &gpa))
        type = HVMSG_GPA_INTERCEPT;
    else if (exit->fault.write)
        access = HV_INTERCEPT_ACCESS_WRITE;
    fill_header(vp, &message->header, 0, access);
    message->cache_type = type == HVMSG_UNMAPPED_GPA ? CACHE_UNCACHED : CACHE_WRITE_BACK;
    message->memory_access_info = 0;
    message->tpr_priority = (uint8_t)local_apic_cr8(&vp->apic);
    message->reserved = 0;
    message->guest_virtual_address = 0;
    message->guest_physical_address = gpa;
    memcpy(message->instruction_bytes, bytes, sizeof(bytes));
    end(vp, type);
}

void message_unrecoverable_exception(struct vp *vp)
{
    struct hv_x64_unrecoverable_exception_message *message = begin(vp, sizeof(*message));

    fill_header(vp, &message->header, 0, HV_INTERCEPT_ACCESS_EXECUTE);
    end(vp, HVMSG_UNRECOVERABLE_EXCEPTION);
}

void message_apic_eoi(struct vp *vp, uint8_t vector)
{
    struct hv_x64_apic_eoi_message *message = begin(vp, sizeof(*message));

    message->vp_index = vp->index;
    message->interrupt_vector = vector;
    end(vp, HVMSG_X64_APIC_EOI);
}

void message_interruption_deliverable(struct vp *vp, uint32_t type)
{
    struct hv_x64_interruption_deliverable_message *message = begin(vp, sizeof(*message));

    fill_header(vp, &message->header, 0, HV_INTERCEPT_ACCESS_EXECUTE);
    message->deliverable_type = type;
    message->reserved = 0;
    end(vp, HVMSG_X64_INTERRUPTION_DELIVERABLE);
}

void message_invalid_register(struct vp *vp)
{
    struct hv_invalid_vp_register_message *message = begin(vp, sizeof(*message));

    message->vp_index = vp->index;
    message->reserved = 0;
    end(vp, HVMSG_INVALID_VP_REGISTER_VALUE);
}

void message_unsupported_feature(struct vp *vp, uint32_t code, uint64_t parameter)
{
    struct hv_unsupported_feature_message *message = begin(vp, sizeof(*message));

    message->vp_index = vp->index;
    message->feature_code = code;
    message->feature_parameter = parameter;
    end(vp, HVMSG_UNSUPPORTED_FEATURE);
}

void message_task_switch(struct vp *vp, const struct vp_exit *exit)
{
    uint64_t parameter = exit->task_switch.selector |
                         (uint64_t)exit->task_switch.source << LOAM_TASK_SWITCH_SOURCE_SHIFT |
                         (uint64_t)(exit->instruction_length & 15) << LOAM_TASK_SWITCH_LENGTH_SHIFT;

    if (exit->task_switch.source == LOAM_TASK_SWITCH_GATE) {
        parameter |= (uint64_t)exit->task_switch.event << LOAM_TASK_SWITCH_TYPE_SHIFT;
        if (exit->task_switch.event == HV_INTERRUPTION_TYPE_EXCEPTION)
            parameter |= (uint64_t)(exit->task_switch.vector & 31) << LOAM_TASK_SWITCH_EXCEPTION_SHIFT;
        if (exit->task_switch.has_error_code)
            parameter |= LOAM_TASK_SWITCH_ERROR_CODE_VALID | (uint64_t)exit->task_switch.error_code
                                                                 << LOAM_TASK_SWITCH_ERROR_CODE_SHIFT;
    }
    message_unsupported_feature(vp, HV_UNSUPPORTED_FEATURE_TASK_SWITCH_TSS, parameter);
}
