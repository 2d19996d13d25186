/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/net/host_network.h"
#include "partitions/root/net/port_holder.h"
#include "partitions/root/net/vswitch.h"

/* Connections or datagrams taken in a row before other sources have their turn. */
#define BATCH 16u

static const char *protocol_name(int protocol)
{
    return protocol == IPPROTO_TCP ? "tcp" : "udp";
}

/* "1" to "65535" and nothing behind; 0 if it is not. In network order. */
static in_port_t parse_port(const char *text)
{
    char *end;
    if (*text < '0' || *text > '9')
        return 0;
    unsigned long port = strtoul(text, &end, 10);
    return *end || port > 65535 ? 0 : htons((uint16_t)port);
}

bool forward_parse(const char *text, struct forward_rule *rule, char *error, size_t error_size)
{
    char copy[FORWARD_TEXT_SIZE];
    char *fields[6];
    unsigned count = 0;
    *rule = (struct forward_rule){.host = INADDR_ANY};
    if (strlen(text) < sizeof(copy)) {
        strcpy(copy, text);
        char *rest = copy;
        while (rest && count < 6)
            fields[count++] = strsep(&rest, ":");
    }
    if (count == 4 || count == 5) {
        const char *child = fields[count - 2];
        rule->protocol = strcmp(fields[0], "tcp") == 0   ? IPPROTO_TCP
                         : strcmp(fields[0], "udp") == 0 ? IPPROTO_UDP
                                                         : 0;
        rule->host_port = parse_port(fields[count - 3]);
        rule->child_port = parse_port(fields[count - 1]);
        rule->by_mac = mac_parse(child, &rule->mac);
        if (rule->protocol && rule->host_port && rule->child_port &&
            (rule->by_mac || inet_pton(AF_INET, child, &rule->child) == 1) &&
            (count == 4 || inet_pton(AF_INET, fields[1], &rule->host) == 1))
            return true;
    }
    snprintf(error, error_size, "'%s' is not a forward: write it as tcp:8080:192.168.100.2:80", text);
    return false;
}

void forward_format(const struct forward_rule *rule, char text[FORWARD_TEXT_SIZE])
{
    char host[INET_ADDRSTRLEN + 1] = "", child[INET_ADDRSTRLEN + 2];
    if (rule->host != INADDR_ANY) {
        inet_ntop(AF_INET, &rule->host, host, INET_ADDRSTRLEN);
        strcat(host, ":");
    }
    if (rule->by_mac)
        snprintf(child, sizeof(child), MAC_FORMAT, MAC_ARGUMENTS(rule->mac));
    else
        inet_ntop(AF_INET, &rule->child, child, sizeof(child));
    snprintf(text, FORWARD_TEXT_SIZE, "%s:%s%u:%s:%u", protocol_name(rule->protocol), host,
             ntohs(rule->host_port), child, ntohs(rule->child_port));
}

/* Where the child is now; 0 if that is not known. */
static in_addr_t child_address(const struct forward *forward)
{
    if (!forward->rule.by_mac)
        return forward->rule.child;
    const struct lease *lease = lease_find(&forward->vswitch->leases, &forward->rule.mac);
    return lease ? lease->address : 0;
}

static void accept_connections(struct forward *forward)
{
    for (unsigned i = 0; i < BATCH; i++) {
        struct sockaddr_in client = {0};
        socklen_t length = sizeof(client);
        int descriptor = accept4(forward->source.descriptor, (struct sockaddr *)&client, &length,
                                 SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                forward->paused = true;
                event_loop_change(&forward->vswitch->loop, &forward->source, 0);
            }
            return;
        }
        forward->connections++;
        in_addr_t child = child_address(forward);
        if (child)
            nat_tcp_accept_forwarded(forward->vswitch, descriptor, &client, child, forward->rule.child_port);
        else
            close(descriptor);
    }
}

static void receive_datagrams(struct forward *forward)
{
    static uint8_t payload[65536];
    for (unsigned i = 0; i < BATCH; i++) {
        struct sockaddr_in client = {0};
        socklen_t length = sizeof(client);
        ssize_t received = recvfrom(forward->source.descriptor, payload, sizeof(payload), MSG_DONTWAIT,
                                    (struct sockaddr *)&client, &length);
        if (received < 0)
            return;
        forward->connections++;
        in_addr_t child = child_address(forward);
        if (child)
            nat_udp_forwarded(forward, &client, child, forward->rule.child_port, payload, (size_t)received);
    }
}

static void on_event(void *owner, uint32_t events)
{
    struct forward *forward = owner;
    (void)events;
    if (forward->rule.protocol == IPPROTO_TCP)
        accept_connections(forward);
    else
        receive_datagrams(forward);
}

static struct forward **find(struct vswitch *vswitch, int protocol, in_addr_t host, in_port_t host_port)
{
    struct forward **link = &vswitch->forwards;
    while (*link && ((*link)->rule.protocol != protocol || (*link)->rule.host != host ||
                     (*link)->rule.host_port != host_port))
        link = &(*link)->next;
    return link;
}

/* Whether a socket that somebody opened for us is what the rule needs. */
static bool adopt(int descriptor, const struct forward_rule *rule)
{
    struct sockaddr_in name = {0};
    socklen_t name_length = sizeof(name), length = sizeof(int);
    int kind = 0, listening = 0;
    const bool tcp = rule->protocol == IPPROTO_TCP;
    if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &kind, &length) != 0 ||
        kind != (tcp ? SOCK_STREAM : SOCK_DGRAM) ||
        getsockname(descriptor, (struct sockaddr *)&name, &name_length) != 0 || name.sin_family != AF_INET ||
        name.sin_port != rule->host_port || name.sin_addr.s_addr != rule->host)
        return false;
    if (tcp && (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0 || !listening))
        return false;
    int flags = fcntl(descriptor, F_GETFL);
    return flags >= 0 && fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0;
}

static void explain(const struct forward_rule *rule, int failure, char *error, size_t error_size)
{
    const unsigned port = ntohs(rule->host_port);
    const char *protocol = rule->protocol == IPPROTO_TCP ? "TCP" : "UDP";
    char holder[PORT_HOLDER_TEXT];
    if (failure == EADDRINUSE && port_holder_describe(rule->protocol, rule->host, rule->host_port, holder))
        snprintf(error, error_size, "%s port %u is in use by %s", protocol, port, holder);
    else if (failure == EACCES)
        snprintf(error, error_size, "%s port %u: opening ports below 1024 takes privilege", protocol, port);
    else if (failure == EADDRNOTAVAIL)
        snprintf(error, error_size, "the parent does not have this address");
    else
        snprintf(error, error_size, "%s port %u: %s", protocol, port, strerror(failure));
}

bool forward_add(struct vswitch *vswitch, const struct forward_rule *rule, int descriptor, char *error,
                 size_t error_size)
{
    struct forward *forward = NULL;
    unsigned count = 0;
    for (const struct forward *other = vswitch->forwards; other; other = other->next)
        count++;
    if (*find(vswitch, rule->protocol, rule->host, rule->host_port))
        snprintf(error, error_size, "%s port %u is already forwarded", protocol_name(rule->protocol),
                 ntohs(rule->host_port));
    else if (!rule->by_mac && !subnet_is_host(&vswitch->subnet, rule->child))
        snprintf(error, error_size, "the child's address is not in the switch's network");
    else if (count >= FORWARD_MAXIMUM)
        snprintf(error, error_size, "a switch has at most %u forwards", FORWARD_MAXIMUM);
    else if (descriptor >= 0 && !adopt(descriptor, rule))
        snprintf(error, error_size, "the socket given is not bound to this port");
    else
        forward = calloc(1, sizeof(*forward));
    if (!forward) {
        if (descriptor >= 0)
            close(descriptor);
        return false;
    }
    if (descriptor < 0)
        descriptor = host_network_listen(rule->protocol, rule->host, rule->host_port);
    if (descriptor < 0) {
        explain(rule, -descriptor, error, error_size);
        free(forward);
        return false;
    }
    *forward = (struct forward){.vswitch = vswitch, .rule = *rule, .next = vswitch->forwards};
    int failure = event_loop_add(&vswitch->loop, &forward->source, descriptor, EPOLLIN, on_event, forward);
    if (failure) {
        explain(rule, failure, error, error_size);
        close(descriptor);
        free(forward);
        return false;
    }
    vswitch->forwards = forward;
    return true;
}

bool forward_remove(struct vswitch *vswitch, int protocol, in_addr_t host, in_port_t host_port)
{
    struct forward **link = find(vswitch, protocol, host, host_port);
    struct forward *forward = *link;
    if (!forward)
        return false;
    *link = forward->next;
    nat_udp_forward_removed(forward);
    event_loop_remove(&vswitch->loop, &forward->source);
    close(forward->source.descriptor);
    free(forward);
    return true;
}

void forward_tick(struct vswitch *vswitch)
{
    for (struct forward *forward = vswitch->forwards; forward; forward = forward->next) {
        if (!forward->paused)
            continue;
        forward->paused = false;
        event_loop_change(&vswitch->loop, &forward->source, EPOLLIN);
    }
}
