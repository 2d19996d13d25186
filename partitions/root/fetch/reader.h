/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What reads from a source, by one protocol or another. One thread. */
#ifndef FETCH_READER_H
#define FETCH_READER_H

#include <poll.h>
#include <stdbool.h>

#include "partitions/root/fetch/read.h"

enum reader_verdict {
    READER_DONE,
    READER_RETRY,   /* it may well work another time */
    READER_REFUSED, /* the source is of no use, for good */
};

/* Reads at a time: the disk's, and the one that finds out what is there. */
#define READER_READS (FETCH_REQUESTS_MAXIMUM + 1)

struct reader;

struct reader_operations {
    /* Begins a read of a waiting one's bytes, which becomes READ_UNDER_WAY; its end is told within `wait`. */
    void (*start)(struct reader *reader, struct fetch_read *read);
    /* Waits until `other` is ready, or for `timeout` milliseconds, and carries the reads on. */
    void (*wait)(struct reader *reader, struct pollfd *other, int timeout);
};

struct reader {
    const struct reader_operations *operations;
    const char *url;
    /* What must be there: at first what the disk's child has recorded, if anything, then what was found. */
    struct fetch_source source;
    bool size_known, validator_known;
    /* Tells the end of a read; `reason` is a line for READER_RETRY and READER_REFUSED. */
    void (*ended)(void *owner, struct fetch_read *read, enum reader_verdict verdict, const char *reason);
    void *owner;
};

/* Compares with what must be there what an answer says, or notes it. READER_REFUSED with the reason. */
enum reader_verdict reader_check_source(struct reader *reader, uint64_t size, const char *validator,
                                        char reason[FETCH_TEXT_SIZE]);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t reader_now(void);

/* A reader for the URL, which is a valid one; NULL without memory. The caller fills in the rest. */
struct reader *http_reader_create(const char *url);
struct reader *nbd_reader_create(const char *url);

#endif
