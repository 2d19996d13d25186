/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What children send to the gateway: checked here once, then given to ARP, DHCP, DNS, ping or the NAT. */
#ifndef NET_GATEWAY_H
#define NET_GATEWAY_H

#include "partitions/root/net/port.h"

/* ICMP errors a second to one port, and at once. */
#define GATEWAY_ERROR_RATE 200u

/*
 * An IPv4 packet of a child, checked: the header is whole, the lengths agree, it is no fragment, the source
 * is an address that the port may use, and the transport's fixed header is in the first pbuf.
 */
struct ipv4_packet {
    struct port *port;
    struct pbuf *pbuf; /* from the IP header to the end of the packet */
    const struct ipv4_header *header;
    const void *transport;
};

/* A frame to the gateway's own address. The caller keeps its reference, but the pbuf's contents may change.
 */
void gateway_unicast(struct port *port, struct pbuf *frame);

/* A frame to a group. False: it is the gateway's alone, or must not reach other children. */
bool gateway_group(struct port *port, struct pbuf *frame);

/* Tells the sender of a packet what is wrong with it: an ICMP error from the gateway. */
void gateway_reject(const struct ipv4_packet *packet, uint8_t type, uint8_t code);

#endif
