/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Forwarded ports: what comes to a port of the parent's goes to a port of a child's. Ports are in network
 * order. */
#ifndef NET_FORWARD_H
#define NET_FORWARD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/net/event_loop.h"
#include "partitions/root/net/packet.h"

struct vswitch;

#define FORWARD_MAXIMUM   256u
#define FORWARD_TEXT_SIZE 80

/* What is to be forwarded, as a user says it. */
struct forward_rule {
    int protocol;   /* IPPROTO_TCP or IPPROTO_UDP */
    in_addr_t host; /* the parent's address, or INADDR_ANY */
    in_port_t host_port;
    bool by_mac; /* the child is told by its MAC address, whatever its IP address is then */
    struct mac_address mac;
    in_addr_t child;
    in_port_t child_port;
};

struct forward {
    struct vswitch *vswitch;
    struct forward_rule rule;
    struct event_source source;
    bool paused;          /* no descriptors left: goes on with the next tick */
    uint64_t connections; /* TCP connections or UDP datagrams */
    struct forward *next;
};

/*
 * "tcp:[ADDRESS:]PORT:CHILD:PORT" or "udp:...", the child by IP or MAC address (00-15-5D-...). False, with a
 * message, if it is not.
 */
bool forward_parse(const char *text, struct forward_rule *rule, char *error, size_t error_size);
void forward_format(const struct forward_rule *rule, char text[FORWARD_TEXT_SIZE]);

/*
 * Begins to forward. `descriptor` is a socket that already has the port, for ports that we may not open; or
 * -1. It is taken over, and closed on failure. False, with a message for people: port in use (by whom), not
 * permitted, ...
 */
bool forward_add(struct vswitch *vswitch, const struct forward_rule *rule, int descriptor, char *error,
                 size_t error_size);

/* Ends the forward of a port; connections that came by it stay. False if there is none. */
bool forward_remove(struct vswitch *vswitch, int protocol, in_addr_t host, in_port_t host_port);

/* Once a second. */
void forward_tick(struct vswitch *vswitch);

#endif
