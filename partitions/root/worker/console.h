/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is connected to COM1: a log, and at most one person at a time, who sees the last 64 KiB again on
 * connecting.
 *
 * The port's side runs under the device lock on any thread and only moves characters into memory; everything
 * that touches a descriptor is the main thread's.
 */
#ifndef WORKER_CONSOLE_H
#define WORKER_CONSOLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "partitions/root/net/event_loop.h"
#include "partitions/root/worker/devices/uart16550.h"

#define CONSOLE_REPLAY    65536u     /* bytes; a power of two */
#define CONSOLE_LOG_LIMIT (1u << 20) /* bytes in the log before it becomes the previous log */
#define CONSOLE_INPUT     256u
#define CONSOLE_USER_SIZE 64

/* Who has the console. */
struct console_holder {
    char user[CONSOLE_USER_SIZE];
    pid_t pid;
};

struct console {
    pthread_mutex_t *device_lock;
    struct event_loop *loop;
    struct event_source wake_source;
    int wake; /* eventfd */

    /* Under the device lock */
    struct uart16550 *uart;
    uint8_t *replay;   /* CONSOLE_REPLAY bytes; byte n of the output is at n mod CONSOLE_REPLAY */
    uint64_t written;  /* bytes of output since power-on */
    uint64_t logged;   /* of which the log has */
    bool notified;     /* the main thread knows that there is something to do */
    bool output_waits; /* the port has characters that found no room */
    bool input_ready;  /* the port has room again */

    /* The main thread's */
    int log;          /* -1: none */
    int previous_log; /* -1: none */
    uint64_t log_size;
    uint64_t log_lost; /* bytes that could not be written */
    int client;        /* -1: nobody */
    struct event_source client_source;
    struct console_holder holder;
    uint64_t shown;               /* bytes of output that the client has, or has missed */
    uint8_t input[CONSOLE_INPUT]; /* from the client, for the port */
    unsigned input_first, input_count;
    bool client_blocked; /* waits for room in its socket */
};

/* The log descriptors become the console's (-1: none). 0 or an errno. */
int console_initialize(struct console *console, pthread_mutex_t *device_lock, struct event_loop *loop,
                       int log, int previous_log);

/* For uart16550_initialize. The port itself is made known with console_set_port. */
struct uart16550_backend console_backend(struct console *console);
void console_set_port(struct console *console, struct uart16550 *uart);

/*
 * Connects a person's socket (non-blocking), which becomes the console's. False: somebody has it,
 * console->holder says who. The caller has answered its request; output follows, beginning with the last
 * console_replay_length() bytes.
 */
bool console_attach(struct console *console, int client, const struct console_holder *holder);
uint64_t console_replay_length(struct console *console);

/* Writes what is there to the log and the client, and ends. */
void console_close(struct console *console);

#endif
