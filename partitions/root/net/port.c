/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/port.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/net/bridge.h"
#include "partitions/root/net/port_message.h"
#include "partitions/root/net/vswitch.h"

/* Messages and frames read, in sum, before other ports have their turn. */
#define READ_MAXIMUM 128u

/* Copies of frames in a circle: the originals may change or vanish after the round. */
struct port_backlog {
    unsigned head;
    unsigned count;
    uint16_t lengths[PORT_BACKLOG_FRAMES];
    uint8_t frames[PORT_BACKLOG_FRAMES][NIC_MAXIMUM_FRAME];
};

/* For whichever port is being read, and written: the latter can happen amid the former. */
static struct port_message incoming, outgoing;

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

static bool send_outgoing(struct port *port)
{
    if (!port_message_send(&outgoing, port->source.descriptor))
        return false;
    port->counters.sent_frames += outgoing.frames;
    port->counters.sent_bytes += outgoing.length - outgoing.frames * sizeof(uint16_t);
    return true;
}

/* The adapter reads again. */
static void write_backlog(struct port *port)
{
    struct port_backlog *backlog = port->backlog;
    while (backlog->count) {
        port_message_clear(&outgoing);
        for (unsigned i = 0; i < backlog->count && i < PORT_MESSAGE_FRAMES; i++) {
            unsigned slot = (backlog->head + i) % PORT_BACKLOG_FRAMES;
            memcpy(port_message_add(&outgoing, backlog->lengths[slot]), backlog->frames[slot],
                   backlog->lengths[slot]);
        }
        if (!send_outgoing(port))
            return; /* full again, or closed, which reading finds out */
        backlog->head = (backlog->head + outgoing.frames) % PORT_BACKLOG_FRAMES;
        backlog->count -= outgoing.frames;
    }
    free(backlog);
    port->backlog = NULL;
    watch(port, EPOLLIN);
    vswitch_port_writable(port);
}

void port_queue(struct port *port, struct pbuf *frame)
{
    if (port->queued == PORT_BATCH)
        port_flush(port);
    if (port->backlog || frame->tot_len > NIC_MAXIMUM_FRAME) {
        keep(port, frame);
        return;
    }
    pbuf_ref(frame);
    port->queue[port->queued++] = frame;
}

/* Sends frames of the queue from `first` on in one message. Returns how many: 0 if it was refused. */
static unsigned write_queue(struct port *port, unsigned first)
{
    port_message_clear(&outgoing);
    for (unsigned i = first; i < port->queued && outgoing.frames < PORT_MESSAGE_FRAMES; i++) {
        struct pbuf *frame = port->queue[i];
        pbuf_copy_partial(frame, port_message_add(&outgoing, frame->tot_len), frame->tot_len, 0);
    }
    return send_outgoing(port) ? outgoing.frames : 0;
}

void port_flush(struct port *port)
{
    unsigned sent = 0, written;
    while (sent < port->queued && (written = write_queue(port, sent)) > 0)
        sent += written;
    for (unsigned i = 0; i < port->queued; i++) {
        if (i >= sent)
            keep(port, port->queue[i]);
        pbuf_free(port->queue[i]);
    }
    port->queued = 0;
}

/* Passes on the frames of a message. */
static void input_message(struct port *port)
{
    const uint8_t *bytes;
    size_t length;
    while ((bytes = port_message_peek(&incoming, &length))) {
        struct frame *frame = frame_allocate();
        if (!frame) {
            port->counters.limited++;
            return;
        }
        memcpy(frame->data, bytes, length);
        frame_charge(frame, port->account);
        bridge_input(port, frame_set(frame, 0, length));
        frame_free(frame); /* unless the switch has kept it */
        port_message_take(&incoming);
    }
    if (incoming.malformed)
        port->counters.malformed++;
}

/* Reads some messages. False: the adapter has closed the connection. */
static bool read_frames(struct port *port)
{
    enum port_message_result result = PORT_MESSAGE_RECEIVED;
    for (unsigned read = 0; read < READ_MAXIMUM && result == PORT_MESSAGE_RECEIVED;
         read += 1 + incoming.frames) {
        result = port_message_receive(&incoming, port->source.descriptor);
        input_message(port);
    }
    vswitch_batch_done(port->vswitch);
    return result != PORT_MESSAGE_CLOSED;
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
