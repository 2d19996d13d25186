// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define HANDLER_SIZE        32u
#define MSR_APIC_BASE       0x1Bu
#define MSR_X2APIC_EOI      0x80Bu
#define MSR_X2APIC_SPURIOUS 0x80Fu
#define APIC_BASE_X2APIC    0xFEE00C00u
#define APIC_BASE_BOOT      0x100u
#define APIC_ENABLED        0x1FFu

void code_bytes(struct code *code, const void *bytes, size_t size)
{
    CHECK(size <= sizeof(code->bytes) - code->size);
    memcpy(code->bytes + code->size, bytes, size);
    code->size += size;
}

void code_out(struct code *code, uint8_t port, uint8_t value)
{
    CODE(code, 0xB0, value, 0xE6, port); /* mov al, value; out port, al */
}

/* mov r32, value */
static void code_load(struct code *code, unsigned number, uint32_t value)
{
    CODE(code, 0x66, (uint8_t)(0xB8 + number));
    code_bytes(code, &value, sizeof(value));
}

void code_write_msr(struct code *code, uint32_t msr, uint32_t low, uint32_t high)
{
    code_load(code, 0, low);
    code_load(code, 1, msr);
    code_load(code, 2, high);
    CODE(code, 0x0F, 0x30);
}

void code_enable_x2apic(struct code *code, bool boot_vp)
{
    code_write_msr(code, MSR_APIC_BASE, APIC_BASE_X2APIC | (boot_vp ? APIC_BASE_BOOT : 0), 0);
    code_write_msr(code, MSR_X2APIC_SPURIOUS, APIC_ENABLED, 0);
}

int machine_set_memory(struct machine *machine, uint8_t flags, uint64_t guest_pfn, const void *address,
                       size_t size)
{
    struct mshv_user_mem_region region = {
        .size = size, .guest_pfn = guest_pfn, .userspace_addr = (uintptr_t)address, .flags = flags};

    return ioctl(machine->partition, MSHV_SET_GUEST_MEMORY, &region);
}

void machine_create(struct machine *machine, uint64_t flags, size_t ram)
{
    struct mshv_create_partition request = {.pt_flags = flags};
    unsigned i;

    *machine = (struct machine){0};
    for (i = 0; i < MACHINE_VPS; i++)
        machine->vp[i] = -1;
    machine->device = open("/dev/mshv", O_RDWR | O_CLOEXEC);
    CHECK(machine->device >= 0);
    machine->partition = ioctl(machine->device, MSHV_CREATE_PARTITION, &request);
    CHECK(machine->partition >= 0);
    CHECK_EQUAL(ioctl(machine->partition, MSHV_INITIALIZE_PARTITION), 0);
    if (ram == 0)
        return;
    machine->ram = mmap(NULL, ram, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(machine->ram != MAP_FAILED);
    CHECK_EQUAL(
        machine_set_memory(machine, MSHV_SET_MEM_WRITABLE | MSHV_SET_MEM_EXECUTABLE, 0, machine->ram, ram),
        0);
}

static void prepare_boot_vp(struct machine *machine)
{
    struct hv_x64_segment_register code = {.limit = 0xFFFF, .attributes = 0x9B};
    uint64_t rip = MACHINE_CODE, rsp = MACHINE_STACK;

    machine_set_register(machine->vp[0], 0, HV_X64_REGISTER_CS, &code, sizeof(code));
    machine_set_register(machine->vp[0], 0, HV_X64_REGISTER_RIP, &rip, sizeof(rip));
    machine_set_register(machine->vp[0], 0, HV_X64_REGISTER_RSP, &rsp, sizeof(rsp));
}

void machine_create_vp(struct machine *machine, uint32_t index)
{
    struct mshv_create_vp request = {.vp_index = index};

    machine->vp[index] = ioctl(machine->partition, MSHV_CREATE_VP, &request);
    CHECK(machine->vp[index] >= 0);
    machine->registers[index] =
        mmap(NULL, HV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vp[index], 0);
    CHECK(machine->registers[index] != MAP_FAILED);
    if (index == 0)
        prepare_boot_vp(machine);
}

void machine_load(struct machine *machine, uint32_t address, const void *code, size_t size)
{
    CHECK(address + size <= MACHINE_RAM);
    memcpy(machine->ram + address, code, size);
}

void machine_start(struct machine *machine, const struct code *code)
{
    machine_create(machine, MACHINE_FLAGS, MACHINE_RAM);
    machine_load(machine, MACHINE_CODE, code->bytes, code->size);
    machine_create_vp(machine, 0);
}

void machine_set_handler(struct machine *machine, uint8_t vector, uint8_t port)
{
    uint32_t address = MACHINE_HANDLERS + vector * HANDLER_SIZE;
    const uint16_t entry[2] = {(uint16_t)address, 0};
    struct code code = {.size = 0};

    code_out(&code, port, vector);
    code_write_msr(&code, MSR_X2APIC_EOI, 0, 0);
    CODE(&code, CODE_IRET);
    CHECK(code.size <= HANDLER_SIZE);
    machine_load(machine, vector * 4u, entry, sizeof(entry));
    machine_load(machine, address, code.bytes, code.size);
}

void machine_destroy(struct machine *machine)
{
    unsigned i;

    for (i = 0; i < MACHINE_VPS; i++)
        if (machine->vp[i] >= 0) {
            CHECK_EQUAL(munmap(machine->registers[i], HV_PAGE_SIZE), 0);
            CHECK_EQUAL(close(machine->vp[i]), 0);
        }
    CHECK_EQUAL(close(machine->partition), 0);
    CHECK_EQUAL(close(machine->device), 0);
    if (machine->ram)
        CHECK_EQUAL(munmap(machine->ram, MACHINE_RAM), 0);
}

void machine_run(struct machine *machine, uint32_t index, struct hv_message *message, uint32_t type)
{
    CHECK_EQUAL(ioctl(machine->vp[index], MSHV_RUN_VP, message), 0);
    CHECK_EQUAL(message->header.message_type, type);
}

uint8_t machine_run_to_out(struct machine *machine, uint32_t index, uint8_t port)
{
    struct hv_x64_io_port_intercept_message *intercept;
    struct hv_vp_register_page *page = machine->registers[index];
    struct hv_message message;

    machine_run(machine, index, &message, HVMSG_X64_IO_PORT_INTERCEPT);
    intercept = (void *)message.payload;
    CHECK_EQUAL(intercept->port_number, port);
    CHECK_EQUAL(intercept->header.intercept_access_type, HV_INTERCEPT_ACCESS_WRITE);
    CHECK_EQUAL(page->isvalid, 1);
    page->rip = intercept->header.rip + (intercept->header.instruction_length_cr8 & 0xF);
    page->dirty |= HV_REGISTER_PAGE_DIRTY_IP;
    return (uint8_t)intercept->rax;
}

int machine_call(int fd, uint16_t code, uint16_t *reps, const void *input, size_t input_size, void *output,
                 size_t output_size, uint16_t *status)
{
    struct mshv_root_hvcall call = {
        .code = code,
        .reps = reps ? *reps : 0,
        .in_sz = (uint16_t)input_size,
        .out_sz = (uint16_t)output_size,
        .in_ptr = (uintptr_t)input,
        .out_ptr = (uintptr_t)output,
    };
    int result = ioctl(fd, MSHV_ROOT_HVCALL, &call);

    if (reps)
        *reps = call.reps;
    if (status)
        *status = call.status;
    return result;
}

void machine_set_register(int fd, uint32_t vp, uint32_t name, const void *value, size_t size)
{
    struct {
        struct hv_input_set_vp_registers header;
        struct hv_register_assoc element;
    } HV_PACKED input = {.header.vp_index = vp, .element.name = name};
    uint16_t reps = 1;

    memcpy(&input.element.value, value, size);
    CHECK_EQUAL(machine_call(fd, HVCALL_SET_VP_REGISTERS, &reps, &input, sizeof(input), NULL, 0, NULL), 0);
    CHECK_EQUAL(reps, 1);
}

uint64_t machine_get_register(int fd, uint32_t vp, uint32_t name)
{
    struct {
        struct hv_input_get_vp_registers header;
        uint32_t name;
    } HV_PACKED input = {.header.vp_index = vp, .name = name};
    union hv_register_value value;
    uint16_t reps = 1;

    CHECK_EQUAL(
        machine_call(fd, HVCALL_GET_VP_REGISTERS, &reps, &input, sizeof(input), &value, sizeof(value), NULL),
        0);
    CHECK_EQUAL(reps, 1);
    return value.low;
}

int machine_assert_interrupt(int fd, uint32_t vector, uint64_t destination)
{
    struct hv_input_assert_virtual_interrupt input = {.vector = vector, .destination = destination};

    return machine_call(fd, HVCALL_ASSERT_VIRTUAL_INTERRUPT, NULL, &input, sizeof(input), NULL, 0, NULL);
}
