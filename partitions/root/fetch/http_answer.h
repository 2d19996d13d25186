/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a server's answer to a request for part of a file says of itself. Whatever a server sends is taken for hostile.
 */
#ifndef FETCH_HTTP_ANSWER_H
#define FETCH_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/fetch/reader.h"

/* Headers of one request, redirections included. */
#define HTTP_HEADERS_MAXIMUM (64u << 10)

struct http_answer {
    size_t header_bytes; /* so far */
    /* Of the last answer, after redirections: */
    unsigned status; /* 0: there was none yet */
    char tag[FETCH_TEXT_SIZE];
    char modified[FETCH_TEXT_SIZE];
    bool encoded;   /* compressed, though nobody asked for it */
    bool has_range; /* Content-Range was understood */
    uint64_t first, last, total;
};

/* Takes a line of the headers in, without a zero at its end. False: they are too many. */
bool http_answer_add(struct http_answer *answer, const char *line, size_t length);

/* Whether the headers promise the bytes of the read, of the source that the reader knows, or gets to know by this. */
enum reader_verdict http_answer_judge(const struct http_answer *answer, const struct fetch_read *read,
                                      struct reader *reader, char reason[FETCH_TEXT_SIZE]);

#endif
