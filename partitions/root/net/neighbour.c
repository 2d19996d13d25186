/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/neighbour.h"

#include <arpa/inet.h>

#include "partitions/root/net/bridge.h"
#include "partitions/root/net/vswitch.h"

static const struct mac_address broadcast = {
    {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
};

static unsigned bucket_of(in_addr_t address)
{
    return (ntohl(address) ^ (ntohl(address) >> 8)) % NEIGHBOUR_BUCKETS;
}

void neighbour_initialize(struct neighbour_table *table)
{
    *table = (struct neighbour_table){0};
    for (unsigned i = 0; i < NEIGHBOUR_MAXIMUM; i++) {
        table->entries[i].next = table->free;
        table->free = &table->entries[i];
    }
}

static struct neighbour *find(const struct neighbour_table *table, in_addr_t address)
{
    struct neighbour *entry = table->buckets[bucket_of(address)];
    while (entry && entry->address != address)
        entry = entry->next;
    return entry;
}

struct port *neighbour_find(const struct vswitch *vswitch, in_addr_t address)
{
    const struct neighbour *entry = find(&vswitch->neighbours, address);
    return entry ? entry->port : NULL;
}

static void forget(struct neighbour_table *table, struct neighbour *entry)
{
    struct neighbour **link = &table->buckets[bucket_of(entry->address)];
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    entry->port->address_count--;
    if (entry->port->last_source == entry->address)
        entry->port->last_source = 0;
    entry->port = NULL;
    entry->next = table->free;
    table->free = entry;
}

/* A port that has its fill of addresses loses the one that it has not changed for longest. */
static void forget_oldest(struct neighbour_table *table, const struct port *port)
{
    struct neighbour *oldest = NULL;
    for (unsigned i = 0; i < NEIGHBOUR_MAXIMUM; i++) {
        struct neighbour *entry = &table->entries[i];
        if (entry->port == port && (!oldest || entry->learnt_at < oldest->learnt_at))
            oldest = entry;
    }
    if (oldest)
        forget(table, oldest);
}

static void free_pending(struct neighbour_table *table, struct neighbour_pending *pending)
{
    if (pending->packet)
        pbuf_free(pending->packet);
    *pending = (struct neighbour_pending){0};
    table->pending_count--;
}

/* Sends what has waited for this address, which has just become known. */
static void release_pending(struct vswitch *vswitch, in_addr_t address)
{
    struct neighbour_table *table = &vswitch->neighbours;
    for (unsigned i = 0; i < NEIGHBOUR_PENDING && table->pending_count; i++) {
        struct neighbour_pending *pending = &table->pending[i];
        if (pending->address != address)
            continue;
        if (pending->packet)
            neighbour_send(vswitch, address, pending->packet);
        free_pending(table, pending);
    }
}

/* Whether a port may begin to use an address. */
static bool may_use(const struct port *port, in_addr_t address)
{
    const struct vswitch *vswitch = port->vswitch;
    if (!subnet_is_host(&vswitch->subnet, address))
        return false;
    const struct lease *lease = lease_find_address(&vswitch->leases, address);
    return !lease || mac_equal(&lease->mac, &port->mac) || !bridge_find(vswitch, &lease->mac);
}

bool neighbour_learn(struct port *port, in_addr_t address)
{
    if (port->last_source == address && address)
        return true;
    struct vswitch *vswitch = port->vswitch;
    struct neighbour_table *table = &vswitch->neighbours;
    struct neighbour *entry = find(table, address);
    if (!entry || entry->port != port) {
        if (!may_use(port, address))
            return false;
        if (entry)
            forget(table, entry);
        if (port->address_count == NEIGHBOUR_PORT_ADDRESSES)
            forget_oldest(table, port);
        entry = table->free; /* there is one: every port has at most its share */
        table->free = entry->next;
        *entry = (struct neighbour){.address = address, .port = port, .learnt_at = vswitch->loop.now};
        entry->next = table->buckets[bucket_of(address)];
        table->buckets[bucket_of(address)] = entry;
        port->address_count++;
        release_pending(vswitch, address);
    }
    port->last_source = address;
    return true;
}

void neighbour_port_closed(struct port *port)
{
    struct neighbour_table *table = &port->vswitch->neighbours;
    for (unsigned i = 0; i < NEIGHBOUR_MAXIMUM; i++)
        if (table->entries[i].port == port)
            forget(table, &table->entries[i]);
}

/* Builds an ARP packet of the gateway's and sends it to one port, or to all. */
static void send_arp(struct vswitch *vswitch, struct port *port, uint16_t operation,
                     const struct mac_address *target_mac, in_addr_t target)
{
    struct frame *frame = frame_allocate();
    if (!frame)
        return;
    struct ethernet_header *ethernet = (struct ethernet_header *)frame->data;
    struct arp_packet *arp = (struct arp_packet *)(ethernet + 1);
    *ethernet = (struct ethernet_header){
        .destination = target_mac ? *target_mac : broadcast,
        .source = vswitch->mac,
        .type = htons(ETHERTYPE_ARP),
    };
    *arp = (struct arp_packet){
        .hardware_type = htons(1),
        .protocol_type = htons(ETHERTYPE_IPV4),
        .hardware_length = sizeof(struct mac_address),
        .protocol_length = sizeof(in_addr_t),
        .operation = htons(operation),
        .sender_mac = vswitch->mac,
        .sender_address = vswitch->subnet.gateway,
        .target_address = target,
    };
    if (target_mac)
        arp->target_mac = *target_mac;
    struct pbuf *pbuf = frame_set(frame, 0, sizeof(*ethernet) + sizeof(*arp));
    if (port)
        port_queue(port, pbuf);
    else
        bridge_flood(vswitch, NULL, pbuf);
    frame_free(frame);
}

bool neighbour_arp_input(struct port *port, const void *packet, size_t length)
{
    struct vswitch *vswitch = port->vswitch;
    struct arp_packet arp;
    if (length < sizeof(arp)) {
        port->counters.malformed++;
        return false;
    }
    memcpy(&arp, packet, sizeof(arp));
    if (arp.hardware_type != htons(1) || arp.protocol_type != htons(ETHERTYPE_IPV4) ||
        arp.hardware_length != sizeof(struct mac_address) || arp.protocol_length != sizeof(in_addr_t)) {
        port->counters.malformed++;
        return false;
    }
    /* A probe (RFC 5227) has no sender address yet. */
    if (!mac_equal(&arp.sender_mac, &port->mac) ||
        (arp.sender_address != 0 && !neighbour_learn(port, arp.sender_address))) {
        port->counters.spoofed++;
        return false;
    }
    if (arp.operation == htons(ARP_REQUEST) && arp.target_address == vswitch->subnet.gateway)
        send_arp(vswitch, port, ARP_REPLY, &arp.sender_mac, arp.sender_address);
    return true;
}

/* The place of an address among those asked for; in a full table that of the one which would be given up
 * first. */
static struct neighbour_pending *ask(struct vswitch *vswitch, in_addr_t address)
{
    struct neighbour_table *table = &vswitch->neighbours;
    struct neighbour_pending *place = &table->pending[0];
    for (unsigned i = 0; i < NEIGHBOUR_PENDING; i++) {
        struct neighbour_pending *pending = &table->pending[i];
        if (pending->address == address) {
            place = pending;
            break;
        }
        if (pending->expires_at < place->expires_at)
            place = pending;
    }
    if (place->address != address) {
        if (place->address)
            free_pending(table, place);
        *place = (struct neighbour_pending){.address = address, .asked_at = vswitch->loop.now};
        table->pending_count++;
        send_arp(vswitch, NULL, ARP_REQUEST, NULL, address);
    }
    place->expires_at = vswitch->loop.now + NEIGHBOUR_PENDING_TIME;
    return place;
}

void neighbour_ask(struct vswitch *vswitch, in_addr_t address)
{
    if (subnet_is_host(&vswitch->subnet, address))
        ask(vswitch, address);
}

/* Lets a packet wait in place of an older one. */
static void wait_for(struct vswitch *vswitch, in_addr_t address, const struct pbuf *packet)
{
    struct pbuf *copy = pbuf_alloc(PBUF_RAW, packet->tot_len, PBUF_RAM);
    if (!copy)
        return;
    pbuf_copy(copy, packet);
    struct neighbour_pending *place = ask(vswitch, address);
    if (place->packet)
        pbuf_free(place->packet);
    place->packet = copy;
}

void neighbour_send(struct vswitch *vswitch, in_addr_t address, struct pbuf *packet)
{
    struct port *port = neighbour_find(vswitch, address);
    if (!port) {
        if (subnet_is_host(&vswitch->subnet, address))
            wait_for(vswitch, address, packet);
        return;
    }
    struct ethernet_header *ethernet = packet->payload;
    *ethernet = (struct ethernet_header){
        .destination = port->mac,
        .source = vswitch->mac,
        .type = htons(ETHERTYPE_IPV4),
    };
    port_queue(port, packet);
}

int neighbour_timeout(const struct vswitch *vswitch)
{
    return vswitch->neighbours.pending_count ? (int)NEIGHBOUR_RETRY_TIME : -1;
}

void neighbour_tick(struct vswitch *vswitch)
{
    struct neighbour_table *table = &vswitch->neighbours;
    for (unsigned i = 0; i < NEIGHBOUR_PENDING && table->pending_count; i++) {
        struct neighbour_pending *pending = &table->pending[i];
        if (!pending->address)
            continue;
        if (pending->expires_at <= vswitch->loop.now) {
            free_pending(table, pending);
        } else if (pending->asked_at + NEIGHBOUR_RETRY_TIME <= vswitch->loop.now) {
            pending->asked_at = vswitch->loop.now;
            send_arp(vswitch, NULL, ARP_REQUEST, NULL, pending->address);
        }
    }
}
