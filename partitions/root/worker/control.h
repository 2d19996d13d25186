/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's Unix socket: requests and events as lines of JSON, and the console. docs/worker-protocol.md is
 * its description. Main thread only.
 */
#ifndef WORKER_CONTROL_H
#define WORKER_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "partitions/root/net/event_loop.h"
#include "partitions/root/worker/life_cycle.h"
#include "partitions/root/worker/machine.h"

#define CONTROL_VERSION        1
#define CONTROL_CONNECTIONS    8
#define CONTROL_LINE           9216u   /* longest request: has room for a path, however it must be written */
#define CONTROL_MAXIMUM_OUTPUT 262144u /* that waits for a client before it is let go */
#define CONTROL_USERS          4

struct control;
struct screen;

struct control_connection {
    struct control *control;
    int descriptor; /* -1: free */
    struct event_source source;
    pid_t peer;
    bool events; /* wants to hear of changes */
    int passed;  /* a descriptor that has come with the request; -1: none */
    char input[CONTROL_LINE];
    size_t input_length;
    char *output; /* what the socket did not take */
    size_t output_length;
};

struct control {
    struct event_loop *loop;
    struct life_cycle *life_cycle;
    struct machine *machine;
    struct screen *screen; /* NULL: the machine has none */
    int listener; /* -1: none */
    struct event_source source;
    uid_t users[CONTROL_USERS]; /* who may connect, beside root */
    unsigned user_count;
    struct control_connection connections[CONTROL_CONNECTIONS];
};

/*
 * Makes the listening socket at `path`, taking the place of one that nobody listens on any more. Returns it,
 * or -1 with `error` filled in.
 */
int control_listen(const char *path, char error[MACHINE_ERROR_SIZE]);

/* `listener` becomes the control's; -1: nobody can connect. 0 or an errno. */
int control_initialize(struct control *control, struct event_loop *loop, int listener);
void control_allow(struct control *control, uid_t user);

/* From now on requests are served. */
void control_set_machine(struct control *control, struct life_cycle *life_cycle, struct machine *machine);

/* Serves requests about the screen too. NULL: there is none, or none any more. */
void control_set_screen(struct control *control, struct screen *screen);

/* Tells everybody who wants to know the machine's state. What is in its drives is told without being asked for. */
void control_announce(struct control *control);

/* Sends what can still be sent and closes everything. */
void control_close(struct control *control);

/* The announcement as it is sent: a line, to be freed; NULL: no memory. */
char *control_state_line(const struct life_cycle *life_cycle);

#endif
