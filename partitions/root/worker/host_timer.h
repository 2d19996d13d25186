/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's timer queue on a timerfd, which the main thread watches. */
#ifndef WORKER_HOST_TIMER_H
#define WORKER_HOST_TIMER_H

#include <pthread.h>
#include "partitions/root/net/event_loop.h"
#include "partitions/root/worker/timer.h"

struct host_timer {
    struct timer_queue *queue;
    pthread_mutex_t *device_lock;
    int descriptor;
    struct event_source source;
};

/* Initialises `queue` too, frozen at 0. 0 or an errno. */
int host_timer_initialize(struct host_timer *timer, struct timer_queue *queue, pthread_mutex_t *device_lock,
                          struct event_loop *loop);
void host_timer_close(struct host_timer *timer, struct event_loop *loop);

#endif
