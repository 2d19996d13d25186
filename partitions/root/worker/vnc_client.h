/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One viewer. Between its socket and libvncserver, which would wait for whoever is slow, is a pair of sockets:
 * what comes in is handed on message by message, whole ones only (vnc_message.h); what goes out waits in the
 * pair until the viewer takes it, and the next part of the picture is made only then. A part is never more
 * than the pair holds, so libvncserver finds room for all that it writes. A viewer that takes nothing for
 * VNC_CLIENT_PATIENCE is let go.
 *
 * The screen's thread only.
 */
#ifndef WORKER_VNC_CLIENT_H
#define WORKER_VNC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/net/event_loop.h"
#include "partitions/root/worker/keysym.h"
#include "partitions/root/worker/vnc_message.h"

#define VNC_CLIENT_PATIENCE 10000u  /* milliseconds; also for the handshake */
#define VNC_CLIENT_SLICE    131072u /* bytes of the picture that are sent at a time, before encoding */
#define VNC_CLIENT_INPUT    2048u
#define VNC_CLIENT_OUTPUT   16384u

struct vnc_server;
struct _rfbClientRec;

struct vnc_client {
    struct vnc_server *server;
    int descriptor; /* -1: free */
    struct event_source source;
    bool needs_password;
    struct _rfbClientRec *rfb; /* NULL: has not said what it is yet, or libvncserver has let it go */
    int inner;                 /* our end of the pair; -1: none */
    bool ending;               /* closed when what waits has been sent */
    bool blocked;              /* the socket takes no more for now */
    uint64_t deadline;         /* by which something has to happen; UINT64_MAX: none */
    uint64_t ignored;          /* bytes of input that are still to be thrown away */
    size_t repeated;           /* bytes of libvncserver's greeting, which the viewer has had already */
    int next_row;              /* of the picture */
    struct keyboard keyboard;
    size_t input_length, output_first, output_length;
    uint8_t input[VNC_CLIENT_INPUT];
    uint8_t output[VNC_CLIENT_OUTPUT];
};

_Static_assert(VNC_CLIENT_INPUT >= VNC_MESSAGE_LONGEST, "a message has to fit");

/* A viewer's socket (non-blocking), which becomes the client's. False: no memory; it has been closed. */
bool vnc_client_begin(struct vnc_client *client, struct vnc_server *server, int descriptor, bool needs_password);

/* It waits for a picture, and has taken all of the one before. */
bool vnc_client_wants_picture(const struct vnc_client *client);

/* Sends it the next part of what it waits for, if there is any. */
void vnc_client_update(struct vnc_client *client);

/* Lets go of it, of what it holds down, and of its connection. */
void vnc_client_end(struct vnc_client *client);

#endif
