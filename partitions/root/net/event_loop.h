/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting for many descriptors on epoll. One thread. */
#ifndef NET_EVENT_LOOP_H
#define NET_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#define EVENT_LOOP_BATCH 64

/* Embedded in what waits. `events` are EPOLLIN and the like. The handler may remove any source, its own too.
 */
struct event_source {
    int descriptor; /* the owner's: the loop never closes it */
    void (*handle)(void *owner, uint32_t events);
    void *owner;
};

struct event_loop {
    int epoll;
    uint64_t now; /* milliseconds of CLOCK_MONOTONIC when the round began */
    struct epoll_event events[EVENT_LOOP_BATCH];
    int count; /* of this round */
};

/* 0 or an errno. */
int event_loop_initialize(struct event_loop *loop);
void event_loop_close(struct event_loop *loop);

/* Watches `descriptor` for `events` (EPOLLET for edges). 0 or an errno. The source must stay until it is
 * removed. */
int event_loop_add(struct event_loop *loop, struct event_source *source, int descriptor, uint32_t events,
                   void (*handle)(void *owner, uint32_t events), void *owner);

/* Changes what is watched. */
void event_loop_change(struct event_loop *loop, struct event_source *source, uint32_t events);

/* Also forgets events of this round, so that the source may be freed. Call before closing the descriptor. */
void event_loop_remove(struct event_loop *loop, struct event_source *source);

/* Sleeps until something happens, or for `timeout` milliseconds (-1: no limit), and brings `now` up to date.
 */
void event_loop_wait(struct event_loop *loop, int timeout);

/* Calls the handlers of this round. */
void event_loop_dispatch(struct event_loop *loop);

#endif
