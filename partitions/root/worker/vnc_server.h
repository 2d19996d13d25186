/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VNC server of a virtual machine's screen, by libvncserver: viewers that share the screen, and one copy of
 * what it shows, which exists only while somebody looks. The display is asked for what has changed at most 30
 * times a second, and only while a viewer waits for a picture.
 *
 * The screen's thread only. libvncserver's own loop, listening sockets, threads, log, file transfer and the
 * like are not used.
 */
#ifndef WORKER_VNC_SERVER_H
#define WORKER_VNC_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/net/event_loop.h"
#include "partitions/root/worker/display.h"
#include "partitions/root/worker/input.h"
#include "partitions/root/worker/key_queue.h"
#include "partitions/root/worker/pointer.h"
#include "partitions/root/worker/vnc_client.h"

#define VNC_SERVER_CLIENTS  8u
#define VNC_SERVER_INTERVAL 33u   /* milliseconds from one picture to the next */
#define VNC_SERVER_PAUSE    2000u /* milliseconds, after a wrong password, until the next one can be tried */
#define VNC_PASSWORD_SIZE   9     /* all of it that VNC's authentication looks at, and a zero */

struct _rfbScreenInfo;

struct vnc_server {
    struct event_loop *loop;
    const struct display_source *source;
    struct key_queue *keys;
    struct pointer *pointer;
    char password[VNC_PASSWORD_SIZE]; /* "": none */
    uint64_t wrong_password;          /* when the last one was given; 0: never */

    struct _rfbScreenInfo *rfb;
    struct display display; /* 0 x 0 while nobody looks */
    uint64_t drawn;         /* when the display was asked last */
    unsigned client_count;
    struct vnc_client clients[VNC_SERVER_CLIENTS];
};

/*
 * `name` is the title of viewers' windows, and must stay. `password` of at most 8 characters, or NULL. False: no
 * memory. Before the sandbox is entered.
 */
bool vnc_server_initialize(struct vnc_server *server, struct event_loop *loop, const struct display_source *source,
                           struct key_queue *keys, struct pointer *pointer, const char *name, const char *password);
void vnc_server_close(struct vnc_server *server);

/* A viewer's socket (non-blocking), which becomes the server's; it is closed if there are too many already. */
void vnc_server_add(struct vnc_server *server, int descriptor, bool needs_password);

/* Brings the copy of what the screen shows up to date. False: there is none, for want of memory. */
bool vnc_server_refresh(struct vnc_server *server);
/* Frees it unless somebody looks. */
void vnc_server_forget(struct vnc_server *server);

/* Does what is due: pictures for those who wait, the end for those who take nothing. */
void vnc_server_run(struct vnc_server *server);
/* When there is something to do again, in the loop's milliseconds; UINT64_MAX: after an event. */
uint64_t vnc_server_due(const struct vnc_server *server);

/* For clients. */
struct _rfbClientRec *vnc_server_new_client(struct vnc_server *server, int descriptor, struct vnc_client *client);
void vnc_server_process(struct vnc_server *server, struct _rfbClientRec *rfb, bool needs_password);
bool vnc_server_picture_is_due(const struct vnc_server *server);
void vnc_server_client_gone(struct vnc_server *server);

#endif
