/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/interrupts.h"

#include "hv/registers.h"

#define BOOT_VP 0

/* Delivery modes that can be asserted. No input is wired to the 8259As' output, and there is no management
 * mode. */
static bool interrupt_type(enum ioapic_delivery_mode mode, enum hv_interrupt_type *type)
{
    switch (mode) {
    case IOAPIC_FIXED:
        *type = HV_X64_INTERRUPT_TYPE_FIXED;
        return true;
    case IOAPIC_LOWEST_PRIORITY:
        *type = HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY;
        return true;
    case IOAPIC_NMI:
        *type = HV_X64_INTERRUPT_TYPE_NMI;
        return true;
    case IOAPIC_INIT:
        *type = HV_X64_INTERRUPT_TYPE_INIT;
        return true;
    default:
        return false;
    }
}

void interrupts_deliver(void *context, const struct ioapic_message *message)
{
    struct interrupts *interrupts = context;
    uint32_t flags = (message->level ? HV_INTERRUPT_LEVEL_TRIGGERED : 0) |
                     (message->logical ? HV_INTERRUPT_LOGICAL_DESTINATION : 0);
    enum hv_interrupt_type type;

    if (!interrupt_type(message->delivery_mode, &type) ||
        partition_assert_interrupt(interrupts->partition, type, flags, message->destination,
                                   message->vector) != HV_STATUS_SUCCESS)
        interrupts->refused++;
}

void interrupts_set_request(void *context, bool level)
{
    struct interrupts *interrupts = context;

    interrupts->request = level;
    if (level)
        interrupts->attract(interrupts->context);
}

static bool requested(struct interrupts *interrupts)
{
    bool request;

    pthread_mutex_lock(interrupts->device_lock);
    request = interrupts->request;
    pthread_mutex_unlock(interrupts->device_lock);
    return request;
}

unsigned interrupts_request_window(struct interrupts *interrupts)
{
    const struct hv_register_assoc window = {
        .name = HV_REGISTER_DELIVERABILITY_NOTIFICATIONS,
        .value.low = HV_DELIVERABILITY_INTERRUPT,
    };

    if (interrupts->window || !requested(interrupts))
        return HV_STATUS_SUCCESS;
    interrupts->window = true;
    return partition_set_registers(interrupts->partition, BOOT_VP, &window, 1);
}

unsigned interrupts_deliverable(struct interrupts *interrupts)
{
    struct hv_register_assoc registers[2] = {
        {.name = HV_REGISTER_DELIVERABILITY_NOTIFICATIONS},
        {.name = HV_REGISTER_PENDING_INTERRUPTION},
    };
    unsigned count = 1;

    pthread_mutex_lock(interrupts->device_lock);
    if (interrupts->request) {
        registers[1].value.low =
            hv_pending_interruption(HV_INTERRUPTION_TYPE_EXTERNAL, i8259_acknowledge(interrupts->pic));
        count = 2;
    }
    interrupts->window = interrupts->request; /* another one waits behind it */
    pthread_mutex_unlock(interrupts->device_lock);
    registers[0].value.low = interrupts->window ? HV_DELIVERABILITY_INTERRUPT : 0;
    return partition_set_registers(interrupts->partition, BOOT_VP, registers, count);
}

void interrupts_end(struct interrupts *interrupts, uint8_t vector)
{
    pthread_mutex_lock(interrupts->device_lock);
    ioapic_eoi(interrupts->ioapic, vector);
    pthread_mutex_unlock(interrupts->device_lock);
}

void interrupts_reset(struct interrupts *interrupts)
{
    interrupts->request = false;
    interrupts->window = false;
}
