/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/serial_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Reads of one round, so that a guest and a peer that are both fast cannot keep the main thread. */
#define READS_A_ROUND 16

/* ---- The port's side, under the device lock ---- */

static void notify(struct serial_backend *backend)
{
    const uint64_t one = 1;

    if (backend->notified || backend->wake < 0)
        return;
    backend->notified = true;
    /* Fails only when the counter is full, and then the main thread wakes up anyway. */
    if (write(backend->wake, &one, sizeof one) < 0)
        return;
}

static size_t transmit(void *context, const uint8_t *characters, size_t length)
{
    struct serial_backend *backend = context;
    uint64_t room = SERIAL_BACKEND_OUTPUT - (backend->written - backend->sent);
    size_t taken = length < room ? length : room;

    if (!backend->connected && !backend->wait) {
        backend->lost += length;
        return length;
    }
    for (size_t i = 0; i < taken; i++)
        backend->output_bytes[backend->written++ % SERIAL_BACKEND_OUTPUT] = characters[i];
    backend->output_waits = taken < length;
    notify(backend);
    return taken;
}

static void receive_ready(void *context)
{
    notify(context);
}

struct uart16550_backend serial_backend_of(struct serial_backend *backend)
{
    return (struct uart16550_backend){.transmit = transmit, .receive_ready = receive_ready, .context = backend};
}

void serial_backend_set_port(struct serial_backend *backend, struct uart16550 *uart)
{
    backend->uart = uart;
}

uint64_t serial_backend_lost(struct serial_backend *backend)
{
    uint64_t lost;

    pthread_mutex_lock(backend->device_lock);
    lost = backend->lost;
    pthread_mutex_unlock(backend->device_lock);
    return lost;
}

/* ---- Output ---- */

/* `count` bytes have gone, `lost` of them nowhere: there is room for what the port has. */
static void output_gone(struct serial_backend *backend, uint64_t count, uint64_t lost)
{
    pthread_mutex_lock(backend->device_lock);
    backend->sent += count;
    backend->lost += lost;
    if (backend->output_waits && backend->uart) {
        backend->output_waits = false;
        uart16550_transmit_ready(backend->uart);
    }
    pthread_mutex_unlock(backend->device_lock);
}

static void accept_client(struct serial_backend *backend);

static void disconnect(struct serial_backend *backend)
{
    uint64_t left;

    event_loop_remove(backend->loop, &backend->input_source);
    close(backend->input);
    backend->input = backend->output = -1;
    backend->readable = backend->writable = false;
    pthread_mutex_lock(backend->device_lock);
    backend->connected = false;
    left = backend->wait ? 0 : backend->written - backend->sent;
    pthread_mutex_unlock(backend->device_lock);
    output_gone(backend, left, left);
    accept_client(backend);
}

static ssize_t write_output(const struct serial_backend *backend, const uint8_t *bytes, size_t length)
{
    if (backend->kind == SERIAL_BACKEND_SOCKET)
        return send(backend->output, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    return write(backend->output, bytes, length);
}

/* A write that failed: is it to be tried again now? */
static bool retry_output(struct serial_backend *backend, int error, size_t length)
{
    if (error == EINTR)
        return true;
    if (error == EAGAIN) {
        backend->writable = false;
        return false;
    }
    if (backend->kind == SERIAL_BACKEND_SOCKET) {
        disconnect(backend);
        return false;
    }
    output_gone(backend, length, length);
    return true;
}

/*
 * Sends what there is now. What is between `sent` and `written` stays where it is: the port waits, or writes behind it.
 */
static void send_output(struct serial_backend *backend)
{
    uint64_t begin, end;

    pthread_mutex_lock(backend->device_lock);
    begin = backend->sent;
    end = backend->written;
    pthread_mutex_unlock(backend->device_lock);
    while (backend->writable && begin < end) {
        uint64_t offset = begin % SERIAL_BACKEND_OUTPUT;
        size_t length = end - begin < SERIAL_BACKEND_OUTPUT - offset ? end - begin : SERIAL_BACKEND_OUTPUT - offset;
        ssize_t count = write_output(backend, backend->output_bytes + offset, length);

        if (count > 0)
            output_gone(backend, (uint64_t)count, 0);
        else if (!retry_output(backend, count < 0 ? errno : ENOSPC, length))
            return;
        pthread_mutex_lock(backend->device_lock);
        begin = backend->sent;
        pthread_mutex_unlock(backend->device_lock);
    }
}

/* ---- Input ---- */

/* Reads behind what the port has not taken yet. */
static void read_input(struct serial_backend *backend)
{
    ssize_t count;

    memmove(backend->input_bytes, backend->input_bytes + backend->input_first, backend->input_count);
    backend->input_first = 0;
    count = read(backend->input, backend->input_bytes + backend->input_count,
                 sizeof backend->input_bytes - backend->input_count);
    if (count > 0)
        backend->input_count += (unsigned)count;
    else if (count == 0 || errno != EINTR) /* nothing, for now */
        backend->readable = false;
}

/* Gives the port as much as it has room for. */
static void pass_input(struct serial_backend *backend)
{
    size_t taken = 0;

    pthread_mutex_lock(backend->device_lock);
    if (backend->uart)
        taken = uart16550_receive(backend->uart, backend->input_bytes + backend->input_first, backend->input_count);
    pthread_mutex_unlock(backend->device_lock);
    backend->input_first += (unsigned)taken;
    backend->input_count -= (unsigned)taken;
}

static void receive_input(struct serial_backend *backend)
{
    for (unsigned i = 0; i < READS_A_ROUND; i++) {
        if (backend->input_count)
            pass_input(backend);
        if (backend->input_count || !backend->readable)
            return; /* receive_ready, or the descriptor, will call */
        read_input(backend);
    }
    pthread_mutex_lock(backend->device_lock);
    notify(backend);
    pthread_mutex_unlock(backend->device_lock);
}

/* ---- Events ---- */

static void serve(struct serial_backend *backend)
{
    send_output(backend);
    receive_input(backend);
}

static void woken(void *owner, uint32_t events)
{
    struct serial_backend *backend = owner;
    uint64_t count;

    (void)events;
    if (read(backend->wake, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(backend->device_lock);
    backend->notified = false;
    pthread_mutex_unlock(backend->device_lock);
    serve(backend);
}

/* Events come as edges: what is true stays so until a call says EAGAIN. */
static void descriptor_event(void *owner, uint32_t events)
{
    struct serial_backend *backend = owner;

    backend->readable |= backend->input >= 0 && events & ~(uint32_t)EPOLLOUT;
    backend->writable |= backend->output >= 0 && events & ~(uint32_t)EPOLLIN;
    serve(backend);
}

/* A client that has gone: what it sent last, as far as there is room for it, still reaches the port. */
static void client_event(void *owner, uint32_t events)
{
    struct serial_backend *backend = owner;

    if (!(events & (EPOLLHUP | EPOLLERR))) {
        descriptor_event(backend, events);
        return;
    }
    if (backend->input_count < sizeof backend->input_bytes)
        read_input(backend);
    disconnect(backend);
    receive_input(backend);
}

static void accept_client(struct serial_backend *backend)
{
    int client = accept4(backend->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (client < 0)
        return;
    if (event_loop_add(backend->loop, &backend->input_source, client, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                       client_event, backend)) {
        close(client);
        return;
    }
    backend->input = backend->output = client;
    pthread_mutex_lock(backend->device_lock);
    backend->connected = true;
    pthread_mutex_unlock(backend->device_lock);
}

static void listener_event(void *owner, uint32_t events)
{
    struct serial_backend *backend = owner;

    (void)events;
    if (backend->input < 0)
        accept_client(backend);
}

/* ---- Beginning and end ---- */

static int watch(struct serial_backend *backend, struct event_source *source, int descriptor, uint32_t events,
                 void (*handle)(void *, uint32_t))
{
    int flags = fcntl(descriptor, F_GETFL);

    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) < 0)
        return errno;
    return event_loop_add(backend->loop, source, descriptor, events | EPOLLET, handle, backend);
}

static int watch_pipe(struct serial_backend *backend)
{
    int error = 0;

    if (backend->input >= 0)
        error = watch(backend, &backend->input_source, backend->input,
                      EPOLLIN | (backend->output == backend->input ? EPOLLOUT : 0), descriptor_event);
    if (!error && backend->output >= 0 && backend->output != backend->input)
        error = watch(backend, &backend->output_source, backend->output, EPOLLOUT, descriptor_event);
    return error;
}

static int watch_descriptors(struct serial_backend *backend)
{
    int error;

    if (backend->kind == SERIAL_BACKEND_NONE)
        return 0;
    backend->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (backend->wake < 0)
        return errno;
    error = event_loop_add(backend->loop, &backend->wake_source, backend->wake, EPOLLIN, woken, backend);
    if (error)
        return error;
    if (backend->kind == SERIAL_BACKEND_PIPE)
        return watch_pipe(backend);
    if (backend->kind == SERIAL_BACKEND_SOCKET)
        return watch(backend, &backend->listener_source, backend->listener, EPOLLIN, listener_event);
    return 0;
}

int serial_backend_initialize(struct serial_backend *backend, pthread_mutex_t *device_lock, struct event_loop *loop,
                              const struct serial_backend_configuration *configuration)
{
    bool file = configuration->kind == SERIAL_BACKEND_FILE;
    bool pipe = configuration->kind == SERIAL_BACKEND_PIPE;
    bool socket = configuration->kind == SERIAL_BACKEND_SOCKET;
    int error;

    memset(backend, 0, sizeof *backend);
    backend->device_lock = device_lock;
    backend->loop = loop;
    backend->kind = configuration->kind;
    backend->wait = socket && configuration->wait;
    backend->wake = -1;
    backend->input = pipe ? configuration->input : -1;
    backend->output = file || pipe ? configuration->output : -1;
    backend->listener = socket ? configuration->listener : -1;
    backend->connected = backend->output >= 0;
    backend->writable = file; /* no file says EAGAIN */
    error = watch_descriptors(backend);
    if (error)
        serial_backend_close(backend);
    return error;
}

static void forget(struct serial_backend *backend, struct event_source *source, int descriptor)
{
    if (descriptor < 0)
        return;
    if (source->handle)
        event_loop_remove(backend->loop, source);
    close(descriptor);
}

void serial_backend_close(struct serial_backend *backend)
{
    backend->uart = NULL;
    if (backend->output >= 0)
        send_output(backend);
    forget(backend, &backend->listener_source, backend->listener);
    forget(backend, &backend->output_source, backend->output == backend->input ? -1 : backend->output);
    forget(backend, &backend->input_source, backend->input);
    forget(backend, &backend->wake_source, backend->wake);
}
