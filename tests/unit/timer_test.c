/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "partitions/root/worker/timer.h"

struct world {
    struct timer_queue queue;
    uint64_t host;
    unsigned changes;
    unsigned calls;       /* order of expiries */
    unsigned order[8];    /* by timer number */
    uint64_t rearm_at[8]; /* what a timer arms itself to when it expires; 0: nothing */
    struct timer *victim; /* disarmed by timer 0 */
    struct timer timers[8];
};

static uint64_t host_now(void *context)
{
    const struct world *world = context;

    return world->host;
}

static void changed(void *context)
{
    struct world *world = context;

    world->changes++;
}

static struct world *current;

static void expired(void *device, uint64_t now)
{
    struct timer *timer = device;
    unsigned number = (unsigned)(timer - current->timers);

    assert_true(now == timer_now(&current->queue));
    assert_true(timer->deadline == TIMER_NEVER);
    current->order[number] = ++current->calls;
    if (current->rearm_at[number])
        timer_arm(timer, current->rearm_at[number]);
    if (number == 0 && current->victim)
        timer_disarm(current->victim);
}

static int setup(void **state)
{
    static struct world world;

    world = (struct world){.host = 5000};
    timer_queue_initialize(&world.queue, host_now, changed, &world);
    for (unsigned i = 0; i < 8; i++)
        timer_initialize(&world.timers[i], &world.queue, expired, &world.timers[i]);
    current = &world;
    *state = &world;
    return 0;
}

static void time_starts_frozen_at_zero(void **state)
{
    struct world *world = *state;

    assert_int_equal(timer_now(&world->queue), 0);
    world->host += 100;
    assert_int_equal(timer_now(&world->queue), 0);
    timer_queue_thaw(&world->queue);
    world->host += 100;
    assert_int_equal(timer_now(&world->queue), 100);
    timer_queue_thaw(&world->queue);
    assert_int_equal(timer_now(&world->queue), 100);
}

static void frozen_time_does_not_pass(void **state)
{
    struct world *world = *state;

    timer_queue_thaw(&world->queue);
    timer_arm(&world->timers[0], 50);
    world->host += 30;
    timer_queue_freeze(&world->queue);
    world->host += 1000;
    timer_queue_freeze(&world->queue);
    assert_int_equal(timer_now(&world->queue), 30);
    assert_true(timer_queue_wait(&world->queue) == TIMER_NEVER);
    timer_queue_run(&world->queue);
    assert_int_equal(world->calls, 0);
    timer_queue_thaw(&world->queue);
    assert_int_equal(timer_queue_wait(&world->queue), 20);
    world->host += 20;
    timer_queue_run(&world->queue);
    assert_int_equal(world->calls, 1);
}

static void timers_expire_in_order_and_once(void **state)
{
    struct world *world = *state;

    timer_queue_thaw(&world->queue);
    timer_arm(&world->timers[0], 300);
    timer_arm(&world->timers[1], 100);
    timer_arm(&world->timers[2], 200);
    timer_arm(&world->timers[3], 100);
    timer_arm(&world->timers[4], 301);
    assert_int_equal(timer_queue_wait(&world->queue), 100);
    world->host += 99;
    timer_queue_run(&world->queue);
    assert_int_equal(world->calls, 0);
    world->host += 201;
    assert_int_equal(timer_queue_wait(&world->queue), 0);
    timer_queue_run(&world->queue);
    assert_int_equal(world->calls, 4);
    assert_int_equal(world->order[1], 1);
    assert_int_equal(world->order[3], 2);
    assert_int_equal(world->order[2], 3);
    assert_int_equal(world->order[0], 4);
    assert_int_equal(timer_queue_wait(&world->queue), 1);
}

static void rearming_moves_and_disarming_removes(void **state)
{
    struct world *world = *state;

    timer_queue_thaw(&world->queue);
    timer_arm(&world->timers[0], 10);
    timer_arm(&world->timers[0], 100);
    timer_arm(&world->timers[1], 20);
    timer_disarm(&world->timers[1]);
    assert_true(world->timers[1].deadline == TIMER_NEVER);
    timer_disarm(&world->timers[1]);
    timer_disarm(&world->timers[2]);
    assert_int_equal(timer_queue_wait(&world->queue), 100);
    world->host += 50;
    timer_queue_run(&world->queue);
    assert_int_equal(world->calls, 0);
    timer_disarm(&world->timers[0]);
    assert_true(timer_queue_wait(&world->queue) == TIMER_NEVER);
}

/* A timer that is always due again must not keep the worker in timer_queue_run. */
static void a_timer_runs_at_most_once_a_call(void **state)
{
    struct world *world = *state;

    timer_queue_thaw(&world->queue);
    world->host += 100;
    world->rearm_at[0] = 1;
    timer_arm(&world->timers[0], 1);
    timer_queue_run(&world->queue);
    assert_int_equal(world->calls, 1);
    assert_int_equal(timer_queue_wait(&world->queue), 0);
    timer_queue_run(&world->queue);
    assert_int_equal(world->calls, 2);
}

static void a_callback_can_stop_a_timer_that_is_due_too(void **state)
{
    struct world *world = *state;

    timer_queue_thaw(&world->queue);
    timer_arm(&world->timers[0], 1);
    timer_arm(&world->timers[1], 2);
    timer_arm(&world->timers[2], 3);
    world->victim = &world->timers[1];
    world->host += 10;
    timer_queue_run(&world->queue);
    assert_int_equal(world->calls, 2);
    assert_int_equal(world->order[1], 0);
    assert_int_equal(world->order[2], 2);
}

static void the_host_hears_of_earlier_deadlines_only(void **state)
{
    struct world *world = *state;

    timer_queue_thaw(&world->queue);
    assert_int_equal(world->changes, 0);
    timer_arm(&world->timers[0], 100);
    assert_int_equal(world->changes, 1);
    timer_arm(&world->timers[1], 200);
    timer_arm(&world->timers[0], 100);
    assert_int_equal(world->changes, 1);
    timer_arm(&world->timers[2], 50);
    assert_int_equal(world->changes, 2);
    timer_disarm(&world->timers[1]);
    assert_int_equal(world->changes, 2);
    world->host += 60;
    world->rearm_at[2] = 500;
    timer_queue_run(&world->queue);
    assert_int_equal(world->changes, 3); /* once for the whole run */
    timer_queue_freeze(&world->queue);
    assert_int_equal(world->changes, 4);
    timer_queue_thaw(&world->queue);
    assert_int_equal(world->changes, 5);
}

static void the_hosts_clock_is_the_default(void **state)
{
    struct timer_queue queue;
    uint64_t first;

    (void)state;
    timer_queue_initialize(&queue, NULL, NULL, NULL);
    timer_queue_thaw(&queue);
    first = timer_now(&queue);
    while (timer_now(&queue) == first)
        ;
    assert_true(timer_now(&queue) > first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(time_starts_frozen_at_zero, setup),
        cmocka_unit_test_setup(frozen_time_does_not_pass, setup),
        cmocka_unit_test_setup(timers_expire_in_order_and_once, setup),
        cmocka_unit_test_setup(rearming_moves_and_disarming_removes, setup),
        cmocka_unit_test_setup(a_timer_runs_at_most_once_a_call, setup),
        cmocka_unit_test_setup(a_callback_can_stop_a_timer_that_is_due_too, setup),
        cmocka_unit_test_setup(the_host_hears_of_earlier_deadlines_only, setup),
        cmocka_unit_test(the_hosts_clock_is_the_default),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
