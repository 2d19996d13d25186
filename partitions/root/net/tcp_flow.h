/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One TCP connection through the NAT: lwIP's end of it towards the child, a socket towards the other side,
 * and the bytes on their way between the two.
 *
 * To the host ("upload") the child's frames wait as they came, and lwIP opens its window only by what the
 * socket has taken. To the child ("download") bytes are read into a ring, from which lwIP sends without
 * copying; their place is free again when the child has acknowledged them.
 *
 * lwIP's callbacks only note what has happened and mark the flow; everything else is done by
 * tcp_flow_process() at the end of the round, when no function of lwIP's is on the stack.
 */
#ifndef NET_TCP_FLOW_H
#define NET_TCP_FLOW_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include <lwip/tcp.h>

#include "partitions/root/net/event_loop.h"
#include "partitions/root/net/flow_key.h"

struct port;
struct vswitch;

/* Seconds without a byte after which an open connection is cut (RFC 5382: at least 2 hours and 4 minutes). */
#define TCP_FLOW_IDLE_TIME 7440u
/* The same when the child has closed, and only the other side has not yet taken all. */
#define TCP_FLOW_DRAINING_TIME 240u
/* Seconds after which the empty ring of an idle connection is given back. */
#define TCP_FLOW_RING_TIME 10u

enum tcp_flow_state {
    TCP_FLOW_CONNECTING, /* to the host's side; the child's SYN is held */
    TCP_FLOW_HANDSHAKE,  /* with the child */
    TCP_FLOW_OPEN,
    TCP_FLOW_DEAD, /* freed at the end of the round */
};

struct tcp_flow {
    struct vswitch *vswitch;
    struct port *port; /* NULL: a forwarded connection whose child has not answered yet */
    struct flow_key key;
    enum tcp_flow_state state;
    struct event_source source; /* the host's side: edge-triggered */
    struct tcp_pcb *pcb;        /* the child's side; NULL: not yet, or no more */
    struct pbuf *syn;           /* while connecting */

    struct pbuf *upload_head; /* a list of single pbufs; tot_len means nothing */
    struct pbuf *upload_tail;
    uint8_t *ring;
    uint32_t ring_size;  /* a power of two */
    uint32_t ring_read;  /* running counts of bytes: read from the host, */
    uint32_t ring_sent;  /* given to lwIP, */
    uint32_t ring_acked; /* acknowledged by the child */
    uint32_t received_in_round;

    bool readable;     /* the socket may have something to read */
    bool writable;     /* the socket may take something */
    bool host_hung_up; /* the end of its data, or an error, is in the socket: read on until it comes */
    bool host_closed;  /* it sends no more */
    bool child_closed; /* likewise */
    bool host_told;    /* that the child has closed */
    bool child_told;   /* that the host has closed */
    bool failed;       /* one side was reset: so is the other */
    bool marked;       /* for tcp_flow_process() */

    uint64_t last_activity; /* milliseconds */
    struct tcp_flow *next_in_bucket;
    struct tcp_flow *next_in_port;
    struct tcp_flow *previous_in_port;
    struct tcp_flow *next_marked;
};

/* For shadow_accept() and tcp_connect(): makes the flow the owner of the connection. */
void tcp_flow_attach(struct tcp_flow *flow, struct tcp_pcb *pcb);

/* Has tcp_flow_process() called at the end of this round. */
void tcp_flow_mark(struct tcp_flow *flow);

/* Moves bytes, passes the ends of both directions on, and ends the flow if it is done (nat_tcp_remove). */
void tcp_flow_process(struct tcp_flow *flow);

/* Gives up lwIP's connection, with a reset to the child unless it has ended. */
void tcp_flow_release_pcb(struct tcp_flow *flow);

/* Once a second: ends what has been idle for too long, and retries what had no memory. */
void tcp_flow_tick(struct tcp_flow *flow);

/* Frees what the flow holds; it has been removed, and no queue refers to its ring. */
void tcp_flow_free(struct tcp_flow *flow);

#endif
