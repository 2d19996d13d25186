/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a COM port is connected to, other than the console: nothing, a file, a pipe or a Unix socket, by descriptors
 * that the worker holds already.
 *
 * - A file gets what the guest sends, at its end; nothing is read from it.
 * - A pipe is any descriptor that can be waited for: one end of a pipe, a FIFO, a terminal, a connected socket. End of
 *   file and a reader that has gone are not final: with a FIFO others may come. (A FIFO opened for reading and writing
 *   always has a reader: what it holds waits for the next one, and then so does the port.)
 * - A socket listens, and serves one client at a time; the next one waits in the backlog.
 *
 * Nobody blocks. Where somebody reads too slowly the port waits, as if by CTS; what the guest has no room for waits on
 * the other side. What nobody is there to take is lost and counted: no client (unless the port is to wait for one), a
 * pipe without a reader, a full disk.
 *
 * The port's side runs under the device lock on any thread and only moves characters into memory; everything that
 * touches a descriptor is the main thread's. SIGPIPE must be ignored.
 */
#ifndef WORKER_SERIAL_BACKEND_H
#define WORKER_SERIAL_BACKEND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/net/event_loop.h"
#include "partitions/root/worker/devices/uart16550.h"

#define SERIAL_BACKEND_OUTPUT 16384u /* bytes; a power of two */
#define SERIAL_BACKEND_INPUT  4096u

enum serial_backend_kind { SERIAL_BACKEND_NONE, SERIAL_BACKEND_FILE, SERIAL_BACKEND_PIPE, SERIAL_BACKEND_SOCKET };

struct serial_backend_configuration {
    enum serial_backend_kind kind;
    int input;  /* pipe: to read from; -1: nothing */
    int output; /* file (opened to append) and pipe: to write to; -1: nothing. May be `input` */
    int listener;
    bool wait; /* socket: the port waits for a client rather than lose what the guest sends meanwhile */
};

struct serial_backend {
    pthread_mutex_t *device_lock;
    struct event_loop *loop;
    enum serial_backend_kind kind;
    bool wait;
    int wake; /* eventfd; -1: nothing to be woken for */
    struct event_source wake_source;

    /* Under the device lock */
    struct uart16550 *uart;
    bool connected;    /* somebody takes what is sent */
    bool notified;     /* the main thread knows that there is something to do */
    bool output_waits; /* the port has characters that found no room */
    uint64_t written;  /* bytes that the port has sent */
    uint64_t sent;     /* of which these have left, or are lost */
    uint64_t lost;
    uint8_t output_bytes[SERIAL_BACKEND_OUTPUT]; /* byte n is at n mod SERIAL_BACKEND_OUTPUT */

    /* The main thread's */
    int input, output; /* -1: none; of a socket, the client */
    int listener;
    struct event_source input_source, output_source, listener_source;
    bool readable, writable; /* as far as is known: until EAGAIN */
    uint8_t input_bytes[SERIAL_BACKEND_INPUT];
    unsigned input_first, input_count;
};

/*
 * The descriptors become the backend's, which makes them non-blocking and closes them, also if this fails. 0 or an
 * errno.
 */
int serial_backend_initialize(struct serial_backend *backend, pthread_mutex_t *device_lock, struct event_loop *loop,
                              const struct serial_backend_configuration *configuration);

/* For uart16550_initialize. The port itself is made known with serial_backend_set_port. */
struct uart16550_backend serial_backend_of(struct serial_backend *backend);
void serial_backend_set_port(struct serial_backend *backend, struct uart16550 *uart);

/* Bytes of output that nobody took. Takes the device lock. */
uint64_t serial_backend_lost(struct serial_backend *backend);

/* Writes what can be written at once, and ends. */
void serial_backend_close(struct serial_backend *backend);

#endif
