/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ping through the NAT. All echo requests go out by one socket, under its identifier and a sequence number of
 * ours, by which the reply, or an error on the way, is told apart.
 */
#ifndef NET_NAT_ICMP_H
#define NET_NAT_ICMP_H

#include <netinet/in.h>

#include "partitions/root/net/gateway.h"

/* Requests that wait for a reply; a newer one takes the place of the oldest. A power of two. */
#define NAT_ICMP_PENDING 1024u
/* Milliseconds after which a reply is no longer passed on. */
#define NAT_ICMP_TIMEOUT 30000u

struct nat_icmp_request {
    struct port *port; /* NULL: free */
    in_addr_t child;
    in_addr_t destination; /* as the child sees it */
    in_addr_t actual;      /* on the parent's side */
    uint16_t identifier;   /* the child's, in network order */
    uint16_t sequence;
    uint16_t our_sequence; /* in host order */
    uint64_t sent_at;
};

struct nat_icmp {
    struct event_source source; /* descriptor -1: the parent does not let us */
    bool raw;
    uint16_t identifier; /* ours, on a raw socket */
    uint16_t next_sequence;
    int time_to_live; /* as last set on the socket */
    struct nat_icmp_request requests[NAT_ICMP_PENDING];
    uint64_t forwarded;
};

void nat_icmp_initialize(struct nat_icmp *icmp);

/* Takes over an echo socket prepared by host_network. Replaces the one that was there. 0 or an errno. */
int nat_icmp_set_socket(struct vswitch *vswitch, int descriptor);

/* An ICMP packet of a child: answers pings to the gateway, passes on others. */
void nat_icmp_input(const struct ipv4_packet *packet);

void nat_icmp_port_closed(struct port *port);

#endif
