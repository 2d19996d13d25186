/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/flow_key.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/random.h>

#define FIRST_UNPRIVILEGED_PORT 1024u
#define FIRST_EPHEMERAL_PORT    49152u

void flow_key_seed(struct flow_key_seed *seed)
{
    if (getrandom(seed, sizeof(*seed), 0) != sizeof(*seed))
        *seed =
            (struct flow_key_seed){(uint64_t)random() << 32 | (uint64_t)random(), (uint64_t)random() << 32};
    seed->addresses |= 1;
    seed->ports |= 1;
}

in_port_t flow_key_substitute(in_port_t client_port, unsigned attempt)
{
    uint16_t port = (uint16_t)(ntohs(client_port) + attempt);
    if (port < FIRST_UNPRIVILEGED_PORT)
        port = (uint16_t)(port + FIRST_EPHEMERAL_PORT);
    return htons(port);
}
