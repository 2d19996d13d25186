/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 4096u

/* Under the device lock. */
static void notify(struct console *console)
{
    const uint64_t one = 1;

    if (console->notified)
        return;
    console->notified = true;
    /* Fails only when the counter is full, and then the main thread wakes up anyway. */
    if (write(console->wake, &one, sizeof one) < 0)
        return;
}

/* uart16550_backend.transmit: with a log, nothing is overwritten before it is there. */
static size_t transmit(void *context, const uint8_t *characters, size_t length)
{
    struct console *console = context;
    uint64_t room = console->log < 0 ? CONSOLE_REPLAY : CONSOLE_REPLAY - (console->written - console->logged);
    size_t taken = length < room ? length : room;

    for (size_t i = 0; i < taken; i++)
        console->replay[console->written++ % CONSOLE_REPLAY] = characters[i];
    console->output_waits = taken < length;
    notify(console);
    return taken;
}

static void receive_ready(void *context)
{
    struct console *console = context;

    console->input_ready = true;
    notify(console);
}

struct uart16550_backend console_backend(struct console *console)
{
    return (struct uart16550_backend){
        .transmit = transmit, .receive_ready = receive_ready, .context = console};
}

/* ---- The log ---- */

static bool write_fully(int descriptor, const uint8_t *bytes, size_t length, uint64_t offset)
{
    while (length > 0) {
        ssize_t count = pwrite(descriptor, bytes, length, (off_t)offset);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        bytes += count;
        offset += (uint64_t)count;
        length -= (size_t)count;
    }
    return true;
}

/* The log becomes the previous log and begins again. A previous log that cannot be written is only shorter.
 */
static void rotate(struct console *console)
{
    uint8_t chunk[CHUNK];
    uint64_t offset = 0;
    ssize_t count;

    if (console->previous_log >= 0 && ftruncate(console->previous_log, 0) == 0) {
        while ((count = pread(console->log, chunk, sizeof chunk, (off_t)offset)) > 0) {
            if (!write_fully(console->previous_log, chunk, (size_t)count, offset))
                break;
            offset += (uint64_t)count;
        }
    }
    if (ftruncate(console->log, 0) == 0)
        console->log_size = 0;
}

static void log_bytes(struct console *console, const uint8_t *bytes, size_t length)
{
    if (console->log_size + length > CONSOLE_LOG_LIMIT)
        rotate(console);
    if (write_fully(console->log, bytes, length, console->log_size))
        console->log_size += length;
    else
        console->log_lost += length;
}

/* What is between `logged` and `written` stays where it is: the port waits for the log. */
static void write_log(struct console *console)
{
    uint64_t begin, end;

    if (console->log < 0)
        return;
    pthread_mutex_lock(console->device_lock);
    begin = console->logged;
    end = console->written;
    pthread_mutex_unlock(console->device_lock);
    while (begin < end) {
        uint64_t offset = begin % CONSOLE_REPLAY;
        uint64_t length = end - begin < CONSOLE_REPLAY - offset ? end - begin : CONSOLE_REPLAY - offset;

        log_bytes(console, console->replay + offset, length);
        begin += length;
    }
    pthread_mutex_lock(console->device_lock);
    console->logged = end;
    if (console->output_waits && console->uart)
        uart16550_transmit_ready(console->uart);
    pthread_mutex_unlock(console->device_lock);
}

/* ---- The client ---- */

static void disconnect(struct console *console)
{
    if (console->client < 0)
        return;
    event_loop_remove(console->loop, &console->client_source);
    close(console->client);
    console->client = -1;
}

/* Nothing more is read from the client while the port has no room for what was read last. */
static void watch_client(struct console *console)
{
    uint32_t events = (console->input_count ? 0 : EPOLLIN) | (console->client_blocked ? EPOLLOUT : 0);

    event_loop_change(console->loop, &console->client_source, events);
}

/* Copies the next output for the client; a client that is too slow misses some. */
static size_t next_output(struct console *console, uint8_t chunk[CHUNK])
{
    size_t length;

    pthread_mutex_lock(console->device_lock);
    if (console->written - console->shown > CONSOLE_REPLAY)
        console->shown = console->written - CONSOLE_REPLAY;
    length = console->written - console->shown < CHUNK ? console->written - console->shown : CHUNK;
    for (size_t i = 0; i < length; i++)
        chunk[i] = console->replay[(console->shown + i) % CONSOLE_REPLAY];
    pthread_mutex_unlock(console->device_lock);
    return length;
}

static void show_output(struct console *console)
{
    uint8_t chunk[CHUNK];
    size_t length;

    console->client_blocked = false;
    while (console->client >= 0 && !console->client_blocked && (length = next_output(console, chunk)) > 0) {
        ssize_t count = send(console->client, chunk, length, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (count > 0)
            console->shown += (uint64_t)count;
        else if (errno == EAGAIN)
            console->client_blocked = true;
        else if (errno != EINTR)
            disconnect(console);
    }
    if (console->client >= 0)
        watch_client(console);
}

/* Gives the port as much input as it has room for. */
static void pass_input(struct console *console)
{
    size_t taken = 0;

    if (!console->input_count)
        return;
    pthread_mutex_lock(console->device_lock);
    console->input_ready = false;
    if (console->uart)
        taken = uart16550_receive(console->uart, console->input + console->input_first, console->input_count);
    pthread_mutex_unlock(console->device_lock);
    console->input_first += (unsigned)taken;
    console->input_count -= (unsigned)taken;
    if (console->client >= 0)
        watch_client(console);
}

static void client_event(void *owner, uint32_t events)
{
    struct console *console = owner;
    ssize_t count;

    if (events & EPOLLOUT)
        show_output(console);
    if (console->client < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    if (console->input_count) {
        disconnect(console); /* gone; what it typed still reaches the port */
        return;
    }
    count = recv(console->client, console->input, sizeof console->input, MSG_DONTWAIT);
    if (count > 0) {
        console->input_first = 0;
        console->input_count = (unsigned)count;
        pass_input(console);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        disconnect(console);
    }
}

static void woken(void *owner, uint32_t events)
{
    struct console *console = owner;
    uint64_t count;

    (void)events;
    if (read(console->wake, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(console->device_lock);
    console->notified = false;
    pthread_mutex_unlock(console->device_lock);
    write_log(console);
    show_output(console);
    pass_input(console);
}

bool console_attach(struct console *console, int client, const struct console_holder *holder)
{
    if (console->client >= 0)
        return false;
    if (event_loop_add(console->loop, &console->client_source, client, EPOLLIN, client_event, console)) {
        close(client);
        return true;
    }
    console->client = client;
    console->holder = *holder;
    console->input_count = 0;
    console->shown = 0;
    show_output(console);
    return true;
}

uint64_t console_replay_length(struct console *console)
{
    uint64_t written;

    pthread_mutex_lock(console->device_lock);
    written = console->written;
    pthread_mutex_unlock(console->device_lock);
    return written < CONSOLE_REPLAY ? written : CONSOLE_REPLAY;
}

int console_initialize(struct console *console, pthread_mutex_t *device_lock, struct event_loop *loop,
                       int log, int previous_log)
{
    struct stat status;

    *console = (struct console){
        .device_lock = device_lock,
        .loop = loop,
        .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
        .replay = malloc(CONSOLE_REPLAY),
        .log = log,
        .previous_log = previous_log,
        .client = -1,
    };
    if (console->wake < 0 || !console->replay)
        return errno;
    if (log >= 0 && fstat(log, &status) == 0)
        console->log_size = (uint64_t)status.st_size;
    return event_loop_add(loop, &console->wake_source, console->wake, EPOLLIN, woken, console);
}

void console_set_port(struct console *console, struct uart16550 *uart)
{
    console->uart = uart;
}

void console_close(struct console *console)
{
    write_log(console);
    if (console->client >= 0)
        show_output(console);
    disconnect(console);
    event_loop_remove(console->loop, &console->wake_source);
    close(console->wake);
    if (console->log >= 0)
        close(console->log);
    if (console->previous_log >= 0)
        close(console->previous_log);
    free(console->replay);
    console->replay = NULL;
}
