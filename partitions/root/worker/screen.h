/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual machine's screen for its users: viewers (VNC), pictures, and keys that are typed for them. One
 * thread, which sleeps while nobody looks or types.
 */
#ifndef WORKER_SCREEN_H
#define WORKER_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

#include "partitions/root/worker/configuration.h"
#include "partitions/root/worker/display.h"
#include "partitions/root/worker/input.h"
#include "partitions/root/worker/keysym.h"
#include "partitions/root/worker/screen_text.h"

#define SCREEN_PICTURES   2u     /* that can be on their way at a time */
#define SCREEN_PATIENCE   10000u /* milliseconds for somebody to take the next bytes of a picture */
#define SCREEN_ERROR_SIZE 512

/* What a machine with a graphics adapter has. */
struct machine_screen {
    struct display_source display;
    struct input_sink input;
    struct screen_text_source text;
};

struct screen;

/* Where viewers may come from beside the control socket. Listening, non-blocking; -1: none. */
struct screen_listeners {
    int local;            /* a Unix socket: whoever its mode lets in */
    int network;          /* TCP */
    const char *password; /* of those who come by TCP; NULL: none */
};

/*
 * Opens what the configuration names. A socket that is given by descriptor becomes the caller's either way. False:
 * `error` is one line, and nothing is open.
 */
bool screen_listen(const struct configuration_screen *configuration, struct screen_listeners *listeners,
                   char error[SCREEN_ERROR_SIZE]);
void screen_close_listeners(struct screen_listeners *listeners);

/*
 * Starts the thread; before the sandbox is entered. The listeners become the screen's. `machine` and `name` must
 * outlive it. NULL: `error` is one line.
 */
struct screen *screen_start(const struct machine_screen *machine, const char *name,
                            const struct screen_listeners *listeners, char error[SCREEN_ERROR_SIZE]);
/* Ends the thread, and all connections. NULL is allowed. */
void screen_end(struct screen *screen);

/* All of these may be called by any thread. */
const struct machine_screen *screen_machine(const struct screen *screen);

enum screen_purpose { SCREEN_VIEWER, SCREEN_PICTURE };

/* Whether one more can be served now. */
bool screen_has_room(struct screen *screen, enum screen_purpose purpose);
/*
 * A non-blocking stream socket, which becomes the screen's: it carries RFB from now on, or the bytes of a PNG and
 * then its end. If something is in the way, it is closed.
 */
void screen_attach(struct screen *screen, int descriptor, enum screen_purpose purpose);

/*
 * Types keys, behind those that are being typed. Returns how many events wait now; 0: there is no room, and none
 * has been added.
 */
unsigned screen_type(struct screen *screen, const struct key_event *events, unsigned count);

#endif
