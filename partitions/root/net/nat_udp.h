/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UDP through the NAT: a session for each pair of a child's port and a remote port. One that a child began
 * has a socket of its own, connected to the remote, so that the parent's kernel filters and keeps the route;
 * one that came to a forwarded port uses the forward's socket.
 */
#ifndef NET_NAT_UDP_H
#define NET_NAT_UDP_H

#include <netinet/in.h>

#include "partitions/root/net/flow_key.h"
#include "partitions/root/net/gateway.h"

struct forward;
struct vswitch;

/* Datagrams written, or read, by one system call. */
#define NAT_UDP_BATCH 64u
/* Seconds without a datagram after which a session ends: before and after the first answer. */
#define NAT_UDP_UNANSWERED_TIME 30u
#define NAT_UDP_IDLE_TIME       180u

struct udp_session {
    struct vswitch *vswitch;
    struct port *port;
    struct flow_key key;
    struct event_source source; /* of a session that the child began */
    struct forward *forward;    /* of one that a client began, */
    struct sockaddr_in client;  /* who is this one */
    bool answered;
    bool no_segmentation;   /* the kernel would not cut a buffer into datagrams on this route */
    int time_to_live;       /* as last set on the socket; 0: the parent's default */
    uint64_t last_activity; /* milliseconds */
    struct udp_session *next_in_bucket;
    struct udp_session *newer; /* sessions in the order of their last use */
    struct udp_session *older;
};

struct nat_udp {
    struct flow_key_seed seed;
    struct udp_session *buckets[FLOW_KEY_BUCKETS];
    struct udp_session *newest;
    struct udp_session *oldest;
    unsigned count;
    uint64_t opened;
    uint64_t refused;
    uint64_t evicted; /* ended early to make room */
    /* Datagrams of one session that wait to be sent together, from the IP header on. */
    struct udp_session *sender;
    struct pbuf *batch[NAT_UDP_BATCH];
    unsigned batch_count;
    uint8_t *receive_buffer;
};

/* False without memory. */
bool nat_udp_initialize(struct nat_udp *udp);

/* A datagram of a child: one packet, its UDP length checked. */
void nat_udp_input(const struct ipv4_packet *packet);

/* A datagram that came to a forwarded port, to be passed on to a child. */
void nat_udp_forwarded(struct forward *forward, const struct sockaddr_in *client, in_addr_t child,
                       in_port_t child_port, const void *payload, size_t length);

/* Sends what waits. */
void nat_udp_flush(struct vswitch *vswitch);

/* Once a second: ends idle sessions. */
void nat_udp_tick(struct vswitch *vswitch);

void nat_udp_port_closed(struct port *port);
void nat_udp_forward_removed(struct forward *forward);

#endif
