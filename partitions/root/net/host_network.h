/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent's side of the NAT: every socket towards the outside is opened here, and every question to the
 * parent's routing table is asked here. Addresses and ports are in network order. Sockets are non-blocking
 * and close-on-exec.
 */
#ifndef NET_HOST_NETWORK_H
#define NET_HOST_NETWORK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

/* Where the parent's kernel would send a packet to an address. */
enum host_route {
    HOST_ROUTE_OUTSIDE,     /* to another machine, or a namespace of the parent's */
    HOST_ROUTE_OWN,         /* an address of the parent's own */
    HOST_ROUTE_GROUP,       /* broadcast, multicast, anycast */
    HOST_ROUTE_NONE,        /* no route */
    HOST_ROUTE_UNREACHABLE, /* a route that says so */
    HOST_ROUTE_PROHIBITED,
};

/* Opens what is needed to ask for routes. 0 or an errno. */
int host_network_initialize(void);

enum host_route host_network_route(in_addr_t address);

/* A TCP connection under way. A descriptor, or a negative errno. */
int host_network_connect_tcp(const struct sockaddr *address, socklen_t length);

/* A UDP socket connected to one peer, which reports ICMP errors in full. A descriptor, or a negative errno.
 */
int host_network_connect_udp(const struct sockaddr *address, socklen_t length);

/*
 * A socket that listens on (TCP) or is bound to (UDP) a port of the parent's: `protocol` is IPPROTO_TCP or
 * IPPROTO_UDP. A descriptor, or a negative errno.
 */
int host_network_listen(int protocol, in_addr_t address, in_port_t port);

/* A socket for ICMP echo: of kind SOCK_DGRAM if the parent allows it to us, else SOCK_RAW. Or a negative
 * errno. */
int host_network_open_echo(void);

/* Prepares an echo socket that was opened elsewhere. 0, or an errno if it is none. */
int host_network_adopt_echo(int descriptor);

#endif
