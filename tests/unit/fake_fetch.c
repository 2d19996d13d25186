/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/fake_fetch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECTOR 512u

static bool put(struct fake_fetch *fetch, const void *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t count = send(fetch->socket, (const uint8_t *)bytes + done, length - done, MSG_NOSIGNAL);
        if (count <= 0)
            return false;
        done += (size_t)count;
    }
    return true;
}

static bool answer(struct fake_fetch *fetch, const struct fetch_message *read)
{
    const struct fetch_message data = {FETCH_DATA, read->length, read->tag, read->offset};
    bool metadata = read->offset < fetch->metadata ||
                    (fetch->window && read->offset % fetch->window == 0 &&
                     (read->length == fetch->window || read->offset + read->length == fetch->size));
    pthread_mutex_lock(&fetch->lock);
    fetch->asked++;
    pthread_cond_broadcast(&fetch->changed);
    while ((fetch->silent || (fetch->stingy && !metadata)) && !fetch->ended)
        pthread_cond_wait(&fetch->changed, &fetch->lock);
    if (read->offset + read->length > fetch->size || fetch->ended) {
        pthread_mutex_unlock(&fetch->lock);
        return false;
    }
    fetch->fetched += read->length;
    for (uint64_t i = read->offset / SECTOR; !metadata && i < (read->offset + read->length + SECTOR - 1) / SECTOR; i++)
        fetch->times[i]++;
    bool sent = put(fetch, &data, sizeof(data)) && put(fetch, fetch->bytes + read->offset, read->length);
    pthread_mutex_unlock(&fetch->lock);
    return sent;
}

static void *serve(void *context)
{
    struct fake_fetch *fetch = context;
    const struct fetch_message message = {.kind = FETCH_SOURCE, .length = sizeof(struct fetch_source)};
    struct fetch_source source = {.size = fetch->size};
    struct fetch_message read;
    memcpy(source.validator, fetch->validator, sizeof(source.validator));
    bool goes_on = put(fetch, &message, sizeof(message)) && put(fetch, &source, sizeof(source));
    while (goes_on)
        goes_on = recv(fetch->socket, &read, sizeof(read), MSG_WAITALL) == sizeof(read) && read.kind == FETCH_READ &&
                  answer(fetch, &read);
    shutdown(fetch->socket, SHUT_RDWR);
    return NULL;
}

int fake_fetch_restart(struct fake_fetch *fetch)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        abort();
    fetch->socket = ends[0];
    fetch->ended = false;
    if (pthread_create(&fetch->thread, NULL, serve, fetch) != 0)
        abort();
    return ends[1];
}

int fake_fetch_start(struct fake_fetch *fetch, const uint8_t *bytes, size_t size)
{
    *fetch = (struct fake_fetch){.bytes = bytes, .size = size, .times = calloc(size / SECTOR + 1, 1)};
    strcpy(fetch->validator, "\"first\"");
    pthread_mutex_init(&fetch->lock, NULL);
    pthread_cond_init(&fetch->changed, NULL);
    return fake_fetch_restart(fetch);
}

void fake_fetch_hang_up(struct fake_fetch *fetch)
{
    shutdown(fetch->socket, SHUT_RDWR);
    pthread_mutex_lock(&fetch->lock);
    fetch->ended = true;
    pthread_cond_broadcast(&fetch->changed);
    pthread_mutex_unlock(&fetch->lock);
    pthread_join(fetch->thread, NULL);
    close(fetch->socket);
}

void fake_fetch_stop(struct fake_fetch *fetch)
{
    fake_fetch_hang_up(fetch);
    pthread_cond_destroy(&fetch->changed);
    pthread_mutex_destroy(&fetch->lock);
    free(fetch->times);
}

void fake_fetch_silence(struct fake_fetch *fetch, bool silent)
{
    pthread_mutex_lock(&fetch->lock);
    fetch->silent = silent;
    fetch->stingy &= silent;
    pthread_cond_broadcast(&fetch->changed);
    pthread_mutex_unlock(&fetch->lock);
}

void fake_fetch_await(struct fake_fetch *fetch, unsigned asked)
{
    pthread_mutex_lock(&fetch->lock);
    while (fetch->asked < asked)
        pthread_cond_wait(&fetch->changed, &fetch->lock);
    pthread_mutex_unlock(&fetch->lock);
}

void fake_fetch_say(struct fake_fetch *fetch, const char *text)
{
    const struct fetch_message message = {.kind = FETCH_STATUS, .length = (uint32_t)strlen(text)};
    pthread_mutex_lock(&fetch->lock);
    if (!put(fetch, &message, sizeof(message)) || !put(fetch, text, strlen(text)))
        abort();
    pthread_mutex_unlock(&fetch->lock);
}

unsigned fake_fetch_most_times(struct fake_fetch *fetch)
{
    unsigned most = 0;
    pthread_mutex_lock(&fetch->lock);
    for (size_t i = 0; i <= fetch->size / SECTOR; i++)
        if (fetch->times[i] > most)
            most = fetch->times[i];
    pthread_mutex_unlock(&fetch->lock);
    return most;
}
