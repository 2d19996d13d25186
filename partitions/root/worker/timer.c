/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/timer.h"

#include <string.h>
#include <time.h>

static uint64_t monotonic_now(void *context)
{
    struct timespec now;

    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void timer_queue_initialize(struct timer_queue *queue, uint64_t (*host_now)(void *), void (*changed)(void *),
                            void *context)
{
    memset(queue, 0, sizeof *queue);
    queue->host_now = host_now ? host_now : monotonic_now;
    queue->context = context;
    queue->changed = changed;
    queue->frozen = true;
}

uint64_t timer_now(const struct timer_queue *queue)
{
    return queue->frozen ? queue->frozen_at : queue->host_now(queue->context) - queue->offset;
}

static uint64_t earliest(const struct timer_queue *queue)
{
    return queue->first ? queue->first->deadline : TIMER_NEVER;
}

/* timer_queue_run tells once, at its end. */
static void tell_if_changed(struct timer_queue *queue, uint64_t before)
{
    if (!queue->running && queue->changed && earliest(queue) != before)
        queue->changed(queue->context);
}

void timer_queue_freeze(struct timer_queue *queue)
{
    if (queue->frozen)
        return;
    queue->frozen_at = timer_now(queue);
    queue->frozen = true;
    tell_if_changed(queue, TIMER_NEVER);
}

void timer_queue_thaw(struct timer_queue *queue)
{
    if (!queue->frozen)
        return;
    queue->offset = queue->host_now(queue->context) - queue->frozen_at;
    queue->frozen = false;
    tell_if_changed(queue, TIMER_NEVER);
}

uint64_t timer_queue_wait(const struct timer_queue *queue)
{
    uint64_t deadline = earliest(queue);
    uint64_t now;

    if (queue->frozen || deadline == TIMER_NEVER)
        return TIMER_NEVER;
    now = timer_now(queue);
    return deadline > now ? deadline - now : 0;
}

/* Takes the timers with deadline <= now off the queue, in order. */
static void take_due(struct timer_queue *queue, uint64_t now)
{
    struct timer **end = &queue->first;

    while (*end && (*end)->deadline <= now)
        end = &(*end)->next;
    if (end == &queue->first)
        return;
    queue->due = queue->first;
    queue->first = *end;
    *end = NULL;
}

void timer_queue_run(struct timer_queue *queue)
{
    uint64_t now = timer_now(queue);
    uint64_t before = earliest(queue);

    if (queue->frozen)
        return;
    queue->running = true;
    take_due(queue, now);
    while (queue->due) {
        struct timer *timer = queue->due;

        queue->due = timer->next;
        timer->next = NULL;
        timer->deadline = TIMER_NEVER;
        timer->expired(timer->device, now);
    }
    queue->running = false;
    tell_if_changed(queue, before);
}

void timer_initialize(struct timer *timer, struct timer_queue *queue, void (*expired)(void *, uint64_t),
                      void *device)
{
    *timer = (struct timer){.queue = queue, .expired = expired, .device = device, .deadline = TIMER_NEVER};
}

static bool unlink_timer(struct timer **list, struct timer *timer)
{
    for (; *list; list = &(*list)->next) {
        if (*list == timer) {
            *list = timer->next;
            return true;
        }
    }
    return false;
}

static void remove_timer(struct timer *timer)
{
    if (timer->deadline == TIMER_NEVER)
        return;
    if (!unlink_timer(&timer->queue->first, timer))
        unlink_timer(&timer->queue->due, timer);
    timer->next = NULL;
    timer->deadline = TIMER_NEVER;
}

void timer_arm(struct timer *timer, uint64_t deadline)
{
    struct timer_queue *queue = timer->queue;
    uint64_t before = earliest(queue);
    struct timer **position = &queue->first;

    remove_timer(timer);
    if (deadline != TIMER_NEVER) {
        while (*position && (*position)->deadline <= deadline)
            position = &(*position)->next;
        timer->deadline = deadline;
        timer->next = *position;
        *position = timer;
    }
    tell_if_changed(queue, before);
}

void timer_disarm(struct timer *timer)
{
    timer_arm(timer, TIMER_NEVER);
}
