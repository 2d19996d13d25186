/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/host_timer.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SECOND 1000000000ull

/* timer_queue.changed: under the device lock, on any thread. */
static void arm(void *context)
{
    struct host_timer *timer = context;
    uint64_t wait = timer_queue_wait(timer->queue);
    struct itimerspec setting = {0};

    if (wait != TIMER_NEVER) {
        /* Zero would disarm. */
        wait = wait ? wait : 1;
        setting.it_value.tv_sec = (time_t)(wait / SECOND);
        setting.it_value.tv_nsec = (long)(wait % SECOND);
    }
    timerfd_settime(timer->descriptor, 0, &setting, NULL);
}

static void fired(void *owner, uint32_t events)
{
    struct host_timer *timer = owner;
    uint64_t count;

    (void)events;
    if (read(timer->descriptor, &count, sizeof count) < 0)
        return; /* armed anew in the meantime */
    pthread_mutex_lock(timer->device_lock);
    timer_queue_run(timer->queue);
    arm(timer);
    pthread_mutex_unlock(timer->device_lock);
}

int host_timer_initialize(struct host_timer *timer, struct timer_queue *queue, pthread_mutex_t *device_lock,
                          struct event_loop *loop)
{
    *timer = (struct host_timer){
        .queue = queue,
        .device_lock = device_lock,
        .descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
    };
    if (timer->descriptor < 0)
        return errno;
    timer_queue_initialize(queue, NULL, arm, timer);
    return event_loop_add(loop, &timer->source, timer->descriptor, EPOLLIN, fired, timer);
}

void host_timer_close(struct host_timer *timer, struct event_loop *loop)
{
    event_loop_remove(loop, &timer->source);
    close(timer->descriptor);
    timer->descriptor = -1;
}
