/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/task_switch.h"

#include <stddef.h>
#include <string.h>

#include "hv/hypercall.h"
#include "hv/loam.h"
#include "partitions/root/worker/processor_mode.h"
#include "partitions/root/worker/task_segment.h"
#include "partitions/root/worker/task_state.h"

#define RFLAGS_FIXED   0x2ull
#define RFLAGS_DEFINED 0x3F7FD7ull
#define DR6_BT         0x8000u  /* a task's T bit */
#define DR7_LOCAL      0x155ull /* L0 to L3, LE */

/* PAE's four top entries (SDM vol. 3A, 4.4.1). */
#define POINTERS               4u
#define POINTERS_MASK          0xFFFFFFE0u
#define POINTER_PRESENT        0x1ull
#define POINTER_RESERVED       0x1E6ull
#define MAXIMUM_PHYSICAL_WIDTH 52u

struct task_switch {
    const struct partition *partition;
    uint32_t vp;
    unsigned status; /* of the hypervisor's last answer */
    uint64_t parameter;
    enum loam_task_switch_source source;
    struct memory_access *memory;
    struct hv_vp_register_page registers; /* of the old task, then of the new one */
    struct hv_vp_register_page system;    /* of the accesses that the processor makes for itself */
    struct hv_x64_segment_register tr;
    struct task_tables tables;
    struct task_descriptor descriptor; /* of the new TSS */
    const struct task_format *old_format, *new_format;
    struct task_state state; /* in the new TSS */
};

/* --- the VP's registers --- */

/* Those of 64 bits that the register page has, too. */
static const struct {
    uint32_t name;
    uint16_t offset;
    bool changes;
} page_registers[] = {
    {HV_X64_REGISTER_RIP,         offsetof(struct hv_vp_register_page, rip),             true },
    {HV_X64_REGISTER_RFLAGS,      offsetof(struct hv_vp_register_page, rflags),          true },
    {HV_X64_REGISTER_CR0,         offsetof(struct hv_vp_register_page, cr0),             true },
    {HV_X64_REGISTER_CR3,         offsetof(struct hv_vp_register_page, cr3),             false}, /* set before */
    {HV_X64_REGISTER_CR4,         offsetof(struct hv_vp_register_page, cr4),             false},
    {HV_X64_REGISTER_EFER,        offsetof(struct hv_vp_register_page, efer),            false},
    {HV_X64_REGISTER_DR7,         offsetof(struct hv_vp_register_page, dr7),             true },
    {HV_REGISTER_INTERRUPT_STATE, offsetof(struct hv_vp_register_page, interrupt_state), true },
};

enum {
    PAGE_REGISTERS = sizeof page_registers / sizeof page_registers[0],
    /* general registers, those above, segments, LDTR, TR, GDTR; the pending event */
    MAXIMUM_REGISTERS = TASK_GP_REGISTERS + PAGE_REGISTERS + TASK_SEGMENTS + 3 + 1
};

/* A list of registers by name, and where the values are in this file's structures. */
struct register_list {
    uint32_t names[MAXIMUM_REGISTERS];
    void *values[MAXIMUM_REGISTERS];
    size_t sizes[MAXIMUM_REGISTERS];
    unsigned count;
};

static void add(struct register_list *list, uint32_t name, void *value, size_t size)
{
    list->names[list->count] = name;
    list->values[list->count] = value;
    list->sizes[list->count++] = size;
}

static void list_registers(struct task_switch *task, bool all, struct register_list *list)
{
    list->count = 0;
    for (unsigned i = 0; i < TASK_GP_REGISTERS; i++)
        add(list, HV_X64_REGISTER_RAX + i, &task->registers.gp_registers[i], sizeof(uint64_t));
    for (unsigned i = 0; i < TASK_SEGMENTS; i++)
        add(list, HV_X64_REGISTER_ES + i, &task->registers.segment[i], sizeof task->tr);
    add(list, HV_X64_REGISTER_LDTR, &task->tables.ldt, sizeof task->tr);
    add(list, HV_X64_REGISTER_TR, &task->tr, sizeof task->tr);
    for (unsigned i = 0; i < PAGE_REGISTERS; i++)
        if (all || page_registers[i].changes)
            add(list, page_registers[i].name, (uint8_t *)&task->registers + page_registers[i].offset, sizeof(uint64_t));
}

static bool get_registers(struct task_switch *task)
{
    struct hv_x64_table_register gdtr;
    struct register_list list;
    union hv_register_value values[MAXIMUM_REGISTERS];

    list_registers(task, true, &list);
    add(&list, HV_X64_REGISTER_GDTR, &gdtr, sizeof gdtr);
    task->status = partition_get_registers(task->partition, task->vp, list.names, values, list.count);
    if (task->status != HV_STATUS_SUCCESS)
        return false;
    for (unsigned i = 0; i < list.count; i++)
        memcpy(list.values[i], &values[i], list.sizes[i]);
    task->tables.gdt = (struct hv_x64_segment_register){.base = gdtr.base, .limit = gdtr.limit};
    task->system.cr0 = task->registers.cr0;
    task->system.cr4 = task->registers.cr4;
    task->system.efer = task->registers.efer;
    return true;
}

static bool set_registers(struct task_switch *task, const struct hv_register_assoc *registers, unsigned count)
{
    task->status = partition_set_registers(task->partition, task->vp, registers, count);
    return task->status == HV_STATUS_SUCCESS;
}

/* --- exceptions --- */

static unsigned event_type(const struct task_switch *task)
{
    return task->parameter >> LOAM_TASK_SWITCH_TYPE_SHIFT & HV_PENDING_INTERRUPTION_TYPE_MASK;
}

/* An exception that went through the task gate, or -1. */
static int delivered_exception(const struct task_switch *task)
{
    if (task->source != LOAM_TASK_SWITCH_GATE || event_type(task) != HV_INTERRUPTION_TYPE_EXCEPTION)
        return -1;
    return task->parameter >> LOAM_TASK_SWITCH_EXCEPTION_SHIFT & 31;
}

static bool is_contributory(int vector)
{
    return vector == EXCEPTION_DIVIDE || (vector >= EXCEPTION_INVALID_TSS && vector <= EXCEPTION_GENERAL_PROTECTION);
}

/* What two exceptions make, one in the delivery of the other (SDM vol. 3A, table 6-5). False: a triple fault. */
static bool combine(int first, struct exception *second)
{
    bool again = is_contributory((int)second->vector) || second->vector == EXCEPTION_PAGE_FAULT;

    if (first == EXCEPTION_DOUBLE_FAULT && again)
        return false;
    if ((is_contributory(first) && is_contributory((int)second->vector)) || (first == EXCEPTION_PAGE_FAULT && again))
        *second = (struct exception){.vector = EXCEPTION_DOUBLE_FAULT, .has_error_code = true};
    return true;
}

static struct hv_register_assoc pending_event(const struct exception *exception)
{
    return (struct hv_register_assoc){
        .name = HV_REGISTER_PENDING_EVENT0,
        .value.words = {HV_PENDING_EVENT_PENDING | (uint64_t)exception->vector << HV_PENDING_EVENT_VECTOR_SHIFT |
                            (uint64_t)exception->error_code << HV_PENDING_EVENT_ERROR_CODE_SHIFT |
                            (exception->has_error_code ? HV_PENDING_EVENT_DELIVER_ERROR_CODE : 0),
                        exception->parameter},
    };
}

/* Of the old task, in which nothing has changed. */
static enum task_switch_result raise_in_old_task(struct task_switch *task)
{
    struct hv_register_assoc event;

    if (!combine(delivered_exception(task), &task->tables.exception))
        return TASK_SWITCH_SHUTDOWN;
    event = pending_event(&task->tables.exception);
    return set_registers(task, &event, 1) ? TASK_SWITCH_DONE : TASK_SWITCH_REFUSED;
}

/* --- the old task: all that can fail before anything has changed --- */

static bool is_return(const struct task_switch *task)
{
    return task->source == LOAM_TASK_SWITCH_IRET;
}

/* The old task is the new one's backlink. */
static bool is_nested(const struct task_switch *task)
{
    return task->source == LOAM_TASK_SWITCH_CALL || task->source == LOAM_TASK_SWITCH_GATE;
}

static bool check_descriptor(struct task_switch *task)
{
    uint16_t selector = task->parameter & LOAM_TASK_SWITCH_SELECTOR_MASK;
    enum exception_vector wrong = is_return(task) ? EXCEPTION_INVALID_TSS : EXCEPTION_GENERAL_PROTECTION;
    unsigned wanted = is_return(task) ? SEGMENT_TYPE_TSS_BUSY : SEGMENT_TYPE_TSS;
    const struct hv_x64_segment_register *segment = &task->descriptor.segment;

    if (selector & SELECTOR_TI)
        return task_raise(&task->tables, wrong, selector);
    if (!task_descriptor_find(&task->tables, selector, wrong, &task->descriptor))
        return false;
    if ((segment->attributes & HV_SEGMENT_S) || (task_segment_type(segment) & ~SEGMENT_TYPE_386) != wanted)
        return task_raise(&task->tables, wrong, selector);
    if (!(segment->attributes & HV_SEGMENT_P))
        return task_raise(&task->tables, EXCEPTION_SEGMENT_NOT_PRESENT, selector);
    task->new_format = task_format(task_segment_type(segment));
    if (segment->limit < task->new_format->size - 1)
        return task_raise(&task->tables, EXCEPTION_INVALID_TSS, selector);
    return true;
}

static uint64_t old_descriptor(const struct task_switch *task)
{
    return task->tables.gdt.base + (task->tr.selector & SELECTOR_INDEX);
}

static uint64_t saved_state(const struct task_switch *task)
{
    return task->tr.base + task->old_format->first;
}

/* What will be written has to be there, and writable (8.3, step 5). */
static bool check_memory(struct task_switch *task)
{
    uint8_t unused[TASK_STATE_MAXIMUM];
    uint64_t new = task->descriptor.segment.base;
    uint32_t saved = task_saved_size(task->old_format);

    if (task->tr.limit < task->old_format->first + saved - 1)
        return task_raise(&task->tables, EXCEPTION_INVALID_TSS, task->tr.selector);
    if (!memory_access_read(task->memory, saved_state(task), unused, saved, MEMORY_WRITE) ||
        !memory_access_read(task->memory, new, unused, task->new_format->size, MEMORY_READ) ||
        (is_nested(task) && !memory_access_read(task->memory, new, unused, sizeof(uint16_t), MEMORY_WRITE)) ||
        (!is_nested(task) &&
         !memory_access_read(task->memory, old_descriptor(task), unused, sizeof(uint64_t), MEMORY_WRITE)) ||
        (!is_return(task) &&
         !memory_access_read(task->memory, task->descriptor.linear, unused, sizeof(uint64_t), MEMORY_WRITE)))
        return task_raise_memory_exception(&task->tables);
    return true;
}

/* Only another VP that changes the page tables at this moment can make these fail. */
static bool set_busy(struct task_switch *task, uint64_t descriptor, unsigned type)
{
    uint32_t words[2];

    if (!memory_access_read(task->memory, descriptor, words, sizeof words, MEMORY_WRITE))
        return task_raise_memory_exception(&task->tables);
    return task_descriptor_write_attributes(
        &task->tables, descriptor,
        (uint8_t)((words[1] >> 8 & ~(uint32_t)(SEGMENT_TYPE_TSS_BUSY & ~SEGMENT_TYPE_TSS)) | type));
}

/* Steps 6 to 8, and the backlink. EIP is that of the next instruction, or what an event would have saved. */
static bool save_old_task(struct task_switch *task)
{
    uint8_t saved[TASK_STATE_MAXIMUM];
    uint32_t length = task->parameter >> LOAM_TASK_SWITCH_LENGTH_SHIFT & 15;
    uint64_t flags = is_return(task) ? task->registers.rflags & ~RFLAGS_NT : task->registers.rflags;

    if (!is_nested(task) && !set_busy(task, old_descriptor(task), 0))
        return false;
    task_save(task->old_format, &task->registers, (uint32_t)task->registers.rip + length, (uint32_t)flags, saved);
    if (!memory_access_write(task->memory, saved_state(task), saved, task_saved_size(task->old_format)) ||
        (is_nested(task) && !memory_access_write(task->memory, task->descriptor.segment.base, &task->tr.selector,
                                                 sizeof task->tr.selector)))
        return task_raise_memory_exception(&task->tables);
    return true;
}

/* Step 10, and what the new task begins with: read when the old one has been saved, as they may be the same. */
static bool read_new_task(struct task_switch *task)
{
    const unsigned busy = SEGMENT_TYPE_TSS_BUSY & ~SEGMENT_TYPE_TSS;
    uint8_t image[TASK_STATE_MAXIMUM] = {0};

    if (!is_return(task) && !set_busy(task, task->descriptor.linear, busy))
        return false;
    if (!memory_access_read(task->memory, task->descriptor.segment.base, image, task->new_format->size, MEMORY_READ))
        return task_raise_memory_exception(&task->tables);
    task_load(task->new_format, image, &task->state);
    task->descriptor.segment.attributes |= busy;
    return true;
}

/* --- the new task --- */

static bool in_virtual_8086_mode(const struct task_switch *task)
{
    return (task->registers.rflags & RFLAGS_VM) != 0;
}

static unsigned new_privilege(const struct task_switch *task)
{
    return in_virtual_8086_mode(task) ? 3 : task->state.segments[SEGMENT_CS] & SELECTOR_RPL;
}

/* Steps 9, 11 and 12, but for CR3. */
static void begin_new_task(struct task_switch *task)
{
    struct hv_vp_register_page *registers = &task->registers;

    task->tr = task->descriptor.segment;
    registers->rip = task->state.ip;
    registers->rflags = (task->state.flags & RFLAGS_DEFINED) | RFLAGS_FIXED | (is_nested(task) ? RFLAGS_NT : 0);
    for (unsigned i = 0; i < TASK_GP_REGISTERS; i++)
        registers->gp_registers[i] = task->state.gp_registers[i];
    registers->cr0 |= CR0_TS;
    registers->dr7 &= ~DR7_LOCAL;
    registers->interrupt_state &= ~HV_INTERRUPT_STATE_SHADOW;
    if (is_return(task))
        registers->interrupt_state &= ~HV_INTERRUPT_STATE_NMI_MASKED;
    for (unsigned i = 0; i < TASK_SEGMENTS; i++)
        registers->segment[i] = in_virtual_8086_mode(task)
                                    ? task_virtual_segment(task->state.segments[i])
                                    : task_unloaded_segment(i, task->state.segments[i], new_privilege(task));
    task->tables.ldt = (struct hv_x64_segment_register){.selector = task->state.ldt};
}

/* PAE's top entries are loaded with CR3, and have to be good. */
static bool check_pointers(struct task_switch *task)
{
    const struct memory_environment *environment = task->memory->environment;
    const uint8_t *host = environment->ram(environment->context, task->state.cr3 & POINTERS_MASK, MEMORY_READ);
    uint64_t width = 0, entry;

    if (!host)
        return task_raise(&task->tables, EXCEPTION_GENERAL_PROTECTION, 0);
    if (partition_get_property(task->partition, HV_PARTITION_PROPERTY_PHYSICAL_ADDRESS_WIDTH, &width) !=
            HV_STATUS_SUCCESS ||
        width > MAXIMUM_PHYSICAL_WIDTH)
        width = MAXIMUM_PHYSICAL_WIDTH;
    for (unsigned i = 0; i < POINTERS; i++) {
        memcpy(&entry, host + i * sizeof entry, sizeof entry);
        if ((entry & POINTER_PRESENT) && (entry & (POINTER_RESERVED | ~0ull << width)))
            return task_raise(&task->tables, EXCEPTION_GENERAL_PROTECTION, 0);
    }
    return true;
}

/* The hypervisor's, too, at once: the walks of the guest's tables that follow begin there. */
static bool load_cr3(struct task_switch *task)
{
    struct hv_register_assoc cr3 = {.name = HV_X64_REGISTER_CR3, .value.low = task->state.cr3};

    if (!(task->registers.cr0 & CR0_PG) || task->new_format->width != sizeof task->state.cr3)
        return true;
    if ((task->registers.cr4 & CR4_PAE) && !check_pointers(task))
        return false;
    if (!set_registers(task, &cr3, 1))
        return false;
    memory_access_begin(task->memory, &task->system);
    return true;
}

static bool load_segments(struct task_switch *task)
{
    static const enum segment_register order[] = {SEGMENT_CS, SEGMENT_SS, SEGMENT_ES,
                                                  SEGMENT_DS, SEGMENT_FS, SEGMENT_GS};

    if (!task_load_ldt(&task->tables, task->state.ldt))
        return false;
    if (in_virtual_8086_mode(task))
        return true;
    for (unsigned i = 0; i < TASK_SEGMENTS; i++)
        if (!task_load_segment(&task->tables, order[i], task->state.segments[order[i]], new_privilege(task),
                               &task->registers.segment[order[i]]))
            return false;
    return true;
}

/* The event's, on the new task's stack; as wide as the TSS. */
static bool push_error_code(struct task_switch *task)
{
    uint32_t error_code = (uint32_t)(task->parameter >> LOAM_TASK_SWITCH_ERROR_CODE_SHIFT);
    unsigned size = task->new_format->width;
    uint64_t mask = task->registers.segment[SEGMENT_SS].attributes & HV_SEGMENT_DB ? 0xFFFFFFFF : 0xFFFF;
    uint64_t stack = task->registers.gp_registers[GP_RSP], pointer = (stack - size) & mask, linear;

    if (task->source != LOAM_TASK_SWITCH_GATE || !(task->parameter & LOAM_TASK_SWITCH_ERROR_CODE_VALID))
        return true;
    if (!linear_address(&task->registers, SEGMENT_SS, pointer, size, true, &linear, &task->tables.exception))
        return task_raise(&task->tables, EXCEPTION_STACK, 0);
    memory_access_begin(task->memory, &task->registers);
    if (!memory_access_write(task->memory, linear, &error_code, size))
        return task_raise_memory_exception(&task->tables);
    task->registers.gp_registers[GP_RSP] = (stack & ~mask) | pointer;
    return true;
}

static bool check_ip(struct task_switch *task)
{
    return task->registers.rip <= task->registers.segment[SEGMENT_CS].limit ||
           task_raise(&task->tables, EXCEPTION_GENERAL_PROTECTION, 0);
}

static bool write_new_task(struct task_switch *task, const struct exception *exception)
{
    struct hv_register_assoc registers[MAXIMUM_REGISTERS] = {0};
    struct register_list list;

    list_registers(task, false, &list);
    for (unsigned i = 0; i < list.count; i++) {
        registers[i].name = list.names[i];
        memcpy(&registers[i].value, list.values[i], list.sizes[i]);
    }
    if (exception)
        registers[list.count++] = pending_event(exception);
    return set_registers(task, registers, list.count);
}

/* From here on the new task is what an exception interrupts, before its first instruction. */
static enum task_switch_result enter_new_task(struct task_switch *task)
{
    static const struct exception debug_trap = {.vector = EXCEPTION_DEBUG, .parameter = DR6_BT};
    const struct exception *exception = task->state.debug_trap ? &debug_trap : NULL;

    begin_new_task(task);
    if (!load_cr3(task) || !load_segments(task) || !push_error_code(task) || !check_ip(task)) {
        if (task->status != HV_STATUS_SUCCESS)
            return TASK_SWITCH_REFUSED;
        if (!combine(delivered_exception(task), &task->tables.exception))
            return TASK_SWITCH_SHUTDOWN;
        exception = &task->tables.exception;
    }
    return write_new_task(task, exception) ? TASK_SWITCH_DONE : TASK_SWITCH_REFUSED;
}

/* Whether the event is one that the program did not make: then error codes have EXT. */
static bool is_external(const struct task_switch *task)
{
    return task->source == LOAM_TASK_SWITCH_GATE && event_type(task) != HV_INTERRUPTION_TYPE_SOFTWARE_INTERRUPT &&
           event_type(task) != HV_INTERRUPTION_TYPE_SOFTWARE_EXCEPTION;
}

enum task_switch_result task_switch_run(const struct partition *partition, uint32_t vp, struct memory_access *memory,
                                        uint64_t parameter, unsigned *status)
{
    struct task_switch task = {
        .partition = partition,
        .vp = vp,
        .parameter = parameter,
        .source = parameter >> LOAM_TASK_SWITCH_SOURCE_SHIFT & 3,
        .memory = memory,
        .tables.memory = memory,
    };
    enum task_switch_result result = TASK_SWITCH_REFUSED;

    if (get_registers(&task)) {
        task.tables.external = is_external(&task) ? ERROR_CODE_EXT : 0;
        task.old_format = task_format(task_segment_type(&task.tr));
        memory_access_begin(memory, &task.system);
        if (check_descriptor(&task) && check_memory(&task) && save_old_task(&task) && read_new_task(&task))
            result = enter_new_task(&task);
        else
            result = raise_in_old_task(&task);
    }
    *status = task.status;
    return result;
}
