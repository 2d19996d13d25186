// SPDX-License-Identifier: GPL-2.0-or-later
/* Several VPs of a partition: how they are started and stopped, and memory that goes while all of them use it. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define VPS         4u
#define SENT_PORT   0x10 /* VP 0 has sent what it was asked to */
#define REPORT_PORT 0x20
#define END_PORT    0x21

#define COMMAND    0x7000u /* ICR, low half first */
#define VECTOR     0x10u   /* of the first start page */
#define END_VECTOR 0x1Fu
#define COUNTER    0x100u /* in a start page */

#define MSR_X2APIC_ICR 0x830u
#define ICR_INIT       0x4500u
#define ICR_STARTUP    0x4600u
#define ICR_OTHERS     0xC0000u

#define CR0_AFTER_INIT    0x60000010u
#define RFLAGS_AFTER_INIT 0x2u

#define REPORTS  64
#define STARTS   100u
#define UNMAPS   60u
#define PAGE_GPA 0x80000u

/* What a VP does after it has reported, for ever. */
enum state { SPINNING, HALTED, WAITING, COUNTING, STATES };

/* A VP's thread. It reports the page that the VP was started at. */
struct runner {
    struct machine *machine;
    uint32_t vp;
    pthread_t thread;
    sem_t reported;
    uint8_t reports[REPORTS];
    unsigned read, written;
};

struct start_test {
    struct machine machine;
    struct runner runners[VPS];
};

static void *run_vp(void *argument)
{
    struct runner *runner = argument;

    for (;;) {
        struct hv_x64_io_port_intercept_message *intercept;
        struct hv_vp_register_page *page = runner->machine->registers[runner->vp];
        struct hv_message message;

        machine_run(runner->machine, runner->vp, &message, HVMSG_X64_IO_PORT_INTERCEPT);
        intercept = (void *)message.payload;
        if (intercept->port_number == END_PORT)
            return NULL;
        CHECK_EQUAL(intercept->port_number, REPORT_PORT);
        CHECK_EQUAL(page->cr0, CR0_AFTER_INIT);
        CHECK_EQUAL(page->rflags, RFLAGS_AFTER_INIT);
        CHECK_EQUAL(page->cr4 | page->cr3 | page->efer, 0);
        page->rip = intercept->header.rip + (intercept->header.instruction_length_cr8 & 0xF);
        page->dirty |= HV_REGISTER_PAGE_DIRTY_IP;
        runner->reports[runner->written++ % REPORTS] = (uint8_t)intercept->rax;
        CHECK_EQUAL(sem_post(&runner->reported), 0);
    }
}

static void expect_report(struct runner *runner, uint8_t expected)
{
    CHECK_EQUAL(sem_wait(&runner->reported), 0);
    CHECK_EQUAL(runner->reports[runner->read++ % REPORTS], expected);
}

static void load_start_page(struct machine *machine, uint32_t vector, enum state state)
{
    static const struct code after[] = {
        [SPINNING] = {{CODE_SPIN},                               2},
        [HALTED] = {{CODE_CLI, CODE_HLT, 0xEB, (uint8_t)-3},   4},
        [WAITING] = {{CODE_STI, CODE_HLT, 0xEB, (uint8_t)-3},   4},
        [COUNTING] = {{0x2E, 0x66, 0xFF, 0x06, COUNTER & 0xFF, COUNTER >> 8, /* inc dword [cs:COUNTER] */
                       0xEB, (uint8_t)-8},
                      8                                           },
    };
    struct code code = {.size = 0};

    code_out(&code, REPORT_PORT, (uint8_t)vector);
    code_bytes(&code, after[state].bytes, after[state].size);
    machine_load(machine, vector << HV_PAGE_SHIFT, code.bytes, code.size);
}

/* VP 0 sends what it finds at COMMAND, says so, and does it again. */
static void create(struct start_test *test)
{
    static const uint8_t send[] = {
        0x66,         0xA1,         COMMAND & 0xFF, COMMAND >> 8, /* mov eax, [COMMAND] */
        0x66,         0x8B,         0x16,           (COMMAND + 4) & 0xFF,
        COMMAND >> 8,                                          /* mov edx, [COMMAND + 4] */
        0x0F,         0x30,         0xE6,           SENT_PORT, /* wrmsr; out SENT_PORT, al */
        0xEB,         (uint8_t)-15,
    };
    struct code code = {.size = 0};
    enum state state;
    unsigned i;

    code_enable_x2apic(&code, true);
    code_out(&code, SENT_PORT, 0);
    CODE(&code, 0x66, 0xB9, MSR_X2APIC_ICR & 0xFF, MSR_X2APIC_ICR >> 8, 0, 0); /* mov ecx, ICR */
    code_bytes(&code, send, sizeof(send));
    machine_start(&test->machine, &code);
    for (state = 0; state < STATES; state++)
        load_start_page(&test->machine, VECTOR + state, state);
    code = (struct code){.size = 0};
    code_out(&code, END_PORT, 0);
    machine_load(&test->machine, END_VECTOR << HV_PAGE_SHIFT, code.bytes, code.size);
    for (i = 1; i < VPS; i++) {
        machine_create_vp(&test->machine, i);
        test->runners[i] = (struct runner){.machine = &test->machine, .vp = i};
        CHECK_EQUAL(sem_init(&test->runners[i].reported, 0, 0), 0);
    }
    machine_run_to_out(&test->machine, 0, SENT_PORT);
}

static void start_threads(struct start_test *test)
{
    unsigned i;

    for (i = 1; i < VPS; i++)
        CHECK_EQUAL(pthread_create(&test->runners[i].thread, NULL, run_vp, &test->runners[i]), 0);
}

static void send(struct start_test *test, uint32_t command, uint32_t destination)
{
    const uint32_t icr[2] = {command, destination};

    machine_load(&test->machine, COMMAND, icr, sizeof(icr));
    machine_run_to_out(&test->machine, 0, SENT_PORT);
}

static void destroy(struct start_test *test)
{
    unsigned i;

    send(test, ICR_OTHERS | ICR_INIT, 0);
    send(test, ICR_OTHERS | ICR_STARTUP | END_VECTOR, 0);
    for (i = 1; i < VPS; i++) {
        CHECK_EQUAL(pthread_join(test->runners[i].thread, NULL), 0);
        CHECK_EQUAL(test->runners[i].read, test->runners[i].written);
    }
    machine_destroy(&test->machine);
}

/* Sent when no thread has run the VPs yet, and when all wait for it. */
static void startup_before_and_after_the_first_run(void)
{
    struct start_test test;

    create(&test);
    send(&test, ICR_INIT, 1);
    send(&test, ICR_STARTUP | VECTOR, 1);
    send(&test, ICR_STARTUP | VECTOR, 2); /* an INIT it needs not, since it waits already */
    start_threads(&test);
    expect_report(&test.runners[1], VECTOR);
    expect_report(&test.runners[2], VECTOR);
    usleep(20000);
    send(&test, ICR_STARTUP | (VECTOR + 1), 3);
    expect_report(&test.runners[3], VECTOR + 1);
    destroy(&test);
}

/*
 * In whatever state it is, and however soon one comes after the other; a second SIPI is nothing, and neither is one to
 * a VP that runs.
 */
static void startup_again_and_again(void)
{
    struct start_test test;
    unsigned i, vp;

    create(&test);
    start_threads(&test);
    for (i = 0; i < STARTS; i++) {
        uint32_t vector = VECTOR + i % STATES;

        vp = 1 + i / STATES % (VPS - 1);
        send(&test, ICR_INIT, vp);
        if (i % 5 == 1)
            send(&test, ICR_INIT, vp);
        if (i % 3 == 1)
            usleep(i % 7 * 50);
        send(&test, ICR_STARTUP | vector, vp);
        send(&test, ICR_STARTUP | (vector ^ 1), vp);
        expect_report(&test.runners[vp], (uint8_t)vector);
        if (i % 3 == 2)
            usleep(i % 7 * 50);
        send(&test, ICR_STARTUP | (vector ^ 1), vp);
    }
    destroy(&test);
}

static void startup_by_broadcast(void)
{
    struct start_test test;
    unsigned i, vp;

    create(&test);
    start_threads(&test);
    for (i = 0; i < STARTS; i++) {
        uint32_t vector = VECTOR + i % STATES;

        send(&test, ICR_OTHERS | ICR_INIT, 0);
        send(&test, ICR_OTHERS | ICR_STARTUP | vector, 0);
        send(&test, ICR_OTHERS | ICR_STARTUP | (vector ^ 1), 0);
        for (vp = 1; vp < VPS; vp++)
            expect_report(&test.runners[vp], (uint8_t)vector);
    }
    destroy(&test);
}

static uint32_t counter(const struct start_test *test)
{
    return *(const volatile uint32_t *)(test->machine.ram + ((VECTOR + COUNTING) << HV_PAGE_SHIFT) + COUNTER);
}

/* An INIT stops a VP that runs, also on another processor, until its SIPI. */
static void init_stops(void)
{
    struct start_test test;
    uint32_t before;
    unsigned i;

    create(&test);
    start_threads(&test);
    for (i = 0; i < STARTS / 10; i++) {
        before = counter(&test);
        send(&test, ICR_INIT, 1);
        send(&test, ICR_STARTUP | (VECTOR + COUNTING), 1);
        expect_report(&test.runners[1], VECTOR + COUNTING);
        while (counter(&test) - before < 1000)
            usleep(100);
        send(&test, ICR_INIT, 1);
        do {
            before = counter(&test);
            usleep(5000);
        } while (counter(&test) != before);
    }
    destroy(&test);
}

/* It does not wait for a SIPI, but begins where it does after a reset. */
static void init_of_the_boot_vp(void)
{
    static uint8_t rom[HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));
    struct start_test test;
    struct code code = {.size = 0};
    unsigned i;

    create(&test);
    start_threads(&test);
    code_out(&code, REPORT_PORT, 0x77);
    memcpy(rom + 0xFF0, code.bytes, code.size);
    CHECK_EQUAL(machine_set_memory(&test.machine, MSHV_SET_MEM_EXECUTABLE, 0xFFFFF, rom, sizeof(rom)), 0);
    machine_load(&test.machine, COMMAND, (const uint32_t[]){ICR_INIT, 0}, 8);
    CHECK_EQUAL(machine_run_to_out(&test.machine, 0, REPORT_PORT), 0x77);
    for (i = 1; i < VPS; i++) { /* nobody in the guest is left to end them */
        struct hv_input_assert_virtual_interrupt startup = {
            .interrupt_type = HV_X64_INTERRUPT_TYPE_SIPI, .vector = END_VECTOR, .destination = i};

        CHECK_EQUAL(machine_call(test.machine.partition, HVCALL_ASSERT_VIRTUAL_INTERRUPT, NULL, &startup,
                                 sizeof(startup), NULL, 0, NULL),
                    0);
        CHECK_EQUAL(pthread_join(test.runners[i].thread, NULL), 0);
    }
    machine_destroy(&test.machine);
}

struct writer {
    struct machine *machine;
    uint32_t vp;
    pthread_t thread;
    atomic_bool *ending;
};

/* Without the page the VP comes out again and again. */
static void *write_page(void *argument)
{
    struct writer *writer = argument;

    while (!atomic_load(writer->ending)) {
        struct hv_message message;

        if (ioctl(writer->machine->vp[writer->vp], MSHV_RUN_VP, &message) == 0) {
            CHECK_EQUAL(message.header.message_type, HVMSG_UNMAPPED_GPA);
            usleep(2000);
        } else {
            CHECK_EQUAL(errno, EINTR);
        }
    }
    return NULL;
}

static void wait_until_written_by_all(const volatile uint32_t *page)
{
    uint32_t before[VPS];
    unsigned vp;

    memcpy(before, (const void *)page, sizeof(before));
    for (vp = 0; vp < VPS; vp++)
        while (page[vp] - before[vp] < 100)
            usleep(100);
}

static void create_writers(struct machine *machine, struct writer *writers, atomic_bool *ending)
{
    static const struct hv_x64_segment_register code = {.limit = 0xFFFF, .attributes = 0x9B};
    struct hv_x64_segment_register data = {.base = PAGE_GPA, .limit = 0xFFFF, .attributes = 0x93};
    unsigned vp;

    for (vp = 0; vp < VPS; vp++) {
        const uint8_t write[] = {0x66, 0xFF, 0x06, (uint8_t)(4 * vp), 0, 0xEB, (uint8_t)-7}; /* inc dword [4 * vp] */
        uint64_t rip = MACHINE_CODE + vp * HV_PAGE_SIZE, running = 0;

        memcpy(machine->ram + rip, write, sizeof(write));
        machine_create_vp(machine, vp);
        machine_set_register(machine->vp[vp], vp, HV_X64_REGISTER_CS, &code, sizeof(code));
        machine_set_register(machine->vp[vp], vp, HV_X64_REGISTER_DS, &data, sizeof(data));
        machine_set_register(machine->vp[vp], vp, HV_X64_REGISTER_RIP, &rip, sizeof(rip));
        machine_set_register(machine->vp[vp], vp, HV_REGISTER_INTERNAL_ACTIVITY_STATE, &running, sizeof(running));
        writers[vp] = (struct writer){.machine = machine, .vp = vp, .ending = ending};
        CHECK_EQUAL(pthread_create(&writers[vp].thread, NULL, write_page, &writers[vp]), 0);
    }
}

/* When unmapping has returned, no VP writes to the page any more, wherever it runs. */
static void unmap_ends_all_access(void)
{
    static uint32_t pages[2][HV_PAGE_SIZE / 4] __attribute__((aligned(HV_PAGE_SIZE)));
    struct writer writers[VPS];
    atomic_bool ending = false;
    struct machine machine;
    unsigned i, vp;

    machine_create(&machine, MACHINE_FLAGS, PAGE_GPA);
    create_writers(&machine, writers, &ending);
    for (i = 0; i < UNMAPS; i++) {
        uint32_t *page = pages[i % 2], before[VPS];

        CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_WRITABLE, PAGE_GPA >> HV_PAGE_SHIFT, page, HV_PAGE_SIZE),
                    0);
        wait_until_written_by_all(page);
        CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, PAGE_GPA >> HV_PAGE_SHIFT, page, HV_PAGE_SIZE), 0);
        memcpy(before, page, sizeof(before));
        usleep(3000);
        for (vp = 0; vp < VPS; vp++)
            CHECK_EQUAL(((volatile uint32_t *)page)[vp], before[vp]);
        if (i % 10 == 0)
            test_restart_watchdog();
    }
    atomic_store(&ending, true);
    for (vp = 0; vp < VPS; vp++)
        CHECK_EQUAL(pthread_join(writers[vp].thread, NULL), 0);
    CHECK_EQUAL(munmap(machine.ram, PAGE_GPA), 0);
    machine.ram = NULL;
    machine_destroy(&machine);
}

const struct test smp_tests[] = {
    {"startup_before_and_after_the_first_run", startup_before_and_after_the_first_run, false},
    {"startup_again_and_again",                startup_again_and_again,                false},
    {"startup_by_broadcast",                   startup_by_broadcast,                   false},
    {"init_stops",                             init_stops,                             false},
    {"init_of_the_boot_vp",                    init_of_the_boot_vp,                    false},
    {"unmap_ends_all_access",                  unmap_ends_all_access,                  false},
    {NULL,                                     NULL,                                   false},
};
