/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A switch with the fake network, children whose frames the test writes and reads, and frames to write. */
#ifndef TESTS_SWITCH_FIXTURE_H
#define TESTS_SWITCH_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/net/port_message.h"
#include "partitions/root/net/vswitch.h"
#include "tests/unit/fake_host_network.h"

#define CHILD_NETWORK "192.168.100.0/24"
#define CHILD_GATEWAY "192.168.100.1"

extern struct vswitch fixture_switch;

struct fixture_child {
    int descriptor;
    struct mac_address mac;
    struct port *port;
    struct port_message *inbox; /* frames that it has received and not looked at */
};

/* Once a process: lwIP cannot be started again. */
void fixture_start(void);

/* Connects a child with the address 00-15-5D-01-00-NUMBER. */
struct fixture_child fixture_connect(uint8_t number);

/* Pulls its cable. */
void fixture_disconnect(struct fixture_child *child);

/* Lets the switch work until nothing happens any more. */
void fixture_settle(void);

/* A frame being built. */
struct fixture_frame {
    uint8_t bytes[1518];
    size_t length;
};

struct fixture_frame fixture_ethernet(struct mac_address destination, struct mac_address source,
                                      uint16_t type, const void *payload, size_t length);

/* From the child to the gateway's MAC address; header checksum included. */
struct fixture_frame fixture_ipv4(const struct fixture_child *child, const char *source,
                                  const char *destination, uint8_t protocol, const void *payload,
                                  size_t length);
struct fixture_frame fixture_udp(const struct fixture_child *child, const char *source, uint16_t source_port,
                                 const char *destination, uint16_t destination_port, const void *payload,
                                 size_t length);

struct fixture_tcp {
    const char *source;
    const char *destination;
    uint16_t source_port;
    uint16_t destination_port;
    uint32_t sequence;
    uint32_t acknowledgement;
    uint8_t flags;
    uint16_t window;
};
struct fixture_frame fixture_tcp(const struct fixture_child *child, const struct fixture_tcp *header,
                                 const void *payload, size_t length);

/* Writes a frame and lets the switch settle; or only writes it, so that several make a batch. */
void fixture_send(const struct fixture_child *child, struct fixture_frame frame);
void fixture_queue(const struct fixture_child *child, const struct fixture_frame *frame);

/* Writes a message as it is. */
void fixture_write(const struct fixture_child *child, const void *bytes, size_t length);

/* The next frame that the child receives; length 0 if there is none. */
struct fixture_frame fixture_receive(const struct fixture_child *child);

/*
 * The next frame with an IPv4 packet, whose checksums are checked: returns the transport header and its
 * length, or NULL if there is none.
 */
const uint8_t *fixture_receive_ipv4(const struct fixture_child *child, struct ipv4_header *header,
                                    size_t *length);

#endif
