/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loamd's end of a control socket of a worker (docs/worker-protocol.md) or a switch
 * (docs/switch-protocol.md): a line of JSON for each request, and one for each answer. A request is sent when
 * the one before it has been answered, so that it is certain which one a descriptor belongs to. Lines with
 * "event" or "hello" are no answers.
 */
#ifndef MANAGER_CHANNEL_H
#define MANAGER_CHANNEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "partitions/root/manager/alarm.h"
#include "partitions/root/net/event_loop.h"

#define CHANNEL_CALLS        512u       /* that may wait for an answer */
#define CHANNEL_LONGEST_LINE (1u << 20) /* bytes of an answer */
#define CHANNEL_PATIENCE     30000u     /* milliseconds for an answer */

/* `answer` is NULL if there will be none: the connection is lost, or nothing has come for too long. */
typedef void channel_answer(void *owner, const json_t *answer);

struct channel_call {
    struct channel_call *next;
    char *text;           /* NULL: it has been sent */
    int descriptor;       /* that goes with it; -1: none */
    channel_answer *done; /* NULL: nobody waits, or waits any more */
    void *owner;
    uint64_t deadline;
};

struct channel {
    struct event_loop *loop;
    struct alarms *alarms;
    int descriptor; /* -1: closed */
    struct event_source source;
    struct alarm alarm;
    char *input;
    size_t input_length, input_size;
    struct channel_call *calls; /* the oldest first; it has been sent */
    unsigned count;
    void (*event)(void *owner, const json_t *event); /* may be NULL */
    void (*closed)(void *owner); /* the other side has closed; the channel may be opened again */
    void *owner;
};

void channel_initialize(struct channel *channel, struct event_loop *loop, struct alarms *alarms,
                        void (*event)(void *owner, const json_t *event), void (*closed)(void *owner),
                        void *owner);

/* A connection to the socket at `path`, relative to `directory`: a descriptor, or a negative errno. */
int channel_connect(int directory, const char *path);

/* Opens it with a connected descriptor, which it takes over. 0 or an errno. */
int channel_open(struct channel *channel, int descriptor);

/* Waiting calls are answered with NULL. `closed` is not called. */
void channel_close(struct channel *channel);

/*
 * Sends a request, whose reference it takes over, with a copy of `descriptor` unless that is -1. `done` is
 * called once: later, or, with NULL, at once if it cannot be sent. It may be NULL.
 */
void channel_call(struct channel *channel, json_t *request, int descriptor, channel_answer *done,
                  void *owner);

#endif
