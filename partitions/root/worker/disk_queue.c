/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/disk_queue.h"

#include "partitions/root/disk/remote_file.h"
#include "partitions/root/disk/streaming.h"

/* As disk_set_queue wants it; under the device lock. */
static void submit(void *context, struct disk_request *request)
{
    struct disk_queue *queue = context;

    pthread_mutex_lock(&queue->lock);
    if (queue->first)
        queue->last->next = request;
    else
        queue->first = request;
    queue->last = request;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

/* Something has come that was fetched; on another thread. */
static void arrived(void *context)
{
    struct disk_queue *queue = context;

    pthread_mutex_lock(&queue->lock);
    queue->ahead = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

/* With the lock, which it lets go of meanwhile. */
static void fetch_ahead(struct disk_queue *queue)
{
    enum streaming_progress progress;

    queue->busy = true;
    queue->ahead = false;
    pthread_mutex_unlock(&queue->lock);
    progress = streaming_prefetch(queue->disk);
    pthread_mutex_lock(&queue->lock);
    queue->ahead |= progress == STREAMING_MORE;
    queue->busy = false;
    pthread_cond_broadcast(&queue->changed);
}

/* The next request; NULL: the thread is to end. */
static struct disk_request *take(struct disk_queue *queue)
{
    struct disk_request *request;

    pthread_mutex_lock(&queue->lock);
    while (!queue->first && !queue->ending) {
        if (queue->disk && queue->ahead)
            fetch_ahead(queue);
        else
            pthread_cond_wait(&queue->changed, &queue->lock);
    }
    request = queue->first;
    if (request)
        queue->first = request->next;
    queue->busy = request != NULL;
    pthread_mutex_unlock(&queue->lock);
    return request;
}

static void finish(struct disk_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->busy = false;
    queue->ahead = streaming_source(queue->disk) != NULL; /* there may be space again for what has come */
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

static void *queue_thread(void *context)
{
    struct disk_queue *queue = context;
    struct disk_request *request;

    while ((request = take(queue))) {
        disk_execute(queue->disk, request);
        pthread_mutex_lock(queue->device_lock);
        request->done(request);
        pthread_mutex_unlock(queue->device_lock);
        finish(queue);
    }
    return NULL;
}

int disk_queue_start(struct disk_queue *queue, struct disk_io *io, pthread_mutex_t *device_lock)
{
    int error;

    queue->device_lock = device_lock;
    error = disk_io_open(io, &queue->io);
    if (error)
        return error;
    disk_transfers_initialize(&queue->transfers, queue->io);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->changed, NULL);
    error = pthread_create(&queue->thread, NULL, queue_thread, queue);
    if (error)
        disk_io_close(queue->io);
    else
        pthread_setname_np(queue->thread, "disk");
    return error;
}

static void watch(struct disk *disk, struct disk_queue *queue)
{
    struct disk_file *source = disk ? streaming_source(disk) : NULL;

    if (source)
        remote_file_watch(source, queue ? arrived : NULL, queue);
}

void disk_queue_serve(struct disk_queue *queue, struct disk *disk)
{
    watch(queue->disk, NULL);
    pthread_mutex_lock(&queue->lock);
    while (queue->first || queue->busy)
        pthread_cond_wait(&queue->changed, &queue->lock);
    if (queue->disk)
        disk_set_transfers(queue->disk, NULL);
    if (disk)
        disk_set_transfers(disk, &queue->transfers);
    queue->disk = disk;
    pthread_mutex_unlock(&queue->lock);
    if (disk)
        disk_set_queue(disk, submit, queue);
    watch(disk, queue);
    arrived(queue); /* to begin with */
}

void disk_queue_end(struct disk_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->ending = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    pthread_join(queue->thread, NULL);
    watch(queue->disk, NULL);
    if (queue->disk)
        disk_set_transfers(queue->disk, NULL);
    disk_io_close(queue->io);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
}
