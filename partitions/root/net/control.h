/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The switch's control socket: requests and replies in JSON, a line each, documented in
 * docs/switch-protocol.md. Only root and the switch's own user are listened to.
 */
#ifndef NET_CONTROL_H
#define NET_CONTROL_H

#include <stdbool.h>

#include "partitions/root/net/event_loop.h"

struct vswitch;
struct control_client;

#define CONTROL_VERSION 1
#define CONTROL_CLIENTS 8u
/* The longest request, in bytes. */
#define CONTROL_REQUEST 4096u

struct control {
    struct vswitch *vswitch;
    struct event_source source;
    struct control_client *clients[CONTROL_CLIENTS];
};

/* Listens on a socket that is bound already. 0 or an errno. */
int control_initialize(struct control *control, struct vswitch *vswitch, int descriptor);

/*
 * Carries out one request. `descriptor` is a socket that came with it, or -1; it is taken over. Returns the
 * reply, a line to be freed, or NULL without memory.
 */
char *control_execute(struct vswitch *vswitch, const char *request, int descriptor);

#endif
