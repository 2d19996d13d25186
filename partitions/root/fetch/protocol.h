/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What loam-fetch and the process of a disk say to each other. loam-fetch reads a remote source, by an http, https or
 * NBD URL, and has no image; the disk's process has images and no network. Between them is a Unix stream socket; both
 * run on one host and are of one build, so that numbers are the processor's own. Each side takes the other for hostile.
 *
 * loam-fetch speaks first, when it has found the source: FETCH_SOURCE, once, or FETCH_REFUSED. Then the disk sends
 * FETCH_READ and gets FETCH_DATA for each, in any order, however long it takes: while the source does not answer,
 * before FETCH_SOURCE or after it, loam-fetch tries again until it does, and says why with FETCH_STATUS. FETCH_REFUSED
 * may come at any time, when the source turns out to be another one. It ends when the disk closes its end.
 */
#ifndef FETCH_PROTOCOL_H
#define FETCH_PROTOCOL_H

#include <stdint.h>

#define FETCH_READ_MAXIMUM     (1u << 20) /* bytes that are read at a time */
#define FETCH_REQUESTS_MAXIMUM 16u        /* reads under way; who sends more is let go */
#define FETCH_URL_SIZE         2048u
#define FETCH_TEXT_SIZE        512u

enum fetch_message_kind {
    /* To loam-fetch */
    FETCH_READ = 1, /* `length` bytes from `offset` on, within the source; nothing follows */
    /* From loam-fetch */
    FETCH_SOURCE, /* a struct fetch_source follows, whose size is `length` */
    FETCH_DATA,   /* of the read with this `tag`: its `length` bytes follow */
    FETCH_STATUS, /* `length` bytes of text follow, less than FETCH_TEXT_SIZE: why there is no answer. None: all is well
                   */
    FETCH_REFUSED, /* text likewise: why the source is of no use, for good. The last message */
};

struct fetch_message {
    uint32_t kind;
    uint32_t length;
    uint64_t tag; /* the disk's, of READ and DATA */
    uint64_t offset;
};

struct fetch_source {
    uint64_t size; /* bytes */
    /* By which a version of the source is known: an ETag, or else when it was modified last. Empty: the server says
     * neither, or something that is not printable ASCII. Ends with a zero. */
    char validator[FETCH_TEXT_SIZE];
};

#endif
