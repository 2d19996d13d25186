/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/nic_port.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "partitions/root/net/port_protocol.h"

/* What an unprivileged process may ask for on a stock kernel: about 180 full frames on their way to the
 * switch. */
#define SEND_BUFFER 212992

static const char *const refusals[PORT_STATUS_COUNT] = {
    [PORT_CONNECTED] = "connected",
    [PORT_BAD_HELLO] = "the switch did not understand the greeting",
    [PORT_BAD_VERSION] = "the switch speaks another version of the port protocol",
    [PORT_BAD_ADDRESS] = "the switch does not accept this MAC address",
    [PORT_ADDRESS_IN_USE] = "another network adapter on the switch has this MAC address",
    [PORT_SWITCH_FULL] = "the switch has no free port",
};

void nic_port_initialize(struct nic_port *port, nic_receive_fn receive, void *card, nic_port_lost_fn lost,
                         void *context)
{
    *port = (struct nic_port){
        .descriptor = -1, .receive = receive, .card = card, .lost = lost, .context = context};
}

static int open_socket(const char *path, char *error, size_t error_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        snprintf(error, error_size, "%s: path too long for a socket", path);
        return -1;
    }
    strcpy(address.sun_path, path);

    int descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        snprintf(error, error_size, "cannot open a socket: %s", strerror(errno));
        return -1;
    }
    const struct timeval timeout = {.tv_sec = NIC_PORT_TIMEOUT};
    const int buffer = SEND_BUFFER;
    if (setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)) != 0 ||
        connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        snprintf(error, error_size, "cannot connect to the switch at %s: %s", path, strerror(errno));
        close(descriptor);
        return -1;
    }
    return descriptor;
}

static bool greet(int descriptor, const uint8_t mac[6], const char *name, char *error, size_t error_size)
{
    struct port_hello hello = {.magic = PORT_PROTOCOL_MAGIC, .version = PORT_PROTOCOL_VERSION};
    memcpy(hello.mac, mac, sizeof(hello.mac));
    snprintf(hello.name, sizeof(hello.name), "%s", name);

    struct port_welcome welcome;
    ssize_t length = send(descriptor, &hello, sizeof(hello), MSG_NOSIGNAL);
    if (length == sizeof(hello))
        length = recv(descriptor, &welcome, sizeof(welcome), 0);
    if (length < 0) {
        snprintf(error, error_size, "the switch did not answer: %s",
                 errno == EAGAIN ? "timed out" : strerror(errno));
        return false;
    }
    if (length != sizeof(welcome) || welcome.magic != PORT_PROTOCOL_MAGIC ||
        welcome.status >= PORT_STATUS_COUNT) {
        snprintf(error, error_size, "the answer is not a Loam switch's");
        return false;
    }
    if (welcome.status != PORT_CONNECTED) {
        snprintf(error, error_size, "%s", refusals[welcome.status]);
        return false;
    }
    return true;
}

int nic_port_connect(const char *path, const uint8_t mac[6], const char *name, char *error, size_t error_size)
{
    int descriptor = open_socket(path, error, error_size);
    if (descriptor < 0)
        return -1;
    if (!greet(descriptor, mac, name, error, error_size)) {
        close(descriptor);
        return -1;
    }
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0) {
        snprintf(error, error_size, "cannot make the socket non-blocking: %s", strerror(errno));
        close(descriptor);
        return -1;
    }
    return descriptor;
}

void nic_port_attach(struct nic_port *port, int descriptor)
{
    port->descriptor = descriptor;
    port->gone = false;
    port_message_clear(&port->incoming);
    port_message_clear(&port->outgoing);
}

void nic_port_disconnect(struct nic_port *port)
{
    if (port->descriptor >= 0)
        close(port->descriptor);
    port->descriptor = -1;
    port_message_clear(&port->incoming);
    port_message_clear(&port->outgoing);
}

int nic_port_descriptor(const struct nic_port *port)
{
    return port->descriptor;
}

static bool flush(void *opaque)
{
    struct nic_port *port = opaque;
    const unsigned frames = port->outgoing.frames;
    if (!frames)
        return true;
    /* Refused if full (EAGAIN), or if the other end is closed, which reading reports. */
    const bool sent =
        port->descriptor >= 0 && !port->gone && port_message_send(&port->outgoing, port->descriptor);
    *(sent ? &port->sent : &port->dropped) += frames;
    port_message_clear(&port->outgoing);
    return sent;
}

static void send_frame(void *opaque, const struct iovec *vector, int count)
{
    struct nic_port *port = opaque;
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += vector[i].iov_len;
    uint8_t *place = port_message_add(&port->outgoing, length);
    if (!place) {
        flush(port);
        place = port_message_add(&port->outgoing, length);
    }
    for (int i = 0; i < count; i++) {
        memcpy(place, vector[i].iov_base, vector[i].iov_len);
        place += vector[i].iov_len;
    }
}

/* Gives the card what is in the message. False: it refused a frame, which stays the next. */
static bool deliver(struct nic_port *port)
{
    const uint8_t *frame;
    size_t length;
    while ((frame = port_message_peek(&port->incoming, &length))) {
        if (!port->receive(port->card, frame, length))
            return false;
        port->received++;
        port_message_take(&port->incoming);
    }
    return true;
}

static enum nic_port_result receive_messages(struct nic_port *port)
{
    for (unsigned i = 0; i < NIC_PORT_MESSAGES; i++) {
        if (!deliver(port))
            return NIC_PORT_HELD;
        if (port->descriptor < 0 || port->gone)
            return NIC_PORT_GONE;
        const enum port_message_result result = port_message_receive(&port->incoming, port->descriptor);
        port->gone = result == PORT_MESSAGE_CLOSED;
        if (result == PORT_MESSAGE_NONE)
            return NIC_PORT_DRAINED;
    }
    return NIC_PORT_MORE;
}

enum nic_port_result nic_port_receive(struct nic_port *port)
{
    /* A card that becomes ready while it is being given frames is served by the loop that is under way. */
    if (port->delivering)
        return NIC_PORT_HELD;
    bool known = port->gone;
    port->delivering = true;
    enum nic_port_result result = receive_messages(port);
    port->delivering = false;
    if (port->gone && !known)
        port->lost(port->context);
    return result;
}

static void card_is_ready(void *opaque)
{
    struct nic_port *port = opaque;
    if (port->incoming.next == port->incoming.length)
        return; /* nothing was refused */
    /* Ends soon: a card that holds frames back takes no more of them than its ring has room for. */
    while (nic_port_receive(port) == NIC_PORT_MORE)
        continue;
}

struct nic_backend nic_port_backend(struct nic_port *port)
{
    return (struct nic_backend){.send = send_frame, .flush = flush, .ready = card_is_ready, .port = port};
}
