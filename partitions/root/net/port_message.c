/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/port_message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "partitions/root/net/nic_backend.h"

typedef uint16_t frame_length;

void port_message_clear(struct port_message *message)
{
    message->frames = 0;
    message->length = message->next = 0;
    message->malformed = false;
}

uint8_t *port_message_add(struct port_message *message, size_t length)
{
    const frame_length header = (frame_length)length;
    if (message->frames == PORT_MESSAGE_FRAMES)
        return NULL;
    uint8_t *place = message->bytes + message->length;
    memcpy(place, &header, sizeof(header));
    message->length += sizeof(header) + length;
    message->frames++;
    return place + sizeof(header);
}

const uint8_t *port_message_peek(struct port_message *message, size_t *length)
{
    const size_t left = message->length - message->next;
    frame_length header = 0;
    if (!left)
        return NULL;
    if (left >= sizeof(header))
        memcpy(&header, message->bytes + message->next, sizeof(header));
    if (header < NIC_MINIMUM_FRAME || header > NIC_MAXIMUM_FRAME || left - sizeof(header) < header ||
        message->frames == PORT_MESSAGE_FRAMES) {
        message->malformed = true;
        message->next = message->length;
        return NULL;
    }
    *length = header;
    return message->bytes + message->next + sizeof(header);
}

void port_message_take(struct port_message *message)
{
    size_t length;
    if (!port_message_peek(message, &length))
        return;
    message->next += sizeof(frame_length) + length;
    message->frames++;
}

bool port_message_send(const struct port_message *message, int descriptor)
{
    ssize_t sent;
    do
        sent = send(descriptor, message->bytes, message->length, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

enum port_message_result port_message_receive(struct port_message *message, int descriptor)
{
    ssize_t length;
    port_message_clear(message);
    do
        length = recv(descriptor, message->bytes, sizeof(message->bytes), MSG_DONTWAIT | MSG_TRUNC);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return errno == EAGAIN ? PORT_MESSAGE_NONE : PORT_MESSAGE_CLOSED;
    if (length == 0) /* the protocol has no empty messages */
        return PORT_MESSAGE_CLOSED;
    if ((size_t)length > sizeof(message->bytes))
        message->malformed = true;
    else
        message->length = (size_t)length;
    return PORT_MESSAGE_RECEIVED;
}
