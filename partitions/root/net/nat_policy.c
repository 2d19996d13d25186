/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/nat_policy.h"

#include <arpa/inet.h>
#include <errno.h>

#include "partitions/root/net/host_network.h"
#include "partitions/root/net/packet.h"
#include "partitions/root/net/vswitch.h"

enum nat_verdict nat_policy(const struct vswitch *vswitch, in_addr_t destination, in_addr_t *actual)
{
    const enum nat_verdict own = vswitch->allow_host ? NAT_ALLOWED : NAT_REFUSED;
    const uint32_t address = ntohl(destination);
    *actual = destination;
    if (destination == vswitch->subnet.gateway) {
        *actual = htonl(INADDR_LOOPBACK);
        return own;
    }
    if (subnet_contains(&vswitch->subnet, destination))
        return NAT_HOST_UNREACHABLE;
    if (address >> 24 == IN_LOOPBACKNET)
        return own;
    /* "This host" (to Linux, loopback), link-local, which no router forwards (RFC 3927, 7), groups, reserved.
     */
    if (address >> 24 == 0 || address >> 16 == 0xA9FE || address >= 0xE0000000)
        return NAT_PROHIBITED;
    switch (host_network_route(destination)) {
    case HOST_ROUTE_OUTSIDE:
        return NAT_ALLOWED;
    case HOST_ROUTE_OWN:
        return own;
    case HOST_ROUTE_NONE:
        return NAT_NETWORK_UNREACHABLE;
    case HOST_ROUTE_UNREACHABLE:
        return NAT_HOST_UNREACHABLE;
    default:
        return NAT_PROHIBITED;
    }
}

enum nat_verdict nat_policy_from_error(int error)
{
    switch (error) {
    case ENETUNREACH:
    case ENETDOWN:
        return NAT_NETWORK_UNREACHABLE;
    case EHOSTUNREACH:
    case EHOSTDOWN:
        return NAT_HOST_UNREACHABLE;
    case EACCES:
    case EPERM:
        return NAT_PROHIBITED;
    default:
        return NAT_REFUSED;
    }
}

uint8_t nat_policy_icmp_code(enum nat_verdict verdict)
{
    switch (verdict) {
    case NAT_NETWORK_UNREACHABLE:
        return ICMP_CODE_NETWORK;
    case NAT_HOST_UNREACHABLE:
        return ICMP_CODE_HOST;
    case NAT_PROHIBITED:
        return ICMP_CODE_PROHIBITED;
    default:
        return ICMP_CODE_PORT;
    }
}

bool nat_policy_new_flow(struct port *port)
{
    const struct vswitch *vswitch = port->vswitch;
    if (rate_limit_take(&port->new_flows, vswitch->loop.now, vswitch->limits.rate, vswitch->limits.rate * 2))
        return true;
    port->counters.limited++;
    return false;
}

bool nat_policy_presentable(const struct vswitch *vswitch, in_addr_t client)
{
    return ntohl(client) >> 24 != IN_LOOPBACKNET && !subnet_contains(&vswitch->subnet, client);
}
