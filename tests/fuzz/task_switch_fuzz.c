/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task switches with anything in the guest's tables and registers. Nothing but the guest's RAM may be touched, and
 * what the VP is given must be a state that VT-x can be entered with (SDM vol. 3C, 27.3.1), or nothing at all.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hv/hypercall.h"
#include "hv/loam.h"
#include "partitions/root/worker/processor_mode.h"
#include "partitions/root/worker/task_switch.h"
#include "tests/fuzz/fuzz_input.h"

#define RAM_SIZE 0x4000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t ram_bytes[RAM_SIZE];

/* --- the hypervisor: registers that hold what was set --- */

static struct {
    struct hv_register_assoc registers[64];
    unsigned count;
    bool task_register_set;
} hypervisor;

static struct hv_register_assoc *find_register(uint32_t name)
{
    for (unsigned i = 0; i < hypervisor.count; i++)
        if (hypervisor.registers[i].name == name)
            return &hypervisor.registers[i];
    if (hypervisor.count == sizeof hypervisor.registers / sizeof hypervisor.registers[0])
        abort();
    hypervisor.registers[hypervisor.count] = (struct hv_register_assoc){.name = name};
    return &hypervisor.registers[hypervisor.count++];
}

unsigned partition_get_registers(const struct partition *partition, uint32_t vp, const uint32_t *names,
                                 union hv_register_value *values, unsigned count)
{
    (void)partition, (void)vp;
    for (unsigned i = 0; i < count; i++)
        values[i] = find_register(names[i])->value;
    return HV_STATUS_SUCCESS;
}

unsigned partition_set_registers(const struct partition *partition, uint32_t vp,
                                 const struct hv_register_assoc *registers, unsigned count)
{
    (void)partition, (void)vp;
    for (unsigned i = 0; i < count; i++) {
        find_register(registers[i].name)->value = registers[i].value;
        hypervisor.task_register_set |= registers[i].name == HV_X64_REGISTER_TR;
    }
    return HV_STATUS_SUCCESS;
}

unsigned partition_get_property(const struct partition *partition, uint32_t code, uint64_t *value)
{
    (void)partition, (void)code;
    *value = 40;
    return HV_STATUS_SUCCESS;
}

/* --- memory --- */

/* Pages 0 to 3 are RAM, 4 to 7 nobody's, then some that are not there or cannot be written; and so on. */
static bool translate(void *context, const struct hv_vp_register_page *registers, uint64_t linear,
                      enum memory_intent intent, uint64_t *gpa, struct exception *exception)
{
    uint64_t page = linear >> 12;

    (void)context, (void)registers;
    *gpa = (page & 7) << 12 | (linear & 0xFFF);
    *exception = (struct exception){.vector = EXCEPTION_PAGE_FAULT, .has_error_code = true, .parameter = linear};
    return !(page & 8) && !(intent == MEMORY_WRITE && (page & 16));
}

static uint8_t *ram(void *context, uint64_t gpa, enum memory_intent intent)
{
    (void)context, (void)intent;
    return gpa < RAM_SIZE ? ram_bytes + gpa : NULL;
}

static struct hv_x64_segment_register segment(uint32_t name)
{
    struct hv_x64_segment_register result;

    memcpy(&result, &find_register(name)->value, sizeof result);
    return result;
}

static void check_segment(uint32_t name, unsigned privilege)
{
    struct hv_x64_segment_register value = segment(name);
    unsigned type = value.attributes & HV_SEGMENT_TYPE_MASK, owner = value.attributes >> HV_SEGMENT_DPL_SHIFT & 3;

    if (name == HV_X64_REGISTER_SS && owner != privilege)
        abort();
    if (!(value.attributes & HV_SEGMENT_P)) {
        if (name == HV_X64_REGISTER_CS)
            abort();
        return;
    }
    if (!(value.attributes & HV_SEGMENT_S) || !(type & 1) || (value.attributes & 0x0F00) || value.base >> 32)
        abort();
    if (value.attributes & HV_SEGMENT_G ? (value.limit & 0xFFF) != 0xFFF : value.limit >> 20 != 0)
        abort();
    if (name == HV_X64_REGISTER_CS && (!(type & 8) || (type & 4 ? owner > privilege : owner != privilege)))
        abort();
    if (name == HV_X64_REGISTER_SS && (type & 0xA) != 2)
        abort();
    if ((type & 0xA) == 8 && name != HV_X64_REGISTER_CS)
        abort(); /* code that cannot be read */
}

static void check_virtual(uint32_t name)
{
    struct hv_x64_segment_register value = segment(name);

    if (value.base != (uint64_t)value.selector << 4 || value.limit != 0xFFFF || value.attributes != 0xF3)
        abort();
}

static void check_new_task(void)
{
    struct hv_x64_segment_register task = segment(HV_X64_REGISTER_TR), ldt = segment(HV_X64_REGISTER_LDTR);
    unsigned privilege = segment(HV_X64_REGISTER_CS).selector & 3;
    uint64_t flags = find_register(HV_X64_REGISTER_RFLAGS)->value.low;

    if ((task.attributes & 0x97) != 0x83 || (task.selector & 4) || !(flags & 2) || (flags & ~0x3F7FD7ull))
        abort();
    if ((ldt.attributes & HV_SEGMENT_P) && ((ldt.attributes & 0x1F) != 2 || (ldt.selector & 4)))
        abort();
    for (uint32_t name = HV_X64_REGISTER_ES; name <= HV_X64_REGISTER_GS; name++) {
        if (flags & RFLAGS_VM)
            check_virtual(name);
        else
            check_segment(name, privilege);
    }
}

/* Tasks that can be switched to, before the input changes bytes of them. */
#define OLD_TASK 0x18u
#define TABLES   0x1000u /* bytes of RAM with something in it */
static const struct {
    uint32_t base, limit;
    uint16_t attributes;
} descriptors[] = {
    {0x000, 0xFF,    0x000 },
    {0x000, 0xFFFFF, 0xC09A},
    {0x000, 0xFFFFF, 0xC092},
    {0x200, 0x67,    0x08B },
    {0x300, 0x67,    0x089 },
    {0x400, 0x2B,    0x081 },
    {0x500, 0x67,    0x08B },
    {0x600, 0x2B,    0x083 },
    {0x700, 0xFF,    0x082 },
    {0x000, 0xFFFFF, 0xC0FA},
    {0x000, 0xFFFFF, 0xC0F2},
    {0xFE0, 0x67,    0x089 },
};

static void write_tables(void)
{
    memset(ram_bytes, 0, sizeof ram_bytes);
    for (unsigned i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
        uint32_t words[2] = {descriptors[i].limit & 0xFFFF,
                             (descriptors[i].limit & 0xF0000) | (uint32_t)descriptors[i].attributes << 8};

        words[0] |= descriptors[i].base << 16;
        memcpy(ram_bytes + 8 * i, words, sizeof words);
        if (descriptors[i].limit == 0x67 && (descriptors[i].attributes & 0x10) == 0)
            for (unsigned segment_field = 0; segment_field < 6; segment_field++)
                ram_bytes[descriptors[i].base + 72 + 4 * segment_field] = segment_field == 1 ? 0x08 : 0x10;
        if (descriptors[i].limit == 0x2B)
            for (unsigned segment_field = 0; segment_field < 4; segment_field++)
                ram_bytes[descriptors[i].base + 34 + 2 * segment_field] = segment_field == 1 ? 0x08 : 0x10;
    }
}

static void set_registers(struct fuzz_input *input)
{
    const struct hv_x64_table_register gdtr = {.limit = 0x7F};
    static const uint32_t names[] = {HV_X64_REGISTER_RFLAGS, HV_X64_REGISTER_CR4, HV_X64_REGISTER_RIP};
    uint32_t choice = fuzz_take(input, 1);
    struct hv_x64_segment_register task = {.base = 0x200, .limit = 0x67, .selector = OLD_TASK, .attributes = 0x8B};

    if (choice & 1)
        task = (struct hv_x64_segment_register){.base = fuzz_take(input, 4),
                                                .limit = fuzz_take(input, 1),
                                                .selector = (uint16_t)fuzz_take(input, 2),
                                                .attributes = 0x83};
    memcpy(&find_register(HV_X64_REGISTER_GDTR)->value, &gdtr, sizeof gdtr);
    memcpy(&find_register(HV_X64_REGISTER_TR)->value, &task, sizeof task);
    find_register(HV_X64_REGISTER_CR0)->value.low = 1 | (choice & 2 ? 0x80000000 : 0);
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (choice & 4u << i)
            find_register(names[i])->value.low = fuzz_take(input, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct bus bus;
    struct fuzz_input input = {data, size};
    struct memory_environment environment = {.translate = translate, .ram = ram, .bus = &bus, .device_lock = &lock};
    struct memory_access memory;
    uint64_t parameter;
    unsigned status;

    hypervisor.count = 0;
    memory_access_initialize(&memory, &environment);
    parameter = fuzz_take(&input, 4) | (uint64_t)fuzz_take(&input, 2) << 32;
    set_registers(&input);
    hypervisor.task_register_set = false;
    write_tables();
    while (input.left) {
        unsigned at = fuzz_take(&input, 2) % TABLES;

        ram_bytes[at] = (uint8_t)fuzz_take(&input, 1);
    }
    switch (task_switch_run(NULL, 0, &memory, parameter, &status)) {
    case TASK_SWITCH_DONE:
        if (hypervisor.task_register_set)
            check_new_task();
        else if (!find_register(HV_REGISTER_PENDING_EVENT0)->value.low)
            abort();
        break;
    case TASK_SWITCH_SHUTDOWN:
        break;
    case TASK_SWITCH_REFUSED: /* which never happens here */
        abort();
    }
    return 0;
}
