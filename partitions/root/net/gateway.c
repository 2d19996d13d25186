/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/gateway.h"

#include <arpa/inet.h>
#include <lwip/ip4_frag.h>

#include "partitions/root/net/ipv4_output.h"
#include "partitions/root/net/vswitch.h"

#define PORT_DNS         53
#define PORT_DHCP_SERVER 67
#define PORT_DHCP_CLIENT 68

static size_t header_length(const struct ipv4_header *header)
{
    return (header->version_and_length & 0x0Fu) * 4u;
}

void gateway_reject(const struct ipv4_packet *packet, uint8_t type, uint8_t code)
{
    struct vswitch *vswitch = packet->port->vswitch;
    const struct icmp_header *icmp = packet->transport;
    if (packet->header->protocol == IPPROTO_ICMP && icmp->type != ICMP_TYPE_ECHO)
        return; /* no errors about errors (RFC 1122, 3.2.2) */
    if (!rate_limit_take(&packet->port->new_errors, vswitch->loop.now, GATEWAY_ERROR_RATE,
                         GATEWAY_ERROR_RATE))
        return;
    /* The error quotes the plain header; eight bytes of transport are there, the packet was checked. */
    struct ipv4_header original = *packet->header;
    original.version_and_length = 0x45;
    const struct icmp_header header = {.type = type, .code = code};
    ipv4_output_error(vswitch, vswitch->subnet.gateway, header, &original, packet->transport);
}

/* A datagram of DHCP, from a child that may have no address yet. */
static void dhcp_input(struct port *port, const uint8_t *datagram, size_t length)
{
    struct vswitch *vswitch = port->vswitch;
    struct dhcp_reply reply;
    if (length < sizeof(struct udp_header) ||
        !dhcp_server_input(&vswitch->dhcp, &port->mac, datagram + sizeof(struct udp_header),
                           length - sizeof(struct udp_header), vswitch->loop.now / 1000, &reply))
        return;
    const struct udp_path path = {
        .source = vswitch->subnet.gateway,
        .destination = reply.destination,
        .source_port = htons(PORT_DHCP_SERVER),
        .destination_port = htons(PORT_DHCP_CLIENT),
    };
    ipv4_output_udp_to_port(port, reply.broadcast, &path, reply.message, reply.length);
}

static void udp_input(const struct ipv4_packet *packet)
{
    struct vswitch *vswitch = packet->port->vswitch;
    const struct udp_header *udp = packet->transport;
    size_t length = ntohs(udp->length);
    size_t there = packet->pbuf->tot_len - header_length(packet->header);
    if (length < sizeof(*udp) || length > there || !udp->source_port || !udp->destination_port) {
        packet->port->counters.malformed++;
        return;
    }
    if (length < there)
        pbuf_realloc(packet->pbuf, (u16_t)(header_length(packet->header) + length));
    if (packet->header->destination == vswitch->subnet.gateway) {
        if (udp->destination_port == htons(PORT_DNS)) {
            dns_input(packet);
            return;
        }
        if (udp->destination_port == htons(PORT_DHCP_SERVER)) {
            if (packet->pbuf->len == packet->pbuf->tot_len) /* DHCP fits into a frame */
                dhcp_input(packet->port, packet->transport, length);
            return;
        }
    }
    nat_udp_input(packet);
}

static void deliver(const struct ipv4_packet *packet)
{
    struct vswitch *vswitch = packet->port->vswitch;
    size_t needed = packet->header->protocol == IPPROTO_TCP ? sizeof(struct tcp_header) : 8;
    if (packet->pbuf->len < header_length(packet->header) + needed) {
        packet->port->counters.malformed++;
        return;
    }
    if (packet->header->time_to_live <= 1 && packet->header->destination != vswitch->subnet.gateway) {
        gateway_reject(packet, ICMP_TYPE_TIME_EXCEEDED, 0);
        return;
    }
    switch (packet->header->protocol) {
    case IPPROTO_TCP:
        nat_tcp_input(packet);
        break;
    case IPPROTO_UDP:
        udp_input(packet);
        break;
    case IPPROTO_ICMP:
        nat_icmp_input(packet);
        break;
    default:
        gateway_reject(packet, ICMP_TYPE_UNREACHABLE, ICMP_CODE_PROTOCOL);
    }
}

static void reassemble(struct port *port, struct pbuf *fragment)
{
    if (port->account->frames > PORT_FRAMES_MAXIMUM) {
        port->counters.limited++;
        return;
    }
    pbuf_ref(fragment); /* lwIP takes a reference, and gives one back with the whole */
    struct pbuf *whole = ip4_reass(fragment);
    if (!whole)
        return;
    const struct ipv4_header *header = whole->payload;
    const struct ipv4_packet packet = {port, whole, header, header + 1};
    deliver(&packet);
    pbuf_free(whole);
}

/* Whether the bytes at the pbuf's payload are an IPv4 header whose lengths agree; what follows the packet is
 * cut. */
static bool check_lengths(struct pbuf *pbuf)
{
    const struct ipv4_header *header = pbuf->payload;
    if (pbuf->len < sizeof(*header) || header->version_and_length >> 4 != 4)
        return false;
    size_t total = ntohs(header->total_length);
    if (header_length(header) < sizeof(*header) || header_length(header) > total || total > pbuf->len)
        return false;
    pbuf_realloc(pbuf, (u16_t)total);
    return true;
}

static bool is_group_address(in_addr_t address)
{
    return ntohl(address) >= 0xE0000000;
}

static void ipv4_input(struct port *port, struct pbuf *pbuf)
{
    const struct vswitch *vswitch = port->vswitch;
    if (!check_lengths(pbuf)) {
        port->counters.malformed++;
        return;
    }
    const struct ipv4_header *header = pbuf->payload;
    if (!neighbour_learn(port, header->source)) {
        port->counters.spoofed++;
        return;
    }
    if (is_group_address(header->destination) || header->destination == vswitch->subnet.broadcast ||
        header->destination == vswitch->subnet.network) {
        port->counters.unknown++;
        return;
    }
    if (header->fragment & htons(IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET)) {
        reassemble(port, pbuf);
        return;
    }
    const struct ipv4_packet packet = {port, pbuf, header, (const uint8_t *)header + header_length(header)};
    deliver(&packet);
}

void gateway_unicast(struct port *port, struct pbuf *frame)
{
    const struct ethernet_header *ethernet = frame->payload;
    const uint16_t type = ethernet->type;
    pbuf_remove_header(frame, sizeof(*ethernet));
    if (type == htons(ETHERTYPE_IPV4))
        ipv4_input(port, frame);
    else if (type == htons(ETHERTYPE_ARP))
        (void)neighbour_arp_input(port, frame->payload, frame->len);
}

bool gateway_group(struct port *port, struct pbuf *frame)
{
    const struct ethernet_header *ethernet = frame->payload;
    const uint8_t *body = (const uint8_t *)(ethernet + 1);
    size_t length = frame->len - sizeof(*ethernet);
    if (ethernet->type == htons(ETHERTYPE_ARP))
        return neighbour_arp_input(port, body, length);
    if (ethernet->type != htons(ETHERTYPE_IPV4) || length < sizeof(struct ipv4_header))
        return true;

    const struct ipv4_header *header = (const struct ipv4_header *)body;
    size_t total = ntohs(header->total_length);
    if (header->protocol != IPPROTO_UDP || (header->fragment & htons(IPV4_FRAGMENT_OFFSET)) ||
        total > length || header_length(header) < sizeof(*header) ||
        header_length(header) + sizeof(struct udp_header) > total)
        return true;
    const struct udp_header *udp = (const struct udp_header *)(body + header_length(header));
    if (udp->destination_port == htons(PORT_DHCP_SERVER)) {
        dhcp_input(port, (const uint8_t *)udp, total - header_length(header));
        return false;
    }
    if (udp->source_port == htons(PORT_DHCP_SERVER)) { /* this network has one DHCP server */
        port->counters.spoofed++;
        return false;
    }
    return true;
}
