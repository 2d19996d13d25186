/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a connection or session of a child's is known by. */
#ifndef NET_FLOW_KEY_H
#define NET_FLOW_KEY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FLOW_KEY_HASH_BITS 10u
#define FLOW_KEY_BUCKETS   (1u << FLOW_KEY_HASH_BITS)
/* Ports of the gateway's that are tried for a client of a forwarded port. */
#define FLOW_KEY_SUBSTITUTES 16u

/* Addresses and ports as the child sees them, in network order. No padding. */
struct flow_key {
    in_addr_t child;
    in_addr_t remote;
    in_port_t child_port;
    in_port_t remote_port;
};

/* Random and odd, so that children cannot choose keys that all fall into one bucket. */
struct flow_key_seed {
    uint64_t addresses;
    uint64_t ports;
};

void flow_key_seed(struct flow_key_seed *seed);

static inline bool flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* Below FLOW_KEY_BUCKETS: the upper bits of a sum of products. */
static inline unsigned flow_key_hash(const struct flow_key *key, const struct flow_key_seed *seed)
{
    uint64_t addresses = (uint64_t)key->child << 32 | key->remote;
    uint64_t ports = (uint64_t)key->child_port << 16 | key->remote_port;
    return (unsigned)((addresses * seed->addresses + ports * seed->ports) >> (64 - FLOW_KEY_HASH_BITS));
}

/* The port, never a privileged one, under which the gateway stands for a client, at the so-manieth attempt.
 */
in_port_t flow_key_substitute(in_port_t client_port, unsigned attempt);

#endif
