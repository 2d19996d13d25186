/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtual switch of type NAT: its state, and the round in which it works. A round waits for events and
 * handles them, which queues frames and marks TCP connections; then the connections move their bytes; then
 * every queue is written; then what has ended is freed. Everything is done by one thread.
 */
#ifndef NET_VSWITCH_H
#define NET_VSWITCH_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/net/dhcp_server.h"
#include "partitions/root/net/dns.h"
#include "partitions/root/net/event_loop.h"
#include "partitions/root/net/forward.h"
#include "partitions/root/net/gateway.h"
#include "partitions/root/net/lease.h"
#include "partitions/root/net/nat_icmp.h"
#include "partitions/root/net/nat_tcp.h"
#include "partitions/root/net/nat_udp.h"
#include "partitions/root/net/neighbour.h"
#include "partitions/root/net/port.h"
#include "partitions/root/net/stack.h"
#include "partitions/root/net/subnet.h"

#define VSWITCH_MAXIMUM_PORTS 64u
#define VSWITCH_NAME_SIZE     64
/* Milliseconds between ticks, while there is anything that ages. */
#define VSWITCH_TICK 1000u

struct vswitch_limits {
    unsigned flows; /* TCP connections, and as many UDP sessions; a port may have half of them */
    unsigned rate;  /* new ones of a port in a second; twice as many at once */
};

struct vswitch {
    char name[VSWITCH_NAME_SIZE];
    struct event_loop loop;
    struct subnet subnet;
    struct mac_address mac; /* the gateway's */
    bool allow_host;        /* children may reach the parent itself */
    const char *boot_file;  /* for children that boot from the network; NULL: none */
    bool stop;
    struct vswitch_limits limits;
    uint16_t identification; /* of the next IPv4 packet */
    uint64_t next_tick;      /* milliseconds */
    const char *lease_path;  /* NULL: leases are not kept */

    struct event_source listener; /* where adapters connect */
    struct port *ports[VSWITCH_MAXIMUM_PORTS];
    unsigned port_count;
    struct neighbour_table neighbours;
    struct lease_table leases;
    struct dhcp_server dhcp;
    struct dns dns;
    struct nat_tcp tcp;
    struct nat_udp udp;
    struct nat_icmp icmp;
    struct forward *forwards;
};

/* The gateway's address on every switch, in Hyper-V's range, and not for adapters. */
extern const struct mac_address vswitch_gateway_mac;

/*
 * Makes a switch without ports. Its name, subnet, limits, lease_path, boot_file and allow_host are set.
 * False, with a message.
 */
bool vswitch_initialize(struct vswitch *vswitch, const char *resolver_path, char *error, size_t error_size);

/* One round, which waits for at most `limit` milliseconds (-1: until something happens). */
void vswitch_round(struct vswitch *vswitch, int limit);

/* Ends everything that goes on, and keeps the leases. */
void vswitch_close(struct vswitch *vswitch);

/* What ports tell the rest of the switch: frames of a batch have been passed on; it takes frames again; it
 * goes. */
void vswitch_batch_done(struct vswitch *vswitch);
void vswitch_port_writable(struct port *port);
void vswitch_port_closed(struct port *port);

#endif
