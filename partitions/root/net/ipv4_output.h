/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IPv4 packets from the gateway to children, other than lwIP's. Addresses and ports are in network order.
 * What cannot be sent (congestion, no memory) is lost, as on any network.
 */
#ifndef NET_IPV4_OUTPUT_H
#define NET_IPV4_OUTPUT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/net/frame.h"
#include "partitions/root/net/packet.h"

struct port;
struct vswitch;

/* Where a UDP payload begins in a frame built here. */
#define IPV4_OUTPUT_UDP_OFFSET                                                                               \
    (sizeof(struct ethernet_header) + sizeof(struct ipv4_header) + sizeof(struct udp_header))

struct udp_path {
    in_addr_t source;
    in_addr_t destination; /* the child's */
    in_port_t source_port;
    in_port_t destination_port;
};

/* A datagram whose payload, of at most PACKET_UDP_PAYLOAD bytes, is in place in the frame; the frame is given
 * away. */
void ipv4_output_udp_frame(struct vswitch *vswitch, struct frame *frame, const struct udp_path *path,
                           size_t length);

/* A datagram of any length, in fragments if need be. */
void ipv4_output_udp(struct vswitch *vswitch, const struct udp_path *path, const void *payload,
                     size_t length);

/* A datagram of at most PACKET_UDP_PAYLOAD bytes to a port whose address need not be known yet, or not to it
 * alone. */
void ipv4_output_udp_to_port(struct port *port, bool broadcast, const struct udp_path *path,
                             const void *payload, size_t length);

/*
 * An ICMP message: `header` (whose checksum is filled in) and `length` bytes behind it, in fragments if need
 * be.
 */
void ipv4_output_icmp(struct vswitch *vswitch, in_addr_t source, in_addr_t destination,
                      struct icmp_header header, const void *payload, size_t length);

/*
 * An ICMP error about a packet that the child has sent: `original` is its IP header, `transport` the first
 * eight bytes behind. `source` is who complains: the gateway, or a router on the way.
 */
void ipv4_output_error(struct vswitch *vswitch, in_addr_t source, struct icmp_header header,
                       const struct ipv4_header *original, const uint8_t transport[8]);

#endif
