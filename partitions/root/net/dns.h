/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DNS for children: queries to the gateway are passed on to the parent's resolvers, those of /etc/resolv.conf
 * in turn. Queries over TCP go through the NAT to the first of them (nat_tcp.c).
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "partitions/root/net/gateway.h"

#define DNS_RESOLVERS 3u /* as many as the C library uses (resolv.conf(5)) */
#define DNS_QUERIES   256u
/* Milliseconds that one resolver has for an answer, and how often in all one is asked. */
#define DNS_TIMEOUT  2000u
#define DNS_ATTEMPTS 4u

struct dns_query {
    struct vswitch *vswitch;
    struct port *port; /* NULL: free */
    struct event_source source;
    in_addr_t child;
    in_port_t child_port;
    unsigned attempts;
    uint64_t deadline; /* milliseconds */
    uint16_t length;
    uint8_t *message;
};

struct dns {
    const char *path; /* of resolv.conf */
    uint64_t read_at; /* milliseconds; 0: never */
    struct sockaddr_storage resolvers[DNS_RESOLVERS];
    unsigned resolver_count;
    unsigned active;
    struct dns_query queries[DNS_QUERIES];
    uint64_t forwarded;
    uint64_t failed;
};

void dns_initialize(struct dns *dns, const char *path);

/* A datagram of a child to the gateway's port 53. */
void dns_input(const struct ipv4_packet *packet);

/* The first resolver's address and port. False: the parent has none. `now` in milliseconds. */
bool dns_resolver(struct dns *dns, uint64_t now, struct sockaddr_storage *address, socklen_t *length);

/* Reads the lines of a resolv.conf. */
void dns_parse_resolvers(struct dns *dns, char *text);

/* Once a second: asks the next resolver where one does not answer. */
void dns_tick(struct vswitch *vswitch);

void dns_port_closed(struct port *port);

#endif
