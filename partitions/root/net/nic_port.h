/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network adapter's end of a connection to a virtual switch (port_protocol.h): what stands behind struct
 * nic_backend in a worker. All functions are called under the device lock, except nic_port_connect, which
 * blocks for at most NIC_PORT_TIMEOUT seconds and touches no device.
 *
 * The worker watches nic_port_descriptor() for input, edge-triggered, and calls nic_port_receive() when there
 * is some. When the switch goes away, `lost` is called once; from then on the port is silent (frames sent are
 * dropped) until the worker, whenever it likes, disconnects and connects again.
 */
#ifndef NET_NIC_PORT_H
#define NET_NIC_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/net/nic_backend.h"
#include "partitions/root/net/port_message.h"

#define NIC_PORT_TIMEOUT 5
/* After so many messages NIC_PORT_MORE is returned. */
#define NIC_PORT_MESSAGES 8u

/*
 * The switch has gone. Called under the device lock, from nic_port_receive() or from the card's call of
 * ready(): tell the thread that watches the descriptor, and leave the port alone until then.
 */
typedef void (*nic_port_lost_fn)(void *context);

enum nic_port_result {
    NIC_PORT_DRAINED, /* everything was delivered; wait for input */
    NIC_PORT_MORE,    /* there is more: let others have the device lock, then call again */
    NIC_PORT_HELD,    /* the card is full: delivery goes on by itself when it says that it is ready */
    NIC_PORT_GONE,    /* the switch has closed the connection, or there is none */
};

struct nic_port {
    int descriptor; /* -1: not connected */
    bool gone;
    nic_receive_fn receive;
    void *card;
    nic_port_lost_fn lost;
    void *context;
    bool delivering;                  /* nic_port_receive() is on the stack */
    uint64_t sent, received, dropped; /* frames; dropped: by us, sending */
    struct port_message incoming;     /* its frames wait for delivery */
    struct port_message outgoing;     /* its frames wait for flush() */
};

/* Not connected yet; frames will be given to `receive` with `card`. */
void nic_port_initialize(struct nic_port *port, nic_receive_fn receive, void *card, nic_port_lost_fn lost,
                         void *context);

/*
 * Connects to the switch whose socket is at `path`. Returns a descriptor for nic_port_attach(), or -1 with a
 * message for people in `error`. `name` is the virtual machine's, cut to what the protocol carries.
 */
int nic_port_connect(const char *path, const uint8_t mac[6], const char *name, char *error,
                     size_t error_size);

/* Takes over a connected descriptor. The port must not be connected. */
void nic_port_attach(struct nic_port *port, int descriptor);

/* Closes the connection, if any. Frames not delivered yet are lost. */
void nic_port_disconnect(struct nic_port *port);

/* To watch for input, or -1. */
int nic_port_descriptor(const struct nic_port *port);

/* For the card: its send(), flush() and ready() are this port's. ready() may deliver frames before it
 * returns. */
struct nic_backend nic_port_backend(struct nic_port *port);

/* Delivers what has arrived. */
enum nic_port_result nic_port_receive(struct nic_port *port);

#endif
