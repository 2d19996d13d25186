/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes that wait to be sent by a PS/2 device or by the controller. */
#ifndef WORKER_DEVICES_PS2_QUEUE_H
#define WORKER_DEVICES_PS2_QUEUE_H

#include <stdint.h>

#define PS2_QUEUE_SIZE 64 /* a power of two */

struct ps2_queue {
    uint8_t bytes[PS2_QUEUE_SIZE];
    unsigned first;
    unsigned count;
};

static inline unsigned ps2_queue_room(const struct ps2_queue *queue)
{
    return PS2_QUEUE_SIZE - queue->count;
}

/* A full queue drops the byte. */
static inline void ps2_queue_push(struct ps2_queue *queue, uint8_t byte)
{
    if (ps2_queue_room(queue) == 0)
        return;
    queue->bytes[(queue->first + queue->count) % PS2_QUEUE_SIZE] = byte;
    queue->count++;
}

/* The queue must not be empty. */
static inline uint8_t ps2_queue_pop(struct ps2_queue *queue)
{
    uint8_t byte = queue->bytes[queue->first];

    queue->first = (queue->first + 1) % PS2_QUEUE_SIZE;
    queue->count--;
    return byte;
}

static inline void ps2_queue_clear(struct ps2_queue *queue)
{
    queue->first = 0;
    queue->count = 0;
}

#endif
