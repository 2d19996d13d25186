/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/control.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/net/host_network.h"
#include "partitions/root/net/vswitch.h"

#define TEXT_SIZE 256

struct control_client {
    struct control *control;
    struct event_source source;
    char request[CONTROL_REQUEST];
    size_t request_length;
    int passed;  /* a descriptor for the request that is being read, or -1 */
    char *reply; /* what is still to be written */
    size_t reply_length;
    size_t reply_written;
};

static json_t *failure(const char *format, ...) __attribute__((format(printf, 1, 2)));

static json_t *failure(const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return json_pack("{s:i,s:s,s:s}", "version", CONTROL_VERSION, "status", "error", "error", text);
}

static json_t *success(void)
{
    return json_pack("{s:i,s:s}", "version", CONTROL_VERSION, "status", "ok");
}

static json_t *address_json(in_addr_t address)
{
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &address, text, sizeof(text));
    return json_string(text);
}

static json_t *mac_json(const struct mac_address *mac)
{
    return json_sprintf(MAC_FORMAT, MAC_ARGUMENTS(*mac));
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *port_addresses(const struct port *port)
{
    json_t *list = json_array();
    const struct neighbour_table *table = &port->vswitch->neighbours;
    for (unsigned i = 0; i < NEIGHBOUR_MAXIMUM; i++)
        if (table->entries[i].port == port)
            json_array_append_new(list, address_json(table->entries[i].address));
    return list;
}

static json_t *port_json(const struct port *port)
{
    const struct port_counters *counters = &port->counters;
    return json_pack(
        "{s:s,s:o,s:o,s:i,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "name", port->name, "mac",
        mac_json(&port->mac), "addresses", port_addresses(port), "tcp_connections", (int)port->tcp_flow_count,
        "udp_sessions", (int)port->udp_session_count, "received_frames", number(counters->received_frames),
        "received_bytes", number(counters->received_bytes), "sent_frames", number(counters->sent_frames),
        "sent_bytes", number(counters->sent_bytes), "dropped_spoofed", number(counters->spoofed),
        "dropped_malformed", number(counters->malformed), "dropped_unknown", number(counters->unknown),
        "dropped_congested", number(counters->congested), "dropped_limited", number(counters->limited));
}

static json_t *lease_json(const struct vswitch *vswitch, const struct lease *lease)
{
    uint64_t now = vswitch->loop.now / 1000;
    return json_pack("{s:o,s:o,s:o}", "mac", mac_json(&lease->mac), "address", address_json(lease->address),
                     "seconds", number(lease->expires > now ? lease->expires - now : 0));
}

static json_t *forward_json(const struct forward *forward)
{
    const struct forward_rule *rule = &forward->rule;
    json_t *child = rule->by_mac ? mac_json(&rule->mac) : address_json(rule->child);
    return json_pack("{s:s,s:o,s:i,s:o,s:i,s:o}", "protocol", rule->protocol == IPPROTO_TCP ? "tcp" : "udp",
                     "host_address", address_json(rule->host), "host_port", (int)ntohs(rule->host_port),
                     rule->by_mac ? "mac" : "address", child, "port", (int)ntohs(rule->child_port),
                     "connections", number(forward->connections));
}

static json_t *forwards_json(const struct vswitch *vswitch)
{
    json_t *list = json_array();
    for (const struct forward *forward = vswitch->forwards; forward; forward = forward->next)
        json_array_append_new(list, forward_json(forward));
    return list;
}

static json_t *nat_json(const struct vswitch *vswitch)
{
    return json_pack("{s:o,s:i,s:o,s:o,s:i,s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:i}", "dhcp_refused",
                     number(vswitch->dhcp.refused), "tcp_connections", (int)vswitch->tcp.count, "tcp_opened",
                     number(vswitch->tcp.opened), "tcp_refused", number(vswitch->tcp.refused), "udp_sessions",
                     (int)vswitch->udp.count, "udp_opened", number(vswitch->udp.opened), "udp_refused",
                     number(vswitch->udp.refused), "udp_evicted", number(vswitch->udp.evicted), "pings",
                     number(vswitch->icmp.forwarded), "ping_possible", vswitch->icmp.source.descriptor >= 0,
                     "dns_queries", number(vswitch->dns.forwarded), "dns_failed", number(vswitch->dns.failed),
                     "limit", (int)vswitch->limits.flows);
}

static json_t *show(struct vswitch *vswitch, json_t *request, int *descriptor)
{
    (void)request;
    (void)descriptor;
    char subnet[SUBNET_TEXT_SIZE];
    subnet_format(&vswitch->subnet, subnet);
    json_t *ports = json_array(), *leases = json_array();
    for (unsigned i = 0; i < vswitch->port_count; i++)
        if (vswitch->ports[i]->greeted)
            json_array_append_new(ports, port_json(vswitch->ports[i]));
    for (unsigned i = 0; i < vswitch->leases.count; i++)
        json_array_append_new(leases, lease_json(vswitch, &vswitch->leases.leases[i]));
    return json_pack("{s:i,s:s,s:s,s:s,s:s,s:o,s:b,s:s?,s:s,s:i,s:o,s:o,s:o,s:o}", "version", CONTROL_VERSION,
                     "status", "ok", "name", vswitch->name, "type", "NAT", "subnet", subnet, "gateway",
                     address_json(vswitch->subnet.gateway), "allow_host", vswitch->allow_host, "boot_file",
                     vswitch->boot_file, "stack", stack_description(), "process", (int)getpid(), "ports",
                     ports, "leases", leases, "nat", nat_json(vswitch), "forwards", forwards_json(vswitch));
}

/* Reads protocol, host_address (any if left out) and host_port. NULL, or what is wrong. */
static json_t *unpack_host(json_t *request, struct forward_rule *rule)
{
    const char *protocol = NULL, *host = "0.0.0.0";
    int host_port = 0;
    json_error_t error;
    if (json_unpack_ex(request, &error, 0, "{s:s,s?s,s:i}", "protocol", &protocol, "host_address", &host,
                       "host_port", &host_port) != 0)
        return failure("%s", error.text);
    *rule = (struct forward_rule){
        .protocol = strcmp(protocol, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP,
        .host_port = htons((uint16_t)host_port),
    };
    if (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0)
        return failure("protocol must be tcp or udp");
    if (host_port < 1 || host_port > 65535)
        return failure("host_port must be from 1 to 65535");
    if (inet_pton(AF_INET, host, &rule->host) != 1)
        return failure("host_address is not an IPv4 address");
    return NULL;
}

static json_t *forward_add_request(struct vswitch *vswitch, json_t *request, int *descriptor)
{
    struct forward_rule rule;
    json_t *wrong = unpack_host(request, &rule);
    if (wrong)
        return wrong;
    const char *address = NULL, *mac = NULL;
    int port = 0;
    json_error_t error;
    if (json_unpack_ex(request, &error, 0, "{s?s,s?s,s:i}", "address", &address, "mac", &mac, "port",
                       &port) != 0)
        return failure("%s", error.text);
    if (port < 1 || port > 65535)
        return failure("port must be from 1 to 65535");
    if (!address == !mac)
        return failure("give either address or mac");
    rule.child_port = htons((uint16_t)port);
    rule.by_mac = mac != NULL;
    if (mac && !mac_parse(mac, &rule.mac))
        return failure("mac must be written as 00-15-5D-01-02-03");
    if (address && inet_pton(AF_INET, address, &rule.child) != 1)
        return failure("address is not an IPv4 address");

    char text[TEXT_SIZE];
    int given = *descriptor;
    *descriptor = -1;
    return forward_add(vswitch, &rule, given, text, sizeof(text)) ? success() : failure("%s", text);
}

static json_t *forward_remove_request(struct vswitch *vswitch, json_t *request, int *descriptor)
{
    (void)descriptor;
    struct forward_rule rule;
    json_t *wrong = unpack_host(request, &rule);
    if (wrong)
        return wrong;
    if (!forward_remove(vswitch, rule.protocol, rule.host, rule.host_port))
        return failure("this port is not forwarded");
    return success();
}

static json_t *forward_list_request(struct vswitch *vswitch, json_t *request, int *descriptor)
{
    (void)request;
    (void)descriptor;
    return json_pack("{s:i,s:s,s:o}", "version", CONTROL_VERSION, "status", "ok", "forwards",
                     forwards_json(vswitch));
}

static json_t *echo_socket_request(struct vswitch *vswitch, json_t *request, int *descriptor)
{
    (void)request;
    if (*descriptor < 0)
        return failure("no socket came with the request");
    int error = host_network_adopt_echo(*descriptor);
    if (!error) {
        error = nat_icmp_set_socket(vswitch, *descriptor);
        if (!error)
            *descriptor = -1;
    }
    return error ? failure("the socket given cannot send pings: %s", strerror(error)) : success();
}

static json_t *shutdown_request(struct vswitch *vswitch, json_t *request, int *descriptor)
{
    (void)request;
    (void)descriptor;
    vswitch->stop = true;
    return success();
}

/* A handler that keeps the descriptor sets it to -1. */
static const struct {
    const char *name;
    json_t *(*handle)(struct vswitch *vswitch, json_t *request, int *descriptor);
} requests[] = {
    {"show",           show                  },
    {"forward-add",    forward_add_request   },
    {"forward-remove", forward_remove_request},
    {"forward-list",   forward_list_request  },
    {"echo-socket",    echo_socket_request   },
    {"shutdown",       shutdown_request      },
};

static json_t *dispatch(struct vswitch *vswitch, const char *text, int *descriptor)
{
    json_error_t error;
    json_t *request = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!request)
        return failure("not JSON: %s (column %d)", error.text, error.column);
    int version = 0;
    const char *name = NULL;
    json_t *reply = NULL;
    if (json_unpack_ex(request, &error, 0, "{s:i,s:s}", "version", &version, "request", &name) != 0)
        reply = failure("%s", error.text);
    else if (version != CONTROL_VERSION)
        reply = failure("version %d is not supported, only %d", version, CONTROL_VERSION);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]) && !reply; i++)
        if (strcmp(name, requests[i].name) == 0)
            reply = requests[i].handle(vswitch, request, descriptor);
    if (!reply)
        reply = failure("unknown request '%.64s'", name);
    json_decref(request);
    return reply;
}

char *control_execute(struct vswitch *vswitch, const char *request, int descriptor)
{
    json_t *reply = dispatch(vswitch, request, &descriptor);
    if (descriptor >= 0)
        close(descriptor);
    char *text = json_dumps(reply, JSON_COMPACT);
    json_decref(reply);
    if (!text)
        return NULL;
    size_t length = strlen(text);
    char *line = realloc(text, length + 2);
    if (!line) {
        free(text);
        return NULL;
    }
    memcpy(line + length, "\n", 2);
    return line;
}

static void close_client(struct control_client *client)
{
    struct control *control = client->control;
    for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
        if (control->clients[i] == client)
            control->clients[i] = NULL;
    event_loop_remove(&control->vswitch->loop, &client->source);
    close(client->source.descriptor);
    if (client->passed >= 0)
        close(client->passed);
    free(client->reply);
    free(client);
}

/* Writes what the socket takes. False: the client is gone. */
static bool write_reply(struct control_client *client)
{
    while (client->reply && client->reply_written < client->reply_length) {
        ssize_t written = send(client->source.descriptor, client->reply + client->reply_written,
                               client->reply_length - client->reply_written, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (written < 0 && errno == EAGAIN) {
            event_loop_change(&client->control->vswitch->loop, &client->source, EPOLLOUT);
            return true;
        }
        if (written < 0)
            return false;
        client->reply_written += (size_t)written;
    }
    free(client->reply);
    client->reply = NULL;
    event_loop_change(&client->control->vswitch->loop, &client->source, EPOLLIN);
    return true;
}

/* Carries out the whole requests in the buffer, one after the other's reply is written. False: the client
 * goes. */
static bool handle_requests(struct control_client *client)
{
    char *end;
    while (!client->reply && (end = memchr(client->request, '\n', client->request_length))) {
        *end = '\0';
        int passed = client->passed;
        client->passed = -1;
        client->reply = control_execute(client->control->vswitch, client->request, passed);
        if (!client->reply)
            return false;
        client->reply_length = strlen(client->reply);
        client->reply_written = 0;
        client->request_length -= (size_t)(end + 1 - client->request);
        memmove(client->request, end + 1, client->request_length);
        if (!write_reply(client))
            return false;
    }
    return client->reply || client->request_length < sizeof(client->request); /* else: a line too long */
}

/* Keeps the descriptor that came along; more than one for a request are not wanted. */
static void take_descriptors(struct control_client *client, struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        if (client->passed >= 0)
            close(client->passed);
        memcpy(&client->passed, CMSG_DATA(part), sizeof(client->passed));
    }
}

static bool read_requests(struct control_client *client)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))]; /* one descriptor: the kernel closes more */
    } control;
    struct iovec part = {.iov_base = client->request + client->request_length,
                         .iov_len = sizeof(client->request) - client->request_length};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t length = recvmsg(client->source.descriptor, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length <= 0)
        return length < 0 && (errno == EAGAIN || errno == EINTR);
    take_descriptors(client, &message);
    client->request_length += (size_t)length;
    return handle_requests(client);
}

static void on_client(void *owner, uint32_t events)
{
    struct control_client *client = owner;
    bool open = true;
    if (client->reply) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            open = write_reply(client) && handle_requests(client);
    } else {
        open = read_requests(client);
    }
    if (!open)
        close_client(client);
}

static bool is_trusted(int descriptor)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void on_connection(void *owner, uint32_t events)
{
    struct control *control = owner;
    (void)events;
    int descriptor = accept4(control->source.descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0)
        return;
    unsigned slot = 0;
    while (slot < CONTROL_CLIENTS && control->clients[slot])
        slot++;
    struct control_client *client = NULL;
    if (slot < CONTROL_CLIENTS && is_trusted(descriptor))
        client = calloc(1, sizeof(*client));
    if (!client ||
        event_loop_add(&control->vswitch->loop, &client->source, descriptor, EPOLLIN, on_client, client)) {
        free(client);
        close(descriptor);
        return;
    }
    client->control = control;
    client->passed = -1;
    control->clients[slot] = client;
}

int control_initialize(struct control *control, struct vswitch *vswitch, int descriptor)
{
    *control = (struct control){.vswitch = vswitch};
    return event_loop_add(&vswitch->loop, &control->source, descriptor, EPOLLIN, on_connection, control);
}
