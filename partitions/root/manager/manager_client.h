/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The other side of loamd's socket (docs/manager-protocol.md), for programs that wait for their answers. */
#ifndef MANAGER_MANAGER_CLIENT_H
#define MANAGER_MANAGER_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define MANAGER_CLIENT_CODE  32
#define MANAGER_CLIENT_ERROR 2048

#define MANAGER_SOCKET "/run/loam/loamd.sock"

/* Codes beside those of request.h. */
#define MANAGER_CLIENT_UNREACHABLE "unreachable" /* loamd does not run, or may not be used by us */

struct manager_client {
    int descriptor; /* -1: not connected */
    char *input;
    size_t length, size;
    int passed;                       /* a descriptor that came with the last answer; -1: none */
    char code[MANAGER_CLIENT_CODE];   /* of the last error */
    char error[MANAGER_CLIENT_ERROR]; /* one line */
};

/* Connects to loamd. False: code and error say why not. To be closed in either case. */
bool manager_client_open(struct manager_client *client, const char *path);
void manager_client_close(struct manager_client *client);

/*
 * Sends a request with its arguments (taken over; NULL: none) and waits for its answer. The result is the
 * caller's; NULL: code and error. A descriptor that came along is in `passed`, and the caller's to close.
 */
json_t *manager_client_call(struct manager_client *client, const char *request, json_t *arguments);

#endif
