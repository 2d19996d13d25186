/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A source and the disk that reads it, together: which reads are begun when, and again, and what the disk is told. */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "partitions/root/fetch/client.h"
#include "partitions/root/fetch/reader.h"

struct fetch {
    struct client client;
    struct reader *reader;
    struct fetch_read probe; /* of the first byte, by which is found out what is there */
};

/* The reader becomes this one's. False without memory. */
bool fetch_initialize(struct fetch *fetch, int socket, struct reader *reader);

/* Works until the disk closes its end, or the source was refused. False with `error`, a line: the disk does not keep to
 * the protocol. */
bool fetch_run(struct fetch *fetch, char error[FETCH_TEXT_SIZE]);

#endif
