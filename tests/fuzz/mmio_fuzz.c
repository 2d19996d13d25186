/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The MMIO emulator and port strings on what a guest may come up with: any instruction bytes in any processor
 * state. Nothing but the guest's own RAM and its devices may be touched.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/worker/io_port.h"
#include "partitions/root/worker/mmio_emulator.h"
#include "partitions/root/worker/processor_mode.h"

#define RAM_SIZE 0x8000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t ram_bytes[RAM_SIZE];
static uint8_t xmm_registers[16][16];

static uint64_t device_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    return offset * 0x0101010101010101ull + size;
}

static void device_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    (void)device;
    if (size == 0 || size > 8 || offset + size > 0x10000 || (size < 8 && value >> (8 * size)))
        abort();
}

static size_t block_in(void *device, uint64_t offset, unsigned size, void *items, size_t count)
{
    (void)device;
    memset(items, (int)offset, count * size);
    return count > 3 ? 3 : count;
}

static size_t block_out(void *device, uint64_t offset, unsigned size, const void *items, size_t count)
{
    const uint8_t *bytes = items;

    (void)device;
    (void)offset;
    for (size_t i = 0; i < count * size; i++) /* all of it must be there */
        __asm__ volatile("" ::"r"(bytes[i]));
    return count;
}

static const struct bus_operations operations = {
    .read = device_read, .write = device_write, .block_in = block_in, .block_out = block_out};

/* Pages: 0-7 RAM, 8-15 and a few others devices, odd ones beyond not there, the rest folded into those. */
static bool translate(void *context, const struct hv_vp_register_page *registers, uint64_t linear,
                      enum memory_intent intent, uint64_t *gpa, struct exception *exception)
{
    uint64_t page = linear >> 12;

    (void)context;
    (void)registers;
    *gpa = (page & 15) << 12 | (linear & 0xFFF);
    *exception =
        (struct exception){.vector = EXCEPTION_PAGE_FAULT, .has_error_code = true, .parameter = linear};
    return !(page & 16) && !(intent == MEMORY_WRITE && (page & 32));
}

static uint8_t *ram(void *context, uint64_t gpa, enum memory_intent intent)
{
    (void)context;
    (void)intent;
    return gpa < RAM_SIZE ? ram_bytes + gpa : NULL;
}

static bool get_xmm(void *context, unsigned index, uint8_t value[16])
{
    (void)context;
    if (index > 15)
        abort();
    memcpy(value, xmm_registers[index], 16);
    return true;
}

static bool set_xmm(void *context, unsigned index, const uint8_t value[16])
{
    (void)context;
    if (index > 15)
        abort();
    memcpy(xmm_registers[index], value, 16);
    return true;
}

struct input {
    struct hv_vp_register_page registers;
    struct hv_x64_memory_intercept_message memory;
    struct hv_x64_io_port_intercept_message port;
    uint8_t which;
};

static void check_registers(const struct hv_vp_register_page *before, const struct hv_vp_register_page *after)
{
    /* Only what the dirty bits can carry back may change. */
    if (memcmp(before->segment, after->segment, sizeof before->segment) || before->cr0 != after->cr0 ||
        before->efer != after->efer)
        abort();
    if (before->rip != after->rip && !(after->dirty & HV_REGISTER_PAGE_DIRTY_IP))
        abort();
    if (memcmp(before->gp_registers, after->gp_registers, sizeof before->gp_registers) &&
        !(after->dirty & HV_REGISTER_PAGE_DIRTY_GP))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct bus bus;
    struct memory_environment environment = {
        .translate = translate, .ram = ram, .bus = &bus, .device_lock = &lock};
    struct memory_access access;
    struct mmio_emulator emulator = {.memory = &access, .get_xmm = get_xmm, .set_xmm = set_xmm};
    struct input input = {0};
    struct hv_vp_register_page before;

    /* Instruction bytes first: they matter most. */
    memcpy(input.memory.instruction_bytes, data, size < 16 ? size : 16);
    memcpy(input.port.instruction_bytes, input.memory.instruction_bytes, 16);
    if (size > 16)
        memcpy(&input, data + 16, size - 16 < sizeof input ? size - 16 : sizeof input);
    memcpy(input.memory.instruction_bytes, data, size < 16 ? size : 16);
    input.registers.dirty = 0;
    if (!bus.count[BUS_MEMORY]) {
        bus_initialize(&bus);
        bus_add(&bus, BUS_MEMORY, RAM_SIZE, 0x4000, &operations, NULL, "device");
        bus_add(&bus, BUS_PORTS, 0, 0x8000, &operations, NULL, "ports");
    }
    memory_access_initialize(&access, &environment);
    before = input.registers;
    if (input.which & 1) {
        /* The hypervisor sends only sizes that exist, and lengths that an instruction can have. */
        static const uint8_t sizes[] = {1, 2, 4, 4};

        input.port.access_info = (uint8_t)((input.port.access_info & ~HV_IO_PORT_ACCESS_SIZE_MASK) |
                                           sizes[input.port.access_info & 3]);
        io_port_run(&access, &input.registers, &input.port);
    } else {
        mmio_emulator_run(&emulator, &input.registers, &input.memory);
    }
    check_registers(&before, &input.registers);
    return 0;
}
