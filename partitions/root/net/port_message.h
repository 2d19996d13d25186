/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A message of the port protocol (port_protocol.h): frames that travel together. Both ends copy it into private
 * memory before they look at it, and read no frame twice.
 */
#ifndef NET_PORT_MESSAGE_H
#define NET_PORT_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/net/port_protocol.h"

struct port_message {
    unsigned frames; /* added, or taken */
    size_t length;   /* bytes */
    size_t next;     /* where the next frame to take begins */
    bool malformed;  /* what follows is not a frame, and was dropped */
    uint8_t bytes[PORT_MESSAGE_MAXIMUM];
};

/* What port_message_receive() found. */
enum port_message_result {
    PORT_MESSAGE_RECEIVED,
    PORT_MESSAGE_NONE,   /* now */
    PORT_MESSAGE_CLOSED, /* nor ever again */
};

/* Makes a message without frames. */
void port_message_clear(struct port_message *message);

/*
 * Adds a frame of NIC_MINIMUM_FRAME to NIC_MAXIMUM_FRAME bytes. Returns where the caller writes it, or NULL if the
 * message is full.
 */
uint8_t *port_message_add(struct port_message *message, size_t length);

/* The next frame and its length, or NULL at the end. The same one until port_message_take(). */
const uint8_t *port_message_peek(struct port_message *message, size_t *length);
void port_message_take(struct port_message *message);

/* Sends all of a message that is not empty, or nothing: false, with errno. Does not wait. */
bool port_message_send(const struct port_message *message, int descriptor);

/* Receives one in place of what `message` held; it is empty unless PORT_MESSAGE_RECEIVED. Does not wait. */
enum port_message_result port_message_receive(struct port_message *message, int descriptor);

#endif
