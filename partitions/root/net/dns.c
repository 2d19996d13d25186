/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "partitions/root/net/host_network.h"
#include "partitions/root/net/ipv4_output.h"
#include "partitions/root/net/nat_policy.h"
#include "partitions/root/net/vswitch.h"

#define DNS_PORT       53
#define DNS_HEADER     12u  /* RFC 1035, 4.1.1 */
#define FLAG_RESPONSE  0x80 /* byte 2 */
#define FLAG_RECURSION 0x80 /* byte 3: available */
#define SERVER_FAILURE 2
/* Milliseconds for which what was read from resolv.conf holds. */
#define REREAD_INTERVAL 2000u
#define FILE_MAXIMUM    65536u

void dns_initialize(struct dns *dns, const char *path)
{
    *dns = (struct dns){.path = path};
}

void dns_parse_resolvers(struct dns *dns, char *text)
{
    dns->resolver_count = 0;
    for (char *line = strsep(&text, "\n"); line && dns->resolver_count < DNS_RESOLVERS;
         line = strsep(&text, "\n")) {
        char address[INET6_ADDRSTRLEN];
        if (sscanf(line, " nameserver %45s", address) != 1)
            continue;
        struct sockaddr_storage *resolver = &dns->resolvers[dns->resolver_count];
        struct sockaddr_in *ipv4 = (struct sockaddr_in *)resolver;
        struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)resolver;
        memset(resolver, 0, sizeof(*resolver));
        if (inet_pton(AF_INET, address, &ipv4->sin_addr) == 1) {
            ipv4->sin_family = AF_INET;
            ipv4->sin_port = htons(DNS_PORT);
        } else if (inet_pton(AF_INET6, address, &ipv6->sin6_addr) == 1) {
            ipv6->sin6_family = AF_INET6;
            ipv6->sin6_port = htons(DNS_PORT);
        } else {
            continue;
        }
        dns->resolver_count++;
    }
}

static void read_resolvers(struct dns *dns, uint64_t now)
{
    if (dns->read_at && now - dns->read_at < REREAD_INTERVAL)
        return;
    FILE *file = fopen(dns->path, "re");
    char *text = malloc(FILE_MAXIMUM + 1);
    if (file && text) {
        text[fread(text, 1, FILE_MAXIMUM, file)] = '\0';
        dns_parse_resolvers(dns, text);
    } /* else those known from before are the best guess */
    dns->read_at = now;
    free(text);
    if (file)
        fclose(file);
}

static socklen_t address_length(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

bool dns_resolver(struct dns *dns, uint64_t now, struct sockaddr_storage *address, socklen_t *length)
{
    read_resolvers(dns, now);
    if (!dns->resolver_count)
        return false;
    *address = dns->resolvers[0];
    *length = address_length(address);
    return true;
}

static void close_socket(struct dns_query *query)
{
    if (query->source.descriptor < 0)
        return;
    event_loop_remove(&query->vswitch->loop, &query->source);
    close(query->source.descriptor);
    query->source.descriptor = -1;
}

static void end_query(struct dns_query *query)
{
    close_socket(query);
    free(query->message);
    query->vswitch->dns.active--;
    query->port = NULL;
}

static void answer(const struct dns_query *query, const void *message, size_t length)
{
    const struct udp_path path = {
        .source = query->vswitch->subnet.gateway,
        .destination = query->child,
        .source_port = htons(DNS_PORT),
        .destination_port = query->child_port,
    };
    ipv4_output_udp(query->vswitch, &path, message, length);
}

/* Nobody knows: the query comes back with that status, so that the child need not wait. */
static void give_up(struct dns_query *query)
{
    query->vswitch->dns.failed++;
    query->message[2] |= FLAG_RESPONSE;
    query->message[3] = FLAG_RECURSION | SERVER_FAILURE;
    answer(query, query->message, query->length);
    end_query(query);
}

static void on_event(void *owner, uint32_t events);

/* Asks the next resolver that can be asked. */
static void ask(struct dns_query *query)
{
    struct dns *dns = &query->vswitch->dns;
    close_socket(query);
    while (dns->resolver_count && query->attempts < DNS_ATTEMPTS) {
        const struct sockaddr_storage *resolver = &dns->resolvers[query->attempts++ % dns->resolver_count];
        int descriptor =
            host_network_connect_udp((const struct sockaddr *)resolver, address_length(resolver));
        if (descriptor < 0)
            continue;
        if (send(descriptor, query->message, query->length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ||
            event_loop_add(&query->vswitch->loop, &query->source, descriptor, EPOLLIN, on_event, query) !=
                0) {
            close(descriptor);
            query->source.descriptor = -1;
            continue;
        }
        query->deadline = query->vswitch->loop.now + DNS_TIMEOUT;
        return;
    }
    give_up(query);
}

static void on_event(void *owner, uint32_t events)
{
    static uint8_t message[65536];
    struct dns_query *query = owner;
    (void)events; /* an error is reported by reading */
    ssize_t length = recv(query->source.descriptor, message, sizeof(message), MSG_DONTWAIT);
    if (length < 0) {
        if (errno != EAGAIN && errno != EINTR)
            ask(query);
        return;
    }
    if (length < (ssize_t)DNS_HEADER || memcmp(message, query->message, 2) != 0 ||
        !(message[2] & FLAG_RESPONSE))
        return; /* not the answer */
    answer(query, message, (size_t)length);
    end_query(query);
}

static struct dns_query *free_query(struct dns *dns)
{
    struct dns_query *oldest = &dns->queries[0];
    for (unsigned i = 0; i < DNS_QUERIES; i++) {
        struct dns_query *query = &dns->queries[i];
        if (!query->port)
            return query;
        if (query->deadline < oldest->deadline)
            oldest = query;
    }
    dns->failed++;
    end_query(oldest);
    return oldest;
}

void dns_input(const struct ipv4_packet *packet)
{
    struct port *port = packet->port;
    struct vswitch *vswitch = port->vswitch;
    const struct udp_header *udp = packet->transport;
    size_t length = ntohs(udp->length) - sizeof(*udp);
    if (length < DNS_HEADER || length > PACKET_UDP_PAYLOAD) {
        port->counters.malformed++;
        return;
    }
    if (!nat_policy_new_flow(port))
        return;
    uint8_t *message = malloc(length);
    if (!message)
        return;
    size_t offset = (size_t)((const uint8_t *)(udp + 1) - (const uint8_t *)packet->header);
    pbuf_copy_partial(packet->pbuf, message, (u16_t)length, (u16_t)offset);

    read_resolvers(&vswitch->dns, vswitch->loop.now);
    struct dns_query *query = free_query(&vswitch->dns);
    *query = (struct dns_query){
        .vswitch = vswitch,
        .port = port,
        .source = {.descriptor = -1},
        .child = packet->header->source,
        .child_port = udp->source_port,
        .length = (uint16_t)length,
        .message = message,
    };
    vswitch->dns.active++;
    vswitch->dns.forwarded++;
    ask(query);
}

void dns_tick(struct vswitch *vswitch)
{
    for (unsigned i = 0; i < DNS_QUERIES && vswitch->dns.active; i++) {
        struct dns_query *query = &vswitch->dns.queries[i];
        if (query->port && query->deadline <= vswitch->loop.now)
            ask(query);
    }
}

void dns_port_closed(struct port *port)
{
    struct dns *dns = &port->vswitch->dns;
    for (unsigned i = 0; i < DNS_QUERIES && dns->active; i++)
        if (dns->queries[i].port == port)
            end_query(&dns->queries[i]);
}
