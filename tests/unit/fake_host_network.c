/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/fake_host_network.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct fake_peer fake_peers[FAKE_PEERS];
enum host_route fake_route = HOST_ROUTE_OUTSIDE;
int fake_connect_error;
unsigned fake_connects;
static unsigned newest;

int host_network_initialize(void)
{
    return 0;
}

enum host_route host_network_route(in_addr_t address)
{
    (void)address;
    return fake_route;
}

/* A pair, whose far end takes the place of the oldest one when there are too many. */
static int make_pair(int protocol, int type, const struct sockaddr *address, socklen_t length)
{
    int pair[2];
    fake_connects++;
    if (fake_connect_error)
        return -fake_connect_error;
    if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return -errno;
    newest = (newest + 1) % FAKE_PEERS;
    struct fake_peer *peer = &fake_peers[newest];
    if (peer->protocol)
        close(peer->descriptor);
    *peer = (struct fake_peer){.protocol = protocol, .descriptor = pair[1]};
    if (address)
        memcpy(&peer->address, address, length < sizeof(peer->address) ? length : sizeof(peer->address));
    return pair[0];
}

int host_network_connect_tcp(const struct sockaddr *address, socklen_t length)
{
    return make_pair(IPPROTO_TCP, SOCK_STREAM, address, length);
}

int host_network_connect_udp(const struct sockaddr *address, socklen_t length)
{
    return make_pair(IPPROTO_UDP, SOCK_DGRAM, address, length);
}

int host_network_listen(int protocol, in_addr_t address, in_port_t port)
{
    (void)address;
    (void)port;
    return make_pair(protocol, SOCK_DGRAM, NULL, 0); /* nobody ever connects to it */
}

int host_network_open_echo(void)
{
    return make_pair(IPPROTO_ICMP, SOCK_DGRAM, NULL, 0);
}

int host_network_adopt_echo(int descriptor)
{
    (void)descriptor;
    return 0;
}

struct fake_peer *fake_newest_peer(int protocol)
{
    for (unsigned i = 0; i < FAKE_PEERS; i++) {
        struct fake_peer *peer = &fake_peers[(newest + FAKE_PEERS - i) % FAKE_PEERS];
        if (peer->protocol == protocol)
            return peer;
    }
    return NULL;
}

void fake_reset(void)
{
    for (unsigned i = 0; i < FAKE_PEERS; i++)
        if (fake_peers[i].protocol)
            close(fake_peers[i].descriptor);
    memset(fake_peers, 0, sizeof(fake_peers));
    fake_route = HOST_ROUTE_OUTSIDE;
    fake_connect_error = 0;
    fake_connects = 0;
}
