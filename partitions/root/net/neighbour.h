/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which port has which IPv4 address: the gateway's side of ARP. Learnt from what children send, and asked for
 * when it is not known. A child cannot take an address that is leased to another that is connected, nor the
 * gateway's.
 */
#ifndef NET_NEIGHBOUR_H
#define NET_NEIGHBOUR_H

#include <netinet/in.h>
#include <stdbool.h>

#include "partitions/root/net/port.h"

/* Addresses that one port may have. */
#define NEIGHBOUR_PORT_ADDRESSES 8u
#define NEIGHBOUR_MAXIMUM        512u
#define NEIGHBOUR_BUCKETS        256u
/* Milliseconds for which one packet waits for the answer to an ARP request, and between requests. */
#define NEIGHBOUR_PENDING_TIME 3000u
#define NEIGHBOUR_RETRY_TIME   500u
#define NEIGHBOUR_PENDING      16u

struct neighbour {
    in_addr_t address;
    struct port *port; /* NULL: free */
    uint64_t learnt_at;
    struct neighbour *next; /* in its bucket, or of the free ones */
};

/* A packet for an address that nobody has answered for yet. */
struct neighbour_pending {
    in_addr_t address; /* 0: free */
    uint64_t asked_at;
    uint64_t expires_at;
    struct pbuf *packet; /* a copy with room for the Ethernet header in front; NULL: only asked */
};

struct neighbour_table {
    struct neighbour entries[NEIGHBOUR_MAXIMUM];
    struct neighbour *buckets[NEIGHBOUR_BUCKETS];
    struct neighbour *free;
    struct neighbour_pending pending[NEIGHBOUR_PENDING];
    unsigned pending_count;
};

void neighbour_initialize(struct neighbour_table *table);

/* Notes that packets from `address` come from `port`. False: the address is not its to use, drop the packet.
 */
bool neighbour_learn(struct port *port, in_addr_t address);

/* The port with this address, or NULL. */
struct port *neighbour_find(const struct vswitch *vswitch, in_addr_t address);

/* Forgets everything about a port. */
void neighbour_port_closed(struct port *port);

/*
 * An ARP packet of `length` bytes, after the Ethernet header: answers requests for the gateway. False: it
 * claims an address that is not its sender's, and must not reach other children.
 */
bool neighbour_arp_input(struct port *port, const void *packet, size_t length);

/*
 * Sends an IP packet from the gateway to a child. `packet` begins with sizeof(struct ethernet_header) bytes
 * of room for the header, and the caller keeps its reference. An unknown address is asked for, and the newest
 * packet for it waits for the answer.
 */
void neighbour_send(struct vswitch *vswitch, in_addr_t address, struct pbuf *packet);

/* Asks who has an address, so that it may soon be known. */
void neighbour_ask(struct vswitch *vswitch, in_addr_t address);

/* Milliseconds until neighbour_tick() has something to do, or -1. */
int neighbour_timeout(const struct vswitch *vswitch);
void neighbour_tick(struct vswitch *vswitch);

#endif
