/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DHCP for the children of a NAT switch (RFC 2131, RFC 2132): requests in, replies out, no sockets. */
#ifndef NET_DHCP_SERVER_H
#define NET_DHCP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/net/boot_file.h"
#include "partitions/root/net/lease.h"

/* What every client must accept: 576 bytes of packet less IP and UDP headers. */
#define DHCP_REPLY_SIZE 548u

struct dhcp_server {
    struct lease_table *leases;
    const char *boot_file; /* what to boot from the network, valid; NULL: nothing. The caller's. */
    uint64_t refused;      /* requests that could not be served: no address left */
};

struct dhcp_reply {
    in_addr_t destination; /* the child's address, or 255.255.255.255 */
    bool broadcast;        /* for every station, since the child cannot receive unicast yet */
    size_t length;
    uint8_t message[DHCP_REPLY_SIZE];
};

/*
 * Handles the payload of a datagram to port 67 from the adapter with address `mac`. True if `reply` is to be
 * sent from the gateway's port 67 to port 68. `now` in seconds.
 */
bool dhcp_server_input(struct dhcp_server *server, const struct mac_address *mac, const void *message,
                       size_t length, uint64_t now, struct dhcp_reply *reply);

#endif
