/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/host_network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/icmp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static int netlink = -1;

int host_network_initialize(void)
{
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (netlink < 0 || connect(netlink, (const struct sockaddr *)&kernel, sizeof(kernel)) != 0)
        return errno;
    return 0;
}

static enum host_route from_route_type(unsigned type)
{
    switch (type) {
    case RTN_UNICAST:
        return HOST_ROUTE_OUTSIDE;
    case RTN_LOCAL:
        return HOST_ROUTE_OWN;
    case RTN_BROADCAST:
    case RTN_ANYCAST:
    case RTN_MULTICAST:
        return HOST_ROUTE_GROUP;
    case RTN_PROHIBIT:
        return HOST_ROUTE_PROHIBITED;
    default:
        return HOST_ROUTE_UNREACHABLE;
    }
}

static enum host_route from_error(int error)
{
    switch (error) {
    case ENETUNREACH:
        return HOST_ROUTE_NONE;
    case EACCES:
        return HOST_ROUTE_PROHIBITED;
    default:
        return HOST_ROUTE_UNREACHABLE;
    }
}

enum host_route host_network_route(in_addr_t address)
{
    static uint32_t sequence;
    struct {
        struct nlmsghdr header;
        struct rtmsg route;
        struct rtattr attribute;
        in_addr_t destination;
    } request = {
        .header = {.nlmsg_len = sizeof(request),
                   .nlmsg_type = RTM_GETROUTE,
                   .nlmsg_flags = NLM_F_REQUEST,
                   .nlmsg_seq = ++sequence},
        .route = {.rtm_family = AF_INET,      .rtm_dst_len = 32 },
        .attribute = {.rta_len = RTA_LENGTH(sizeof(in_addr_t)),      .rta_type = RTA_DST},
        .destination = address,
    };
    union {
        struct nlmsghdr header;
        char bytes[4096];
    } reply;

    /* The kernel answers before send() returns. */
    if (send(netlink, &request, sizeof(request), 0) != sizeof(request))
        return HOST_ROUTE_NONE;
    ssize_t length;
    do
        length = recv(netlink, &reply, sizeof(reply), MSG_DONTWAIT);
    while (length > 0 && reply.header.nlmsg_seq != sequence);

    if (length >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) && reply.header.nlmsg_type == NLMSG_ERROR)
        return from_error(-((const struct nlmsgerr *)NLMSG_DATA(&reply.header))->error);
    if (length < (ssize_t)NLMSG_LENGTH(sizeof(struct rtmsg)) || reply.header.nlmsg_type != RTM_NEWROUTE)
        return HOST_ROUTE_NONE;
    return from_route_type(((const struct rtmsg *)NLMSG_DATA(&reply.header))->rtm_type);
}

/* Closes and gives the error of the call that failed. */
static int fail(int descriptor)
{
    int error = errno;
    close(descriptor);
    return -error;
}

int host_network_connect_tcp(const struct sockaddr *address, socklen_t length)
{
    int descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -errno;
    /* The child's own stack decides when small segments wait. */
    const int on = 1;
    if (setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
        return fail(descriptor);
    if (connect(descriptor, address, length) != 0 && errno != EINPROGRESS)
        return fail(descriptor);
    return descriptor;
}

int host_network_connect_udp(const struct sockaddr *address, socklen_t length)
{
    int descriptor = socket(address->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -errno;
    const int on = 1, fragment = IP_PMTUDISC_DONT;
    if (address->sa_family == AF_INET &&
        (setsockopt(descriptor, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)) != 0 ||
         setsockopt(descriptor, IPPROTO_IP, IP_MTU_DISCOVER, &fragment, sizeof(fragment)) != 0))
        return fail(descriptor);
    if (connect(descriptor, address, length) != 0)
        return fail(descriptor);
    return descriptor;
}

int host_network_listen(int protocol, in_addr_t address, in_port_t port)
{
    const struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = address, .sin_port = port};
    const bool tcp = protocol == IPPROTO_TCP;
    int descriptor =
        socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (descriptor < 0)
        return -errno;
    const int on = 1;
    /* For TCP: a port with old connections in TIME-WAIT can be had again. For UDP it would mean sharing the
     * port. */
    if (tcp && setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return fail(descriptor);
    if (bind(descriptor, (const struct sockaddr *)&name, sizeof(name)) != 0 ||
        (tcp && listen(descriptor, 128) != 0))
        return fail(descriptor);
    return descriptor;
}

int host_network_adopt_echo(int descriptor)
{
    int protocol = 0;
    socklen_t length = sizeof(protocol);
    if (getsockopt(descriptor, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) != 0)
        return errno;
    int kind = 0;
    length = sizeof(kind);
    if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &kind, &length) != 0)
        return errno;
    if (protocol != IPPROTO_ICMP || (kind != SOCK_DGRAM && kind != SOCK_RAW))
        return EPROTOTYPE;
    const int on = 1;
    if (setsockopt(descriptor, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)) != 0)
        return errno;
    /* A raw socket sees all of the parent's ICMP: only echo replies are of interest. */
    const struct icmp_filter filter = {.data = ~(1u << ICMP_ECHOREPLY)};
    if (kind == SOCK_RAW && setsockopt(descriptor, SOL_RAW, ICMP_FILTER, &filter, sizeof(filter)) != 0)
        return errno;
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0)
        return errno;
    return 0;
}

int host_network_open_echo(void)
{
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (descriptor < 0)
        descriptor = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (descriptor < 0)
        return -errno;
    int error = host_network_adopt_echo(descriptor);
    if (error) {
        close(descriptor);
        return -error;
    }
    return descriptor;
}
