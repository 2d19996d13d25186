/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IA-PC HPET specification 1.0a. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "partitions/root/worker/devices/hpet.h"
#include "tests/unit/device_fixture.h"

#define LEVEL     0x002
#define ENABLE    0x004
#define PERIODIC  0x008
#define SET_VALUE 0x040
#define MODE_32   0x100
#define ROUTE(n)  ((n) << 9)

#define CONFIGURATION 0x010
#define STATUS        0x020
#define COUNTER       0x0f0
#define TIMER(n)      (0x100 + 0x20 * (n))
#define VALUE(n)      (0x108 + 0x20 * (n))

#define IRQ0     0 /* pins of the fixture: enum hpet_line */
#define IRQ8     1
#define INPUT(n) (HPET_INPUT + (n)-20)

static struct device_fixture fixture;
static struct hpet hpet;

static int setup(void **state)
{
    struct interrupt_line lines[HPET_LINES];

    (void)state;
    fixture_initialize(&fixture);
    for (unsigned i = 0; i < HPET_LINES; i++)
        lines[i] = fixture_line(&fixture, i);
    fixture_advance(&fixture, 12345); /* the counter does not begin with virtual time */
    assert_true(hpet_initialize(&hpet, &fixture.bus, &fixture.timers, lines));
    return 0;
}

static uint64_t get(unsigned offset)
{
    return bus_read(&fixture.bus, BUS_MEMORY, HPET_BASE + offset, 8);
}

static uint32_t get32(unsigned offset)
{
    return (uint32_t)bus_read(&fixture.bus, BUS_MEMORY, HPET_BASE + offset, 4);
}

static void put(unsigned offset, uint64_t value)
{
    bus_write(&fixture.bus, BUS_MEMORY, HPET_BASE + offset, 8, value);
}

static void put32(unsigned offset, uint32_t value)
{
    bus_write(&fixture.bus, BUS_MEMORY, HPET_BASE + offset, 4, value);
}

static void ticks(uint64_t count)
{
    fixture_advance(&fixture, count * HPET_TICK);
}

static void capabilities(void **state)
{
    (void)state;
    assert_int_equal(get32(0x004), 10000000); /* femtoseconds */
    assert_int_equal(get32(0x000), 0x8086a201);
    assert_int_equal(get(0x000), 10000000ull << 32 | 0x8086a201);
    put(0x000, 0);
    assert_int_equal(get32(0x000), 0x8086a201);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(get(TIMER(i)), 0x00f00000ull << 32 | 0x30);
        put(TIMER(i), UINT64_MAX);
        assert_int_equal(get(TIMER(i)), 0x00f00000ull << 32 | 0x13e); /* no FSB delivery, no route 31 */
        assert_int_equal(get(TIMER(i) + 0x10), 0);
    }
    put(CONFIGURATION, UINT64_MAX);
    assert_int_equal(get(CONFIGURATION), 3);
    for (unsigned offset = 0x160; offset < HPET_LENGTH; offset += 8)
        assert_int_equal(get(offset), 0);
    assert_int_equal(get(0x008), 0);
}

static void routes(void **state)
{
    (void)state;
    for (unsigned route = 0; route < 32; route++) {
        bool can = get(TIMER(2)) >> 32 >> route & 1;

        put(TIMER(2), ROUTE(21));
        put(TIMER(2), ROUTE(route));
        assert_int_equal(get(TIMER(2)) >> 9 & 31, can ? route : 21);
    }
}

static void the_counter(void **state)
{
    (void)state;
    assert_int_equal(get(COUNTER), 0);
    ticks(100);
    assert_int_equal(get(COUNTER), 0);
    put(COUNTER, 0xfffffffe);
    put(CONFIGURATION, 1);
    assert_int_equal(get(COUNTER), 0xfffffffe);
    fixture_advance(&fixture, HPET_TICK - 1); /* ticks are those of virtual time: 12345 ns after one of them */
    ticks(2);
    assert_in_range(get(COUNTER), 0x100000000, 0x100000001);
    put(COUNTER, 5); /* not while it counts */
    assert_in_range(get(COUNTER), 0x100000000, 0x100000001);
    assert_int_equal(get32(COUNTER + 4), 1);
    put(CONFIGURATION, 0);
    ticks(1000);
    assert_in_range(get(COUNTER), 0x100000000, 0x100000001);
    put32(COUNTER + 4, 0xffffffff);
    put32(COUNTER, 0xffffffff);
    assert_int_equal(get(COUNTER), UINT64_MAX);
    put(CONFIGURATION, 1);
    ticks(3);
    assert_int_equal(get(COUNTER), 2);
    assert_int_equal(fixture.expirations, 0);
}

static void accesses_of_all_sizes(void **state)
{
    (void)state;
    put(COUNTER, 0x1122334455667788);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, HPET_BASE + COUNTER + 3, 1), 0x55);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, HPET_BASE + COUNTER + 2, 2), 0x5566);
    bus_write(&fixture.bus, BUS_MEMORY, HPET_BASE + COUNTER + 7, 1, 0xaa);
    assert_int_equal(get(COUNTER), 0xaa22334455667788);
    /* Across registers: nothing. */
    bus_write(&fixture.bus, BUS_MEMORY, HPET_BASE + COUNTER + 6, 4, 0);
    bus_write(&fixture.bus, BUS_MEMORY, HPET_BASE + COUNTER - 4, 8, 0);
    assert_int_equal(get(COUNTER), 0xaa22334455667788);
    assert_int_equal(bus_read(&fixture.bus, BUS_MEMORY, HPET_BASE + COUNTER + 5, 4), 0xffffffff);
}

static void one_shot(void **state)
{
    (void)state;
    put(VALUE(0), 1000);
    put(TIMER(0), ENABLE | ROUTE(20));
    put(CONFIGURATION, 1);
    ticks(999);
    assert_false(fixture.level[INPUT(20)]);
    ticks(1);
    assert_int_equal(fixture.rising[INPUT(20)], 1);
    assert_int_equal(get(VALUE(0)), 1000);
    assert_int_equal(get(STATUS), 0); /* by an edge */
    fixture_advance(&fixture, 100 * SECOND);
    assert_int_equal(fixture.rising[INPUT(20)], 1);
    assert_int_equal(fixture.expirations, 1);
    put(VALUE(0), get(COUNTER) + 5);
    ticks(5);
    assert_int_equal(fixture.rising[INPUT(20)], 2);
    /* What is past already does not come again in a counter's life. */
    put(VALUE(0), get(COUNTER));
    put(VALUE(0), get(COUNTER) - 1);
    fixture_advance(&fixture, 3600 * SECOND);
    assert_int_equal(fixture.rising[INPUT(20)], 2);
}

/* In 32-bit mode it matches at each turn of the low half. */
static void one_shot_of_32_bits(void **state)
{
    (void)state;
    put(COUNTER, 0x7fffffff0);
    put(TIMER(1), ENABLE | MODE_32 | ROUTE(23));
    put(VALUE(1), 0x1234567800000010);
    assert_int_equal(get(VALUE(1)), 0x10);
    put(CONFIGURATION, 1);
    ticks(0x1f);
    assert_int_equal(fixture.rising[INPUT(23)], 0);
    ticks(1);
    assert_int_equal(fixture.rising[INPUT(23)], 1);
    ticks(0xffffffff);
    assert_int_equal(fixture.rising[INPUT(23)], 1);
    ticks(1);
    assert_int_equal(fixture.rising[INPUT(23)], 2);
}

static void periodic(void **state)
{
    (void)state;
    put(TIMER(0), ENABLE | PERIODIC | SET_VALUE | ROUTE(20));
    put(VALUE(0), 50000);  /* the value, which is the period too */
    put(VALUE(0), 100000); /* the period */
    put(CONFIGURATION, 1);
    assert_int_equal(get(VALUE(0)), 50000);
    ticks(49999);
    assert_int_equal(fixture.rising[INPUT(20)], 0);
    ticks(1);
    assert_int_equal(fixture.rising[INPUT(20)], 1);
    assert_int_equal(get(VALUE(0)), 150000);
    fixture_advance(&fixture, 100 * SECOND);
    assert_int_equal(fixture.rising[INPUT(20)], 100001);
    assert_int_equal(fixture.expirations, 100001);
    assert_int_equal(get(TIMER(0)) & SET_VALUE, 0);
    /* In one-shot mode it stays. */
    put(TIMER(0), ENABLE | ROUTE(20));
    fixture_advance(&fixture, SECOND);
    assert_int_equal(fixture.rising[INPUT(20)], 100002);
}

static void periodic_of_32_bits(void **state)
{
    (void)state;
    put(COUNTER, 0xffff0000);
    put(TIMER(2), ENABLE | PERIODIC | SET_VALUE | MODE_32 | ROUTE(22));
    put32(VALUE(2), 0xffff8000);
    put32(VALUE(2), 0x10000);
    put(CONFIGURATION, 1);
    ticks(0x8000);
    assert_int_equal(fixture.rising[INPUT(22)], 1);
    assert_int_equal(get(VALUE(2)), 0x8000);
    ticks(0x10000);
    assert_int_equal(fixture.rising[INPUT(22)], 2);
    assert_int_equal(get(VALUE(2)), 0x18000);
    fixture_stall(&fixture, 99 * 0x10000 * HPET_TICK);
    assert_int_equal(fixture.rising[INPUT(22)], 3); /* a late worker sends one edge */
    assert_int_equal(get(VALUE(2)), 0x18000 + 99 * 0x10000);
}

/* Without a period nothing repeats; and no period makes the worker run at 100 MHz. */
static void short_periods(void **state)
{
    (void)state;
    put(CONFIGURATION, 1);
    put(TIMER(0), ENABLE | PERIODIC | SET_VALUE | ROUTE(20));
    put(VALUE(0), 0);
    fixture_advance(&fixture, SECOND);
    assert_int_equal(fixture.expirations, 0);
    put(TIMER(0), ENABLE | PERIODIC | SET_VALUE | ROUTE(20));
    put(VALUE(0), get(COUNTER) + 1);
    put(VALUE(0), 1);
    fixture_advance(&fixture, SECOND / 10);
    assert_in_range(fixture.rising[INPUT(20)], 990, 1001);
    assert_in_range(fixture.expirations, 990, 1001);
    assert_int_equal(get(VALUE(0)), get(COUNTER) + 1);
}

static void level_triggered(void **state)
{
    (void)state;
    put(TIMER(1), ENABLE | LEVEL | PERIODIC | SET_VALUE | ROUTE(21));
    put(VALUE(1), 100000);
    put(CONFIGURATION, 1);
    ticks(100000);
    assert_true(fixture.level[INPUT(21)]);
    assert_int_equal(get(STATUS), 2);
    fixture_advance(&fixture, SECOND);
    assert_int_equal(fixture.rising[INPUT(21)], 1);
    assert_int_equal(fixture.expirations, 1); /* until it is cleared nothing can happen */
    put(STATUS, 5);
    assert_true(fixture.level[INPUT(21)]);
    put(STATUS, 2);
    assert_false(fixture.level[INPUT(21)]);
    assert_int_equal(get(STATUS), 0);
    ticks(100000);
    assert_true(fixture.level[INPUT(21)]);
    put(TIMER(1), LEVEL | PERIODIC | ROUTE(21)); /* disabled: the status stays, and is set */
    assert_false(fixture.level[INPUT(21)]);
    assert_int_equal(get(STATUS), 2);
    put(STATUS, 2);
    ticks(100000);
    assert_int_equal(get(STATUS), 2);
    put(TIMER(1), ENABLE | LEVEL | PERIODIC | ROUTE(21));
    assert_true(fixture.level[INPUT(21)]);
    put(CONFIGURATION, 0);
    assert_false(fixture.level[INPUT(21)]);
    put(CONFIGURATION, 1);
    assert_true(fixture.level[INPUT(21)]);
    put(TIMER(1), ENABLE | ROUTE(21)); /* by edges: no status */
    assert_false(fixture.level[INPUT(21)]);
    assert_int_equal(get(STATUS), 0);
}

static void shared_inputs(void **state)
{
    (void)state;
    put(TIMER(0), ENABLE | ROUTE(20));
    put(TIMER(1), ENABLE | ROUTE(20));
    put(TIMER(2), ENABLE | LEVEL | ROUTE(20));
    put(VALUE(0), 10);
    put(VALUE(1), 20);
    put(VALUE(2), 30);
    put(CONFIGURATION, 1);
    ticks(10);
    assert_int_equal(fixture.rising[INPUT(20)], 1);
    ticks(10);
    assert_int_equal(fixture.rising[INPUT(20)], 2);
    ticks(10);
    put(TIMER(0), ENABLE | ROUTE(23)); /* no edge goes along */
    assert_int_equal(fixture.rising[INPUT(23)], 0);
    put(TIMER(0), 0);
    put(TIMER(1), 0);
    assert_true(fixture.level[INPUT(20)]);
    put(STATUS, 4);
    assert_false(fixture.level[INPUT(20)]);
}

static void legacy_replacement(void **state)
{
    struct interrupt_line pit = hpet_legacy_line(&hpet, HPET_IRQ0);
    struct interrupt_line rtc = hpet_legacy_line(&hpet, HPET_IRQ8);

    (void)state;
    interrupt_line_set(&pit, true);
    interrupt_line_set(&rtc, true);
    assert_true(fixture.level[IRQ0]);
    assert_true(fixture.level[IRQ8]);
    interrupt_line_set(&rtc, false);
    assert_false(fixture.level[IRQ8]);
    put(TIMER(0), ENABLE | ROUTE(20));
    put(TIMER(1), ENABLE | LEVEL | ROUTE(20));
    put(TIMER(2), ENABLE | ROUTE(22));
    for (unsigned i = 0; i < 3; i++)
        put(VALUE(i), 100 * (i + 1));
    put(CONFIGURATION, 3);
    assert_false(fixture.level[IRQ0]); /* the 8254's does not get through */
    interrupt_line_set(&pit, false);
    interrupt_line_set(&pit, true);
    interrupt_line_set(&rtc, true);
    assert_false(fixture.level[IRQ0]);
    assert_false(fixture.level[IRQ8]);
    ticks(100);
    assert_int_equal(fixture.rising[IRQ0], 2);
    assert_true(fixture.level[IRQ0]); /* until the next: the 8259A must find it */
    ticks(100);
    assert_true(fixture.level[IRQ8]);
    put(STATUS, 2);
    assert_false(fixture.level[IRQ8]);
    ticks(100);
    assert_int_equal(fixture.rising[INPUT(20)], 0);
    assert_int_equal(fixture.rising[INPUT(22)], 1);
    put(CONFIGURATION, 1);
    assert_true(fixture.level[IRQ0]); /* theirs again */
    assert_true(fixture.level[IRQ8]);
    interrupt_line_set(&pit, false);
    assert_false(fixture.level[IRQ0]);
    assert_int_equal(fixture.rising[INPUT(20)], 0); /* the edge did not move there */
}

/* Only what could interrupt wakes the worker up. */
static void timers_only_where_needed(void **state)
{
    (void)state;
    put(CONFIGURATION, 1);
    put(TIMER(0), PERIODIC | SET_VALUE | ROUTE(20));
    put(VALUE(0), 100000);
    put(TIMER(1), ENABLE); /* goes nowhere */
    put(VALUE(1), 100000);
    assert_true(timer_queue_wait(&fixture.timers) == TIMER_NEVER);
    put(CONFIGURATION, 3);
    assert_int_equal(timer_queue_wait(&fixture.timers), 100000 * HPET_TICK - timer_now(&fixture.timers) % HPET_TICK);
    put(CONFIGURATION, 0);
    assert_true(timer_queue_wait(&fixture.timers) == TIMER_NEVER);
}

/* A match beyond any virtual time. */
static void far_away(void **state)
{
    (void)state;
    put(CONFIGURATION, 1);
    put(TIMER(0), ENABLE | ROUTE(20));
    put(VALUE(0), UINT64_MAX);
    assert_true(timer_queue_wait(&fixture.timers) == TIMER_NEVER);
    put(VALUE(0), UINT64_MAX / 2);
    assert_true(timer_queue_wait(&fixture.timers) == TIMER_NEVER);
    put(TIMER(0), ENABLE | PERIODIC | SET_VALUE | ROUTE(20));
    put(VALUE(0), UINT64_MAX);
    fixture_advance(&fixture, 1000 * SECOND);
    assert_int_equal(fixture.rising[INPUT(20)], 0);
}

static void reset_of_the_timers(void **state)
{
    struct interrupt_line pit = hpet_legacy_line(&hpet, HPET_IRQ0);

    (void)state;
    put(COUNTER, 55);
    put(TIMER(0), ENABLE | LEVEL | PERIODIC | SET_VALUE | MODE_32 | ROUTE(20));
    put(VALUE(0), 100);
    put(CONFIGURATION, 3);
    ticks(100);
    assert_true(fixture.level[IRQ0]);
    interrupt_line_set(&pit, false);
    hpet_reset(&hpet);
    assert_false(fixture.level[IRQ0]);
    assert_int_equal(get(CONFIGURATION), 0);
    assert_int_equal(get(STATUS), 0);
    assert_int_equal(get(COUNTER), 0);
    assert_int_equal(get(TIMER(0)), 0x00f00000ull << 32 | 0x30);
    assert_int_equal(get(VALUE(0)), UINT64_MAX);
    assert_true(timer_queue_wait(&fixture.timers) == TIMER_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(capabilities, setup),
        cmocka_unit_test_setup(routes, setup),
        cmocka_unit_test_setup(the_counter, setup),
        cmocka_unit_test_setup(accesses_of_all_sizes, setup),
        cmocka_unit_test_setup(one_shot, setup),
        cmocka_unit_test_setup(one_shot_of_32_bits, setup),
        cmocka_unit_test_setup(periodic, setup),
        cmocka_unit_test_setup(periodic_of_32_bits, setup),
        cmocka_unit_test_setup(short_periods, setup),
        cmocka_unit_test_setup(level_triggered, setup),
        cmocka_unit_test_setup(shared_inputs, setup),
        cmocka_unit_test_setup(legacy_replacement, setup),
        cmocka_unit_test_setup(timers_only_where_needed, setup),
        cmocka_unit_test_setup(far_away, setup),
        cmocka_unit_test_setup(reset_of_the_timers, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
