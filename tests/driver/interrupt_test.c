// SPDX-License-Identifier: GPL-2.0-or-later
/* Interrupts: asserted, by irqfd and routing; ioeventfds. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define PORT        0x10
#define READY_PORT  0x11
#define VECTOR      0x40
#define OTHER       0x41
#define GSI         5
#define MSI_ADDRESS 0xFEE00000u
#define RACES       300

/* Enables the APIC, says so, and halts for ever with interrupts on. */
static void start_idle_machine(struct machine *machine)
{
    struct code code = {.size = 0};

    code_enable_x2apic(&code, true);
    code_out(&code, READY_PORT, 0);
    CODE(&code, CODE_STI, CODE_HLT, 0xEB, (uint8_t)-3);
    machine_start(machine, &code);
    machine_set_handler(machine, VECTOR, PORT);
    machine_set_handler(machine, OTHER, PORT);
    machine_run_to_out(machine, 0, READY_PORT);
}

static int set_routing(struct machine *machine, const struct mshv_user_irq_entry *entries, uint32_t count)
{
    struct mshv_user_irq_table *table = calloc(1, sizeof(*table) + count * sizeof(*entries));
    int result;

    CHECK(table);
    table->nr = count;
    memcpy(table->entries, entries, count * sizeof(*entries));
    result = ioctl(machine->partition, MSHV_SET_MSI_ROUTING, table);
    free(table);
    return result;
}

static int set_irqfd(struct machine *machine, int fd, uint32_t gsi, uint32_t flags)
{
    struct mshv_user_irqfd request = {.fd = fd, .gsi = gsi, .flags = flags};

    return ioctl(machine->partition, MSHV_IRQFD, &request);
}

static void route(struct machine *machine, uint32_t gsi, uint8_t vector)
{
    struct mshv_user_irq_entry entry = {.gsi = gsi, .address_lo = MSI_ADDRESS, .data = vector};

    CHECK_EQUAL(set_routing(machine, &entry, 1), 0);
}

static void signal_eventfd(int fd)
{
    CHECK_EQUAL(eventfd_write(fd, 1), 0);
}

struct source {
    struct machine *machine;
    int fd; /* an eventfd, or -1: assert */
    sem_t next;
};

/* Raises an interrupt each time the one before has been seen, at varying distance from the VP's halt. */
static void *raise_interrupts(void *argument)
{
    struct source *source = argument;
    unsigned i;

    for (i = 0; i < RACES; i++) {
        CHECK_EQUAL(sem_wait(&source->next), 0);
        if (i % 3 == 1)
            usleep(i % 7 * 50);
        if (source->fd >= 0)
            signal_eventfd(source->fd);
        else
            CHECK_EQUAL(machine_assert_interrupt(source->machine->partition, VECTOR, 0), 0);
    }
    return NULL;
}

/* None of many interrupts to a VP that is halted, or about to be, is lost. */
static void race(struct machine *machine, int fd)
{
    struct source source = {.machine = machine, .fd = fd};
    pthread_t thread;
    unsigned i;

    CHECK_EQUAL(sem_init(&source.next, 0, 1), 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, raise_interrupts, &source), 0);
    for (i = 0; i < RACES; i++) {
        CHECK_EQUAL(machine_run_to_out(machine, 0, PORT), VECTOR);
        CHECK_EQUAL(sem_post(&source.next), 0);
    }
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
}

static void assert_race(void)
{
    struct machine machine;

    start_idle_machine(&machine);
    race(&machine, -1);
    machine_destroy(&machine);
}

static void irqfd_race(void)
{
    struct machine machine;
    int fd = eventfd(0, EFD_CLOEXEC);

    start_idle_machine(&machine);
    route(&machine, GSI, VECTOR);
    CHECK_EQUAL(set_irqfd(&machine, fd, GSI, 0), 0);
    race(&machine, fd);
    machine_destroy(&machine);
}

static void assert_refuses(void)
{
    struct hv_input_assert_virtual_interrupt input = {.vector = VECTOR};
    struct machine machine;
    uint16_t reps = 1;

    start_idle_machine(&machine);
    CHECK_ERRNO(machine_assert_interrupt(machine.partition, 0, 0), EINVAL);
    CHECK_ERRNO(machine_assert_interrupt(machine.partition, 256, 0), EINVAL);
    CHECK_ERRNO(machine_call(machine.partition, HVCALL_ASSERT_VIRTUAL_INTERRUPT, &reps, &input, sizeof(input),
                             NULL, 0, NULL),
                EINVAL);
    CHECK_ERRNO(
        machine_call(machine.partition, HVCALL_ASSERT_VIRTUAL_INTERRUPT, NULL, NULL, 32, NULL, 0, NULL),
        EINVAL);
    CHECK_ERRNO(
        machine_call(machine.partition, HVCALL_ASSERT_VIRTUAL_INTERRUPT, NULL, (void *)8, 32, NULL, 0, NULL),
        EFAULT);
    CHECK_EQUAL(machine_assert_interrupt(machine.vp[0], VECTOR, 0), 0);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), VECTOR);
    machine_destroy(&machine);
}

static void irqfd_refuses(void)
{
    struct machine machine;
    int fd = eventfd(0, EFD_CLOEXEC), other = eventfd(0, EFD_CLOEXEC),
        file = open("/proc/self/exe", O_RDONLY);

    machine_create(&machine, MACHINE_FLAGS, 0);
    CHECK_ERRNO(set_irqfd(&machine, -1, GSI, 0), EBADF);
    CHECK_ERRNO(set_irqfd(&machine, 1000, GSI, 0), EBADF);
    CHECK_ERRNO(set_irqfd(&machine, file, GSI, 0), EINVAL);
    CHECK_ERRNO(set_irqfd(&machine, fd, GSI, 4), EINVAL);
    CHECK_ERRNO(set_irqfd(&machine, fd, GSI, MSHV_IRQFD_RESAMPLE), EINVAL);
    CHECK_ERRNO(set_irqfd(&machine, fd, MSHV_MAX_GUEST_IRQS, 0), EINVAL);
    CHECK_ERRNO(ioctl(machine.partition, MSHV_IRQFD, NULL), EFAULT);
    CHECK_EQUAL(set_irqfd(&machine, fd, GSI, 0), 0);
    CHECK_ERRNO(set_irqfd(&machine, fd, GSI, 0), EBUSY);
    CHECK_ERRNO(set_irqfd(&machine, fd, GSI + 1, 0), EBUSY);
    CHECK_EQUAL(set_irqfd(&machine, other, GSI, 0), 0);
    CHECK_EQUAL(set_irqfd(&machine, fd, GSI + 1, MSHV_IRQFD_DEASSIGN),
                0); /* not this pair: nothing happens */
    CHECK_ERRNO(set_irqfd(&machine, fd, GSI, 0), EBUSY);
    CHECK_EQUAL(set_irqfd(&machine, fd, GSI, MSHV_IRQFD_DEASSIGN), 0);
    CHECK_EQUAL(set_irqfd(&machine, fd, GSI, MSHV_IRQFD_DEASSIGN), 0);
    CHECK_EQUAL(set_irqfd(&machine, fd, GSI, 0), 0);
    machine_destroy(&machine);
}

/* Which signals become interrupts: what is asserted last arrives first only if no other came. */
static void irqfd_attach_and_detach(void)
{
    struct machine machine;
    int fd = eventfd(1, EFD_CLOEXEC);

    start_idle_machine(&machine);
    route(&machine, GSI, VECTOR);
    CHECK_EQUAL(set_irqfd(&machine, fd, GSI, 0), 0); /* signalled already */
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), VECTOR);
    signal_eventfd(fd);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), VECTOR);
    CHECK_EQUAL(set_irqfd(&machine, fd, GSI, MSHV_IRQFD_DEASSIGN), 0);
    signal_eventfd(fd);
    CHECK_EQUAL(machine_assert_interrupt(machine.partition, OTHER, 0), 0);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), OTHER);
    /* a GSI without route drops the signal; a new table counts at once */
    CHECK_EQUAL(set_irqfd(&machine, fd, GSI + 1, 0), 0);
    signal_eventfd(fd);
    route(&machine, GSI + 1, OTHER);
    signal_eventfd(fd);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), OTHER);
    CHECK_EQUAL(set_routing(&machine, NULL, 0), 0);
    signal_eventfd(fd);
    CHECK_EQUAL(machine_assert_interrupt(machine.partition, VECTOR, 0), 0);
    CHECK_EQUAL(machine_run_to_out(&machine, 0, PORT), VECTOR);
    machine_destroy(&machine);
}

/* The eventfd and the partition end in either order. */
static void irqfd_ends(void)
{
    struct machine machine;
    unsigned i;

    for (i = 0; i < 50; i++) {
        int fd = eventfd(0, EFD_CLOEXEC);

        machine_create(&machine, MACHINE_FLAGS, 0);
        CHECK_EQUAL(set_irqfd(&machine, fd, GSI, 0), 0);
        if (i % 2) {
            close(fd);
            machine_destroy(&machine);
        } else {
            machine_destroy(&machine);
            signal_eventfd(fd);
            close(fd);
        }
    }
}

static void routing_refuses(void)
{
    const struct mshv_user_irq_entry twice[] = {{.gsi = 1}, {.gsi = 2}, {.gsi = 1}};
    const struct mshv_user_irq_entry high = {.gsi = MSHV_MAX_GUEST_IRQS};
    const struct mshv_user_irq_entry far = {.gsi = 1, .address_hi = 1};
    struct mshv_user_irq_entry zeros[24] = {{.gsi = 0}};
    struct mshv_user_irq_table table = {.rsvd = 1};
    struct machine machine;
    unsigned i;

    machine_create(&machine, MACHINE_FLAGS, 0);
    CHECK_ERRNO(ioctl(machine.partition, MSHV_SET_MSI_ROUTING, &table), EINVAL);
    table = (struct mshv_user_irq_table){.nr = MSHV_MAX_GUEST_IRQS + 1};
    CHECK_ERRNO(ioctl(machine.partition, MSHV_SET_MSI_ROUTING, &table), EINVAL);
    CHECK_ERRNO(ioctl(machine.partition, MSHV_SET_MSI_ROUTING, NULL), EFAULT);
    CHECK_ERRNO(set_routing(&machine, twice, 3), EINVAL);
    CHECK_ERRNO(set_routing(&machine, &high, 1), EINVAL);
    CHECK_ERRNO(set_routing(&machine, &far, 1), EINVAL);
    for (i = 0; i < 24; i++)
        zeros[i].gsi = i;
    CHECK_EQUAL(set_routing(&machine, zeros, 24), 0);
    CHECK_EQUAL(set_routing(&machine, NULL, 0), 0);
    machine_destroy(&machine);
}

static int set_ioeventfd(struct machine *machine, struct mshv_user_ioeventfd request)
{
    return ioctl(machine->partition, MSHV_IOEVENTFD, &request);
}

static void ioeventfds(void)
{
    struct machine machine;
    int fd = eventfd(0, EFD_CLOEXEC), other = eventfd(0, EFD_CLOEXEC);
    const struct mshv_user_ioeventfd any = {.addr = 0xC0000000, .fd = fd},
                                     value = {
                                         .addr = 0xC0000004, .len = 4, .fd = fd, .datamatch = 7, .flags = 1};
    struct mshv_user_ioeventfd request;

    machine_create(&machine, MACHINE_FLAGS, 0);
    request = any;
    request.flags = MSHV_IOEVENTFD_PIO;
    CHECK_ERRNO(set_ioeventfd(&machine, request), EOPNOTSUPP);
    request.flags = 8;
    CHECK_ERRNO(set_ioeventfd(&machine, request), EINVAL);
    request = any;
    request.len = 3;
    CHECK_ERRNO(set_ioeventfd(&machine, request), EINVAL);
    request = any;
    request.rsvd[2] = 1;
    CHECK_ERRNO(set_ioeventfd(&machine, request), EINVAL);
    request = any;
    request.fd = 1000;
    CHECK_ERRNO(set_ioeventfd(&machine, request), EBADF);
    request = any;
    request.addr = UINT64_MAX;
    request.len = 8;
    CHECK_ERRNO(set_ioeventfd(&machine, request), EINVAL);
    request = any;
    request.flags = MSHV_IOEVENTFD_DEASSIGN;
    CHECK_ERRNO(set_ioeventfd(&machine, request), ENOENT);

    CHECK_EQUAL(set_ioeventfd(&machine, any), 0);
    CHECK_ERRNO(set_ioeventfd(&machine, any), EEXIST);
    CHECK_EQUAL(set_ioeventfd(&machine, value), 0);
    request = value;
    request.fd = other;
    CHECK_ERRNO(set_ioeventfd(&machine, request), EEXIST); /* the same value */
    request.datamatch = 8;
    CHECK_EQUAL(set_ioeventfd(&machine, request), 0);
    request.flags = 0;
    CHECK_ERRNO(set_ioeventfd(&machine, request), EEXIST); /* any value, beside one */
    request = value;
    request.flags |= MSHV_IOEVENTFD_DEASSIGN;
    request.fd = other;
    CHECK_ERRNO(set_ioeventfd(&machine, request), ENOENT);
    request.fd = fd;
    CHECK_EQUAL(set_ioeventfd(&machine, request), 0);
    CHECK_ERRNO(set_ioeventfd(&machine, request), ENOENT);
    machine_destroy(&machine);
}

const struct test interrupt_tests[] = {
    {"assert_race",             assert_race,             false},
    {"irqfd_race",              irqfd_race,              false},
    {"assert_refuses",          assert_refuses,          false},
    {"irqfd_refuses",           irqfd_refuses,           false},
    {"irqfd_attach_and_detach", irqfd_attach_and_detach, false},
    {"irqfd_ends",              irqfd_ends,              false},
    {"routing_refuses",         routing_refuses,         false},
    {"ioeventfds",              ioeventfds,              false},
    {NULL,                      NULL,                    false},
};
