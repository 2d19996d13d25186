/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running a worker's main loop from a test. */
#ifndef TESTS_WORKER_LOOP_H
#define TESTS_WORKER_LOOP_H

#include "partitions/root/net/event_loop.h"

/* Until nothing is left to do at this moment. */
static inline void worker_loop_settle(struct event_loop *loop)
{
    do {
        event_loop_wait(loop, 0);
        if (loop->count == 0)
            return;
        event_loop_dispatch(loop);
    } while (1);
}

#endif
