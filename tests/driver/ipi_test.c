// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * VPs that send each other interrupts in every way (ipi_guest.asm), halted most of the time: each is counted by its
 * receiver, and none is lost. IPIS in the environment says how many all tests of this file send together.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/driver/machine.h"
#include "tests/driver/test.h"

#define IPIS            20000u
#define BOARD           0x6000u
#define PORT_FINISHED   0x10
#define PORT_END        0x11
#define PORT_UNEXPECTED 0x12
#define VECTOR_END      0x60
#define STALL_SECONDS   5

enum mode { FLAT, CLUSTER, X2APIC, MODES };

/* In guest memory; ipi_guest.inc says the same. All that has an index belongs to the VP of that number. */
struct board {
    uint32_t vps;
    uint32_t mode;
    uint32_t ready;
    uint32_t unexpected; /* RIP of what should not have come */
    uint32_t reserved[4];
    uint32_t random[MACHINE_VPS];
    uint32_t quota[MACHINE_VPS];   /* so many are to be sent */
    uint32_t sent[MACHINE_VPS];    /* counted for each receiver */
    uint32_t replies[MACHINE_VPS]; /* that came back */
    uint32_t pending[MACHINE_VPS]; /* replies that have not come yet */
    uint32_t nmi_from[MACHINE_VPS];
    uint32_t rounds[MACHINE_VPS];
    uint32_t halts[MACHINE_VPS];
    uint32_t received[MACHINE_VPS][MACHINE_VPS]; /* by receiver, by sender */
};

/* The guest's code: ipi_guest.bin. */
extern const uint8_t _binary_ipi_guest_bin_start[], _binary_ipi_guest_bin_end[];

struct runner {
    struct machine *machine;
    uint32_t vp;
    sem_t *finished;
    pthread_t thread;
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
        page->rip = intercept->header.rip + (intercept->header.instruction_length_cr8 & 0xF);
        page->dirty |= HV_REGISTER_PAGE_DIRTY_IP;
        CHECK(intercept->port_number != PORT_UNEXPECTED);
        if (intercept->port_number == PORT_END)
            return NULL;
        CHECK_EQUAL(intercept->port_number, PORT_FINISHED);
        CHECK_EQUAL(sem_post(runner->finished), 0);
    }
}

static uint64_t sum(const volatile uint32_t *values, unsigned count)
{
    uint64_t total = 0;
    unsigned i;

    for (i = 0; i < count; i++)
        total += values[i];
    return total;
}

static void print_board(const struct board *board)
{
    unsigned i, j;

    for (i = 0; i < board->vps; i++) {
        printf("  VP %u: quota %u, sent %u in %u rounds, %u replies, %u pending, %u halts, received", i,
               board->quota[i], board->sent[i], board->rounds[i], board->replies[i], board->pending[i],
               board->halts[i]);
        for (j = 0; j < board->vps; j++)
            printf(" %u", board->received[i][j]);
        printf("\n");
    }
    fflush(stdout);
}

/* However long it takes; the watchdog ends a guest that stands still, and the board is shown before. */
static void wait_until_finished(sem_t *finished, const struct board *board)
{
    uint64_t replies = 0;
    bool shown = false;
    unsigned i;

    for (i = 0; i < board->vps;) {
        uint64_t now = sum(board->replies, board->vps);
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += STALL_SECONDS;
        if (sem_timedwait(finished, &until) == 0)
            i++;
        else if (now == replies && !shown)
            print_board(board);
        shown = now == replies;
        if (!shown)
            test_restart_watchdog();
        replies = now;
    }
}

static void check_counts(const struct board *board)
{
    unsigned sender, receiver;

    for (sender = 0; sender < board->vps; sender++) {
        uint32_t received = 0;

        for (receiver = 0; receiver < board->vps; receiver++)
            received += board->received[receiver][sender];
        if (received != board->sent[sender] || board->replies[sender] != board->sent[sender] ||
            board->sent[sender] < board->quota[sender])
            print_board(board);
        CHECK_EQUAL(received, board->sent[sender]);
        CHECK_EQUAL(board->replies[sender], board->sent[sender]);
        CHECK(board->sent[sender] >= board->quota[sender]);
    }
    CHECK_EQUAL(board->unexpected, 0);
}

/* `senders` VPs of `vps` send `requests` together, each of which is answered. */
static void exchange(unsigned vps, unsigned senders, enum mode mode, unsigned requests)
{
    struct runner runners[MACHINE_VPS];
    struct machine machine;
    struct board *board;
    sem_t finished;
    unsigned i;

    machine_create(&machine, MACHINE_FLAGS, MACHINE_RAM);
    machine_load(&machine, MACHINE_CODE, _binary_ipi_guest_bin_start,
                 (size_t)(_binary_ipi_guest_bin_end - _binary_ipi_guest_bin_start));
    board = (struct board *)(machine.ram + BOARD);
    board->vps = vps;
    board->mode = mode;
    CHECK_EQUAL(sem_init(&finished, 0, 0), 0);
    for (i = 0; i < vps; i++) {
        board->random[i] = requests + mode;
        board->quota[i] = i < senders ? requests / senders : 0;
        machine_create_vp(&machine, i);
    }
    for (i = 0; i < vps; i++) {
        runners[i] = (struct runner){.machine = &machine, .vp = i, .finished = &finished};
        CHECK_EQUAL(pthread_create(&runners[i].thread, NULL, run_vp, &runners[i]), 0);
    }
    wait_until_finished(&finished, board);
    check_counts(board);
    CHECK(sum(board->halts, vps) > 0);
    for (i = 0; i < vps; i++) {
        CHECK_EQUAL(machine_assert_interrupt(machine.partition, VECTOR_END, i), 0);
        CHECK_EQUAL(pthread_join(runners[i].thread, NULL), 0);
    }
    machine_destroy(&machine);
}

/* All at once; and one to others that do nothing but sleep, whom nobody else would wake. */
static void exchange_in_all_modes(unsigned vps)
{
    const char *ipis = getenv("IPIS");
    unsigned requests = (ipis ? (unsigned)strtoul(ipis, NULL, 10) : IPIS) / 2 / (3 * MODES * 2), mode;

    for (mode = 0; mode < MODES; mode++) {
        exchange(vps, vps, mode, requests);
        exchange(vps, 1, mode, requests);
    }
}

static void ipis_of_two_vps(void)
{
    exchange_in_all_modes(2);
}

static void ipis_of_four_vps(void)
{
    exchange_in_all_modes(4);
}

static void ipis_of_eight_vps(void)
{
    exchange_in_all_modes(8);
}

const struct test ipi_tests[] = {
    {"ipis_of_two_vps",   ipis_of_two_vps,   false},
    {"ipis_of_four_vps",  ipis_of_four_vps,  false},
    {"ipis_of_eight_vps", ipis_of_eight_vps, false},
    {NULL,                NULL,              false},
};
