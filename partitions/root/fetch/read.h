/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A read that the disk has asked for. */
#ifndef FETCH_READ_H
#define FETCH_READ_H

#include <stdint.h>

#include "partitions/root/fetch/protocol.h"

/* NBD servers read whole blocks of at most this size, so that a read may begin and end that much too far. */
#define READ_LARGEST_BLOCK (64u << 10)
#define READ_BUFFER_SIZE   (FETCH_READ_MAXIMUM + 2 * READ_LARGEST_BLOCK)

enum read_state {
    READ_FREE,
    READ_WAITING,   /* to be begun at `begin_at` */
    READ_UNDER_WAY, /* with the reader */
    READ_DONE,      /* `data` is there */
};

struct fetch_read {
    enum read_state state;
    uint64_t tag;
    uint64_t offset;
    uint32_t length;
    unsigned failures;    /* one after the other */
    uint64_t begin_at;    /* milliseconds of CLOCK_MONOTONIC */
    uint64_t progress_at; /* when something came of it last, or it was begun */
    uint8_t *buffer;      /* READ_BUFFER_SIZE; stays for the next read */
    uint8_t *data;        /* within the buffer */
};

#endif
