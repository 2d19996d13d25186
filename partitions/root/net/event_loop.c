/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/event_loop.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

static void update_now(struct event_loop *loop)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    loop->now = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int event_loop_initialize(struct event_loop *loop)
{
    *loop = (struct event_loop){.epoll = epoll_create1(EPOLL_CLOEXEC)};
    update_now(loop);
    return loop->epoll < 0 ? errno : 0;
}

void event_loop_close(struct event_loop *loop)
{
    close(loop->epoll);
    loop->epoll = -1;
}

int event_loop_add(struct event_loop *loop, struct event_source *source, int descriptor, uint32_t events,
                   void (*handle)(void *owner, uint32_t events), void *owner)
{
    *source = (struct event_source){.descriptor = descriptor, .handle = handle, .owner = owner};
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : errno;
}

void event_loop_change(struct event_loop *loop, struct event_source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    epoll_ctl(loop->epoll, EPOLL_CTL_MOD, source->descriptor, &event);
}

void event_loop_remove(struct event_loop *loop, struct event_source *source)
{
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->descriptor, NULL);
    for (int i = 0; i < loop->count; i++)
        if (loop->events[i].data.ptr == source)
            loop->events[i].data.ptr = NULL;
}

void event_loop_wait(struct event_loop *loop, int timeout)
{
    int count = epoll_wait(loop->epoll, loop->events, EVENT_LOOP_BATCH, timeout);
    loop->count = count < 0 ? 0 : count; /* a signal: the caller looks at its flags */
    update_now(loop);
}

void event_loop_dispatch(struct event_loop *loop)
{
    for (int i = 0; i < loop->count; i++) {
        struct event_source *source = loop->events[i].data.ptr;
        if (source)
            source->handle(source->owner, loop->events[i].events);
    }
    loop->count = 0;
}
