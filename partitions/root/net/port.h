/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connected network adapter, seen from the switch (port_protocol.h). */
#ifndef NET_PORT_H
#define NET_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/net/event_loop.h"
#include "partitions/root/net/frame.h"
#include "partitions/root/net/packet.h"
#include "partitions/root/net/port_protocol.h"
#include "partitions/root/net/rate_limit.h"

struct vswitch;
struct tcp_flow;
struct port_backlog;

/* Frames queued before they are written. */
#define PORT_BATCH 64u
/*
 * Frames of one port that may be on their way through the switch. Above, TCP segments with data are dropped,
 * which the child sends again; everything else needs no frame for longer than a moment.
 */
#define PORT_FRAMES_MAXIMUM 2048u
/* Frames that wait because the adapter does not read; more are dropped. */
#define PORT_BACKLOG_FRAMES 256u
/* What an unprivileged process may ask for on a stock kernel: about 180 full frames on their way to the
 * adapter. */
#define PORT_SEND_BUFFER 212992
/* Milliseconds in which the hello must come. */
#define PORT_HELLO_TIMEOUT 5000u

struct port_counters {
    uint64_t received_frames; /* from the adapter */
    uint64_t received_bytes;
    uint64_t sent_frames; /* to the adapter */
    uint64_t sent_bytes;
    uint64_t spoofed;   /* dropped: another source address than the port's */
    uint64_t malformed; /* dropped: not a whole frame, or headers that make no sense */
    uint64_t unknown;   /* dropped: nobody has the destination address */
    uint64_t congested; /* dropped: the adapter did not take them */
    uint64_t limited;   /* dropped: over a limit on flows or frames */
};

struct port {
    struct vswitch *vswitch;
    struct event_source source;
    bool greeted;
    uint64_t connected_at; /* milliseconds */
    struct mac_address mac;
    char name[PORT_NAME_SIZE];
    struct port_counters counters;
    struct rate_limit new_flows;
    struct rate_limit new_errors; /* ICMP errors to this port */
    struct frame_account *account;
    struct pbuf *queue[PORT_BATCH]; /* to the adapter; sent at the end of the round */
    unsigned queued;
    struct port_backlog *backlog; /* NULL: none */
    struct tcp_flow *tcp_flows;
    unsigned tcp_flow_count;
    unsigned udp_session_count;
    unsigned address_count; /* in the neighbour table */
    uint32_t last_source;   /* the address that the last packet came from: known to be the port's */
};

/* Takes over a socket that has just been accepted. NULL, and the socket closed, without memory or free port.
 */
struct port *port_open(struct vswitch *vswitch, int descriptor);

/* Disconnects: everything that belongs to the port ends, and `port` is freed. */
void port_close(struct port *port);

/*
 * Queues a frame for the adapter; `frame` gets one more reference and must not change until the end of the
 * round. Drops and counts it if the adapter is too far behind.
 */
void port_queue(struct port *port, struct pbuf *frame);

/* Whether the adapter is behind, so that who can wait should; vswitch_port_writable() tells the end. */
static inline bool port_congested(const struct port *port)
{
    return port->backlog != NULL;
}

/* Writes the queue to the adapter. At the end of every round no queue refers to anything. */
void port_flush(struct port *port);

#endif
