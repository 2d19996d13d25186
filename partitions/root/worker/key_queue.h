/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys on their way to a guest whose keyboard has little room and may not be listened to: in order, at a pace,
 * tried again when they are not taken. A guest that takes none for KEY_QUEUE_PATIENCE gets none of them, so
 * that nothing is typed long after it was meant.
 */
#ifndef WORKER_KEY_QUEUE_H
#define WORKER_KEY_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/worker/input.h"
#include "partitions/root/worker/keysym.h"

#define KEY_QUEUE_SIZE     4096u  /* events; a power of two */
#define KEY_QUEUE_RETRY    10u    /* milliseconds after which a key that was not taken is tried again */
#define KEY_QUEUE_PATIENCE 10000u /* milliseconds */

/* The owner's lock covers it. */
struct key_queue {
    struct key_event events[KEY_QUEUE_SIZE];
    unsigned first, count;
    unsigned pace;  /* milliseconds from one event to the next; 0: as fast as they are taken */
    uint64_t due;   /* when the next event may be tried */
    uint64_t taken; /* when the guest took one last, or the queue was empty */
};

void key_queue_initialize(struct key_queue *queue, unsigned pace);

/* All or none. `now` in milliseconds, here and below, on any clock that does not go back. */
bool key_queue_add(struct key_queue *queue, const struct key_event *events, unsigned count, uint64_t now);

/* Gives the guest what is due. */
void key_queue_run(struct key_queue *queue, const struct input_sink *sink, uint64_t now);

/* When key_queue_run() has something to do again; UINT64_MAX: when something is added. */
uint64_t key_queue_due(const struct key_queue *queue);

#endif
