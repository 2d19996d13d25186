/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process of the disk, as loam-fetch sees it: what comes from its socket, and what goes there (protocol.h). */
#ifndef FETCH_CLIENT_H
#define FETCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/fetch/protocol.h"
#include "partitions/root/fetch/read.h"

/* What is being sent. */
struct client_output {
    struct fetch_message header;
    const void *body;
    size_t length; /* of header and body; 0: nothing is being sent */
    size_t sent;
    struct fetch_read *read; /* whose data it is, or NULL */
    char text[FETCH_TEXT_SIZE];
};

struct client {
    int socket;
    const struct fetch_source *source; /* NULL: not found yet, and nothing can be read */
    bool source_told;
    char status[FETCH_TEXT_SIZE]; /* what the disk is to know, and whether it was told */
    bool status_told;
    char refused[FETCH_TEXT_SIZE]; /* the last message; empty: there is none yet */
    bool ended;                    /* nothing more comes, or goes */
    struct fetch_read reads[FETCH_REQUESTS_MAXIMUM];
    struct fetch_message input;
    size_t input_length; /* bytes of it that are there */
    struct client_output output;
};

void client_initialize(struct client *client, int socket);

/*
 * Takes in bytes that the disk has sent, of any number: each whole message becomes a read that is READ_WAITING. False
 * with `error`, a line: the disk does not keep to the protocol.
 */
bool client_take(struct client *client, const void *bytes, size_t length, char error[FETCH_TEXT_SIZE]);

/* Takes in what is in the socket. False with `error`, likewise; when the disk has closed its end `ended` is set. */
bool client_receive(struct client *client, char error[FETCH_TEXT_SIZE]);

/* Sends what there is, as far as it goes without waiting. A read whose data was sent is READ_FREE. */
void client_send(struct client *client);
bool client_has_output(const struct client *client);

/* Tells the disk, soon, why there is no answer; "": all is well. Of several only the last is told. */
void client_set_status(struct client *client, const char *text);

/* Tells the disk, as the last message, why the source is of no use. */
void client_refuse(struct client *client, const char *text);

#endif
