// SPDX-License-Identifier: GPL-2.0-or-later
/* Ends of VMs that nobody planned: kills, closed files, failing hypercalls. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hv/status.h"
#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define PORT      0x10
#define VECTOR    0x40
#define GSI       3
#define KILLS     100 /* the environment variable KILLS is another number */
#define KILL_SEED 20251122u

/* A VM's whole life with everything that it may have, once; false at the first failure, wherever that is. */
static bool live(bool run)
{
    static uint8_t memory[512 * HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));
    struct mshv_create_partition creation = {.pt_flags = MACHINE_FLAGS};
    struct mshv_create_vp first = {.vp_index = 0}, second = {.vp_index = 1};
    struct mshv_user_mem_region region = {
        .size = sizeof(memory), .userspace_addr = (uintptr_t)memory, .flags = 3};
    struct {
        struct mshv_user_irq_table table;
        struct mshv_user_irq_entry entry;
    } routing = {
        .table.nr = 1, .entry = {.gsi = GSI, .address_lo = 0xFEE00000, .data = VECTOR}
    };
    struct mshv_user_irqfd irqfd = {.gsi = GSI};
    struct hv_message message;
    struct code code = {.size = 0};
    struct machine machine = {
        .device = open("/dev/mshv", O_RDWR | O_CLOEXEC), .vp = {-1, -1},
                .partition = -1
    };
    int event = eventfd(0, EFD_CLOEXEC);
    bool good = false;

    code_out(&code, PORT, 1);
    CODE(&code, CODE_SPIN);
    memcpy(memory + MACHINE_CODE, code.bytes, code.size);
    irqfd.fd = event;
    if ((machine.partition = ioctl(machine.device, MSHV_CREATE_PARTITION, &creation)) < 0 ||
        ioctl(machine.partition, MSHV_INITIALIZE_PARTITION) != 0 ||
        ioctl(machine.partition, MSHV_SET_GUEST_MEMORY, &region) != 0 ||
        (machine.vp[0] = ioctl(machine.partition, MSHV_CREATE_VP, &first)) < 0 ||
        (machine.vp[1] = ioctl(machine.partition, MSHV_CREATE_VP, &second)) < 0 ||
        ioctl(machine.partition, MSHV_SET_MSI_ROUTING, &routing) != 0 ||
        ioctl(machine.partition, MSHV_IRQFD, &irqfd) != 0)
        goto out;
    if (run) {
        machine_set_register(machine.vp[0], 0, HV_X64_REGISTER_CS,
                             &(struct hv_x64_segment_register){.limit = 0xFFFF, .attributes = 0x9B}, 16);
        machine_set_register(machine.vp[0], 0, HV_X64_REGISTER_RIP, &(uint64_t){MACHINE_CODE}, 8);
        machine_run(&machine, 0, &message, HVMSG_X64_IO_PORT_INTERCEPT);
        CHECK_EQUAL(eventfd_write(event, 1), 0);
    }
    region.flags = MSHV_SET_MEM_UNMAP;
    good = ioctl(machine.partition, MSHV_SET_GUEST_MEMORY, &region) == 0;
out:
    if (machine.vp[0] >= 0)
        close(machine.vp[0]);
    if (machine.vp[1] >= 0)
        close(machine.vp[1]);
    if (machine.partition >= 0)
        close(machine.partition);
    close(event);
    close(machine.device);
    return good;
}

static void *run_spinning(void *argument)
{
    struct machine *machine = argument;
    struct hv_message message;

    ioctl(machine->vp[0], MSHV_RUN_VP, &message);
    return NULL;
}

static void *run_waiting(void *argument)
{
    struct machine *machine = argument;
    struct hv_message message;

    ioctl(machine->vp[1], MSHV_RUN_VP, &message);
    return NULL;
}

/* A VM with one VP that spins, one that waits, and memory that comes and goes, until it is killed. */
static void live_busily(void)
{
    static uint8_t memory[300 * HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));
    struct code code = {.size = 0};
    struct machine machine;
    pthread_t threads[2];

    CODE(&code, CODE_SPIN);
    machine_start(&machine, &code);
    machine_create_vp(&machine, 1);
    CHECK_EQUAL(pthread_create(&threads[0], NULL, run_spinning, &machine), 0);
    CHECK_EQUAL(pthread_create(&threads[1], NULL, run_waiting, &machine), 0);
    for (;;) {
        CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_WRITABLE, 0x1000, memory, sizeof(memory)), 0);
        CHECK_EQUAL(machine_set_memory(&machine, MSHV_SET_MEM_UNMAP, 0x1000, memory, sizeof(memory)), 0);
    }
}

static void kill_after(void (*life)(void), unsigned microseconds)
{
    int status;
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        life();
        _exit(1);
    }
    usleep(microseconds);
    CHECK_EQUAL(kill(child, SIGKILL), 0);
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    test_check_no_leak("a kill");
}

static void live_for_ever(void)
{
    while (live(true))
        ;
}

static void kills(void)
{
    const char *wanted = getenv("KILLS");
    unsigned seed = KILL_SEED, count = wanted ? (unsigned)strtoul(wanted, NULL, 10) : KILLS, i;

    CHECK(count > 0);
    for (i = 0; i < count; i++) {
        test_restart_watchdog();
        kill_after(i % 2 ? live_busily : live_for_ever, (unsigned)rand_r(&seed) % 60000);
    }
}

/* The partition's file goes first; the VP runs on. */
static void close_partition_first(void)
{
    struct code code = {.size = 0};
    struct machine machine;

    code_out(&code, PORT, 7);
    machine_start(&machine, &code);
    close(machine.partition);
    close(machine.device);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), 7);
    CHECK_EQUAL(munmap(machine.registers[0], HV_PAGE_SIZE), 0);
    close(machine.vp[0]);
    test_check_no_leak("the VP's close");
}

/* A forked child holds the files and nothing else. */
static void fork_holds_files(void)
{
    struct test_counters counters;
    struct machine machine;
    int status, start[2];
    char byte = 0;
    pid_t child;

    CHECK_EQUAL(pipe(start), 0);
    machine_create(&machine, MACHINE_FLAGS, MACHINE_RAM);
    machine_create_vp(&machine, 0);
    child = fork();
    if (child == 0) {
        close(start[1]);
        _exit(read(start[0], &byte, 1) != 0);
    }
    machine_destroy(&machine);
    test_read_counters(&counters);
    CHECK_EQUAL(counters.partitions, 1);
    close(start[1]);
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
    test_check_no_leak("the child's end");
}

/* Lives once for each hypercall of a life, which then fails, with those after it; returns the failed lives.
 */
static unsigned fail_each_call(uint16_t status, unsigned count)
{
    unsigned failures = 0, call;
    bool reached = true;

    for (call = 1; reached; call++) {
        test_set_parameter("fail_status", status);
        test_set_parameter("fail_count", count);
        test_set_parameter("fail_call", call);
        failures += !live(false);
        reached = test_get_parameter("fail_count") < (long)count;
        test_set_parameter("fail_call", 0);
        test_set_parameter("fail_count", 0);
        test_check_no_leak("failing hypercalls");
    }
    CHECK(call > 10);
    return failures;
}

/* Whatever fails, what there was is given back. */
static void every_hypercall_fails(void)
{
    CHECK(fail_each_call(HV_STATUS_OPERATION_FAILED, 1) > 5);
    CHECK(fail_each_call(HV_STATUS_INVALID_PARAMETER, 1) > 5);
    /* with the calls that would undo it */
    CHECK(fail_each_call(HV_STATUS_OPERATION_FAILED, 4) > 5);
    CHECK(fail_each_call(HV_STATUS_OPERATION_FAILED, 1000) > 5);
}

/* Any call may ask for memory, for the partition or the parent; then it gets it. */
static void every_hypercall_wants_memory(void)
{
    CHECK_EQUAL(fail_each_call(HV_STATUS_INSUFFICIENT_MEMORY, 1), 0);
    CHECK_EQUAL(fail_each_call(HV_STATUS_INSUFFICIENT_CONTIGUOUS_MEMORY, 1), 0);
    CHECK_EQUAL(fail_each_call(HV_STATUS_INSUFFICIENT_ROOT_MEMORY, 1), 0);
    CHECK_EQUAL(fail_each_call(HV_STATUS_INSUFFICIENT_CONTIGUOUS_ROOT_MEMORY, 1), 0);
}

/* Calls that ask for memory without end are given up. */
static void endless_demand(void)
{
    struct mshv_create_partition creation = {.pt_flags = MACHINE_FLAGS};
    int device = open("/dev/mshv", O_RDWR | O_CLOEXEC), partition;

    partition = ioctl(device, MSHV_CREATE_PARTITION, &creation);
    CHECK(partition >= 0);
    test_set_parameter("fail_status", HV_STATUS_INSUFFICIENT_MEMORY);
    test_set_parameter("fail_count", 1000);
    test_set_parameter("fail_call", 1);
    CHECK_ERRNO(ioctl(partition, MSHV_INITIALIZE_PARTITION), ENOMEM);
    test_set_parameter("fail_count", 0);
    CHECK_EQUAL(ioctl(partition, MSHV_INITIALIZE_PARTITION), 0);
    close(partition);
    close(device);
    test_check_no_leak("an endless demand");
}

#define RANDOM_IOCTLS 20000
#define RANDOM_SEED   7u

/* A number that is more often awkward than random. */
static uint64_t awkward(unsigned *seed, const void *memory)
{
    const uint64_t choices[] = {0,
                                1,
                                2,
                                (uintptr_t)memory,
                                0x1000,
                                0xFFFFFFFF,
                                UINT64_MAX,
                                16,
                                4096,
                                0x8000,
                                (uintptr_t)memory + 4096,
                                1ull << 40,
                                (uint64_t)rand_r(seed) << 33};

    return choices[(unsigned)rand_r(seed) % (sizeof(choices) / sizeof(choices[0]))];
}

/* One ioctl, most often with a good argument in which something was changed. */
static void random_ioctl(struct machine *machine, int event, uint8_t *memory, unsigned *seed)
{
    union {
        uint64_t words[64];
        struct mshv_create_vp vp;
        struct mshv_user_mem_region region;
        struct mshv_user_irqfd irqfd;
        struct mshv_user_ioeventfd ioeventfd;
        struct mshv_user_irq_table routing;
        struct mshv_root_hvcall call;
        struct mshv_get_set_vp_state state;
        struct mshv_gpap_access_bitmap bitmap;
    } argument = {.words = {0}};
    static const uint16_t codes[] = {0x44, 0x45, 0x4D, 0x50, 0x51, 0x52, 0x91, 0x94, 0xC9, 0xF4, 0x101};
    static const unsigned long commands[] = {MSHV_CREATE_VP,       MSHV_SET_GUEST_MEMORY,
                                             MSHV_IRQFD,           MSHV_IOEVENTFD,
                                             MSHV_SET_MSI_ROUTING, MSHV_RUN_VP,
                                             MSHV_GET_VP_STATE,    MSHV_ROOT_HVCALL,
                                             MSHV_SET_VP_STATE,    MSHV_GET_GPAP_ACCESS_BITMAP};
    unsigned long command = commands[(unsigned)rand_r(seed) % (sizeof(commands) / sizeof(commands[0]))];
    int fds[] = {machine->partition, machine->vp[0], machine->vp[1], machine->device}, changes;

    switch (command) {
    case MSHV_SET_GUEST_MEMORY:
        argument.region = (struct mshv_user_mem_region){.size = 4096u * (1 + rand_r(seed) % 32),
                                                        .userspace_addr = (uintptr_t)memory,
                                                        .guest_pfn = 0x1000 + 32 * (rand_r(seed) % 4),
                                                        .flags = rand_r(seed) % 8};
        break;
    case MSHV_IRQFD:
        argument.irqfd =
            (struct mshv_user_irqfd){.fd = event, .gsi = rand_r(seed) % 3, .flags = rand_r(seed) % 2};
        break;
    case MSHV_IOEVENTFD:
        argument.ioeventfd = (struct mshv_user_ioeventfd){.fd = event,
                                                          .addr = 0xC0000000,
                                                          .len = 4,
                                                          .datamatch = rand_r(seed) % 4,
                                                          .flags = rand_r(seed) % 8};
        break;
    case MSHV_SET_MSI_ROUTING:
        argument.routing.nr = rand_r(seed) % 3;
        break;
    case MSHV_GET_GPAP_ACCESS_BITMAP:
        argument.bitmap = (struct mshv_gpap_access_bitmap){.access_type = rand_r(seed) % 3,
                                                           .access_op = rand_r(seed) % 4,
                                                           .page_count = 1 + rand_r(seed) % 5000,
                                                           .gpap_base = rand_r(seed) % 0x1100,
                                                           .bitmap_ptr = (uintptr_t)memory};
        break;
    case MSHV_ROOT_HVCALL:
        argument.call = (struct mshv_root_hvcall){.code = codes[(unsigned)rand_r(seed) % sizeof(codes) / 2],
                                                  .reps = rand_r(seed) % 3,
                                                  .in_sz = 8 * (1 + rand_r(seed) % 16),
                                                  .in_ptr = (uintptr_t)memory,
                                                  .out_sz = 64,
                                                  .out_ptr = (uintptr_t)memory + 4096};
        break;
    default:
        argument.state = (struct mshv_get_set_vp_state){
            .type = rand_r(seed) % 6, .buf_sz = 4096, .buf_ptr = (uintptr_t)memory};
        break;
    }
    for (changes = rand_r(seed) % 3; changes > 0; changes--)
        memcpy((uint8_t *)&argument + 4 * (rand_r(seed) % 8), &(uint64_t){awkward(seed, memory)},
               4 << rand_r(seed) % 2);
    memcpy(memory + 8 * (rand_r(seed) % 8), &(uint64_t){awkward(seed, memory)}, 8);
    ioctl(fds[rand_r(seed) % 4], command, &argument);
}

static void *send_signals(void *argument)
{
    for (;;) {
        pthread_testcancel();
        pthread_kill(*(const pthread_t *)argument, SIGUSR1);
        usleep(1000);
    }
    return NULL;
}

static void ignore_signal(int number)
{
    (void)number;
}

/* Nothing that a VMM passes harms the kernel or the hypervisor, or is left behind. */
static void random_ioctls(void)
{
    static uint8_t memory[34 * HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));
    struct sigaction action = {.sa_handler = ignore_signal};
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_t sender, self = pthread_self();
    struct code code = {.size = 0};
    struct machine machine;
    unsigned seed = RANDOM_SEED, i;

    code_out(&code, PORT, 1);
    machine_start(&machine, &code);
    machine_create_vp(&machine, 1);
    CHECK_EQUAL(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQUAL(pthread_create(&sender, NULL, send_signals, &self), 0);
    for (i = 0; i < RANDOM_IOCTLS; i++) {
        random_ioctl(&machine, event, memory, &seed);
        eventfd_write(event, 1);
    }
    CHECK_EQUAL(pthread_cancel(sender), 0);
    CHECK_EQUAL(pthread_join(sender, NULL), 0);
    machine_destroy(&machine);
}

const struct test life_tests[] = {
    {"close_partition_first",        close_partition_first,        false},
    {"fork_holds_files",             fork_holds_files,             false},
    {"random_ioctls",                random_ioctls,                false},
    {"kills",                        kills,                        false},
    {"every_hypercall_fails",        every_hypercall_fails,        true },
    {"every_hypercall_wants_memory", every_hypercall_wants_memory, true },
    {"endless_demand",               endless_demand,               true },
    {NULL,                           NULL,                         false},
};
