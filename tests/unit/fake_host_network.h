/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent's network without a network, in place of host_network.c: connections lead to socket pairs, whose
 * other ends the test holds.
 */
#ifndef TESTS_FAKE_HOST_NETWORK_H
#define TESTS_FAKE_HOST_NETWORK_H

#include "partitions/root/net/host_network.h"

#define FAKE_PEERS 64u

struct fake_peer {
    int protocol;               /* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_ICMP; 0: free */
    int descriptor;             /* the far end */
    struct sockaddr_in address; /* what was connected to */
};

extern struct fake_peer fake_peers[FAKE_PEERS];
/* What the parent says to every route, and to every attempt to connect (0: works). */
extern enum host_route fake_route;
extern int fake_connect_error;
/* How often it was asked to connect. */
extern unsigned fake_connects;

/* The newest peer of a protocol, or NULL. */
struct fake_peer *fake_newest_peer(int protocol);

/* Closes all far ends and forgets them. */
void fake_reset(void);

#endif
