/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/vp.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/worker/io_port.h"
#include "partitions/root/worker/processor_mode.h"
#include "partitions/root/worker/task_switch.h"

#define DR6_BS 0x4000u /* single step */

static const struct hypervisor_operations *operations(const struct vp *vp)
{
    return vp->group->configuration.partition->hypervisor->operations;
}

static void __attribute__((format(printf, 2, 3))) fail(struct vp *vp, const char *format, ...)
{
    char reason[VP_REASON_SIZE];
    int length = snprintf(reason, sizeof reason, "VP %u: ", vp->index);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason + length, sizeof reason - (size_t)length, format, arguments);
    va_end(arguments);
    vp->group->configuration.failed(vp->group->configuration.context, reason);
}

static void set_register(struct vp *vp, uint32_t name, uint64_t low, uint64_t high)
{
    struct hv_register_assoc assoc = {
        .name = name, .value.words = {low, high}
    };
    unsigned status = partition_set_registers(vp->group->configuration.partition, vp->index, &assoc, 1);

    if (status != HV_STATUS_SUCCESS)
        fail(vp, "the hypervisor refused register %#x (status %#x)", name, status);
}

static void raise_exception(struct vp *vp, const struct exception *exception)
{
    uint64_t event = HV_PENDING_EVENT_PENDING | (uint64_t)exception->vector << HV_PENDING_EVENT_VECTOR_SHIFT |
                     (uint64_t)exception->error_code << HV_PENDING_EVENT_ERROR_CODE_SHIFT |
                     (exception->has_error_code ? HV_PENDING_EVENT_DELIVER_ERROR_CODE : 0);

    set_register(vp, HV_REGISTER_PENDING_EVENT0, event, exception->parameter);
}

/* What a processor does when an instruction has ended: RF and the interrupt shadow go, TF traps. */
static void __attribute__((noinline))
end_special_instruction(struct vp *vp, const struct hv_x64_intercept_message_header *header)
{
    if (header->rflags & RFLAGS_RF) {
        vp->registers->rflags &= ~RFLAGS_RF;
        vp->registers->dirty |= HV_REGISTER_PAGE_DIRTY_FLAGS;
    }
    if (header->execution_state & HV_EXECUTION_INTERRUPT_SHADOW)
        set_register(vp, HV_REGISTER_INTERRUPT_STATE,
                     vp->registers->interrupt_state & ~HV_INTERRUPT_STATE_SHADOW, 0);
    if (header->rflags & RFLAGS_TF)
        raise_exception(vp, &(struct exception){.vector = EXCEPTION_DEBUG, .parameter = DR6_BS});
}

static inline void end_instruction(struct vp *vp, const struct hv_x64_intercept_message_header *header)
{
    if (__builtin_expect((header->rflags & (RFLAGS_TF | RFLAGS_RF)) ||
                             (header->execution_state & HV_EXECUTION_INTERRUPT_SHADOW),
                         false))
        end_special_instruction(vp, header);
}

static void port_intercept(struct vp *vp)
{
    const struct hv_x64_io_port_intercept_message *message = (const void *)vp->message->payload;

    vp->port_accesses++;
    switch (io_port_run(&vp->memory, vp->registers, message)) {
    case IO_PORT_DONE:
        end_instruction(vp, &message->header);
        break;
    case IO_PORT_AGAIN:
        break;
    case IO_PORT_EXCEPTION:
        raise_exception(vp, &vp->memory.exception);
        break;
    }
}

static void fail_to_emulate(struct vp *vp, const struct hv_x64_memory_intercept_message *message)
{
    const struct mmio_emulator *emulator = &vp->emulator;
    char bytes[3 * INSTRUCTION_MAXIMUM_LENGTH + 1] = "";

    for (unsigned i = 0; i < emulator->byte_count; i++)
        sprintf(bytes + 3 * i, " %02x", emulator->bytes[i]);
    fail(vp, "cannot emulate the instruction%s at %#x:%#llx (%u-bit code) on device memory at %#llx", bytes,
         message->header.cs.selector, (unsigned long long)message->header.rip,
         processor_code_width(vp->registers), (unsigned long long)message->guest_physical_address);
}

static void memory_intercept(struct vp *vp)
{
    const struct hv_x64_memory_intercept_message *message = (const void *)vp->message->payload;

    vp->memory_accesses++;
    if (message->header.execution_state & HV_EXECUTION_INTERRUPTION_PENDING) {
        fail(vp,
             "cannot deliver an interrupt or exception: its stack or tables are in device memory at %#llx",
             (unsigned long long)message->guest_physical_address);
        return;
    }
    if (message->header.intercept_access_type == HV_INTERCEPT_ACCESS_EXECUTE) {
        /* Nothing answers a fetch there, and all ones are no instruction. */
        raise_exception(vp, &(struct exception){.vector = EXCEPTION_INVALID_OPCODE});
        return;
    }
    switch (mmio_emulator_run(&vp->emulator, vp->registers, message)) {
    case EMULATOR_DONE:
        end_instruction(vp, &message->header);
        break;
    case EMULATOR_AGAIN:
        break;
    case EMULATOR_EXCEPTION:
        raise_exception(vp, &vp->memory.exception);
        break;
    case EMULATOR_UNSUPPORTED:
        fail_to_emulate(vp, message);
        break;
    }
}

static void interruption_deliverable(struct vp *vp)
{
    unsigned status = interrupts_deliverable(vp->group->configuration.interrupts);

    if (status != HV_STATUS_SUCCESS)
        fail(vp, "the hypervisor refused an external interrupt (status %#x)", status);
}

static void end_of_interrupt(struct vp *vp)
{
    const struct hv_x64_apic_eoi_message *message = (const void *)vp->message->payload;

    interrupts_end(vp->group->configuration.interrupts, (uint8_t)message->interrupt_vector);
}

static void task_switch(struct vp *vp, uint64_t parameter)
{
    const struct vp_group_configuration *configuration = &vp->group->configuration;
    unsigned status;

    switch (task_switch_run(configuration->partition, vp->index, &vp->memory, parameter, &status)) {
    case TASK_SWITCH_DONE:
        break;
    case TASK_SWITCH_SHUTDOWN:
        configuration->triple_fault(configuration->context, vp->index);
        break;
    case TASK_SWITCH_REFUSED:
        fail(vp, "the hypervisor refused a register in a task switch (status %#x)", status);
        break;
    }
}

static void unsupported_feature(struct vp *vp)
{
    const struct hv_unsupported_feature_message *message = (const void *)vp->message->payload;

    if (message->feature_code == HV_UNSUPPORTED_FEATURE_TASK_SWITCH_TSS) {
        task_switch(vp, message->feature_parameter);
        return;
    }
    fail(vp, "it did something that the hypervisor cannot do (code %u, parameter %#llx)",
         message->feature_code, (unsigned long long)message->feature_parameter);
}

static bool registers_are_there(struct vp *vp)
{
    if (__builtin_expect(vp->registers->isvalid, true))
        return true;
    fail(vp, "message %#x came without registers", vp->message->header.message_type);
    return false;
}

void vp_dispatch(struct vp *vp)
{
    enum hv_message_type type = vp->message->header.message_type;

    if (__builtin_expect(type == HVMSG_X64_IO_PORT_INTERCEPT, true)) {
        if (registers_are_there(vp))
            port_intercept(vp);
        return;
    }
    switch (type) {
    case HVMSG_UNMAPPED_GPA:
    case HVMSG_GPA_INTERCEPT:
        if (registers_are_there(vp))
            memory_intercept(vp);
        return;
    case HVMSG_X64_INTERRUPTION_DELIVERABLE:
        interruption_deliverable(vp);
        break;
    case HVMSG_X64_APIC_EOI:
        end_of_interrupt(vp);
        break;
    case HVMSG_UNRECOVERABLE_EXCEPTION:
        vp->group->configuration.triple_fault(vp->group->configuration.context, vp->index);
        break;
    case HVMSG_INVALID_VP_REGISTER_VALUE:
        fail(vp, "its registers are not a state that the processor can run");
        break;
    case HVMSG_UNSUPPORTED_FEATURE:
        unsupported_feature(vp);
        break;
    default:
        fail(vp, "message %#x from the hypervisor, which has no answer", type);
        break;
    }
    vp->other_messages++;
}

/* The flags for a walk of the guest's tables as the instruction at hand would do it. */
static uint64_t translate_flags(const struct hv_vp_register_page *registers, enum memory_intent intent)
{
    static const uint64_t validate[] = {
        [MEMORY_READ] = HV_TRANSLATE_VALIDATE_READ,
        [MEMORY_WRITE] = HV_TRANSLATE_VALIDATE_READ | HV_TRANSLATE_VALIDATE_WRITE,
        [MEMORY_EXECUTE] = HV_TRANSLATE_VALIDATE_EXECUTE,
    };
    uint64_t flags = validate[intent] | HV_TRANSLATE_SET_PAGE_TABLE_BITS;

    if (processor_privilege(registers) == 3)
        return flags | HV_TRANSLATE_USER_ACCESS;
    flags |= HV_TRANSLATE_SUPERVISOR_ACCESS;
    if ((registers->cr4 & CR4_SMAP) && !(registers->rflags & RFLAGS_AC) && intent != MEMORY_EXECUTE)
        flags |= HV_TRANSLATE_ENFORCE_SMAP;
    return flags;
}

static void page_fault(const struct hv_vp_register_page *registers, uint64_t linear,
                       enum memory_intent intent, uint32_t code, struct exception *exception)
{
    *exception =
        (struct exception){.vector = EXCEPTION_PAGE_FAULT, .has_error_code = true, .parameter = linear};
    if (code != HV_TRANSLATE_GVA_PAGE_NOT_PRESENT)
        exception->error_code |= PAGE_FAULT_PRESENT;
    if (code == HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS)
        exception->error_code |= PAGE_FAULT_RESERVED;
    if (intent == MEMORY_WRITE)
        exception->error_code |= PAGE_FAULT_WRITE;
    if (intent == MEMORY_EXECUTE)
        exception->error_code |= PAGE_FAULT_FETCH;
    if (processor_privilege(registers) == 3)
        exception->error_code |= PAGE_FAULT_USER;
}

/* memory_environment.translate; `context` is the VP. */
static bool translate(void *context, const struct hv_vp_register_page *registers, uint64_t linear,
                      enum memory_intent intent, uint64_t *gpa, struct exception *exception)
{
    const struct vp *vp = context;
    struct hv_output_translate_virtual_address output = {.result_code = HV_TRANSLATE_GVA_PAGE_NOT_PRESENT};
    unsigned status = partition_translate(vp->group->configuration.partition, vp->index,
                                          translate_flags(registers, intent), linear, &output);

    if (status != HV_STATUS_SUCCESS)
        output.result_code = HV_TRANSLATE_GVA_PAGE_NOT_PRESENT;
    /* Page 0 is always mapped: it was a table that could not be read, which a processor would see as all
     * ones. */
    if (output.result_code == HV_TRANSLATE_GVA_GPA_UNMAPPED && output.gpa_page == 0)
        output.result_code = HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS;
    switch (output.result_code) {
    case HV_TRANSLATE_GVA_PAGE_NOT_PRESENT:
    case HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION:
    case HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS:
        page_fault(registers, linear, intent, output.result_code, exception);
        return false;
    default: /* a GPA that is no RAM is the bus's */
        *gpa = output.gpa_page << HV_PAGE_SHIFT | (linear & (HV_PAGE_SIZE - 1));
        return true;
    }
}

/* memory_environment.ram; `context` is the VP. */
static uint8_t *find_ram(void *context, uint64_t gpa, enum memory_intent intent)
{
    const struct vp_group_configuration *configuration = &((struct vp *)context)->group->configuration;

    return configuration->ram(configuration->ram_context, gpa, intent);
}

static bool get_xmm(void *context, unsigned index, uint8_t value[16])
{
    const struct vp *vp = context;
    const uint32_t name = HV_X64_REGISTER_XMM0 + index;
    union hv_register_value xmm;

    if (partition_get_registers(vp->group->configuration.partition, vp->index, &name, &xmm, 1) !=
        HV_STATUS_SUCCESS)
        return false;
    memcpy(value, xmm.bytes, sizeof xmm.bytes);
    return true;
}

static bool set_xmm(void *context, unsigned index, const uint8_t value[16])
{
    const struct vp *vp = context;
    struct hv_register_assoc xmm = {.name = HV_X64_REGISTER_XMM0 + index};

    memcpy(xmm.value.bytes, value, sizeof xmm.value.bytes);
    return partition_set_registers(vp->group->configuration.partition, vp->index, &xmm, 1) ==
           HV_STATUS_SUCCESS;
}

static bool initialize_vp(struct vp_group *group, uint32_t index, char reason[VP_REASON_SIZE])
{
    struct vp *vp = &group->vps[index];
    struct vp_pages pages;
    int error;

    vp->group = group;
    vp->index = index;
    error = operations(vp)->create_vp(group->configuration.partition->hypervisor, index, &pages);
    if (error) {
        snprintf(reason, VP_REASON_SIZE, "cannot create VP %u: %s", index, strerror(-error));
        return false;
    }
    vp->registers = pages.registers;
    vp->message = pages.message;
    vp->environment = (struct memory_environment){
        .translate = translate,
        .ram = find_ram,
        .context = vp,
        .bus = group->configuration.bus,
        .device_lock = group->configuration.device_lock,
    };
    memory_access_initialize(&vp->memory, &vp->environment);
    vp->emulator =
        (struct mmio_emulator){.memory = &vp->memory, .get_xmm = get_xmm, .set_xmm = set_xmm, .context = vp};
    return true;
}

bool vp_group_initialize(struct vp_group *group, uint32_t count,
                         const struct vp_group_configuration *configuration, char reason[VP_REASON_SIZE])
{
    *group = (struct vp_group){.configuration = *configuration, .held = true};
    pthread_mutex_init(&group->lock, NULL);
    pthread_cond_init(&group->changed, NULL);
    group->vps = calloc(count, sizeof *group->vps);
    if (!group->vps) {
        snprintf(reason, VP_REASON_SIZE, "no memory for %u VPs", count);
        return false;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!initialize_vp(group, i, reason))
            return false;
    group->count = count;
    return true;
}

/* Waits as long as the group is held. False: the thread is to end. */
static bool park(struct vp *vp)
{
    struct vp_group *group = vp->group;
    bool ending;

    pthread_mutex_lock(&group->lock);
    group->parked++;
    pthread_cond_broadcast(&group->changed);
    while (group->held && !group->ending)
        pthread_cond_wait(&group->changed, &group->lock);
    group->parked--;
    ending = group->ending;
    pthread_mutex_unlock(&group->lock);
    return !ending;
}

/* Looks at what happened while the VP was not running. False: the thread is to end. */
static bool attend(struct vp *vp)
{
    unsigned attention = atomic_load_explicit(&vp->attention, memory_order_relaxed);

    if (__builtin_expect(!attention, true))
        return true;
    attention = atomic_exchange(&vp->attention, 0);
    if (attention & VP_ATTENTION_INTERRUPT) {
        unsigned status = interrupts_request_window(vp->group->configuration.interrupts);

        if (status != HV_STATUS_SUCCESS)
            fail(vp, "the hypervisor refused to watch for external interrupts (status %#x)", status);
    }
    return !(attention & VP_ATTENTION_HOLD) || park(vp);
}

static void *vp_thread(void *argument)
{
    struct vp *vp = argument;
    struct hypervisor *hypervisor = vp->group->configuration.partition->hypervisor;
    sigset_t kick;

    sigemptyset(&kick);
    sigaddset(&kick, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
    while (attend(vp)) {
        int error = operations(vp)->run_vp(hypervisor, vp->index, &vp->attention);

        if (__builtin_expect(!error, true))
            vp_dispatch(vp);
        else if (error != -EINTR)
            fail(vp, "cannot run: %s", strerror(-error));
    }
    return NULL;
}

int vp_group_start(struct vp_group *group)
{
    for (uint32_t i = 0; i < group->count; i++) {
        struct vp *vp = &group->vps[i];
        char name[16];
        int error;

        atomic_fetch_or(&vp->attention, VP_ATTENTION_HOLD); /* the group is held */
        error = pthread_create(&vp->thread, NULL, vp_thread, vp);
        if (error)
            return -error;
        vp->started = true;
        snprintf(name, sizeof name, "vp %u", i);
        pthread_setname_np(vp->thread, name);
    }
    return 0;
}

void vp_attract(struct vp *vp, unsigned bits)
{
    atomic_fetch_or(&vp->attention, bits);
    if (vp->started && !pthread_equal(vp->thread, pthread_self()))
        operations(vp)->kick_vp(vp->group->configuration.partition->hypervisor, vp->index, vp->thread);
}

void vp_group_hold(struct vp_group *group)
{
    pthread_mutex_lock(&group->lock);
    group->held = true;
    pthread_mutex_unlock(&group->lock);
    for (uint32_t i = 0; i < group->count; i++)
        vp_attract(&group->vps[i], VP_ATTENTION_HOLD);
}

static uint32_t started(const struct vp_group *group)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < group->count; i++)
        count += group->vps[i].started;
    return count;
}

void vp_group_wait(struct vp_group *group)
{
    pthread_mutex_lock(&group->lock);
    while (group->parked < started(group))
        pthread_cond_wait(&group->changed, &group->lock);
    pthread_mutex_unlock(&group->lock);
}

void vp_group_release(struct vp_group *group)
{
    pthread_mutex_lock(&group->lock);
    group->held = false;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
}

void vp_group_end(struct vp_group *group)
{
    vp_group_hold(group);
    pthread_mutex_lock(&group->lock);
    group->ending = true;
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->lock);
    for (uint32_t i = 0; i < group->count; i++)
        if (group->vps[i].started)
            pthread_join(group->vps[i].thread, NULL);
    free(group->vps);
    group->vps = NULL;
    group->count = 0;
    pthread_cond_destroy(&group->changed);
    pthread_mutex_destroy(&group->lock);
}
