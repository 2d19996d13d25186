/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 21140A: the receive process and its filters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/dec21140_fixture.h"

static void test_receive(void **state)
{
    struct machine *machine = *state;
    uint8_t frame[NIC_MAXIMUM_FRAME];
    uint32_t check;

    load_perfect_filter(machine);
    make_receive_ring(machine, 2);
    set_csr(machine, 7, NIS | RI);
    set_csr(machine, 6, SR);
    assert_int_equal(RS(csr(machine, 5)), 3);
    make_frame(frame, 100, mac);
    assert_true(dec21140_receive(&machine->card, frame, 100));
    assert_true(machine->line);
    assert_int_equal(word(machine, RX_RING), 104u << 16 | 0x0320);
    assert_memory_equal(machine->ram + RX_BUFFER, frame, 100);
    memcpy(&check, machine->ram + RX_BUFFER + 100, 4);
    assert_int_equal(check, reference_crc32(frame, 100));
    assert_int_equal(machine->ram[RX_BUFFER + 104], 0);
    set_csr(machine, 5, RI);
    assert_false(machine->line);
    /* A short frame has been padded on the wire; a length is not a type; broadcast is multicast. */
    make_frame(frame, 42, broadcast);
    frame[12] = 0x00;
    frame[13] = 28;
    assert_true(dec21140_receive(&machine->card, frame, 42));
    assert_int_equal(word(machine, RX_RING + 16), 64u << 16 | 0x0700);
    memset(frame + 42, 0, 18);
    assert_memory_equal(machine->ram + RX_BUFFER + 0x1000, frame, 60);
    memcpy(&check, machine->ram + RX_BUFFER + 0x1000 + 60, 4);
    assert_int_equal(check, reference_crc32(frame, 60));
    /* The chip has looked at the next descriptor, the first one again: not its own. */
    assert_int_equal(RS(csr(machine, 5)), 4);
    assert_int_equal(csr(machine, 5) & RU, RU);
}

static void test_receive_lengths(void **state)
{
    struct machine *machine = *state;

    load_perfect_filter(machine);
    make_receive_ring(machine, 3);
    set_csr(machine, 6, SR);
    assert_true(receive(machine, 1514, mac));
    assert_int_equal(word(machine, RX_RING), 1518u << 16 | 0x0320);
    assert_true(receive(machine, 1518, mac)); /* tagged: marked, not cut */
    assert_int_equal(word(machine, RX_RING + 16), 1522u << 16 | 0x83a0);
    assert_true(dec21140_receive(&machine->card, mac, 6)); /* no frame */
    assert_int_equal(word(machine, RX_RING + 32), OWNED);
}

static void test_receive_pieces(void **state)
{
    struct machine *machine = *state;
    uint8_t frame[200];
    uint8_t received[204];

    load_perfect_filter(machine);
    set_descriptor(machine, RX_RING, OWNED, 40 << 11 | 60, RX_BUFFER, RX_BUFFER + 0x100);
    set_descriptor(machine, RX_RING + 16, OWNED, TCH | 80, RX_BUFFER + 0x200, RX_RING + 0x100);
    set_descriptor(machine, RX_RING + 0x100, OWNED, TER | 100, RX_BUFFER + 0x300, 0);
    set_csr(machine, 3, RX_RING);
    set_csr(machine, 6, SR);
    make_frame(frame, 200, mac);
    assert_true(dec21140_receive(&machine->card, frame, 200));
    assert_int_equal(word(machine, RX_RING), 0x0200);
    assert_int_equal(word(machine, RX_RING + 16), 0);
    assert_int_equal(word(machine, RX_RING + 0x100), 204u << 16 | 0x0120);
    memcpy(received, machine->ram + RX_BUFFER, 60);
    memcpy(received + 60, machine->ram + RX_BUFFER + 0x100, 40);
    memcpy(received + 100, machine->ram + RX_BUFFER + 0x200, 80);
    memcpy(received + 180, machine->ram + RX_BUFFER + 0x300, 24);
    assert_memory_equal(received, frame, 200);
}

static void test_receive_truncated(void **state)
{
    struct machine *machine = *state;

    load_perfect_filter(machine);
    set_descriptor(machine, RX_RING, OWNED, 64, RX_BUFFER, 0);
    set_descriptor(machine, RX_RING + 16, OWNED, 64, RX_BUFFER, 0);
    set_descriptor(machine, RX_RING + 32, 0, TER | 64, RX_BUFFER, 0);
    set_csr(machine, 3, RX_RING);
    set_csr(machine, 6, SR);
    assert_true(receive(machine, 500, mac));
    assert_int_equal(word(machine, RX_RING), 0x0200);
    assert_int_equal(word(machine, RX_RING + 16), 504u << 16 | 0xc120);
    assert_int_equal(csr(machine, 5) & (RI | RU), RI | RU);
    assert_int_equal(RS(csr(machine, 5)), 4);
}

/* Descriptors without room, in a circle: the frame is cut, the worker goes on. */
static void test_receive_endless_descriptors(void **state)
{
    struct machine *machine = *state;

    load_perfect_filter(machine);
    for (unsigned i = 0; i < 1000; i++)
        set_descriptor(machine, RX_RING + 16 * i, OWNED, i == 999 ? TER : 0, RX_BUFFER, 0);
    set_csr(machine, 3, RX_RING);
    set_csr(machine, 6, SR);
    assert_true(receive(machine, 100, mac));
    assert_int_equal(word(machine, RX_RING + 16 * 255) & 0x4100, 0x4100);
    assert_int_equal(word(machine, RX_RING + 16 * 256), OWNED);
}

static void test_receive_bus_errors(void **state)
{
    static const uint32_t buffers[] = {MEMORY_SIZE - 100, MEMORY_SIZE, 0xffffffc0};
    struct machine *machine = *state;

    for (unsigned i = 0; i < 3; i++) {
        set_csr(machine, 0, 1);
        load_perfect_filter(machine);
        make_receive_ring(machine, 1);
        set_word(machine, RX_RING + 8, buffers[i]);
        set_csr(machine, 6, SR);
        assert_true(receive(machine, 100, mac));
        assert_int_equal(csr(machine, 5) & FBE, FBE);
        assert_true(receive(machine, 100, mac)); /* dropped */
    }
    set_csr(machine, 0, 1);
    set_csr(machine, 3, 0xf0000000);
    set_csr(machine, 6, SR);
    assert_int_equal(csr(machine, 5) & FBE, FBE);
}

static void test_receive_stopped(void **state)
{
    struct machine *machine = *state;

    load_perfect_filter(machine);
    make_receive_ring(machine, 2);
    assert_true(receive(machine, 60, mac));
    set_csr(machine, 6, SR);
    set_csr(machine, 6, 0);
    assert_int_equal(csr(machine, 5) & RPS, RPS);
    assert_int_equal(RS(csr(machine, 5)), 0);
    assert_true(receive(machine, 60, mac));
    assert_int_equal(word(machine, RX_RING), OWNED);
    assert_int_equal(csr(machine, 8), 0xe0000000); /* not missed: not listened to */
}

static void hold(struct machine *machine, const uint8_t *frame, size_t length)
{
    assert_false(dec21140_receive(&machine->card, frame, length));
    machine->held = frame;
    machine->held_length = length;
}

static void test_receive_held_until_poll_demand(void **state)
{
    struct machine *machine = *state;
    uint8_t frame[80];

    load_perfect_filter(machine);
    make_receive_ring(machine, 1);
    set_word(machine, RX_RING, 0);
    set_csr(machine, 6, SR);
    assert_int_equal(csr(machine, 5) & RU, RU);
    assert_int_equal(RS(csr(machine, 5)), 4);
    set_csr(machine, 5, RU);
    make_frame(frame, sizeof frame, mac);
    hold(machine, frame, sizeof frame);
    assert_int_equal(csr(machine, 5) & RU, 0); /* only once */
    set_csr(machine, 2, 0);
    assert_int_equal(machine->ready_calls, 0);
    set_word(machine, RX_RING, OWNED);
    set_csr(machine, 2, 0);
    assert_true(machine->held_taken);
    assert_int_equal(word(machine, RX_RING) >> 16, 84);
    assert_int_equal(csr(machine, 8), 0xe0000000);
}

/* Linux gives descriptors back without a poll demand, and then enables interrupts. */
static void test_receive_held_until_interrupts_enabled(void **state)
{
    struct machine *machine = *state;
    uint8_t frame[80];

    load_perfect_filter(machine);
    make_receive_ring(machine, 1);
    set_word(machine, RX_RING, 0);
    set_csr(machine, 6, SR);
    make_frame(frame, sizeof frame, mac);
    hold(machine, frame, sizeof frame);
    set_word(machine, RX_RING, OWNED);
    set_csr(machine, 7, 0x1ebef);
    assert_true(machine->held_taken);
}

/* A driver that touches no register gets the frame by the card's own looking. */
static void test_receive_held_until_noticed(void **state)
{
    struct machine *machine = *state;
    uint8_t frame[80];

    load_perfect_filter(machine);
    make_receive_ring(machine, 1);
    set_word(machine, RX_RING, 0);
    set_csr(machine, 6, SR);
    make_frame(frame, sizeof frame, mac);
    hold(machine, frame, sizeof frame);
    fixture_advance(&machine->fixture, 10 * MILLISECOND);
    assert_false(machine->held_taken);
    set_word(machine, RX_RING, OWNED);
    fixture_advance(&machine->fixture, MILLISECOND);
    assert_true(machine->held_taken);
    assert_int_equal(timer_queue_wait(&machine->fixture.timers), TIMER_NEVER);
}

static void test_receive_missed(void **state)
{
    struct machine *machine = *state;
    uint8_t frame[80];

    load_perfect_filter(machine);
    make_receive_ring(machine, 1);
    set_word(machine, RX_RING, 0);
    set_csr(machine, 6, SR);
    make_frame(frame, sizeof frame, mac);
    hold(machine, frame, sizeof frame);
    fixture_advance(&machine->fixture, 60 * MILLISECOND);
    assert_true(machine->held_taken); /* and lost */
    assert_true(receive(machine, 60, mac));
    assert_int_equal(csr(machine, 8), 0xe0000002);
    assert_int_equal(csr(machine, 8), 0xe0000000); /* reading clears it */
    set_word(machine, RX_RING, OWNED);
    assert_true(receive(machine, 60, mac));
    assert_int_equal(word(machine, RX_RING) >> 16, 64);
    assert_int_equal(csr(machine, 8), 0xe0000000);
    /* There is room for patience again. */
    assert_false(receive(machine, 60, mac));
    machine->card.missed_frames = 0x10001;
    assert_int_equal(csr(machine, 8), 0xe0010001);
}

static void test_receive_held_and_stopped(void **state)
{
    struct machine *machine = *state;
    uint8_t frame[80];

    load_perfect_filter(machine);
    make_receive_ring(machine, 1);
    set_word(machine, RX_RING, 0);
    set_csr(machine, 6, SR);
    make_frame(frame, sizeof frame, mac);
    hold(machine, frame, sizeof frame);
    set_csr(machine, 6, 0);
    assert_true(machine->held_taken);
    machine->held_taken = false;
    set_csr(machine, 6, SR);
    hold(machine, frame, sizeof frame);
    set_csr(machine, 0, 1);
    assert_true(machine->held_taken);
    machine->held_taken = false;
    load_perfect_filter(machine);
    set_csr(machine, 3, RX_RING);
    set_csr(machine, 6, SR);
    hold(machine, frame, sizeof frame);
    pci_bus_reset(&machine->pci);
    assert_true(machine->held_taken);
}

/* Sets up a filter and returns whether a frame to `destination` is received. */
static void load_filter(struct machine *machine, uint32_t filtering)
{
    set_descriptor(machine, TX_RING, OWNED, SET | IC | TER | filtering | 192, SETUP, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST | SR);
    set_csr(machine, 1, 0);
    assert_int_equal(word(machine, TX_RING), 0x7fffffff);
    assert_int_equal(csr(machine, 5) & TI, TI);
}

static bool received(struct machine *machine, const uint8_t destination[6], uint32_t mode)
{
    set_csr(machine, 6, 0);
    make_receive_ring(machine, 1);
    set_csr(machine, 6, ST | SR | mode);
    assert_true(receive(machine, 60, destination));
    return !(word(machine, RX_RING) & OWNED);
}

static void test_filter_perfect(void **state)
{
    struct machine *machine = *state;

    for (unsigned i = 0; i < 16; i++)
        put_setup_address(machine, 3 * i, i % 2 ? mac : group);
    load_filter(machine, 0);
    assert_int_equal(csr(machine, 6) & 0x15, 0);
    assert_true(received(machine, mac, 0));
    assert_true(received(machine, group, 0));
    assert_false(received(machine, broadcast, 0)); /* the chip knows no broadcast of its own here */
    assert_false(received(machine, stranger, 0));
    assert_true(received(machine, stranger, PR));
    assert_true(received(machine, broadcast, PM));
    assert_false(received(machine, stranger, PM));
}

static void test_filter_inverse(void **state)
{
    struct machine *machine = *state;

    for (unsigned i = 0; i < 16; i++)
        put_setup_address(machine, 3 * i, mac);
    load_filter(machine, FT1);
    assert_int_equal(csr(machine, 6) & 0x15, 0x10);
    assert_false(received(machine, mac, 0));
    assert_true(received(machine, stranger, 0));
    assert_true(received(machine, group, 0));
    assert_true(received(machine, mac, PR));
}

static void set_hash(struct machine *machine, const uint8_t address[6])
{
    uint32_t hash = ~reference_crc32(address, 6) & 0x1ff;

    machine->ram[SETUP + hash / 16 * 4 + hash % 16 / 8] |= (uint8_t)(1 << hash % 8);
}

static void test_filter_hash(void **state)
{
    struct machine *machine = *state;

    memset(machine->ram + SETUP, 0, 192);
    set_hash(machine, group);
    set_hash(machine, stranger); /* counts for multicast only */
    put_setup_address(machine, 39, mac);
    load_filter(machine, FT0);
    assert_int_equal(csr(machine, 6) & 0x15, 0x01);
    assert_true(received(machine, mac, 0));
    assert_true(received(machine, group, 0));
    assert_false(received(machine, stranger, 0));
    assert_false(received(machine, broadcast, 0));
    /* Linux sets bit 255 for broadcast. */
    set_word(machine, SETUP + 4 * 15, 0x8000);
    load_filter(machine, FT0);
    assert_true(received(machine, broadcast, 0));
}

static void test_filter_hash_only(void **state)
{
    struct machine *machine = *state;

    memset(machine->ram + SETUP, 0, 192);
    set_hash(machine, stranger);
    put_setup_address(machine, 39, mac);
    load_filter(machine, FT1 | FT0);
    assert_int_equal(csr(machine, 6) & 0x15, 0x05);
    assert_true(received(machine, stranger, 0));
    assert_false(received(machine, mac, 0));
    assert_false(received(machine, group, 0));
}

static void test_filter_receive_all(void **state)
{
    struct machine *machine = *state;

    load_perfect_filter(machine);
    assert_true(received(machine, stranger, RA));
    assert_int_equal(word(machine, RX_RING) & 0x40000000, 0x40000000);
    assert_true(received(machine, mac, RA));
    assert_int_equal(word(machine, RX_RING) & 0x40000000, 0);
}

/* A setup frame of another size is taken back without effect. */
static void test_setup_frame_size(void **state)
{
    struct machine *machine = *state;

    load_perfect_filter(machine);
    memset(machine->ram + SETUP, 0, 192);
    set_descriptor(machine, TX_RING, OWNED, SET | TER | 188, SETUP, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    assert_int_equal(word(machine, TX_RING), 0x7fffffff);
    assert_true(received(machine, mac, 0));
}

/* The setup frame, too, is what a big-endian processor wrote. */
static void test_big_endian_buffers(void **state)
{
    struct machine *machine = *state;
    uint8_t frame[61];

    for (unsigned i = 0; i < 16; i++)
        put_setup_address(machine, 3 * i, mac);
    for (uint32_t address = SETUP; address < SETUP + 192; address += 4)
        set_word(machine, address, __builtin_bswap32(word(machine, address)));
    set_csr(machine, 0, 0x80);
    set_descriptor(machine, TX_RING, OWNED, SET | TER | 192, SETUP, 0);
    set_csr(machine, 4, TX_RING);
    set_csr(machine, 6, ST);
    /* Two buffers; the second is one byte behind what would be the next longword of the frame. */
    set_descriptor(machine, RX_RING, OWNED, TER | 100 << 11 | 20, RX_BUFFER, RX_BUFFER + 0x101);
    set_csr(machine, 3, RX_RING);
    set_csr(machine, 6, ST | SR);
    assert_true(receive(machine, sizeof frame, stranger));
    assert_int_equal(word(machine, RX_RING) & OWNED, OWNED);
    assert_true(receive(machine, sizeof frame, mac));
    assert_int_equal(word(machine, RX_RING) >> 16 & 0x3fff, sizeof frame + 4);
    make_frame(frame, sizeof frame, mac);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(machine->ram[(RX_BUFFER + i) ^ 3], frame[i]);
    for (size_t i = 20; i < sizeof frame; i++)
        assert_int_equal(machine->ram[(RX_BUFFER + 0x101 + i - 20) ^ 3], frame[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, dec21140_set_up, dec21140_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_receive),
        TEST(test_receive_lengths),
        TEST(test_receive_pieces),
        TEST(test_receive_truncated),
        TEST(test_receive_endless_descriptors),
        TEST(test_receive_bus_errors),
        TEST(test_receive_stopped),
        TEST(test_receive_held_until_poll_demand),
        TEST(test_receive_held_until_interrupts_enabled),
        TEST(test_receive_held_until_noticed),
        TEST(test_receive_missed),
        TEST(test_receive_held_and_stopped),
        TEST(test_filter_perfect),
        TEST(test_filter_inverse),
        TEST(test_filter_hash),
        TEST(test_filter_hash_only),
        TEST(test_filter_receive_all),
        TEST(test_setup_frame_size),
        TEST(test_big_endian_buffers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
