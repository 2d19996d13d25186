/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/key_queue.h"

void key_queue_initialize(struct key_queue *queue, unsigned pace)
{
    queue->first = queue->count = 0;
    queue->pace = pace;
    queue->due = queue->taken = 0;
}

bool key_queue_add(struct key_queue *queue, const struct key_event *events, unsigned count, uint64_t now)
{
    if (count > KEY_QUEUE_SIZE - queue->count)
        return false;
    if (queue->count == 0)
        queue->taken = now;
    for (unsigned i = 0; i < count; i++)
        queue->events[(queue->first + queue->count++) % KEY_QUEUE_SIZE] = events[i];
    return true;
}

void key_queue_run(struct key_queue *queue, const struct input_sink *sink, uint64_t now)
{
    while (queue->count > 0 && now >= queue->due) {
        const struct key_event *event = &queue->events[queue->first % KEY_QUEUE_SIZE];

        if (!sink->key(sink->context, event->key, event->pressed)) {
            queue->due = now + KEY_QUEUE_RETRY;
            if (now - queue->taken >= KEY_QUEUE_PATIENCE)
                queue->count = 0;
            return;
        }
        queue->first = (queue->first + 1) % KEY_QUEUE_SIZE;
        queue->count--;
        queue->taken = now;
        queue->due = now + queue->pace;
    }
}

uint64_t key_queue_due(const struct key_queue *queue)
{
    return queue->count > 0 ? queue->due : UINT64_MAX;
}
