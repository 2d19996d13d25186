/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/port.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/net/bridge.h"
#include "partitions/root/net/vswitch.h"

/* A pbuf chain of a frame: header, and data that may wrap around in a ring. */
#define CHAIN_MAXIMUM 8u

/* Copies of frames in a circle: the originals may change or vanish after the round. */
struct port_backlog {
    unsigned head;
    unsigned count;
    uint16_t lengths[PORT_BACKLOG_FRAMES];
    uint8_t frames[PORT_BACKLOG_FRAMES][NIC_MAXIMUM_FRAME];
};

static void watch(struct port *port, uint32_t events)
{
    event_loop_change(&port->vswitch->loop, &port->source, events);
}

/* Keeps a frame for later. */
static void keep(struct port *port, struct pbuf *frame)
{
    struct port_backlog *backlog = port->backlog;
    if (!backlog) {
        backlog = malloc(sizeof(*backlog));
        if (!backlog) {
            port->counters.congested++;
            return;
        }
        backlog->head = backlog->count = 0;
        port->backlog = backlog;
        watch(port, EPOLLIN | EPOLLOUT);
    }
    if (backlog->count == PORT_BACKLOG_FRAMES || frame->tot_len > NIC_MAXIMUM_FRAME) {
        port->counters.congested++;
        return;
    }
    unsigned slot = (backlog->head + backlog->count++) % PORT_BACKLOG_FRAMES;
    backlog->lengths[slot] = frame->tot_len;
    pbuf_copy_partial(frame, backlog->frames[slot], frame->tot_len, 0);
}

/* The adapter reads again. */
static void write_backlog(struct port *port)
{
    struct port_backlog *backlog = port->backlog;
    while (backlog->count) {
        uint16_t length = backlog->lengths[backlog->head];
        ssize_t sent = send(port->source.descriptor, backlog->frames[backlog->head], length,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return; /* full again, or closed, which reading finds out */
        port->counters.sent_frames++;
        port->counters.sent_bytes += length;
        backlog->head = (backlog->head + 1) % PORT_BACKLOG_FRAMES;
        backlog->count--;
    }
    free(backlog);
    port->backlog = NULL;
    watch(port, EPOLLIN);
    vswitch_port_writable(port);
}

void port_queue(struct port *port, struct pbuf *frame)
{
    if (port->backlog || pbuf_clen(frame) > CHAIN_MAXIMUM) {
        keep(port, frame);
        return;
    }
    if (port->queued == PORT_BATCH) {
        port_flush(port);
        if (port->backlog) {
            keep(port, frame);
            return;
        }
    }
    pbuf_ref(frame);
    port->queue[port->queued++] = frame;
}

/* How many of the queue's frames the socket took. */
static unsigned write_queue(struct port *port)
{
    struct mmsghdr messages[PORT_BATCH];
    struct iovec vectors[PORT_BATCH][CHAIN_MAXIMUM];
    for (unsigned i = 0; i < port->queued; i++) {
        unsigned count = 0;
        for (struct pbuf *part = port->queue[i]; part; part = part->next)
            vectors[i][count++] = (struct iovec){.iov_base = part->payload, .iov_len = part->len};
        messages[i] = (struct mmsghdr){
            .msg_hdr = {.msg_iov = vectors[i], .msg_iovlen = count}
        };
    }
    int sent;
    do
        sent = sendmmsg(port->source.descriptor, messages, port->queued, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? 0 : (unsigned)sent;
}

void port_flush(struct port *port)
{
    if (!port->queued)
        return;
    unsigned sent = write_queue(port);
    for (unsigned i = 0; i < port->queued; i++) {
        struct pbuf *frame = port->queue[i];
        if (i < sent) {
            port->counters.sent_frames++;
            port->counters.sent_bytes += frame->tot_len;
        } else {
            keep(port, frame);
        }
        pbuf_free(frame);
    }
    port->queued = 0;
}

/*
 * Buffers for a batch, of whichever port is being read. One that the switch kept (a reference more than ours)
 * is replaced after the batch, so that reading few frames costs little.
 */
static struct {
    struct frame *frames[PORT_BATCH];
    struct iovec vectors[PORT_BATCH];
    struct mmsghdr messages[PORT_BATCH];
    unsigned count;
} batch;

static void fill_batch(void)
{
    while (batch.count < PORT_BATCH) {
        struct frame *frame = frame_allocate();
        if (!frame)
            return;
        unsigned i = batch.count++;
        batch.frames[i] = frame;
        batch.vectors[i] = (struct iovec){.iov_base = frame->data, .iov_len = sizeof(frame->data)};
        batch.messages[i] = (struct mmsghdr){
            .msg_hdr = {.msg_iov = &batch.vectors[i], .msg_iovlen = 1}
        };
    }
}

/* Gets back the first `used` buffers, or others in their place. */
static void renew_batch(unsigned used)
{
    /* Upwards: a frame at the head of a chain drops the rest of it, which can then be reclaimed too. */
    for (unsigned i = 0; i < used && i < batch.count;) {
        if (!frame_reclaim(batch.frames[i])) {
            struct frame *fresh = frame_allocate();
            if (!fresh) { /* one buffer fewer, until fill_batch() finds memory */
                batch.frames[i] = batch.frames[--batch.count];
                batch.vectors[i].iov_base = batch.frames[i]->data;
                continue;
            }
            batch.frames[i] = fresh;
            batch.vectors[i].iov_base = fresh->data;
        }
        i++;
    }
}

/* Reads up to a batch of frames and passes them on. False: the adapter has closed the connection. */
static bool read_frames(struct port *port)
{
    fill_batch();
    int count;
    do
        count = recvmmsg(port->source.descriptor, batch.messages, batch.count, MSG_DONTWAIT, NULL);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return errno == EAGAIN;

    unsigned used = 0;
    bool open = true;
    for (; used < (unsigned)count; used++) {
        unsigned length = batch.messages[used].msg_len;
        if (length == 0) {
            open = false;
            break;
        }
        frame_charge(batch.frames[used], port->account);
        if (length < NIC_MINIMUM_FRAME || (batch.messages[used].msg_hdr.msg_flags & MSG_TRUNC))
            port->counters.malformed++;
        else
            bridge_input(port, frame_set(batch.frames[used], 0, length));
    }
    vswitch_batch_done(port->vswitch);
    renew_batch(used);
    return open;
}

static enum port_status check_hello(const struct port *port, const struct port_hello *hello, ssize_t length)
{
    if (length != sizeof(*hello) || hello->magic != PORT_PROTOCOL_MAGIC ||
        !memchr(hello->name, '\0', sizeof(hello->name)))
        return PORT_BAD_HELLO;
    if (hello->version != PORT_PROTOCOL_VERSION)
        return PORT_BAD_VERSION;
    struct mac_address mac;
    memcpy(&mac, hello->mac, sizeof(mac));
    static const struct mac_address zero;
    if (mac_is_group(&mac) || mac_equal(&mac, &zero) || mac_equal(&mac, &port->vswitch->mac))
        return PORT_BAD_ADDRESS;
    if (bridge_find(port->vswitch, &mac))
        return PORT_ADDRESS_IN_USE;
    return PORT_CONNECTED;
}

/* Names come from outside and end up on people's terminals. */
static void copy_name(char *to, const char *from)
{
    size_t i = 0;
    for (; from[i]; i++)
        to[i] = from[i] >= 0x20 && from[i] < 0x7F ? from[i] : '?';
    to[i] = '\0';
}

/* False: the connection ends. */
static bool greet(struct port *port)
{
    struct port_hello hello;
    ssize_t length = recv(port->source.descriptor, &hello, sizeof(hello), MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0)
        return errno == EAGAIN || errno == EINTR;
    if (length == 0)
        return false;
    enum port_status status = check_hello(port, &hello, length);
    const struct port_welcome welcome = {
        .magic = PORT_PROTOCOL_MAGIC,
        .version = PORT_PROTOCOL_VERSION,
        .status = status,
        .mtu = PACKET_MTU,
    };
    if (send(port->source.descriptor, &welcome, sizeof(welcome), MSG_DONTWAIT | MSG_NOSIGNAL) !=
            sizeof(welcome) ||
        status != PORT_CONNECTED)
        return false;
    memcpy(&port->mac, hello.mac, sizeof(port->mac));
    copy_name(port->name, hello.name);
    port->greeted = true;
    return true;
}

static void handle(void *owner, uint32_t events)
{
    struct port *port = owner;
    if (port->backlog && (events & EPOLLOUT))
        write_backlog(port);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    if (!(port->greeted ? read_frames(port) : greet(port)))
        port_close(port);
}

struct port *port_open(struct vswitch *vswitch, int descriptor)
{
    struct port *port = calloc(1, sizeof(*port));
    struct frame_account *account = frame_account_create();
    if (!port || !account || vswitch->port_count == VSWITCH_MAXIMUM_PORTS ||
        event_loop_add(&vswitch->loop, &port->source, descriptor, EPOLLIN, handle, port) != 0) {
        const struct port_welcome full = {
            .magic = PORT_PROTOCOL_MAGIC, .version = PORT_PROTOCOL_VERSION, .status = PORT_SWITCH_FULL};
        (void)send(descriptor, &full, sizeof(full), MSG_DONTWAIT | MSG_NOSIGNAL);
        close(descriptor);
        free(account);
        free(port);
        return NULL;
    }
    const int buffer = PORT_SEND_BUFFER;
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)); /* a smaller one works too */
    port->vswitch = vswitch;
    port->account = account;
    port->connected_at = vswitch->loop.now;
    vswitch->ports[vswitch->port_count++] = port;
    return port;
}

void port_close(struct port *port)
{
    struct vswitch *vswitch = port->vswitch;
    vswitch_port_closed(port);
    for (unsigned i = 0; i < port->queued; i++)
        pbuf_free(port->queue[i]);
    for (unsigned i = 0; i < vswitch->port_count; i++)
        if (vswitch->ports[i] == port)
            vswitch->ports[i] = vswitch->ports[--vswitch->port_count];
    event_loop_remove(&vswitch->loop, &port->source);
    close(port->source.descriptor);
    free(port->backlog);
    frame_account_release(port->account);
    free(port);
}
