// SPDX-License-Identifier: GPL-2.0-or-later
/* Processor state of guests: theirs alone, and no more than CPUID shows. Needs a real processor under it. */
#include <string.h>
#include <sys/syscall.h>

#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define PORT                0x10
#define INVALID_INSTRUCTION 6
#define XCR0_AVX            0x7u
#define DEBUG_ADDRESS       0x12345678u
#define MSR_TSC_AUX         0xC0000103u
#define MSR_GUEST_OS_ID        0x40000000u
#define INVALID_HYPERCALL_CODE 2
#define CR0_PE                 0x1u
#define CR0_ET                 0x10u
#define CR0_PG                 0x80000000u
#define EFER_LME               0x100u
#define SECOND_CODE         0x2000u

#define MOV_EAX_CR4  0x0F, 0x20, 0xE0
#define MOV_CR4_EAX  0x0F, 0x22, 0xE0
#define OR_EAX(...)  0x66, 0x0D, __VA_ARGS__ /* imm32 */
#define MOV_EAX(...) 0x66, 0xB8, __VA_ARGS__
#define XOR_ECX_ECX  0x66, 0x31, 0xC9
#define XOR_EDX_EDX  0x66, 0x31, 0xD2
#define OUT_AL       0xE6, PORT
#define OUT_EAX      0x66, 0xE7, PORT

static bool has_avx(void)
{
    return __builtin_cpu_supports("avx");
}

/* XSETBV shows in XCR0, in CPUID and to the parent, also on an emulator on which it does not exit. */
static void xcr0(void)
{
    struct code code = {.size = 0};
    struct machine machine;

    if (!has_avx())
        return;
    CODE(&code, MOV_EAX_CR4, OR_EAX(0x00, 0x02, 0x04, 0x00), MOV_CR4_EAX); /* OSFXSR, OSXSAVE */
    CODE(&code, MOV_EAX(XCR0_AVX, 0, 0, 0), XOR_ECX_ECX, XOR_EDX_EDX, 0x0F, 0x01, 0xD1);
    CODE(&code, MOV_EAX(0x0D, 0, 0, 0), XOR_ECX_ECX, 0x0F, 0xA2, 0x66, 0x89, 0xD8); /* CPUID; mov eax, ebx */
    CODE(&code, 0x66, 0xC1, 0xE8, 0x06, OUT_AL);                                    /* in units of 64 bytes */
    CODE(&code, XOR_ECX_ECX, 0x0F, 0x01, 0xD0, OUT_AL);                             /* XGETBV */
    CODE(&code, MOV_EAX(1, 0, 0, 0), 0x0F, 0xA2, 0x66, 0x0F, 0xBA, 0xE1, 27, 0x0F, 0x92, 0xC0, OUT_AL);
    machine_start(&machine, &code);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), (512 + 64 + 256) / 64);
    CHECK_EQUAL(machine_get_register(machine.vp[0], 0, HV_X64_REGISTER_XFEM), XCR0_AVX);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), XCR0_AVX);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), 1); /* OSXSAVE */
    machine_destroy(&machine);
}

/* Each of them is an invalid opcode, whatever the processor makes of it. */
static void hidden_instructions(void)
{
    static const uint8_t instructions[][3] = {
        {0x0F, 0x01, 0xD8}, /* VMRUN */
        {0x0F, 0x01, 0xDA}, /* VMLOAD */
        {0x0F, 0x01, 0xDD}, /* CLGI */
        {0x0F, 0x01, 0xDF}, /* INVLPGA */
        {0x0F, 0x01, 0xD9}, /* VMMCALL, as long as the guest has not introduced itself */
        {0x0F, 0x01, 0xC1}, /* VMCALL, too */
        {0x0F, 0x0B, 0x90}, /* UD2 */
        {0x0F, 0x01, 0xC8}, /* MONITOR */
        {0x0F, 0x01, 0xC9}, /* MWAIT */
        {0x0F, 0x01, 0xFA}, /* MONITORX */
        {0x0F, 0x01, 0xFD}, /* RDPRU */
        {0x0F, 0x33, 0x90}, /* RDPMC */
    };
    struct machine machine;
    unsigned i;

    for (i = 0; i < sizeof(instructions) / sizeof(instructions[0]); i++) {
        struct code code = {.size = 0};

        code_bytes(&code, instructions[i], sizeof(instructions[i]));
        code_out(&code, PORT, 0xFF);
        machine_start(&machine, &code);
        machine_set_handler(&machine, INVALID_INSTRUCTION, PORT);
        if (machine_run_to_out(&machine, 0, PORT) != INVALID_INSTRUCTION)
            test_fail(__FILE__, __LINE__, "%02x %02x %02x is executed", instructions[i][0],
                      instructions[i][1], instructions[i][2]);
        machine_destroy(&machine);
    }
}

/* One of them is the processor's, the other the hypervisor's; they do the same for a guest that has
 * introduced itself. */
static void hypercalls_of_both_makes(void)
{
    struct code code = {.size = 0};
    struct machine machine;

    code_write_msr(&code, MSR_GUEST_OS_ID, 1, 0);
    CODE(&code, 0x0F, 0x20, 0xC0, 0x0C, 0x01, 0x0F, 0x22, 0xC0); /* protected mode: CR0.PE */
    CODE(&code, 0x0F, 0x01, 0xD9, OUT_AL);                       /* VMMCALL */
    CODE(&code, 0x0F, 0x01, 0xC1, OUT_AL);                       /* VMCALL */
    machine_start(&machine, &code);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), INVALID_HYPERCALL_CODE);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), INVALID_HYPERCALL_CODE);
    machine_destroy(&machine);
}

static void set_control_registers(struct machine *machine, uint64_t cr0, uint64_t efer)
{
    machine_set_register(machine->vp[0], 0, HV_X64_REGISTER_CR0, &cr0, sizeof(cr0));
    machine_set_register(machine->vp[0], 0, HV_X64_REGISTER_EFER, &efer, sizeof(efer));
}

/* Paging in long mode without PAE: no processor enters that. The VP can be given a better state, and goes on. */
static void refused_state(void)
{
    struct code code = {.size = 0};
    struct hv_message message;
    struct machine machine;

    code_out(&code, PORT, 0x42);
    machine_start(&machine, &code);
    set_control_registers(&machine, CR0_PG | CR0_ET | CR0_PE, EFER_LME);
    machine_run(&machine, 0, &message, HVMSG_INVALID_VP_REGISTER_VALUE);
    set_control_registers(&machine, CR0_ET, 0);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), 0x42);
    machine_destroy(&machine);
}

/* DR0, TSC_AUX and XMM7 as the processor has them are written or shown: `value` 0 shows. */
static void add_state(struct code *code, uint32_t value)
{
    uint8_t bytes[4];

    memcpy(bytes, &value, sizeof(bytes));
    CODE(code, MOV_EAX_CR4, OR_EAX(0x00, 0x02, 0x00, 0x00), MOV_CR4_EAX); /* OSFXSR */
    if (value) {
        CODE(code, MOV_EAX(bytes[0], bytes[1], bytes[2], bytes[3]), 0x0F, 0x23, 0xC0); /* mov dr0, eax */
        CODE(code, 0x66, 0x0F, 0x6E, 0xF8);                                            /* movd xmm7, eax */
        code_write_msr(code, MSR_TSC_AUX, value, 0);
    }
    CODE(code, 0x0F, 0x21, 0xC0, OUT_EAX);                               /* mov eax, dr0 */
    CODE(code, 0x66, 0x0F, 0x7E, 0xF8, OUT_EAX);                         /* movd eax, xmm7 */
    CODE(code, 0x66, 0xB9, 0x03, 0x01, 0x00, 0xC0, 0x0F, 0x32, OUT_EAX); /* RDMSR of TSC_AUX */
}

/* RUN_VP to the OUT of a value, with XMM7 of this process set before and read right after the system call. */
static uint32_t run_to_value(struct machine *machine, uint32_t index)
{
    static const uint64_t mine[2] = {0x1122334455667788, 0x99AABBCCDDEEFF00};
    struct hv_vp_register_page *page = machine->registers[index];
    struct hv_x64_io_port_intercept_message *intercept;
    struct hv_message message;
    long result = SYS_ioctl;
    uint64_t after[2];

    __asm__ volatile("movups %[mine], %%xmm7\n"
                     "syscall\n"
                     "movups %%xmm7, %[after]"
                     : "+a"(result), [after] "=m"(after)
                     : "D"((long)machine->vp[index]), "S"(MSHV_RUN_VP), "d"(&message), [mine] "m"(mine)
                     : "rcx", "r11", "xmm7", "memory");
    CHECK_EQUAL(result, 0);
    CHECK_EQUAL(memcmp(mine, after, sizeof(mine)), 0);
    CHECK_EQUAL(message.header.message_type, HVMSG_X64_IO_PORT_INTERCEPT);
    intercept = (void *)message.payload;
    page->rip = intercept->header.rip + (intercept->header.instruction_length_cr8 & 0xF);
    page->dirty |= HV_REGISTER_PAGE_DIRTY_IP;
    return (uint32_t)intercept->rax;
}

/* Two VPs on this thread, and the parent between them. */
static void state_is_everybodys_own(void)
{
    struct hv_x64_segment_register segment = {.limit = 0xFFFF, .attributes = 0x9B};
    struct code first = {.size = 0}, second = {.size = 0};
    struct machine machine;
    unsigned i;

    add_state(&first, DEBUG_ADDRESS);
    add_state(&second, 0);
    machine_start(&machine, &first);
    machine_load(&machine, SECOND_CODE, second.bytes, second.size);
    machine_create_vp(&machine, 1);
    machine_set_register(machine.vp[1], 1, HV_X64_REGISTER_CS, &segment, sizeof(segment));
    machine_set_register(machine.vp[1], 1, HV_X64_REGISTER_RIP, &(uint64_t){SECOND_CODE}, 8);
    machine_set_register(machine.vp[1], 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE, &(uint64_t){0}, 8);
    for (i = 0; i < 3; i++) {
        CHECK_EQUAL(run_to_value(&machine, 0), DEBUG_ADDRESS);
        CHECK_EQUAL(run_to_value(&machine, 1), 0);
    }
    machine_destroy(&machine);
}

const struct test state_tests[] = {
    {"xcr0",                     xcr0,                     false},
    {"hidden_instructions",      hidden_instructions,      false},
    {"hypercalls_of_both_makes", hypercalls_of_both_makes, false},
    {"refused_state",            refused_state,            false},
    {"state_is_everybodys_own",  state_is_everybodys_own,  false},
    {NULL,                       NULL,                     false},
};
