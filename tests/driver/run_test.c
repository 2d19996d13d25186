// SPDX-License-Identifier: GPL-2.0-or-later
/* Running VPs: intercepts, signals, timers, several VPs. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define PORT   0x10
#define VECTOR 0x40

#define MSR_X2APIC_ICR           0x830u
#define MSR_X2APIC_LVT_TIMER     0x832u
#define MSR_X2APIC_INITIAL_COUNT 0x838u
#define MSR_X2APIC_DIVIDE        0x83Eu
#define DIVIDE_BY_1              0xBu
#define ICR_INIT                 0x4500u
#define ICR_STARTUP              0x4600u

static void out_message(void)
{
    struct hv_x64_io_port_intercept_message *intercept;
    struct code code = {.size = 0};
    struct hv_message message;
    struct machine machine;

    code_out(&code, PORT, 0x42);
    machine_start(&machine, &code);
    memset(&message, 0xEE, sizeof(message));
    machine_run(&machine, 0, &message, HVMSG_X64_IO_PORT_INTERCEPT);
    CHECK_EQUAL(message.header.payload_size, sizeof(*intercept));
    intercept = (void *)message.payload;
    CHECK_EQUAL(intercept->port_number, PORT);
    CHECK_EQUAL(intercept->header.vp_index, 0);
    CHECK_EQUAL(intercept->header.rip, MACHINE_CODE + 2);
    CHECK_EQUAL(intercept->header.instruction_length_cr8 & 0xF, 2);
    CHECK_EQUAL(intercept->access_info & HV_IO_PORT_ACCESS_SIZE_MASK, 1);
    CHECK_EQUAL(intercept->rax & 0xFF, 0x42);
    /* the instruction is not skipped by itself */
    machine_run(&machine, 0, &message, HVMSG_X64_IO_PORT_INTERCEPT);
    CHECK_EQUAL(intercept->header.rip, MACHINE_CODE + 2);
    /* a bad buffer loses nothing */
    CHECK_ERRNO(ioctl(machine.vp[0], MSHV_RUN_VP, NULL), EFAULT);
    machine_run(&machine, 0, &message, HVMSG_X64_IO_PORT_INTERCEPT);
    machine_destroy(&machine);
}

static void register_page(void)
{
    struct code code = {.size = 0};
    struct machine machine;
    unsigned i;

    for (i = 0; i < 50; i++)
        code_out(&code, PORT, (uint8_t)i);
    machine_start(&machine, &code);
    for (i = 0; i < 50; i++) {
        CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), i);
        CHECK_EQUAL(machine.registers[0]->gp_registers[0] & 0xFF, i);
    }
    machine_destroy(&machine);
}

static void message_page(void)
{
    struct code code = {.size = 0};
    struct hv_message message, *page;
    struct machine machine;

    code_out(&code, PORT, 0x42);
    machine_start(&machine, &code);
    page = mmap(NULL, HV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, machine.vp[0], HV_PAGE_SIZE);
    CHECK(page != MAP_FAILED);
    machine_run(&machine, 0, &message, HVMSG_X64_IO_PORT_INTERCEPT);
    CHECK_EQUAL(memcmp(page, &message, sizeof(message.header) + message.header.payload_size), 0);
    CHECK_EQUAL(munmap(page, HV_PAGE_SIZE), 0);
    machine_destroy(&machine);
}

/* read() runs the VP as MSHV_RUN_VP does; without a buffer the message is in its page only. */
static void read_runs(void)
{
    struct hv_x64_io_port_intercept_message *intercept;
    struct code code = {.size = 0};
    struct hv_message message, *page;
    struct machine machine;
    size_t size;

    code_out(&code, PORT, 0x42);
    machine_start(&machine, &code);
    page = mmap(NULL, HV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, machine.vp[0], HV_PAGE_SIZE);
    CHECK(page != MAP_FAILED);
    CHECK_EQUAL(read(machine.vp[0], NULL, 0), 0);
    CHECK_EQUAL(page->header.message_type, HVMSG_X64_IO_PORT_INTERCEPT);
    intercept = (void *)page->payload;
    CHECK_EQUAL(intercept->port_number, PORT);
    size = sizeof(page->header) + page->header.payload_size;
    memset(&message, 0xEE, sizeof(message));
    CHECK_EQUAL(read(machine.vp[0], &message, sizeof(message)), (ssize_t)size);
    CHECK_EQUAL(memcmp(page, &message, size), 0);
    CHECK_EQUAL(message.payload[size - sizeof(message.header)], 0xEE);
    CHECK_EQUAL(read(machine.vp[0], &message, 4), 4);
    CHECK_ERRNO(read(machine.vp[0], (void *)-4096l, sizeof(message)), EFAULT);
    CHECK_EQUAL(munmap(page, HV_PAGE_SIZE), 0);
    machine_destroy(&machine);
}

static void memory_messages(void)
{
    struct hv_x64_memory_intercept_message *intercept;
    static uint8_t rom[HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));
    struct code code = {.size = 0};
    struct hv_message message;
    struct machine machine;
    uint64_t rip = MACHINE_CODE + 3;

    CODE(&code, 0xA0, 0x00, 0xB0); /* mov al, [0xB000] */
    CODE(&code, 0xA2, 0x34, 0xA0); /* mov [0xA034], al */
    machine_create(&machine, MACHINE_FLAGS, 0x9000);
    machine_load(&machine, MACHINE_CODE, code.bytes, code.size);
    machine_create_vp(&machine, 0);
    CHECK_EQUAL(machine_set_memory(&machine, 0, 0xA, rom, sizeof(rom)), 0);
    machine_run(&machine, 0, &message, HVMSG_UNMAPPED_GPA);
    CHECK_EQUAL(message.header.payload_size, sizeof(*intercept));
    intercept = (void *)message.payload;
    CHECK_EQUAL(intercept->guest_physical_address, 0xB000);
    CHECK_EQUAL(intercept->header.intercept_access_type, HV_INTERCEPT_ACCESS_READ);
    CHECK(intercept->instruction_byte_count >= 3);
    CHECK_EQUAL(memcmp(intercept->instruction_bytes, code.bytes, 3), 0);
    machine_set_register(machine.vp[0], 0, HV_X64_REGISTER_RIP, &rip, sizeof(rip));
    machine_run(&machine, 0, &message, HVMSG_GPA_INTERCEPT);
    CHECK_EQUAL(intercept->guest_physical_address, 0xA034);
    CHECK_EQUAL(intercept->header.intercept_access_type, HV_INTERCEPT_ACCESS_WRITE);
    munmap(machine.ram, 0x9000);
    machine.ram = NULL;
    machine_destroy(&machine);
}

static void on_signal(int number)
{
    (void)number;
}

static void *send_signals(void *argument)
{
    const pthread_t *receiver = argument;

    for (;;) {
        pthread_testcancel();
        pthread_kill(*receiver, SIGUSR1);
        usleep(2000);
    }
    return NULL;
}

/* Signals come again and again, since one that arrives outside the ioctl does nothing. */
static void interrupted(const struct code *code)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct hv_message message;
    pthread_t sender, self = pthread_self();
    struct machine machine;
    unsigned i;

    CHECK_EQUAL(sigaction(SIGUSR1, &action, NULL), 0);
    machine_start(&machine, code);
    CHECK_EQUAL(pthread_create(&sender, NULL, send_signals, &self), 0);
    for (i = 0; i < 10; i++)
        CHECK_ERRNO(ioctl(machine.vp[0], MSHV_RUN_VP, &message), EINTR);
    CHECK_EQUAL(pthread_cancel(sender), 0);
    CHECK_EQUAL(pthread_join(sender, NULL), 0);
    machine_destroy(&machine);
}

static void signal_ends_spin(void)
{
    struct code code = {.size = 0};

    CODE(&code, CODE_SPIN);
    interrupted(&code);
}

static void signal_ends_halt(void)
{
    struct code code = {.size = 0};

    CODE(&code, CODE_HLT, CODE_SPIN);
    interrupted(&code);
}

static void start_timer(struct code *code, uint32_t count)
{
    code_enable_x2apic(code, true);
    code_write_msr(code, MSR_X2APIC_DIVIDE, DIVIDE_BY_1, 0);
    code_write_msr(code, MSR_X2APIC_LVT_TIMER, VECTOR, 0);
    code_write_msr(code, MSR_X2APIC_INITIAL_COUNT, count, 0);
}

static void timer_wakes(uint32_t count)
{
    struct code code = {.size = 0};
    struct machine machine;
    unsigned i;

    for (i = 0; i < 3; i++) {
        CODE(&code, CODE_CLI); /* the interrupt must not come before the halt that it ends */
        start_timer(&code, count);
        CODE(&code, CODE_STI, CODE_HLT);
    }
    machine_start(&machine, &code);
    machine_set_handler(&machine, VECTOR, PORT);
    for (i = 0; i < 3; i++)
        CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), VECTOR);
    machine_destroy(&machine);
}

static void timer_ends_halt(void)
{
    timer_wakes(20000000);
    timer_wakes(1);
}

/* The interrupt arrives while the VP runs; nothing but the timer of the VP itself makes it. */
static void timer_ends_spin(void)
{
    struct code code = {.size = 0};
    struct machine machine;

    start_timer(&code, 30000000);
    CODE(&code, CODE_STI, CODE_SPIN);
    machine_start(&machine, &code);
    machine_set_handler(&machine, VECTOR, PORT);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), VECTOR);
    machine_destroy(&machine);
}

struct runner {
    struct machine *machine;
    uint8_t value;
};

static void *run_second(void *argument)
{
    struct runner *runner = argument;

    runner->value = machine_run_to_out(runner->machine, 1, PORT);
    return NULL;
}

/* VP 1 waits for its start-up IPI, which VP 0 sends. */
static void startup_wakes_sibling(void)
{
    struct runner runner;
    struct code code = {.size = 0}, second = {.size = 0};
    struct machine machine;
    pthread_t thread;

    code_enable_x2apic(&code, true);
    code_write_msr(&code, MSR_X2APIC_ICR, ICR_INIT, 1);
    code_write_msr(&code, MSR_X2APIC_ICR, ICR_STARTUP | 0x02, 1);
    code_out(&code, PORT, 0x11);
    code_out(&second, PORT, 0x22);
    machine_start(&machine, &code);
    machine_load(&machine, 0x2000, second.bytes, second.size);
    machine_create_vp(&machine, 1);
    runner = (struct runner){.machine = &machine};
    CHECK_EQUAL(pthread_create(&thread, NULL, run_second, &runner), 0);
    usleep(20000); /* so that VP 1 usually waits already; both orders are right */
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), 0x11);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    CHECK_EQUAL(runner.value, 0x22);
    machine_destroy(&machine);
}

/* A register set through the partition's file while the VP sleeps in RUN_VP. */
static void register_wakes_halted(void)
{
    const uint64_t running = 0;
    struct runner runner;
    struct code code = {.size = 0}, second = {.size = 0};
    struct hv_x64_segment_register segment = {.limit = 0xFFFF, .attributes = 0x9B};
    uint64_t rip = 0x2000;
    struct machine machine;
    pthread_t thread;

    code_out(&second, PORT, 0x33);
    machine_start(&machine, &code);
    machine_load(&machine, 0x2000, second.bytes, second.size);
    machine_create_vp(&machine, 1);
    machine_set_register(machine.vp[1], 1, HV_X64_REGISTER_CS, &segment, sizeof(segment));
    machine_set_register(machine.vp[1], 1, HV_X64_REGISTER_RIP, &rip, sizeof(rip));
    runner = (struct runner){.machine = &machine};
    CHECK_EQUAL(pthread_create(&thread, NULL, run_second, &runner), 0);
    usleep(20000);
    machine_set_register(machine.partition, 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE, &running,
                         sizeof(running));
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    CHECK_EQUAL(runner.value, 0x33);
    machine_destroy(&machine);
}

/* Memory comes and goes while VPs run. */
static void memory_changes_while_running(void)
{
    static uint8_t pages[16][HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));
    struct code code = {.size = 0};
    struct runner runner;
    struct machine machine;
    pthread_t thread;
    unsigned i;

    machine_start(&machine, &code);
    CODE(&code, 0xA0, 0x00, 0x70, 0xEB, (uint8_t)-5); /* again: mov al, [0x7000]; jmp again */
    machine_load(&machine, 0x2000, code.bytes, code.size);
    machine_create_vp(&machine, 1);
    machine_set_register(machine.vp[1], 1, HV_X64_REGISTER_CS,
                         &(struct hv_x64_segment_register){.limit = 0xFFFF, .attributes = 0x9B}, 16);
    machine_set_register(machine.vp[1], 1, HV_X64_REGISTER_RIP, &(uint64_t){0x2000}, 8);
    machine_set_register(machine.vp[1], 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE, &(uint64_t){0}, 8);
    runner = (struct runner){.machine = &machine};
    CHECK_EQUAL(pthread_create(&thread, NULL, run_second, &runner), 0);
    for (i = 0; i < 200; i++) {
        CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_WRITABLE, 0x1000, pages, sizeof(pages)), 0);
        CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 0x1000, pages, sizeof(pages)), 0);
    }
    code = (struct code){.size = 0};
    code_out(&code, PORT, 0x44);
    CODE(&code, CODE_SPIN);
    machine_load(&machine, 0x2010, code.bytes, code.size);
    machine.ram[0x2004] = 0x10 - 5; /* jmp 0x2010 */
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    CHECK_EQUAL(runner.value, 0x44);
    machine_destroy(&machine);
}

const struct test run_tests[] = {
    {"out_message",                  out_message,                  false},
    {"register_page",                register_page,                false},
    {"message_page",                 message_page,                 false},
    {"read_runs",                    read_runs,                    false},
    {"memory_messages",              memory_messages,              false},
    {"signal_ends_spin",             signal_ends_spin,             false},
    {"signal_ends_halt",             signal_ends_halt,             false},
    {"timer_ends_halt",              timer_ends_halt,              false},
    {"timer_ends_spin",              timer_ends_spin,              false},
    {"startup_wakes_sibling",        startup_wakes_sibling,        false},
    {"register_wakes_halted",        register_wakes_halted,        false},
    {"memory_changes_while_running", memory_changes_while_running, false},
    {NULL,                           NULL,                         false},
};
