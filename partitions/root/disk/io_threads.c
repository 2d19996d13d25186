/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations by system calls on a pool of threads that all queues share, but for reads of what is in the page cache. A
 * thread that waits for its queue carries out what of it nobody has begun yet, so that it never waits behind another
 * queue's slow file.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "partitions/root/disk/io_backend.h"

/* With the thread that waits, so many operations of a queue are under way at once if there is no other. */
#define POOL_THREADS 3

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* there is work, or the end has come */
    struct disk_io_operation *first, *last;
    bool ending;
    unsigned started;
    pthread_t threads[POOL_THREADS];
};

struct results {
    pthread_cond_t changed;
    struct disk_io_operation *finished;
};

/* The first operation of `queue`, or of any if NULL, that waits; NULL if there is none. With the lock. */
static struct disk_io_operation *take(struct pool *pool, const struct disk_io_queue *queue)
{
    struct disk_io_operation *before = NULL;
    struct disk_io_operation *operation = pool->first;
    while (operation && queue && operation->queue != queue) {
        before = operation;
        operation = operation->next;
    }
    if (!operation)
        return NULL;
    if (before)
        before->next = operation->next;
    else
        pool->first = operation->next;
    if (pool->last == operation)
        pool->last = before;
    return operation;
}

/* With the lock. */
static void add_result(struct disk_io_operation *operation)
{
    struct results *results = operation->queue->own;
    operation->next = results->finished;
    results->finished = operation;
    pthread_cond_signal(&results->changed);
}

static void *pool_thread(void *context)
{
    struct pool *pool = context;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct disk_io_operation *operation = take(pool, NULL);
        if (!operation && pool->ending)
            break;
        if (!operation) {
            pthread_cond_wait(&pool->changed, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        operation->result = disk_io_perform(operation);
        pthread_mutex_lock(&pool->lock);
        add_result(operation);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void threads_end(struct disk_io *io)
{
    struct pool *pool = io->shared;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->started; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static int threads_start(struct disk_io *io)
{
    struct pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return ENOMEM;
    io->shared = pool;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    for (; pool->started < POOL_THREADS; pool->started++) {
        int error = pthread_create(&pool->threads[pool->started], NULL, pool_thread, pool);
        if (error) {
            threads_end(io);
            return error;
        }
        pthread_setname_np(pool->threads[pool->started], "disk-pool");
    }
    return 0;
}

static int threads_open(struct disk_io_queue *queue)
{
    struct results *results = calloc(1, sizeof(*results));
    if (!results)
        return ENOMEM;
    pthread_cond_init(&results->changed, NULL);
    queue->own = results;
    return 0;
}

static void threads_close(struct disk_io_queue *queue)
{
    struct results *results = queue->own;
    pthread_cond_destroy(&results->changed);
    free(results);
}

static bool read_from_cache(struct disk_io_operation *operation)
{
    if (operation->kind != DISK_IO_READ)
        return false;
    operation->result =
        preadv2(operation->descriptor, operation->vector, operation->count, (off_t)operation->offset, RWF_NOWAIT);
    return operation->result > 0;
}

static void threads_begin(struct disk_io_queue *queue, struct disk_io_operation *operation)
{
    struct pool *pool = queue->io->shared;
    bool done = read_from_cache(operation);
    pthread_mutex_lock(&pool->lock);
    if (done) {
        add_result(operation);
    } else {
        operation->next = NULL;
        if (pool->first)
            pool->last->next = operation;
        else
            pool->first = operation;
        pool->last = operation;
        pthread_cond_signal(&pool->changed);
    }
    pthread_mutex_unlock(&pool->lock);
}

static void threads_wait(struct disk_io_queue *queue)
{
    struct pool *pool = queue->io->shared;
    struct results *results = queue->own;
    struct disk_io_operation *own = NULL;
    pthread_mutex_lock(&pool->lock);
    while (!results->finished && !(own = take(pool, queue)))
        pthread_cond_wait(&results->changed, &pool->lock);
    struct disk_io_operation *finished = results->finished;
    results->finished = NULL;
    pthread_mutex_unlock(&pool->lock);
    if (own)
        disk_io_finished(queue, own, disk_io_perform(own));
    while (finished) {
        struct disk_io_operation *next = finished->next;
        disk_io_finished(queue, finished, finished->result);
        finished = next;
    }
}

const struct disk_io_backend disk_io_threads = {
    .name = "threads",
    .start = threads_start,
    .end = threads_end,
    .open = threads_open,
    .close = threads_close,
    .perform = disk_io_perform,
    .begin = threads_begin,
    .wait = threads_wait,
};
