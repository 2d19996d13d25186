/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between a virtual machine's network adapter and a virtual switch: a Unix socket of type SOCK_SEQPACKET, so
 * that every message keeps its borders.
 *
 *   1. The adapter connects to the switch's socket and sends one struct port_hello.
 *   2. The switch answers with one struct port_welcome. Unless its status is PORT_CONNECTED it then closes.
 *   3. From then on, each message in either direction is 1 to PORT_MESSAGE_FRAMES Ethernet frames, one after
 *      the other: each its length in two bytes, then so many bytes, NIC_MINIMUM_FRAME to NIC_MAXIMUM_FRAME
 *      (nic_backend.h), without preamble and FCS. A burst in one message wakes the other side once. There is
 *      no acknowledgement: a side that cannot take frames loses them, as on a wire.
 *   4. Closing the socket pulls the cable.
 *
 * Integers are in the byte order of the machine, which both sides share. A message of another
 * form is a mistake: in place of a hello it ends the connection; of frames, those before the mistake count,
 * the rest is dropped and counted as one.
 */
#ifndef NET_PORT_PROTOCOL_H
#define NET_PORT_PROTOCOL_H

#include <stdint.h>

#include "partitions/root/net/nic_backend.h"

#define PORT_PROTOCOL_MAGIC   0x6D616F6Cu /* "loam" */
#define PORT_PROTOCOL_VERSION 2u
#define PORT_NAME_SIZE        64
#define PORT_MESSAGE_FRAMES   32u
/* The longest message: NIC_MAXIMUM_FRAME and its length, so often. */
#define PORT_MESSAGE_MAXIMUM (PORT_MESSAGE_FRAMES * (2 + NIC_MAXIMUM_FRAME))

struct port_hello {
    uint32_t magic;
    uint32_t version;
    uint8_t mac[6];            /* the adapter's: a frame with another source address is dropped */
    uint16_t reserved;         /* 0 */
    char name[PORT_NAME_SIZE]; /* the virtual machine's, for people; padded with zeros, at least one */
};
_Static_assert(sizeof(struct port_hello) == 80, "port protocol 2");

enum port_status {
    PORT_CONNECTED,
    PORT_BAD_HELLO,      /* magic, size, or a name without end */
    PORT_BAD_VERSION,    /* port_welcome.version says which the switch speaks */
    PORT_BAD_ADDRESS,    /* zero, a group address, or the gateway's own */
    PORT_ADDRESS_IN_USE, /* another port has it */
    PORT_SWITCH_FULL,
    PORT_STATUS_COUNT,
};

struct port_welcome {
    uint32_t magic;
    uint32_t version;
    uint32_t status; /* enum port_status */
    uint32_t mtu;    /* of IP packets on this switch */
};
_Static_assert(sizeof(struct port_welcome) == 16, "port protocol 2");

#endif
