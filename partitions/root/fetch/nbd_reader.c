/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads from an NBD server, with libnbd. One connection; it is made again when it breaks. */
#include <errno.h>
#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/fetch/reader.h"

#define STALLED_MILLISECONDS 10000       /* without an answer: the connection is given up */
#define LARGEST_PIECE        (32u << 20) /* what servers take that say nothing of it */

/* A read in whole blocks, one piece of it at a time. */
struct piece {
    struct fetch_read *read; /* NULL: none */
    uint64_t begin, end;     /* bytes of the source */
    uint64_t at;             /* up to where it was read */
    uint32_t length;         /* of the piece that the server was asked for; 0: none */
    bool answered;
    int error; /* of the answer */
};

struct nbd_reader {
    struct reader reader;
    struct nbd_handle *handle; /* NULL: there is no connection, and none in the making */
    bool ready;                /* the server has said what it has */
    bool ended;                /* a read has, which is to be told without waiting for anything else */
    uint64_t progress_at;
    uint32_t minimum, maximum; /* of what the server reads at a time */
    struct piece pieces[READER_READS];
};

static bool is_busy(const struct nbd_reader *nbd)
{
    for (unsigned i = 0; i < READER_READS; i++)
        if (nbd->pieces[i].read)
            return true;
    return false;
}

static void end(struct nbd_reader *nbd, struct piece *piece, enum reader_verdict verdict, const char *reason)
{
    struct fetch_read *read = piece->read;
    read->data = read->buffer + (read->offset - piece->begin);
    *piece = (struct piece){0};
    nbd->ended = true;
    nbd->reader.ended(nbd->reader.owner, read, verdict, reason);
}

/* ---- The connection ---- */

/* Gives it up. All reads end with the verdict. */
static void disconnect(struct nbd_reader *nbd, enum reader_verdict verdict, const char *problem)
{
    char reason[FETCH_TEXT_SIZE];
    /* Texts of libnbd begin with the name of its function. */
    const char *colon = strncmp(problem, "nbd_", strlen("nbd_")) == 0 ? strstr(problem, ": ") : NULL;
    snprintf(reason, sizeof(reason), "%s", colon ? colon + 2 : problem);
    for (unsigned i = 0; i < READER_READS; i++)
        nbd->pieces[i].length = 0; /* answers that come while it is closed are none */
    nbd_close(nbd->handle);
    nbd->handle = NULL;
    nbd->ready = false;
    for (unsigned i = 0; i < READER_READS; i++)
        if (nbd->pieces[i].read)
            end(nbd, &nbd->pieces[i], verdict, reason);
}

static const char *problem_text(void)
{
    const char *text = nbd_get_error();
    return text ? text : "the connection has ended";
}

static void connect_server(struct nbd_reader *nbd)
{
    nbd->progress_at = reader_now();
    nbd->handle = nbd_create();
    if (nbd->handle &&
        nbd_set_uri_allow_transports(nbd->handle, LIBNBD_ALLOW_TRANSPORT_TCP | LIBNBD_ALLOW_TRANSPORT_UNIX) == 0 &&
        nbd_set_uri_allow_local_file(nbd->handle, false) == 0 && nbd_aio_connect_uri(nbd->handle, nbd->reader.url) == 0)
        return;
    int error = nbd_get_errno();
    disconnect(nbd, error == EINVAL || error == EPERM || error == ENOTSUP ? READER_REFUSED : READER_RETRY,
               problem_text());
}

/* What the server wants reads to be multiples of, and how long they may be; 0 if it says nothing. */
static bool take_block_sizes(struct nbd_reader *nbd)
{
    int64_t minimum = nbd_get_block_size(nbd->handle, LIBNBD_SIZE_MINIMUM);
    int64_t maximum = nbd_get_block_size(nbd->handle, LIBNBD_SIZE_MAXIMUM);
    minimum = minimum > 0 ? minimum : 1;
    maximum = maximum > 0 && maximum < LARGEST_PIECE ? maximum : LARGEST_PIECE;
    nbd->minimum = (uint32_t)minimum;
    nbd->maximum = (uint32_t)(maximum / minimum * minimum);
    return minimum <= READ_LARGEST_BLOCK && (minimum & (minimum - 1)) == 0 && maximum >= minimum;
}

/* The server has said what it has: the connection is ready, or given up. */
static void take_export(struct nbd_reader *nbd)
{
    char reason[FETCH_TEXT_SIZE];
    int64_t size = nbd_get_size(nbd->handle);
    if (size < 0)
        disconnect(nbd, READER_RETRY, problem_text());
    else if (!take_block_sizes(nbd))
        disconnect(nbd, READER_REFUSED, "the server reads blocks of a size that is none");
    else if (reader_check_source(&nbd->reader, (uint64_t)size, "", reason) != READER_DONE)
        disconnect(nbd, READER_REFUSED, reason);
    else
        nbd->ready = true;
}

/* ---- Reads ---- */

static int answered(void *context, int *error)
{
    struct piece *piece = context;
    piece->answered = piece->length != 0;
    piece->error = *error;
    return 1; /* libnbd keeps nothing of it */
}

/* Asks for what is left of it. */
static void ask(struct nbd_reader *nbd, struct piece *piece)
{
    const nbd_completion_callback callback = {.callback = answered, .user_data = piece};
    uint64_t mask = nbd->minimum - 1, end_of_source = nbd->reader.source.size;
    if (piece->at == piece->begin) {
        piece->begin = piece->at = piece->read->offset & ~mask;
        piece->end = (piece->read->offset + piece->read->length + mask) & ~mask;
        piece->end = piece->end < end_of_source ? piece->end : end_of_source;
    }
    uint64_t left = piece->end - piece->at;
    piece->length = left < nbd->maximum ? (uint32_t)left : nbd->maximum;
    piece->answered = false;
    if (nbd_aio_pread(nbd->handle, piece->read->buffer + (piece->at - piece->begin), piece->length, piece->at, callback,
                      0) >= 0)
        return;
    piece->length = 0;
    end(nbd, piece, READER_RETRY, problem_text());
}

static void take_answer(struct nbd_reader *nbd, struct piece *piece)
{
    nbd->progress_at = piece->read->progress_at = reader_now();
    piece->answered = false;
    piece->at += piece->length;
    piece->length = 0;
    if (piece->error) {
        char reason[FETCH_TEXT_SIZE];
        snprintf(reason, sizeof(reason), "the server cannot read it: %s", strerror(piece->error));
        end(nbd, piece, READER_RETRY, reason);
    } else if (piece->at == piece->end) {
        end(nbd, piece, READER_DONE, NULL);
    }
}

static void carry_on(struct nbd_reader *nbd)
{
    for (unsigned i = 0; i < READER_READS; i++)
        if (nbd->pieces[i].read && nbd->pieces[i].answered)
            take_answer(nbd, &nbd->pieces[i]);
    for (unsigned i = 0; i < READER_READS && nbd->ready; i++)
        if (nbd->pieces[i].read && !nbd->pieces[i].length)
            ask(nbd, &nbd->pieces[i]);
}

static void nbd_start(struct reader *reader, struct fetch_read *read)
{
    struct nbd_reader *nbd = (struct nbd_reader *)reader;
    struct piece *piece = nbd->pieces;
    while (piece->read)
        piece++; /* there are as many as there are reads */
    if (!is_busy(nbd))
        nbd->progress_at = reader_now();
    *piece = (struct piece){.read = read, .begin = read->offset, .at = read->offset};
    read->state = READ_UNDER_WAY;
}

/* ---- Waiting ---- */

static short events_of(struct nbd_handle *handle)
{
    unsigned direction = nbd_aio_get_direction(handle);
    return (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                   (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
}

static void notify(struct nbd_reader *nbd, short revents)
{
    unsigned direction = nbd_aio_get_direction(nbd->handle);
    int result = 0;
    /* An end of the connection is found by reading, or, while it is made, by writing. */
    if ((revents & (POLLIN | POLLHUP | POLLERR)) && (direction & LIBNBD_AIO_DIRECTION_READ))
        result = nbd_aio_notify_read(nbd->handle);
    else if ((revents & (POLLOUT | POLLHUP | POLLERR)) && (direction & LIBNBD_AIO_DIRECTION_WRITE))
        result = nbd_aio_notify_write(nbd->handle);
    bool dead = nbd_aio_is_dead(nbd->handle) || nbd_aio_is_closed(nbd->handle);
    if (revents)
        nbd->progress_at = reader_now();
    if (result < 0 || dead)
        disconnect(nbd, READER_RETRY, problem_text());
    else if (!nbd->ready && nbd_aio_is_ready(nbd->handle))
        take_export(nbd);
}

static void nbd_wait(struct reader *reader, struct pollfd *other, int timeout)
{
    struct nbd_reader *nbd = (struct nbd_reader *)reader;
    nbd->ended = false;
    if (!nbd->handle && is_busy(nbd))
        connect_server(nbd);
    carry_on(nbd);
    struct pollfd files[2] = {*other, {.fd = -1}};
    if (nbd->handle) {
        files[1].fd = nbd_aio_get_fd(nbd->handle);
        files[1].events = events_of(nbd->handle);
    }
    if (poll(files, 2, nbd->ended ? 0 : timeout) > 0) {
        other->revents = files[0].revents;
        if (nbd->handle)
            notify(nbd, files[1].revents);
    }
    carry_on(nbd);
    if (nbd->handle && is_busy(nbd) && reader_now() - nbd->progress_at >= STALLED_MILLISECONDS)
        disconnect(nbd, READER_RETRY, "the server does not answer");
}

struct reader *nbd_reader_create(const char *url)
{
    static const struct reader_operations operations = {nbd_start, nbd_wait};
    struct nbd_reader *nbd = calloc(1, sizeof(*nbd));
    if (!nbd)
        return NULL;
    nbd->reader = (struct reader){.operations = &operations, .url = url};
    return &nbd->reader;
}
