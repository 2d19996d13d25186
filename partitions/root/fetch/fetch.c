/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/fetch/fetch.h"

#include <stdio.h>
#include <stdlib.h>

/* Bytes that are read to find out what is there. Not one: BusyBox's server takes "bytes=0-0" for all of the file. */
#define PROBE_LENGTH 2u

/* Milliseconds. A read that has failed is begun again after the first, and each time after twice as long. */
#define SHORTEST_DELAY 200u
#define LONGEST_DELAY  5000u
#define SILENCE        4000u /* without a byte: the disk is told */
#define TICK           500u  /* how often that is looked at */
#define IDLE           60000u

static struct fetch_read *read_number(struct fetch *fetch, unsigned index)
{
    return index < FETCH_REQUESTS_MAXIMUM ? &fetch->client.reads[index] : &fetch->probe;
}

static uint64_t delay_after(unsigned failures)
{
    uint64_t delay = SHORTEST_DELAY;
    while (--failures > 0 && delay < LONGEST_DELAY)
        delay *= 2;
    return delay < LONGEST_DELAY ? delay : LONGEST_DELAY;
}

static void read_ended(void *owner, struct fetch_read *read, enum reader_verdict verdict, const char *reason)
{
    struct fetch *fetch = owner;
    switch (verdict) {
    case READER_DONE:
        client_set_status(&fetch->client, "");
        read->state = read == &fetch->probe ? READ_FREE : READ_DONE;
        fetch->client.source = &fetch->reader->source;
        break;
    case READER_RETRY:
        client_set_status(&fetch->client, reason);
        read->state = READ_WAITING;
        read->begin_at = reader_now() + delay_after(++read->failures);
        break;
    case READER_REFUSED:
        client_refuse(&fetch->client, reason);
        read->state = READ_FREE;
        break;
    }
}

bool fetch_initialize(struct fetch *fetch, int socket, struct reader *reader)
{
    *fetch = (struct fetch){
        .reader = reader, .probe = {.state = READ_WAITING, .length = PROBE_LENGTH}
    };
    client_initialize(&fetch->client, socket);
    reader->ended = read_ended;
    reader->owner = fetch;
    fetch->probe.buffer = malloc(READ_BUFFER_SIZE);
    return fetch->probe.buffer;
}

/* Begins what is due; milliseconds until the next is, or something is to be looked at. */
static int start_reads(struct fetch *fetch)
{
    uint64_t now = reader_now(), wait = IDLE;
    for (unsigned i = 0; i < READER_READS; i++) {
        struct fetch_read *read = read_number(fetch, i);
        if (read->state == READ_WAITING && read->begin_at <= now) {
            read->progress_at = now;
            fetch->reader->operations->start(fetch->reader, read);
        }
        if (read->state == READ_WAITING && read->begin_at - now < wait)
            wait = read->begin_at - now;
        if (read->state == READ_UNDER_WAY && wait > TICK)
            wait = TICK;
    }
    return (int)wait;
}

/* A server may also keep a connection and say nothing. */
static void watch_silence(struct fetch *fetch)
{
    uint64_t now = reader_now();
    for (unsigned i = 0; i < READER_READS && !fetch->client.status[0]; i++) {
        const struct fetch_read *read = read_number(fetch, i);
        if (read->state == READ_UNDER_WAY && now - read->progress_at >= SILENCE)
            client_set_status(&fetch->client, "the server does not answer");
    }
}

bool fetch_run(struct fetch *fetch, char error[FETCH_TEXT_SIZE])
{
    struct client *client = &fetch->client;
    while (!client->ended) {
        int timeout = start_reads(fetch);
        struct pollfd disk = {.fd = client->socket,
                              .events = (short)(POLLIN | (client_has_output(client) ? POLLOUT : 0))};
        fetch->reader->operations->wait(fetch->reader, &disk, timeout);
        watch_silence(fetch);
        if (disk.revents & ~POLLOUT && !client_receive(client, error))
            return false;
        client_send(client);
    }
    return true;
}
