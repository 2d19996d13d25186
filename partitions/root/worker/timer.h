/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual time and timers of one machine. Time is in nanoseconds since the machine was powered on and stands
 * still while the machine is Paused. Callbacks run under the device lock. Not thread-safe: call under the
 * device lock.
 */
#ifndef WORKER_TIMER_H
#define WORKER_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

struct timer_queue;

/* Embedded in a device; zero-initialise, then timer_initialize. */
struct timer {
    struct timer_queue *queue;
    void (*expired)(void *device, uint64_t now); /* `now` >= deadline; may arm again */
    void *device;
    uint64_t deadline; /* TIMER_NEVER: not armed */
    struct timer *next;
};

struct timer_queue {
    uint64_t (*host_now)(void *context); /* monotonic nanoseconds; replaceable in tests */
    void *context;
    uint64_t offset;    /* virtual time = host time - offset while running */
    uint64_t frozen_at; /* valid if frozen */
    bool frozen;
    struct timer *first; /* armed ones, earliest first */
    struct timer *due;   /* taken off `first` by the timer_queue_run that is under way, not yet called */
    bool running;
    void (*changed)(void *context); /* called when the earliest deadline changed, to re-arm the host's timer;
                                       may be NULL */
};

/* host_now NULL: CLOCK_MONOTONIC. Starts frozen at 0. */
void timer_queue_initialize(struct timer_queue *queue, uint64_t (*host_now)(void *), void (*changed)(void *),
                            void *context);
uint64_t timer_now(const struct timer_queue *queue);
void timer_queue_freeze(struct timer_queue *queue);
void timer_queue_thaw(struct timer_queue *queue);
/* Nanoseconds of host time until the earliest timer is due; 0 = due, TIMER_NEVER = none, or frozen. */
uint64_t timer_queue_wait(const struct timer_queue *queue);
/* Runs every timer that is due, each at most once a call. */
void timer_queue_run(struct timer_queue *queue);

void timer_initialize(struct timer *timer, struct timer_queue *queue, void (*expired)(void *, uint64_t),
                      void *device);
void timer_arm(struct timer *timer, uint64_t deadline);
void timer_disarm(struct timer *timer);

#endif
