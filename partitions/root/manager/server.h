/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loamd's socket: clients, their rights, and lines of JSON (docs/manager-protocol.md). A client has one
 * request at a time; what it sends beyond that waits in its socket.
 */
#ifndef MANAGER_SERVER_H
#define MANAGER_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "partitions/root/manager/alarm.h"
#include "partitions/root/manager/identity.h"
#include "partitions/root/net/event_loop.h"

#define SERVER_CLIENTS         64u
#define SERVER_CLIENTS_A_USER  16u    /* of the same user, except root */
#define SERVER_LONGEST_REQUEST 65536u /* bytes, with the newline */

struct manager;
struct request;

struct client {
    struct manager *manager;
    struct event_source source;
    struct identity identity;
    pid_t process;
    struct request *request; /* that it waits for; NULL: none */
    char *input;             /* SERVER_LONGEST_REQUEST bytes */
    size_t input_length;
    char *output; /* what the socket has not taken */
    size_t output_length, output_sent;
    int output_descriptor; /* goes with the first byte of the output; -1: none */
    bool closing;          /* when the output is written */
    struct client *next;
};

struct server {
    int descriptor; /* listening; -1: none */
    struct event_source source;
    struct alarm pause;
    struct client *clients;
    unsigned client_count;
};

/* Listens on `path`, for the group that may manage if there is one. 0 or an errno. */
int server_open(struct manager *manager, const char *path);
void server_close(struct manager *manager);

/* Sends the answer to the client's request. `answer` may be NULL when there is no memory: the client is let
 * go. */
void client_answer(struct client *client, const json_t *answer, int descriptor);

#endif
