/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 21140A: the transmit process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/dec21140_fixture.h"

static void test_transmit_ring(void **state)
{
    struct machine *machine = *state;

    for (unsigned i = 0; i < 3; i++) {
        make_frame(machine->ram + TX_BUFFER + 0x1000 * i, 100 + i, broadcast);
        set_descriptor(machine, TX_RING + 16 * i, OWNED, WHOLE | (i == 2 ? TER | IC : 0) | (100 + i),
                       TX_BUFFER + 0x1000 * i, 0);
    }
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 7, NIS | TI);
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(word(machine, TX_RING + 16 * i), 0);
        assert_int_equal(machine->sent_length[i], 100 + i);
        assert_memory_equal(machine->sent[i], machine->ram + TX_BUFFER + 0x1000 * i, 100 + i);
    }
    assert_true(machine->line);
    assert_int_equal(TS(csr(machine, 5)), 6);
    assert_int_equal(csr(machine, 5) & (NIS | AIS | TI | TU | ETI), NIS | TI | TU);
    set_csr(machine, 5, TI);
    assert_false(machine->line); /* TU is not enabled */
    /* The ring has wrapped: poll demand finds the first descriptor again. */
    fixture_advance(&machine->fixture, MILLISECOND);
    set_word(machine, TX_RING, OWNED);
    set_csr(machine, 1, 0);
    assert_int_equal(machine->sent_count, 4);
    assert_int_equal(machine->sent_length[3], 100);
}

static void test_transmit_chain_and_skip(void **state)
{
    struct machine *machine = *state;

    make_frame(machine->ram + TX_BUFFER, 200, broadcast);
    /* Chained: the second word names the next descriptor, far away. */
    set_descriptor(machine, TX_RING, OWNED, WHOLE | TCH | (55 << 11) | 70, TX_BUFFER, TX_RING + 0x800);
    set_descriptor(machine, TX_RING + 0x800, OWNED, WHOLE | TCH | 80, TX_BUFFER, TX_RING);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 2);
    assert_int_equal(machine->sent_length[0], 70);
    assert_int_equal(machine->sent_length[1], 80);
    /* A ring with three longwords between the descriptors. */
    set_csr(machine, 6, 0);
    set_csr(machine, 0, 3 << 2);
    set_descriptor(machine, TX_RING, OWNED, WHOLE | 90, TX_BUFFER, 0);
    set_descriptor(machine, TX_RING + 28, OWNED, WHOLE | TER | 95, TX_BUFFER, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 4);
    assert_int_equal(machine->sent_length[3], 95);
}

static void test_transmit_pieces(void **state)
{
    struct machine *machine = *state;
    uint8_t frame[300];

    make_frame(frame, sizeof frame, group);
    memcpy(machine->ram + TX_BUFFER, frame, 10);
    memcpy(machine->ram + TX_BUFFER + 0x101, frame + 10, 90);
    memcpy(machine->ram + TX_BUFFER + 0x203, frame + 100, 200);
    set_descriptor(machine, TX_RING, OWNED, FS | 90 << 11 | 10, TX_BUFFER, TX_BUFFER + 0x101);
    set_descriptor(machine, TX_RING + 16, OWNED, 0, 0xffffffff, 0xffffffff); /* no size: not looked at */
    set_descriptor(machine, TX_RING + 32, OWNED, LS | IC | TER | 200, TX_BUFFER + 0x203, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 1);
    assert_int_equal(machine->sent_length[0], 300);
    assert_memory_equal(machine->sent[0], frame, 300);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(word(machine, TX_RING + 16 * i), 0);
    assert_int_equal(csr(machine, 5) & (TI | ETI), TI);
}

static void test_transmit_underflow(void **state)
{
    struct machine *machine = *state;

    set_descriptor(machine, TX_RING, OWNED, FS | 100, TX_BUFFER, 0);
    set_descriptor(machine, TX_RING + 16, 0, LS | TER | 100, TX_BUFFER, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 0);
    assert_int_equal(word(machine, TX_RING), 0x8002);
    assert_int_equal(csr(machine, 5) & (UNF | TU), UNF | TU);
    assert_int_equal(TS(csr(machine, 5)), 6);
    /* The rest of that frame is passed over. */
    set_word(machine, TX_RING + 16, OWNED);
    set_descriptor(machine, TX_RING, OWNED, WHOLE | 70, TX_BUFFER, 0);
    set_csr(machine, 1, 0);
    assert_int_equal(machine->sent_count, 1);
    assert_int_equal(machine->sent_length[0], 70);
}

/* A frame of more descriptors than there can be, and a chain that leads back to itself. */
static void test_transmit_endless_frame(void **state)
{
    struct machine *machine = *state;

    for (unsigned i = 0; i < 100; i++)
        set_descriptor(machine, TX_RING + 16 * i, OWNED, (i == 0 ? FS : 0) | (i == 99 ? LS | TER : 0) | 1,
                       TX_BUFFER, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 0);
    assert_int_equal(csr(machine, 5) & UNF, UNF);
    set_csr(machine, 6, 0);
    set_descriptor(machine, TX_RING, OWNED, FS | TCH | 1, TX_BUFFER, TX_RING);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(word(machine, TX_RING), 0x8002);
}

/* One exit sends a bounded number of frames; the rest follows by itself. */
static void test_transmit_burst(void **state)
{
    struct machine *machine = *state;

    for (unsigned i = 0; i < 300; i++)
        set_descriptor(machine, TX_RING + 16 * i, OWNED, i == 299 ? WHOLE | IC | TER | 60 : 0, TX_BUFFER, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(TS(csr(machine, 5)), 1);
    assert_int_equal(word(machine, TX_RING + 16 * 299), OWNED);
    fixture_advance(&machine->fixture, 1);
    assert_int_equal(word(machine, TX_RING + 16 * 299), 0);
    assert_int_equal(machine->sent_count, 1);
    assert_int_equal(TS(csr(machine, 5)), 6);
}

static void test_transmit_lengths(void **state)
{
    static const struct {
        uint32_t control;
        uint32_t length;
        size_t sent; /* 0: nothing */
        uint32_t status;
    } cases[] = {
        {0,        1514, 1514, 0},
        {0,        1518, 1518, 0},
        {0,        1519, 0,    0}, /* too long for any switch, but not for the
  card */
        {0,        42,   60,   0},
        {0,        13,   0,    0},
        {0,        0,    0,    0},
        {DPD,      42,   0,    0}, /* a runt */
        {AC,       104,  100,  0}, /* the driver's check sequence is cut off */
        {AC,       42,   60,   0},
        {AC,       1522, 1518, 0},
        {AC | DPD, 3,    0,    0},
        {0,        2047, 0,    0},
    };
    struct machine *machine = *state;

    set_csr(machine, 6, ST);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned before = machine->sent_count;

        fixture_advance(&machine->fixture, MILLISECOND); /* the wire is free */
        make_frame(machine->ram + TX_BUFFER, 2048, broadcast);
        set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | cases[i].control | cases[i].length, TX_BUFFER,
                       0);
        set_csr(machine, 4, TX_RING);
        set_csr(machine, 1, 0);
        assert_int_equal(word(machine, TX_RING), cases[i].status);
        assert_int_equal(machine->sent_count - before, cases[i].sent ? 1 : 0);
        if (cases[i].sent)
            assert_int_equal(machine->sent_length[before], cases[i].sent);
        if (cases[i].sent == 60)
            assert_int_equal(machine->sent[before][59], 0);
    }
}

static void test_transmit_jabber(void **state)
{
    struct machine *machine = *state;

    set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 1024 << 11 | 1025, TX_BUFFER, TX_BUFFER);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(word(machine, TX_RING), 0xc000);
    assert_int_equal(csr(machine, 5) & (TJT | TPS), TJT | TPS);
    assert_int_equal(TS(csr(machine, 5)), 0);
    /*
     * The command register starts it again; without the jabber timer the frame passes, to be dropped by the
     * switch.
     */
    set_csr(machine, 15, 1);
    set_word(machine, TX_RING, OWNED);
    set_csr(machine, 6, ST);
    assert_int_equal(word(machine, TX_RING), 0);
    assert_int_equal(machine->sent_count, 0);
}

/* Congestion in the switch is none of the guest's business. */
static void test_transmit_congested(void **state)
{
    struct machine *machine = *state;

    machine->congested = true;
    set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 60, TX_BUFFER, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(word(machine, TX_RING), 0);
}

static void test_transmit_stop_and_resume(void **state)
{
    struct machine *machine = *state;

    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    set_csr(machine, 5, 0xffffffff);
    set_csr(machine, 6, 0);
    assert_int_equal(TS(csr(machine, 5)), 0);
    assert_int_equal(csr(machine, 5) & TPS, TPS);
    set_csr(machine, 5, TPS);
    set_csr(machine, 6, 0); /* stopped already: no event */
    assert_int_equal(csr(machine, 5) & TPS, 0);
    set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 60, TX_BUFFER, 0);
    set_csr(machine, 1, 0);
    assert_int_equal(machine->sent_count, 0); /* poll demand does not start it */
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 1);
}

static void send_one(struct machine *machine, uint32_t control)
{
    set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | control | 60, TX_BUFFER, 0);
    set_csr(machine, 1, 0);
}

/* The end of the list is reported once in a while, not after every frame of a burst. */
static void test_transmit_unavailable_is_coalesced(void **state)
{
    struct machine *machine = *state;

    fixture_advance(&machine->fixture, SECOND);
    set_csr(machine, 4, TX_RING);
    set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 60, TX_BUFFER, 0);
    set_csr(machine, 7, NIS | TU | TI);
    set_csr(machine, 6, ST);
    assert_true(machine->line); /* a lone frame at once */
    for (unsigned i = 0; i < 10; i++) {
        set_csr(machine, 5, TU);
        send_one(machine, 0);
        assert_false(machine->line);
        assert_int_equal(TS(csr(machine, 5)), 2);
        fixture_advance(&machine->fixture, 10 * MICROSECOND);
    }
    machine->fixture.expirations = 0;
    fixture_advance(&machine->fixture, 100 * MICROSECOND);
    assert_true(machine->line);
    assert_int_equal(TS(csr(machine, 5)), 6);
    assert_int_equal(machine->fixture.expirations, 1);
    assert_int_equal(machine->sent_count, 11);
    set_csr(machine, 5, TU);
    fixture_advance(&machine->fixture, SECOND);
    assert_false(machine->line);
    /* Stopping does not leave it behind. */
    send_one(machine, 0);
    set_csr(machine, 5, TU);
    send_one(machine, 0);
    set_csr(machine, 6, 0);
    fixture_advance(&machine->fixture, SECOND);
    assert_int_equal(csr(machine, 5) & TU, 0);
}

/* With an interrupt that the driver has asked for, the end of the list is told too, and not once more. */
static void test_transmit_unavailable_with_interrupt(void **state)
{
    struct machine *machine = *state;

    set_csr(machine, 4, TX_RING);
    set_csr(machine, 7, NIS | TU | TI);
    set_csr(machine, 6, ST);
    set_csr(machine, 5, TU);
    for (unsigned i = 0; i < 3; i++) {
        fixture_advance(&machine->fixture, 10 * MICROSECOND);
        send_one(machine, IC);
        assert_true(machine->line);
        assert_int_equal(csr(machine, 5) & (TI | TU), TI | TU);
        assert_int_equal(TS(csr(machine, 5)), 6);
        set_csr(machine, 5, TI | TU);
    }
    machine->fixture.expirations = 0;
    fixture_advance(&machine->fixture, SECOND);
    assert_false(machine->line);
    assert_int_equal(machine->fixture.expirations, 0);
}

#define FULL_FRAME 1514
#define FULL_TIME  ((FULL_FRAME + 24) * 80) /* nanoseconds of a wire of 100 Mb/s */

/* The driver puts a frame into its list at `index` and demands a poll. */
static void add_frame(struct machine *machine, unsigned index, uint32_t control, uint32_t length)
{
    make_frame(machine->ram + TX_BUFFER, length, broadcast);
    set_descriptor(machine, TX_RING + 16 * index, OWNED, WHOLE | control | length, TX_BUFFER, 0);
    set_csr(machine, 1, 0);
}

/* A started card whose wire has just become busy with a full frame, the first of the list. */
static void make_wire_busy(struct machine *machine)
{
    for (unsigned i = 0; i < 40; i++)
        set_descriptor(machine, TX_RING + 16 * i, 0, 0, 0, 0);
    fixture_advance(&machine->fixture, SECOND);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 7, NIS | TU | TI);
    set_csr(machine, 6, ST);
    add_frame(machine, 0, 0, FULL_FRAME);
    assert_int_equal(word(machine, TX_RING), 0); /* a lone frame at once */
    set_csr(machine, 5, 0xffffffff);
    machine->flushes = machine->sent_count = 0;
}

/* While the wire is busy frames gather, and leave together when it is free. */
static void test_transmit_gathers(void **state)
{
    struct machine *machine = *state;

    make_wire_busy(machine);
    for (unsigned i = 1; i <= 5; i++) {
        add_frame(machine, i, 0, 60 + i);
        assert_int_equal(TS(csr(machine, 5)), 2);
    }
    fixture_advance(&machine->fixture, FULL_TIME - 1);
    assert_int_equal(machine->sent_count, 0);
    assert_int_equal(word(machine, TX_RING + 16), OWNED);
    fixture_advance(&machine->fixture, 1);
    assert_int_equal(machine->sent_count, 5);
    assert_int_equal(machine->flushes, 1);
    for (unsigned i = 1; i <= 5; i++) {
        assert_int_equal(word(machine, TX_RING + 16 * i), 0);
        assert_int_equal(machine->sent_length[i - 1], 60 + i);
    }
    /* A free wire takes the next at once; a small frame keeps it busy for a short time only. */
    fixture_advance(&machine->fixture, MILLISECOND);
    add_frame(machine, 6, 0, 60);
    assert_int_equal(machine->sent_count, 6);
    fixture_advance(&machine->fixture, 84 * 80);
    add_frame(machine, 7, 0, 60);
    assert_int_equal(machine->sent_count, 7);
}

/* However much has been sent, nothing gathers for more than 500 microseconds. */
static void test_transmit_gathers_not_for_long(void **state)
{
    struct machine *machine = *state;

    make_wire_busy(machine);
    for (unsigned i = 1; i <= 10; i++)
        add_frame(machine, i, 0, FULL_FRAME);
    fixture_advance(&machine->fixture, FULL_TIME);
    assert_int_equal(machine->sent_count, 10);
    add_frame(machine, 11, 0, 60);
    fixture_advance(&machine->fixture, 500 * MICROSECOND - 1);
    assert_int_equal(machine->sent_count, 10);
    fixture_advance(&machine->fixture, 1);
    assert_int_equal(machine->sent_count, 11);
}

/* What the driver wants to be told about, a setup frame, and many descriptors do not wait. */
static void test_transmit_urgent(void **state)
{
    struct machine *machine = *state;

    make_wire_busy(machine);
    for (unsigned i = 1; i <= 3; i++)
        add_frame(machine, i, 0, 60);
    assert_int_equal(machine->sent_count, 0);
    add_frame(machine, 4, IC, 60);
    assert_int_equal(machine->sent_count, 4);
    assert_int_equal(machine->flushes, 1);
    assert_true(machine->line);

    make_wire_busy(machine);
    add_frame(machine, 1, 0, 60);
    set_descriptor(machine, TX_RING + 32, OWNED, SET | 192, SETUP, 0);
    set_csr(machine, 1, 0);
    assert_int_equal(machine->sent_count, 1);
    assert_int_equal(word(machine, TX_RING + 32), 0x7fffffff);

    make_wire_busy(machine);
    for (unsigned i = 1; i < 32; i++)
        add_frame(machine, i, 0, 60);
    assert_int_equal(machine->sent_count, 0);
    add_frame(machine, 32, 0, 60);
    assert_int_equal(machine->sent_count, 32);
}

/* The look at what gathers decides nothing about what is sent, and ends with the list. */
static void test_transmit_gathered_changes(void **state)
{
    struct machine *machine = *state;

    /* The driver takes a frame back. */
    make_wire_busy(machine);
    add_frame(machine, 1, 0, 100);
    add_frame(machine, 2, 0, 100);
    set_word(machine, TX_RING + 32, 0);
    set_word(machine, TX_RING + 20, WHOLE | 70);
    fixture_advance(&machine->fixture, FULL_TIME);
    assert_int_equal(machine->sent_count, 1);
    assert_int_equal(machine->sent_length[0], 70);
    /* A chain of one descriptor that leads to itself is many descriptors. */
    make_wire_busy(machine);
    set_descriptor(machine, TX_RING + 16, OWNED, WHOLE | TCH | 60, TX_BUFFER, TX_RING + 16);
    set_csr(machine, 1, 0);
    assert_int_equal(machine->sent_count, 1);
    /* A list that leaves memory: first what is before. */
    make_wire_busy(machine);
    set_descriptor(machine, TX_RING + 16, OWNED, WHOLE | TCH | 60, TX_BUFFER, MEMORY_SIZE);
    set_csr(machine, 1, 0);
    assert_int_equal(machine->sent_count, 1);
    assert_int_equal(csr(machine, 5) & FBE, FBE);
}

/* What has gathered stays in the list when the process is stopped, and is forgotten with the list. */
static void test_transmit_gathered_and_stopped(void **state)
{
    struct machine *machine = *state;

    make_wire_busy(machine);
    add_frame(machine, 1, 0, 60);
    set_csr(machine, 6, 0);
    fixture_advance(&machine->fixture, SECOND);
    assert_int_equal(machine->sent_count, 0);
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 1);

    make_wire_busy(machine);
    for (unsigned i = 1; i <= 20; i++)
        add_frame(machine, i, 0, 60);
    set_csr(machine, 4, TX_RING + 0x1000);
    for (unsigned i = 0; i < 20; i++)
        set_descriptor(machine, TX_RING + 0x1000 + 16 * i, OWNED, WHOLE | 60, TX_BUFFER, 0);
    set_descriptor(machine, TX_RING + 0x1000 + 16 * 20, 0, 0, 0, 0);
    set_csr(machine, 1, 0);
    assert_int_equal(machine->sent_count, 0);
    fixture_advance(&machine->fixture, FULL_TIME);
    assert_int_equal(machine->sent_count, 20);

    make_wire_busy(machine);
    add_frame(machine, 1, 0, 60);
    set_csr(machine, 0, 1);
    fixture_advance(&machine->fixture, SECOND);
    assert_int_equal(machine->sent_count, 0);
    set_csr(machine, 4, TX_RING + 16);
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 1); /* at once: a reset frees the wire */
}

static void test_automatic_polling(void **state)
{
    struct machine *machine = *state;

    set_csr(machine, 0, 1 << 17);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    set_csr(machine, 5, TU);
    set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 60, TX_BUFFER, 0);
    fixture_advance(&machine->fixture, 199 * MICROSECOND);
    assert_int_equal(machine->sent_count, 0);
    assert_int_equal(csr(machine, 5) & TU, 0);
    fixture_advance(&machine->fixture, MICROSECOND);
    assert_int_equal(machine->sent_count, 1);
    /* And again, finding nothing several times, without an event for that. */
    fixture_advance(&machine->fixture, MILLISECOND);
    set_csr(machine, 5, TU);
    fixture_advance(&machine->fixture, MILLISECOND);
    assert_int_equal(csr(machine, 5) & TU, 0);
    set_word(machine, TX_RING, OWNED);
    fixture_advance(&machine->fixture, 200 * MICROSECOND);
    assert_int_equal(machine->sent_count, 2);
}

static void test_transmit_bus_errors(void **state)
{
    static const struct {
        uint32_t list;
        uint32_t control;
        uint32_t buffer;
    } cases[] = {
        {MEMORY_SIZE,     0,             0                },
        {0xfffffffc,      0,             0                },
        {MEMORY_SIZE - 8, 0,             0                },
        {TX_RING,         WHOLE | 60,    MEMORY_SIZE - 59 },
        {TX_RING,         WHOLE | 60,    0xfffffff0       },
        {TX_RING,         SET | 192,     MEMORY_SIZE - 191},
        {TX_RING,         FS | TCH | 60, TX_BUFFER        }, /* the chain leads out of memory */
    };
    struct machine *machine = *state;

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_descriptor(machine, TX_RING, OWNED, cases[i].control, cases[i].buffer, 0xf0000000);
        set_csr(machine, 4, cases[i].list);
        set_csr(machine, 7, AIS | FBE);
        set_csr(machine, 6, ST);
        assert_int_equal(csr(machine, 5) & (FBE | 0x03800000), FBE | 0x00800000);
        assert_true(machine->line);
        /* Dead until a software reset. */
        set_csr(machine, 5, FBE);
        set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 60, TX_BUFFER, 0);
        set_csr(machine, 4, TX_RING);
        set_csr(machine, 1, 0);
        assert_int_equal(machine->sent_count, 0);
        set_csr(machine, 0, 1);
        assert_false(machine->line);
    }
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 1);
}

static void test_needs_bus_master_enable(void **state)
{
    struct machine *machine = *state;

    load_perfect_filter(machine);
    configure(machine, PCI_COMMAND, 2, PCI_COMMAND_IO);
    set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 60, TX_BUFFER, 0);
    make_receive_ring(machine, 1);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST | SR);
    assert_int_equal(machine->sent_count, 0);
    assert_false(receive(machine, 60, mac));
    configure(machine, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    assert_int_equal(machine->sent_count, 1);
    assert_int_equal(machine->ready_calls, 1);
    assert_true(receive(machine, 60, mac));
    assert_int_equal(word(machine, RX_RING) & OWNED, 0);
}

/* Guest memory as a big-endian processor writes it over a bus that keeps longwords whole. */
static void write_big_endian(struct machine *machine, uint32_t address, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        machine->ram[(address + i) ^ 3] = bytes[i];
}

static void test_big_endian_buffers(void **state)
{
    struct machine *machine = *state;
    uint8_t frame[99];

    make_frame(frame, sizeof frame, broadcast);
    set_csr(machine, 0, 0x80);
    assert_int_equal(csr(machine, 0) & 0x80, 0x80);
    /* Two buffers, neither of which begins or ends with a longword. */
    write_big_endian(machine, TX_BUFFER + 1, frame, 50);
    write_big_endian(machine, TX_BUFFER + 0x103, &frame[50], 49);
    set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 49 << 11 | 50, TX_BUFFER + 1, TX_BUFFER + 0x103);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 1);
    assert_int_equal(machine->sent_length[0], sizeof frame);
    assert_memory_equal(machine->sent[0], frame, sizeof frame);

    /* As much as there can be, which does not leave; and a buffer that is not RAM. */
    set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 2047 << 11 | 2047, TX_BUFFER, TX_BUFFER);
    set_csr(machine, 15, 1);
    set_csr(machine, 1, 1);
    assert_int_equal(word(machine, TX_RING) & OWNED, 0);
    set_descriptor(machine, TX_RING, OWNED, FS | 2047 << 11 | 2047, TX_BUFFER, TX_BUFFER);
    set_descriptor(machine, TX_RING + 16, OWNED, LS | TER | 2047 << 11 | 2047, TX_BUFFER, TX_BUFFER);
    set_csr(machine, 1, 1);
    assert_int_equal(word(machine, TX_RING + 16) & OWNED, 0);
    assert_int_equal(machine->sent_count, 1);
    set_csr(machine, 6, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 60, MEMORY_SIZE - 4, 0);
    set_csr(machine, 1, 1);
    assert_int_equal(csr(machine, 5) & FBE, FBE);
    assert_int_equal(machine->sent_count, 1);
}

static void test_big_endian_descriptors(void **state)
{
    struct machine *machine = *state;

    set_csr(machine, 0, 1 << 20);
    make_frame(machine->ram + TX_BUFFER, 60, broadcast);
    set_descriptor(machine, TX_RING, __builtin_bswap32(OWNED), __builtin_bswap32(WHOLE | TER | IC | 60),
                   __builtin_bswap32(TX_BUFFER), 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(machine->sent_count, 1);
    assert_memory_equal(machine->sent[0], machine->ram + TX_BUFFER, 60);
}

static void test_loopback(void **state)
{
    static const struct {
        uint32_t mode;
        uint32_t type;
        unsigned sent;
    } cases[] = {
        {0x400, 0x1000, 0},
        {0x800, 0x2000, 1}
    };
    struct machine *machine = *state;

    load_perfect_filter(machine);
    for (unsigned i = 0; i < 2; i++) {
        set_csr(machine, 6, 0);
        make_receive_ring(machine, 2);
        make_frame(machine->ram + TX_BUFFER, 100, mac);
        set_descriptor(machine, TX_RING, OWNED, WHOLE | TER | 100, TX_BUFFER, 0);
        set_csr(machine, 4, TX_RING);
        set_csr(machine, 6, ST | SR | cases[i].mode);
        assert_int_equal(machine->sent_count, cases[i].sent);
        assert_int_equal(word(machine, RX_RING), 104u << 16 | 0x0320 | cases[i].type);
        assert_memory_equal(machine->ram + RX_BUFFER, machine->ram + TX_BUFFER, 100);
        assert_true(receive(machine, 60, mac)); /* the wire is not listened to */
        assert_int_equal(word(machine, RX_RING + 16), OWNED);
    }
    /* The PHY's own. */
    mii_write(machine, 1, 0, 0x6100);
    set_csr(machine, 6, 0);
    make_receive_ring(machine, 2);
    set_word(machine, TX_RING, OWNED);
    set_csr(machine, 6, ST | SR);
    assert_int_equal(machine->sent_count, 1);
    assert_int_equal(word(machine, RX_RING), 104u << 16 | 0x0320);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, dec21140_set_up, dec21140_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_transmit_ring),
        TEST(test_transmit_chain_and_skip),
        TEST(test_transmit_pieces),
        TEST(test_transmit_underflow),
        TEST(test_transmit_endless_frame),
        TEST(test_transmit_burst),
        TEST(test_transmit_lengths),
        TEST(test_transmit_jabber),
        TEST(test_transmit_congested),
        TEST(test_transmit_stop_and_resume),
        TEST(test_transmit_unavailable_is_coalesced),
        TEST(test_transmit_unavailable_with_interrupt),
        TEST(test_transmit_gathers),
        TEST(test_transmit_gathers_not_for_long),
        TEST(test_transmit_urgent),
        TEST(test_transmit_gathered_changes),
        TEST(test_transmit_gathered_and_stopped),
        TEST(test_automatic_polling),
        TEST(test_transmit_bus_errors),
        TEST(test_needs_bus_master_enable),
        TEST(test_big_endian_buffers),
        TEST(test_big_endian_descriptors),
        TEST(test_loopback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
