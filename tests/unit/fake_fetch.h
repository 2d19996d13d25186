/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A loam-fetch for tests: a thread that answers for an array, and knows what it was asked for. */
#ifndef TESTS_FAKE_FETCH_H
#define TESTS_FAKE_FETCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/fetch/protocol.h"

struct fake_fetch {
    const uint8_t *bytes;
    size_t size;
    char validator[FETCH_TEXT_SIZE];
    int socket;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool silent;      /* does not answer; what is asked for waits */
    bool ended;       /* the disk's side has closed its end */
    unsigned asked;   /* reads that it was asked for */
    uint64_t fetched; /* bytes that it has sent */
    /* Reads of metadata, which are not counted in `times`: windows at a multiple of `window`, if that is not 0, and
     * those that begin before `metadata`. */
    uint32_t window;
    uint64_t metadata;
    bool stingy;    /* does not answer but reads of metadata */
    uint8_t *times; /* for each sector of 512 bytes, how often it was sent */
};

/* Begins to serve the array, which stays the caller's. Returns the disk's end of the socket. */
int fake_fetch_start(struct fake_fetch *fetch, const uint8_t *bytes, size_t size);
/* Another socket after the last one was closed, with the counters as they are. */
int fake_fetch_restart(struct fake_fetch *fetch);
/* Ends, whether the disk has closed its end or not. */
void fake_fetch_hang_up(struct fake_fetch *fetch);
/* The same, for good. */
void fake_fetch_stop(struct fake_fetch *fetch);

void fake_fetch_silence(struct fake_fetch *fetch, bool silent);
/* Waits until it was asked for so many reads. */
void fake_fetch_await(struct fake_fetch *fetch, unsigned asked);
/* Says why it does not answer. */
void fake_fetch_say(struct fake_fetch *fetch, const char *text);
/* How often the sector was sent that was sent most often. */
unsigned fake_fetch_most_times(struct fake_fetch *fetch);

#endif
