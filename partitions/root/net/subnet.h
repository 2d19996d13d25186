/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IPv4 network behind a NAT switch. Addresses are in network order. */
#ifndef NET_SUBNET_H
#define NET_SUBNET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUBNET_MINIMUM_PREFIX 16u
#define SUBNET_MAXIMUM_PREFIX 29u
#define SUBNET_TEXT_SIZE      24

struct subnet {
    in_addr_t network;
    in_addr_t mask;
    in_addr_t broadcast;
    in_addr_t gateway; /* the first address */
};

/* "A.B.C.D/NN" with no bit set behind the prefix. False, with a message, if it is not, or not a usable
 * network. */
bool subnet_parse(const char *text, struct subnet *subnet, char *error, size_t error_size);

void subnet_format(const struct subnet *subnet, char text[SUBNET_TEXT_SIZE]);

/*
 * Chooses a network that none of the parent's routes leads to. `routes` is the text of /proc/net/route. A
 * default route, or halves and quarters of it as some VPNs set them, do not count. False if nothing is left.
 */
bool subnet_choose(const char *routes, struct subnet *subnet);

static inline bool subnet_contains(const struct subnet *subnet, in_addr_t address)
{
    return (address & subnet->mask) == subnet->network;
}

/* An address that a child may have: in the network, and not the gateway's nor one of the two special ones. */
static inline bool subnet_is_host(const struct subnet *subnet, in_addr_t address)
{
    return subnet_contains(subnet, address) && address != subnet->network && address != subnet->broadcast &&
           address != subnet->gateway;
}

#endif
