/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts on the wire. Every field wider than a byte is in network order; nothing is aligned. */
#ifndef NET_PACKET_H
#define NET_PACKET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PACKET __attribute__((packed))

struct mac_address {
    uint8_t bytes[6];
};

static inline bool mac_equal(const struct mac_address *a, const struct mac_address *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* The group bit: broadcast is a group too (IEEE 802.3, 3.2.3). */
static inline bool mac_is_group(const struct mac_address *mac)
{
    return mac->bytes[0] & 1;
}

/* For printf: the form that Hyper-V shows. */
#define MAC_FORMAT "%02X-%02X-%02X-%02X-%02X-%02X"
#define MAC_ARGUMENTS(mac)                                                                                   \
    (mac).bytes[0], (mac).bytes[1], (mac).bytes[2], (mac).bytes[3], (mac).bytes[4], (mac).bytes[5]

/* "00-15-5D-01-02-03", and nothing behind. */
bool mac_parse(const char *text, struct mac_address *mac);

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP  0x0806

struct ethernet_header {
    struct mac_address destination;
    struct mac_address source;
    uint16_t type;
} PACKET;
_Static_assert(sizeof(struct ethernet_header) == 14, "IEEE 802.3");

#define ARP_REQUEST 1
#define ARP_REPLY   2

/* RFC 826, for IPv4 over Ethernet. */
struct arp_packet {
    uint16_t hardware_type; /* 1 */
    uint16_t protocol_type; /* ETHERTYPE_IPV4 */
    uint8_t hardware_length;
    uint8_t protocol_length;
    uint16_t operation;
    struct mac_address sender_mac;
    uint32_t sender_address;
    struct mac_address target_mac;
    uint32_t target_address;
} PACKET;
_Static_assert(sizeof(struct arp_packet) == 28, "RFC 826");

#define IPV4_MORE_FRAGMENTS  0x2000
#define IPV4_FRAGMENT_OFFSET 0x1FFF

/* RFC 791. */
struct ipv4_header {
    uint8_t version_and_length; /* 0x45: version 4, five 32-bit words */
    uint8_t type_of_service;
    uint16_t total_length;
    uint16_t identification;
    uint16_t fragment;
    uint8_t time_to_live;
    uint8_t protocol;
    uint16_t checksum;
    uint32_t source;
    uint32_t destination;
} PACKET;
_Static_assert(sizeof(struct ipv4_header) == 20, "RFC 791");

/* RFC 768. */
struct udp_header {
    uint16_t source_port;
    uint16_t destination_port;
    uint16_t length;
    uint16_t checksum; /* 0: none */
} PACKET;
_Static_assert(sizeof(struct udp_header) == 8, "RFC 768");

#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_PSH 0x08
#define TCP_FLAG_ACK 0x10

/* RFC 9293. */
struct tcp_header {
    uint16_t source_port;
    uint16_t destination_port;
    uint32_t sequence;
    uint32_t acknowledgement;
    uint8_t data_offset; /* upper four bits: 32-bit words */
    uint8_t flags;
    uint16_t window;
    uint16_t checksum;
    uint16_t urgent;
} PACKET;
_Static_assert(sizeof(struct tcp_header) == 20, "RFC 9293");

#define ICMP_TYPE_ECHO_REPLY    0
#define ICMP_TYPE_UNREACHABLE   3
#define ICMP_TYPE_ECHO          8
#define ICMP_TYPE_TIME_EXCEEDED 11

#define ICMP_CODE_NETWORK    0
#define ICMP_CODE_HOST       1
#define ICMP_CODE_PROTOCOL   2
#define ICMP_CODE_PORT       3
#define ICMP_CODE_TOO_BIG    4
#define ICMP_CODE_PROHIBITED 13

/* RFC 792: echo and its reply; in errors, `sequence` is the next hop's MTU of code "too big" (RFC 1191). */
struct icmp_header {
    uint8_t type;
    uint8_t code;
    uint16_t checksum;
    uint16_t identifier;
    uint16_t sequence;
} PACKET;
_Static_assert(sizeof(struct icmp_header) == 8, "RFC 792");

/* The largest IPv4 packet in a frame, and what a UDP datagram or an ICMP message in it can carry. */
#define PACKET_MTU         1500u
#define PACKET_UDP_PAYLOAD (PACKET_MTU - (unsigned)(sizeof(struct ipv4_header) + sizeof(struct udp_header)))
/* The largest payload of a UDP datagram over IPv4. */
#define PACKET_UDP_MAXIMUM 65507u

#endif
