/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/nat_tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/net/host_network.h"
#include "partitions/root/net/nat_policy.h"
#include "partitions/root/net/shadow.h"
#include "partitions/root/net/vswitch.h"

#define PORT_DNS 53

static struct tcp_flow **bucket_of(struct vswitch *vswitch, const struct flow_key *key)
{
    return &vswitch->tcp.buckets[flow_key_hash(key, &vswitch->tcp.seed)];
}

static struct tcp_flow *find(struct vswitch *vswitch, const struct flow_key *key)
{
    struct tcp_flow *flow = *bucket_of(vswitch, key);
    while (flow && !flow_key_equal(&flow->key, key))
        flow = flow->next_in_bucket;
    return flow;
}

static void join_port(struct tcp_flow *flow, struct port *port)
{
    flow->port = port;
    flow->next_in_port = port->tcp_flows;
    if (port->tcp_flows)
        port->tcp_flows->previous_in_port = flow;
    port->tcp_flows = flow;
    port->tcp_flow_count++;
}

static void leave_port(struct tcp_flow *flow)
{
    if (!flow->port)
        return;
    if (flow->previous_in_port)
        flow->previous_in_port->next_in_port = flow->next_in_port;
    else
        flow->port->tcp_flows = flow->next_in_port;
    if (flow->next_in_port)
        flow->next_in_port->previous_in_port = flow->previous_in_port;
    flow->port->tcp_flow_count--;
    flow->port = NULL;
}

static void on_event(void *owner, uint32_t events);

/* Adds a flow for a socket, which it takes over. NULL without memory. */
static struct tcp_flow *add(struct vswitch *vswitch, const struct flow_key *key, int descriptor)
{
    struct tcp_flow *flow = calloc(1, sizeof(*flow));
    if (!flow || event_loop_add(&vswitch->loop, &flow->source, descriptor,
                                EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, on_event, flow) != 0) {
        close(descriptor);
        free(flow);
        return NULL;
    }
    struct tcp_flow **bucket = bucket_of(vswitch, key);
    flow->vswitch = vswitch;
    flow->key = *key;
    flow->last_activity = vswitch->loop.now;
    flow->next_in_bucket = *bucket;
    *bucket = flow;
    vswitch->tcp.count++;
    vswitch->tcp.opened++;
    return flow;
}

void nat_tcp_remove(struct tcp_flow *flow, bool reset)
{
    struct vswitch *vswitch = flow->vswitch;
    struct tcp_flow **link = bucket_of(vswitch, &flow->key);
    while (*link != flow)
        link = &(*link)->next_in_bucket;
    *link = flow->next_in_bucket;
    leave_port(flow);
    vswitch->tcp.count--;

    tcp_flow_release_pcb(flow);
    if (flow->syn)
        pbuf_free(flow->syn);
    while (flow->upload_head) {
        struct pbuf *first = flow->upload_head;
        flow->upload_head = first->next;
        first->next = NULL;
        pbuf_free(first);
    }
    event_loop_remove(&vswitch->loop, &flow->source);
    const struct linger abort = {.l_onoff = 1};
    if (reset)
        setsockopt(flow->source.descriptor, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
    close(flow->source.descriptor);
    flow->state = TCP_FLOW_DEAD;
    if (!flow->marked) { /* else nat_tcp_process() comes by and does this */
        flow->next_marked = vswitch->tcp.dead;
        vswitch->tcp.dead = flow;
    }
}

/* Answers a SYN with a reset. */
static void refuse(struct vswitch *vswitch, struct pbuf *syn)
{
    vswitch->tcp.refused++;
    pbuf_ref(syn);
    shadow_input(syn);
}

static void reject(const struct ipv4_packet *packet, enum nat_verdict verdict)
{
    if (verdict == NAT_REFUSED) {
        refuse(packet->port->vswitch, packet->pbuf);
        return;
    }
    packet->port->vswitch->tcp.refused++;
    gateway_reject(packet, ICMP_TYPE_UNREACHABLE, nat_policy_icmp_code(verdict));
}

/* The destination did not take the connection. */
static void connect_failed(struct tcp_flow *flow, int error)
{
    const struct ipv4_header *header = flow->syn->payload;
    const struct ipv4_packet packet = {flow->port, flow->syn, header,
                                       (const uint8_t *)header + (header->version_and_length & 0x0F) * 4};
    if (error != ETIMEDOUT) /* then the child has waited as long as we have */
        reject(&packet, nat_policy_from_error(error));
    nat_tcp_remove(flow, false);
}

/* The parent's connect() has come to an end. */
static void connected(struct tcp_flow *flow)
{
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(flow->source.descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    if (error) {
        connect_failed(flow, error);
        return;
    }
    struct pbuf *syn = flow->syn;
    flow->syn = NULL;
    flow->state = TCP_FLOW_HANDSHAKE;
    struct tcp_pcb *pcb = shadow_accept(syn, flow->key.remote_port, flow);
    if (pcb)
        tcp_flow_attach(flow, pcb);
    else
        nat_tcp_remove(flow, true);
}

static void on_event(void *owner, uint32_t events)
{
    struct tcp_flow *flow = owner;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        flow->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        flow->host_hung_up = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        flow->writable = true;
    if (flow->state == TCP_FLOW_CONNECTING)
        connected(flow);
    else
        tcp_flow_mark(flow);
}

/* lwIP: the child has completed the handshake. */
static err_t on_accept(void *argument, struct tcp_pcb *pcb, err_t error)
{
    struct tcp_flow *flow = argument;
    LWIP_UNUSED_ARG(pcb);
    if (error != ERR_OK || !flow)
        return ERR_ABRT;
    flow->state = TCP_FLOW_OPEN;
    tcp_flow_mark(flow);
    return ERR_OK;
}

/* Where a child's connection is to lead. */
static enum nat_verdict destination(struct vswitch *vswitch, const struct flow_key *key,
                                    struct sockaddr_storage *address, socklen_t *length)
{
    if (key->remote == vswitch->subnet.gateway && key->remote_port == htons(PORT_DNS))
        return dns_resolver(&vswitch->dns, vswitch->loop.now, address, length) ? NAT_ALLOWED : NAT_REFUSED;
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)address;
    *ipv4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = key->remote_port};
    *length = sizeof(*ipv4);
    return nat_policy(vswitch, key->remote, &ipv4->sin_addr.s_addr);
}

/* Whether there is room in the tables for one more connection of the port. */
static bool within_limits(struct port *port)
{
    const struct vswitch *vswitch = port->vswitch;
    if (vswitch->tcp.count < vswitch->limits.flows && port->tcp_flow_count < vswitch->limits.flows / 2)
        return nat_policy_new_flow(port);
    port->counters.limited++;
    return false;
}

/* A SYN of a connection that is not known. */
static void open_connection(const struct ipv4_packet *packet, const struct flow_key *key)
{
    struct port *port = packet->port;
    struct vswitch *vswitch = port->vswitch;
    if (!within_limits(port))
        return; /* the child asks again, and there may be room then */
    struct sockaddr_storage address;
    socklen_t length;
    enum nat_verdict verdict = destination(vswitch, key, &address, &length);
    if (verdict != NAT_ALLOWED) {
        reject(packet, verdict);
        return;
    }
    int descriptor = host_network_connect_tcp((const struct sockaddr *)&address, length);
    if (descriptor < 0) {
        if (descriptor == -EMFILE || descriptor == -ENFILE || descriptor == -ENOBUFS || descriptor == -ENOMEM)
            port->counters.limited++;
        else
            reject(packet, nat_policy_from_error(-descriptor));
        return;
    }
    struct tcp_flow *flow = add(vswitch, key, descriptor);
    if (!flow)
        return;
    flow->state = TCP_FLOW_CONNECTING;
    flow->syn = packet->pbuf;
    pbuf_ref(flow->syn);
    join_port(flow, port);
}

static void give_to_stack(struct vswitch *vswitch)
{
    struct pbuf *held = coalesce_take(&vswitch->tcp.coalescer);
    if (held)
        shadow_input(held);
}

void nat_tcp_batch_done(struct vswitch *vswitch)
{
    give_to_stack(vswitch);
}

static size_t payload_length(const struct ipv4_packet *packet, const struct tcp_header *tcp)
{
    size_t headers = (size_t)((const uint8_t *)packet->transport - (const uint8_t *)packet->header) +
                     (tcp->data_offset >> 4) * 4u;
    return packet->pbuf->tot_len > headers ? packet->pbuf->tot_len - headers : 0;
}

void nat_tcp_input(const struct ipv4_packet *packet)
{
    struct port *port = packet->port;
    struct vswitch *vswitch = port->vswitch;
    const struct tcp_header *tcp = packet->transport;
    if (!tcp->source_port || !tcp->destination_port) {
        port->counters.malformed++;
        return;
    }
    if (port->account->frames > PORT_FRAMES_MAXIMUM && payload_length(packet, tcp) > 0) {
        port->counters.limited++; /* lwIP might keep it; the child sends it again */
        return;
    }
    if (coalesce_offer(&vswitch->tcp.coalescer, packet->pbuf))
        return;
    give_to_stack(vswitch);
    if (coalesce_offer(&vswitch->tcp.coalescer, packet->pbuf))
        return;

    if ((tcp->flags & (TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_RST)) == TCP_FLAG_SYN) {
        const struct flow_key key = {packet->header->source, packet->header->destination, tcp->source_port,
                                     tcp->destination_port};
        const struct tcp_flow *flow = find(vswitch, &key);
        if (!flow) {
            open_connection(packet, &key);
            return;
        }
        if (!flow->pcb) /* connecting, or the rest of an earlier connection with this name */
            return;
    }
    pbuf_ref(packet->pbuf);
    shadow_input(packet->pbuf);
}

/* lwIP: the child has accepted a forwarded connection. */
static err_t on_forward_connected(void *argument, struct tcp_pcb *pcb, err_t error)
{
    struct tcp_flow *flow = argument;
    LWIP_UNUSED_ARG(error);
    struct port *port = neighbour_find(flow->vswitch, flow->key.child);
    if (!port) {
        tcp_flow_release_pcb(flow);
        flow->failed = true;
        tcp_flow_mark(flow);
        return ERR_ABRT;
    }
    join_port(flow, port);
    return on_accept(argument, pcb, error);
}

/* Chooses as whom the child sees the client, and opens the connection to it. */
static bool connect_to_child(struct tcp_flow *flow)
{
    struct tcp_pcb *pcb = tcp_new();
    if (!pcb)
        return false;
    const ip_addr_t source = IPADDR4_INIT(flow->key.remote);
    const ip_addr_t child = IPADDR4_INIT(flow->key.child);
    ip_set_option(pcb, SOF_REUSEADDR);
    if (tcp_bind(pcb, &source, ntohs(flow->key.remote_port)) != ERR_OK) {
        tcp_abort(pcb);
        return false;
    }
    tcp_flow_attach(flow, pcb);
    if (tcp_connect(pcb, &child, ntohs(flow->key.child_port), on_forward_connected) == ERR_OK)
        return true;
    tcp_flow_release_pcb(flow);
    return false;
}

static bool choose_source(struct vswitch *vswitch, const struct sockaddr_in *client, struct flow_key *key)
{
    const bool presentable = nat_policy_presentable(vswitch, client->sin_addr.s_addr);
    key->remote = client->sin_addr.s_addr;
    key->remote_port = client->sin_port;
    if (presentable && !find(vswitch, key))
        return true;
    key->remote = vswitch->subnet.gateway;
    for (unsigned i = 0; i < FLOW_KEY_SUBSTITUTES; i++) {
        key->remote_port = flow_key_substitute(client->sin_port, i);
        if (!find(vswitch, key))
            return true;
    }
    return false;
}

void nat_tcp_accept_forwarded(struct vswitch *vswitch, int descriptor, const struct sockaddr_in *client,
                              in_addr_t child, in_port_t child_port)
{
    struct flow_key key = {.child = child, .child_port = child_port};
    struct tcp_flow *flow = NULL;
    if (vswitch->tcp.count >= vswitch->limits.flows || !choose_source(vswitch, client, &key))
        close(descriptor);
    else
        flow = add(vswitch, &key, descriptor);
    if (!flow)
        return;
    flow->state = TCP_FLOW_HANDSHAKE;
    if (!connect_to_child(flow))
        nat_tcp_remove(flow, true);
}

void nat_tcp_process(struct vswitch *vswitch)
{
    while (vswitch->tcp.marked) {
        struct tcp_flow *flow = vswitch->tcp.marked;
        vswitch->tcp.marked = flow->next_marked;
        flow->marked = false;
        if (flow->state == TCP_FLOW_DEAD) {
            flow->next_marked = vswitch->tcp.dead;
            vswitch->tcp.dead = flow;
        } else {
            tcp_flow_process(flow);
        }
    }
}

void nat_tcp_free_dead(struct vswitch *vswitch)
{
    while (vswitch->tcp.dead) {
        struct tcp_flow *flow = vswitch->tcp.dead;
        vswitch->tcp.dead = flow->next_marked;
        tcp_flow_free(flow);
    }
}

void nat_tcp_tick(struct vswitch *vswitch)
{
    for (unsigned i = 0; i < FLOW_KEY_BUCKETS && vswitch->tcp.count; i++) {
        struct tcp_flow *next;
        for (struct tcp_flow *flow = vswitch->tcp.buckets[i]; flow; flow = next) {
            next = flow->next_in_bucket;
            tcp_flow_tick(flow);
        }
    }
}

void nat_tcp_close(struct vswitch *vswitch)
{
    for (unsigned i = 0; i < FLOW_KEY_BUCKETS; i++)
        while (vswitch->tcp.buckets[i])
            nat_tcp_remove(vswitch->tcp.buckets[i], true);
}

void nat_tcp_port_closed(struct port *port)
{
    while (port->tcp_flows)
        nat_tcp_remove(port->tcp_flows, true);
}

void nat_tcp_port_writable(struct port *port)
{
    for (struct tcp_flow *flow = port->tcp_flows; flow; flow = flow->next_in_port)
        tcp_flow_mark(flow);
}

bool nat_tcp_initialize(struct vswitch *vswitch)
{
    flow_key_seed(&vswitch->tcp.seed);
    return shadow_initialize(vswitch, on_accept);
}
