/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/i8254.h"
#include "partitions/root/worker/devices/oscillator.h"
#include "tests/unit/device_fixture.h"

#define LOW        0x10
#define HIGH       0x20
#define BOTH       0x30
#define MODE(m)    ((m) << 1)
#define CHANNEL(c) ((c) << 6)

#define READ_BACK_STATUS(c) (0xe0 | 2 << (c))
#define READ_BACK_COUNT(c)  (0xd0 | 2 << (c))
#define READ_BACK_BOTH(c)   (0xc0 | 2 << (c))

#define OUTPUT     0x80
#define NULL_COUNT 0x40

static struct device_fixture fixture;
static struct i8254 pit;

static int setup(void **state)
{
    (void)state;
    fixture_initialize(&fixture);
    assert_true(i8254_initialize(&pit, &fixture.bus, &fixture.timers, fixture_line(&fixture, 0)));
    return 0;
}

/* Nanoseconds until `ticks` whole periods of the timer's clock will have passed. */
static uint64_t time_of(uint64_t ticks)
{
    uint64_t now = timer_now(&fixture.timers);

    return oscillator_time(oscillator_ticks(now, 12) + ticks, 12) - now;
}

static void tick(uint64_t ticks)
{
    fixture_advance(&fixture, time_of(ticks));
}

static uint8_t status(unsigned channel)
{
    out8(&fixture, 0x43, READ_BACK_STATUS(channel));
    return in8(&fixture, (uint16_t)(0x40 + channel));
}

static bool output(unsigned channel)
{
    return status(channel) & OUTPUT;
}

static uint16_t count(unsigned channel)
{
    uint16_t port = (uint16_t)(0x40 + channel);
    uint16_t low;

    out8(&fixture, 0x43, (uint8_t)CHANNEL(channel));
    low = in8(&fixture, port);
    return (uint16_t)(low | in8(&fixture, port) << 8);
}

static void program(unsigned channel, unsigned mode, uint16_t value)
{
    out8(&fixture, 0x43, (uint8_t)(CHANNEL(channel) | BOTH | MODE(mode)));
    out8(&fixture, (uint16_t)(0x40 + channel), value & 0xff);
    out8(&fixture, (uint16_t)(0x40 + channel), value >> 8);
}

static void gate2(bool high)
{
    out8(&fixture, 0x61, high);
}

static void mode_0_ends_once(void **state)
{
    (void)state;
    program(0, 0, 100);
    assert_int_equal(status(0), BOTH | NULL_COUNT);
    tick(1);
    assert_int_equal(status(0), BOTH);
    assert_int_equal(count(0), 100);
    tick(99);
    assert_int_equal(count(0), 1);
    assert_false(output(0));
    assert_false(fixture.level[0]);
    tick(1);
    assert_int_equal(count(0), 0);
    assert_true(output(0));
    assert_true(fixture.level[0]);
    assert_int_equal(fixture.rising[0], 1);
    tick(10);
    assert_int_equal(count(0), 65536 - 10); /* counts on */
    tick(200000);
    assert_int_equal(fixture.rising[0], 1);
    /* A new count starts it anew, and the first byte of two stops it. */
    out8(&fixture, 0x40, 50);
    assert_false(output(0));
    tick(1000);
    assert_false(output(0));
    out8(&fixture, 0x40, 0);
    tick(51);
    assert_true(output(0));
    assert_int_equal(fixture.rising[0], 2);
}

static void mode_0_pauses_with_its_gate(void **state)
{
    (void)state;
    gate2(false);
    program(2, 0, 100);
    tick(500);
    assert_int_equal(count(2), 100);
    gate2(true);
    tick(40);
    assert_int_equal(count(2), 60);
    gate2(false);
    tick(1000);
    assert_int_equal(count(2), 60);
    gate2(true);
    tick(59);
    assert_false(in8(&fixture, 0x61) & 0x20);
    tick(1);
    assert_true(in8(&fixture, 0x61) & 0x20);
}

static void mode_1_is_triggered_by_its_gate(void **state)
{
    (void)state;
    program(2, 1, 10);
    tick(100);
    assert_true(output(2));
    assert_true(status(2) & NULL_COUNT);
    gate2(true);
    tick(1);
    assert_false(output(2));
    assert_false(status(2) & NULL_COUNT);
    tick(5);
    gate2(false); /* the level does not matter */
    gate2(true);  /* a new edge begins anew */
    tick(10);
    assert_false(output(2));
    tick(1);
    assert_true(output(2));
    /* A count written meanwhile is for the next trigger. */
    gate2(false);
    gate2(true);
    tick(1);
    out8(&fixture, 0x42, 50);
    out8(&fixture, 0x42, 0);
    tick(10);
    assert_true(output(2));
    gate2(false);
    gate2(true);
    tick(50);
    assert_false(output(2));
    tick(1);
    assert_true(output(2));
}

static void mode_2_divides(void **state)
{
    (void)state;
    program(0, 2, 1000);
    tick(1);
    assert_int_equal(count(0), 1000);
    tick(998);
    assert_int_equal(count(0), 2);
    assert_true(output(0));
    tick(1);
    assert_int_equal(count(0), 1);
    assert_false(output(0));
    tick(1);
    assert_int_equal(count(0), 1000);
    assert_true(output(0));
    fixture.rising[0] = 0;
    fixture.expirations = 0;
    tick(10000);
    assert_int_equal(fixture.rising[0], 10);
    assert_int_equal(fixture.expirations, 10); /* one wake-up a period */
}

static void mode_2_takes_a_new_count_at_the_end(void **state)
{
    (void)state;
    program(0, 2, 1000);
    tick(1 + 400);
    out8(&fixture, 0x40, 2000 & 0xff);
    out8(&fixture, 0x40, 2000 >> 8);
    assert_true(status(0) & NULL_COUNT);
    tick(100);
    assert_int_equal(count(0), 500);
    fixture.rising[0] = 0;
    tick(500);
    assert_int_equal(fixture.rising[0], 1);
    assert_int_equal(count(0), 2000);
    assert_false(status(0) & NULL_COUNT);
    tick(1999);
    assert_int_equal(fixture.rising[0], 1);
    tick(1);
    assert_int_equal(fixture.rising[0], 2);
}

static void mode_2_gate(void **state)
{
    (void)state;
    gate2(true);
    program(2, 2, 100);
    tick(1 + 99);
    assert_false(output(2));
    gate2(false);
    assert_true(output(2));
    tick(500);
    assert_true(output(2));
    gate2(true); /* reloads */
    tick(1);
    assert_int_equal(count(2), 100);
    tick(99);
    assert_false(output(2));
}

static void mode_3_is_a_square_wave(void **state)
{
    (void)state;
    program(0, 3, 1000);
    tick(1);
    assert_int_equal(count(0), 1000);
    tick(499);
    assert_int_equal(count(0), 2);
    assert_true(output(0));
    tick(1);
    assert_int_equal(count(0), 1000);
    assert_false(output(0));
    tick(499);
    assert_false(output(0));
    tick(1);
    assert_true(output(0));
    fixture.rising[0] = 0;
    tick(10000);
    assert_int_equal(fixture.rising[0], 10);
}

static void mode_3_odd_counts(void **state)
{
    /* Five: three ticks high, two low; the element counts evens. */
    static const struct {
        uint16_t count;
        bool output;
    } wave[] = {
        {4, true },
        {2, true },
        {0, true },
        {4, false},
        {2, false},
        {4, true },
    };

    (void)state;
    gate2(true);
    program(2, 3, 5);
    for (unsigned i = 0; i < sizeof wave / sizeof wave[0]; i++) {
        tick(1);
        assert_int_equal(count(2), wave[i].count);
        assert_int_equal(output(2), wave[i].output);
    }
}

static void mode_3_takes_a_new_count_at_the_half(void **state)
{
    (void)state;
    program(0, 3, 1000);
    tick(1 + 200);
    out8(&fixture, 0x40, 2000 & 0xff);
    out8(&fixture, 0x40, 2000 >> 8);
    fixture.rising[0] = 0;
    tick(299);
    assert_true(output(0));
    tick(1);
    assert_false(output(0)); /* now a low half of 1000 */
    assert_int_equal(count(0), 2000);
    tick(999);
    assert_false(output(0));
    assert_int_equal(fixture.rising[0], 0);
    tick(1);
    assert_true(output(0));
    assert_int_equal(fixture.rising[0], 1);
    tick(2000);
    assert_int_equal(fixture.rising[0], 2);
}

static void mode_4_strobes_once(void **state)
{
    (void)state;
    program(0, 4, 100);
    tick(1);
    assert_true(output(0));
    tick(99);
    assert_true(output(0));
    tick(1);
    assert_false(output(0));
    fixture.rising[0] = 0;
    tick(1);
    assert_true(output(0));
    assert_int_equal(fixture.rising[0], 1);
    tick(200000);
    assert_int_equal(fixture.rising[0], 1);
}

static void mode_5_strobes_after_its_gate(void **state)
{
    (void)state;
    program(2, 5, 100);
    tick(1000);
    assert_true(output(2));
    gate2(true);
    tick(1 + 99);
    assert_true(output(2));
    tick(1);
    assert_false(output(2));
    tick(1);
    assert_true(output(2));
    tick(70000);
    assert_true(output(2));
}

static void modes_6_and_7_are_2_and_3(void **state)
{
    (void)state;
    program(0, 6, 100);
    tick(1 + 99);
    assert_false(output(0));
    assert_int_equal(status(0) & 0x0f, MODE(6));
    program(0, 7, 100);
    tick(1 + 50);
    assert_false(output(0));
}

static void zero_is_the_greatest_count(void **state)
{
    (void)state;
    program(0, 2, 0);
    tick(1);
    assert_int_equal(count(0), 0);
    tick(1);
    assert_int_equal(count(0), 65535);
    fixture.rising[0] = 0;
    tick(65535);
    assert_int_equal(fixture.rising[0], 1);
}

static void bcd(void **state)
{
    (void)state;
    out8(&fixture, 0x43, BOTH | MODE(0) | 1);
    out8(&fixture, 0x40, 0x34);
    out8(&fixture, 0x40, 0x12);
    tick(1);
    assert_int_equal(count(0), 0x1234);
    tick(35);
    assert_int_equal(count(0), 0x1199);
    tick(1200);
    assert_int_equal(count(0), 0x9999);
    out8(&fixture, 0x43, BOTH | MODE(2) | 1);
    out8(&fixture, 0x40, 0);
    out8(&fixture, 0x40, 0);
    tick(1);
    assert_int_equal(count(0), 0);
    fixture.rising[0] = 0;
    tick(10000);
    assert_int_equal(fixture.rising[0], 1);
}

static void counts_can_be_written_and_read_by_halves(void **state)
{
    (void)state;
    out8(&fixture, 0x43, LOW | MODE(0));
    out8(&fixture, 0x40, 0x80);
    tick(1);
    assert_int_equal(in8(&fixture, 0x40), 0x80);
    assert_int_equal(in8(&fixture, 0x40), 0x80);
    out8(&fixture, 0x43, HIGH | MODE(0));
    out8(&fixture, 0x40, 0x12);
    tick(1);
    assert_int_equal(in8(&fixture, 0x40), 0x12);
    out8(&fixture, 0x43, 0x00);
    tick(1);
    assert_int_equal(in8(&fixture, 0x40), 0x12); /* latched */
    assert_int_equal(in8(&fixture, 0x40), 0x11); /* and going */
    program(0, 0, 0x1234);
    tick(1);
    assert_int_equal(in8(&fixture, 0x40), 0x34);
    assert_int_equal(in8(&fixture, 0x40), 0x12);
}

static void latches_hold(void **state)
{
    (void)state;
    program(0, 2, 0x4321);
    tick(1);
    out8(&fixture, 0x43, CHANNEL(0));
    tick(100);
    out8(&fixture, 0x43, CHANNEL(0)); /* ignored until the first has been read */
    assert_int_equal(in8(&fixture, 0x40), 0x21);
    assert_int_equal(in8(&fixture, 0x40), 0x43);
    assert_int_equal(count(0), 0x4321 - 100);

    program(1, 2, 0x1000);
    tick(1);
    out8(&fixture, 0x43, READ_BACK_BOTH(1) | READ_BACK_BOTH(0));
    tick(5);
    assert_int_equal(in8(&fixture, 0x41), OUTPUT | BOTH | MODE(2)); /* status first */
    assert_int_equal(in8(&fixture, 0x41), 0x00);
    assert_int_equal(in8(&fixture, 0x41), 0x10);
    assert_int_equal(in8(&fixture, 0x40), OUTPUT | BOTH | MODE(2));
    in8(&fixture, 0x40);
    in8(&fixture, 0x40);
    out8(&fixture, 0x43, READ_BACK_BOTH(1)); /* of nobody else */
    tick(1);
    assert_int_equal(in8(&fixture, 0x40), (0x4321 - 107) & 0xff);
    assert_int_equal(in8(&fixture, 0x40), (0x4321 - 107) >> 8);
    in8(&fixture, 0x41);
    in8(&fixture, 0x41);
    in8(&fixture, 0x41);
    out8(&fixture, 0x43, READ_BACK_COUNT(1));
    assert_int_equal(in8(&fixture, 0x41), 0xfa);
    assert_int_equal(in8(&fixture, 0x41), 0x0f);
    assert_int_equal(in8(&fixture, 0x43), 0xff);
}

static void port_61(void **state)
{
    uint8_t first;

    (void)state;
    out8(&fixture, 0x61, 0xff);
    assert_int_equal(in8(&fixture, 0x61) & 0xcf, 0x0f);
    fixture_advance(&fixture, 15085);
    assert_int_equal(in8(&fixture, 0x61) & 0xcf, 0x0f);
    first = in8(&fixture, 0x61) & 0x10;
    fixture_advance(&fixture, 15085);
    assert_int_equal(in8(&fixture, 0x61) & 0x10, first ^ 0x10);
    fixture_advance(&fixture, 15085);
    assert_int_equal(in8(&fixture, 0x61) & 0x10, first);
}

/* As kernels calibrate their time-stamp counter: channel 2, mode 0, 50 ms. */
static void a_calibration_loop_takes_its_time(void **state)
{
    uint64_t start;

    (void)state;
    out8(&fixture, 0x61, 0x01);
    program(2, 0, 59659);
    start = timer_now(&fixture.timers);
    while (!(in8(&fixture, 0x61) & 0x20))
        fixture_advance(&fixture, MICROSECOND);
    assert_in_range(timer_now(&fixture.timers) - start, 50000 * MICROSECOND, 50004 * MICROSECOND);
}

/* A delay loop that writes one byte for each delay and polls at once must not find the last one's end. */
static void delays_by_one_byte_each_take_their_time(void **state)
{
    (void)state;
    out8(&fixture, 0x61, 0x01);
    out8(&fixture, 0x43, 0x90); /* channel 2, low byte, mode 0 */
    for (unsigned i = 0; i < 10; i++) {
        uint64_t start = timer_now(&fixture.timers);

        out8(&fixture, 0x42, 119); /* 100 us */
        assert_false(in8(&fixture, 0x61) & 0x20);
        while (!(in8(&fixture, 0x61) & 0x20))
            fixture_advance(&fixture, 100);
        assert_in_range(timer_now(&fixture.timers) - start, 99 * MICROSECOND, 102 * MICROSECOND);
    }
    out8(&fixture, 0x43, 0xa0); /* the same with high bytes, held by the gate meanwhile */
    out8(&fixture, 0x42, 0x01);
    out8(&fixture, 0x61, 0x00);
    fixture_advance(&fixture, SECOND);
    assert_false(in8(&fixture, 0x61) & 0x20);
    out8(&fixture, 0x61, 0x01);
    fixture_advance(&fixture, 213 * MICROSECOND);
    assert_false(in8(&fixture, 0x61) & 0x20);
    fixture_advance(&fixture, 3 * MICROSECOND);
    assert_true(in8(&fixture, 0x61) & 0x20);
}

/* A tone: the output of mode 3, which a loop can count as well. */
static void a_square_wave_is_seen_at_port_61(void **state)
{
    unsigned edges = 0;
    bool last;

    (void)state;
    out8(&fixture, 0x61, 0x03);
    program(2, 3, 1193); /* 1 kHz */
    last = in8(&fixture, 0x61) & 0x20;
    for (unsigned i = 0; i < 10000; i++) {
        fixture_advance(&fixture, 10 * MICROSECOND);
        if ((in8(&fixture, 0x61) & 0x20) != (last ? 0x20 : 0)) {
            edges++;
            last = !last;
        }
    }
    assert_in_range(edges, 199, 201);
    assert_int_equal(fixture.expirations, 0);
    out8(&fixture, 0x61, 0x02); /* without its gate it is high */
    for (unsigned i = 0; i < 200; i++) {
        fixture_advance(&fixture, 10 * MICROSECOND);
        assert_true(in8(&fixture, 0x61) & 0x20);
    }
}

static void the_long_run_is_exact(void **state)
{
    (void)state;
    program(0, 2, 11932);
    fixture.rising[0] = 0;
    fixture_advance(&fixture, 3600 * SECOND);
    assert_int_equal(fixture.rising[0], 3600ull * 315000000 / 22 / 12 / 100 * 100 / 11932);
}

/* Nobody can make the worker run at 600 kHz. */
static void fast_periods_are_merged(void **state)
{
    (void)state;
    program(0, 2, 2);
    fixture.rising[0] = 0;
    fixture.expirations = 0;
    fixture_advance(&fixture, SECOND / 10);
    assert_in_range(fixture.rising[0], 900, 1000);
    assert_in_range(fixture.expirations, 900, 1001);
    program(0, 3, 1);
    fixture.rising[0] = 0;
    fixture_advance(&fixture, SECOND / 10);
    assert_int_equal(fixture.rising[0], 0); /* 1 is not allowed in modes 2 and 3 */
}

static void a_late_worker_sends_one_edge(void **state)
{
    (void)state;
    program(0, 3, 1193);
    fixture.rising[0] = 0;
    fixture_stall(&fixture, 100 * MILLISECOND);
    assert_int_equal(fixture.rising[0], 1);
    fixture_advance(&fixture, 10 * MILLISECOND);
    assert_in_range(fixture.rising[0], 10, 12);
}

static void reset_stops_it(void **state)
{
    (void)state;
    program(0, 2, 1000);
    out8(&fixture, 0x61, 0x0f);
    tick(500);
    i8254_reset(&pit);
    fixture.rising[0] = 0;
    tick(5000);
    assert_int_equal(fixture.rising[0], 0);
    assert_int_equal(in8(&fixture, 0x61) & 0x0f, 0);
}

/* One shot after the other, as kernels program it: nobody reads the count meanwhile. */
static void one_shots_interrupt_by_themselves(void **state)
{
    static const unsigned modes[] = {0, 4};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        program(0, modes[i], 1193);
        fixture.rising[0] = 0;
        tick(1193 + modes[i] / 4);
        assert_int_equal(fixture.rising[0], 0);
        tick(1);
        assert_int_equal(fixture.rising[0], 1);
        fixture_advance(&fixture, SECOND);
        assert_int_equal(fixture.rising[0], 1);
    }
}

/* A guest that reads the count just before the late worker runs its timers loses no edge. */
static void reading_sends_edges_that_are_due(void **state)
{
    (void)state;
    program(0, 2, 1000);
    tick(10);
    out8(&fixture, 0x40, 2000 & 0xff);
    out8(&fixture, 0x40, 2000 >> 8);
    fixture.rising[0] = 0;
    fixture.host_time += time_of(1500);
    assert_int_equal(in8(&fixture, 0x40), (2000 - (1500 + 10 - 1 - 1000)) & 0xff);
    assert_int_equal(fixture.rising[0], 1);
}

static void a_trigger_ends_a_half_cycle(void **state)
{
    (void)state;
    gate2(true);
    program(2, 3, 100);
    tick(1 + 10);
    out8(&fixture, 0x42, 200);
    out8(&fixture, 0x42, 0);
    tick(60);
    assert_false(output(2)); /* in the low half of 200 */
    gate2(false);
    assert_true(output(2));
    gate2(true);
    tick(1);
    assert_int_equal(count(2), 200);
    tick(99);
    assert_true(output(2));
    tick(1);
    assert_false(output(2));
    /* Back to a mode that pauses. */
    program(2, 0, 100);
    tick(1 + 10);
    gate2(false);
    gate2(true);
    tick(10);
    assert_int_equal(count(2), 80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(mode_0_ends_once, setup),
        cmocka_unit_test_setup(mode_0_pauses_with_its_gate, setup),
        cmocka_unit_test_setup(mode_1_is_triggered_by_its_gate, setup),
        cmocka_unit_test_setup(mode_2_divides, setup),
        cmocka_unit_test_setup(mode_2_takes_a_new_count_at_the_end, setup),
        cmocka_unit_test_setup(mode_2_gate, setup),
        cmocka_unit_test_setup(mode_3_is_a_square_wave, setup),
        cmocka_unit_test_setup(mode_3_odd_counts, setup),
        cmocka_unit_test_setup(mode_3_takes_a_new_count_at_the_half, setup),
        cmocka_unit_test_setup(mode_4_strobes_once, setup),
        cmocka_unit_test_setup(mode_5_strobes_after_its_gate, setup),
        cmocka_unit_test_setup(modes_6_and_7_are_2_and_3, setup),
        cmocka_unit_test_setup(zero_is_the_greatest_count, setup),
        cmocka_unit_test_setup(bcd, setup),
        cmocka_unit_test_setup(counts_can_be_written_and_read_by_halves, setup),
        cmocka_unit_test_setup(latches_hold, setup),
        cmocka_unit_test_setup(port_61, setup),
        cmocka_unit_test_setup(a_calibration_loop_takes_its_time, setup),
        cmocka_unit_test_setup(delays_by_one_byte_each_take_their_time, setup),
        cmocka_unit_test_setup(a_square_wave_is_seen_at_port_61, setup),
        cmocka_unit_test_setup(the_long_run_is_exact, setup),
        cmocka_unit_test_setup(fast_periods_are_merged, setup),
        cmocka_unit_test_setup(a_late_worker_sends_one_edge, setup),
        cmocka_unit_test_setup(reset_stops_it, setup),
        cmocka_unit_test_setup(one_shots_interrupt_by_themselves, setup),
        cmocka_unit_test_setup(reading_sends_edges_that_are_due, setup),
        cmocka_unit_test_setup(a_trigger_ends_a_half_cycle, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
