/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/ipv4_output.h"

#include <arpa/inet.h>

#include "partitions/root/net/checksum.h"
#include "partitions/root/net/vswitch.h"

#define TIME_TO_LIVE 64
#define IP_OFFSET    sizeof(struct ethernet_header)
#define BODY_OFFSET  (IP_OFFSET + sizeof(struct ipv4_header))
/* Fragments are cut at multiples of eight bytes. */
#define FRAGMENT_BODY ((PACKET_MTU - sizeof(struct ipv4_header)) & ~(size_t)7)

/* Addresses and protocol of one packet. */
struct packet_kind {
    in_addr_t source;
    in_addr_t destination;
    uint8_t protocol;
};

/* Writes the IP header of a frame whose `length` bytes of body are in place. */
static struct pbuf *finish_packet(struct frame *frame, const struct packet_kind *kind,
                                  uint16_t identification, uint16_t fragment, size_t length)
{
    struct ipv4_header *header = (struct ipv4_header *)(frame->data + IP_OFFSET);
    *header = (struct ipv4_header){
        .version_and_length = 0x45,
        .total_length = htons((uint16_t)(sizeof(*header) + length)),
        .identification = htons(identification),
        .fragment = htons(fragment),
        .time_to_live = TIME_TO_LIVE,
        .protocol = kind->protocol,
        .source = kind->source,
        .destination = kind->destination,
    };
    header->checksum = checksum_finish(checksum_add(0, header, sizeof(*header)));
    return frame_set(frame, 0, BODY_OFFSET + length);
}

/* Sends a frame whose `length` bytes of body are in place, and gives it away. */
static void send_frame(struct vswitch *vswitch, struct frame *frame, const struct packet_kind *kind,
                       uint16_t identification, uint16_t fragment, size_t length)
{
    struct pbuf *packet = finish_packet(frame, kind, identification, fragment, length);
    neighbour_send(vswitch, kind->destination, packet);
    frame_free(frame);
}

/* Sends `head` and `tail`, one behind the other, as the body of one packet. */
static void send_parts(struct vswitch *vswitch, const struct packet_kind *kind, const void *head,
                       size_t head_length, const void *tail, size_t tail_length)
{
    size_t total = head_length + tail_length;
    uint16_t identification = vswitch->identification++;
    for (size_t offset = 0; offset < total;) {
        bool whole = total - offset <= PACKET_MTU - sizeof(struct ipv4_header);
        size_t length = whole ? total - offset : FRAGMENT_BODY;
        struct frame *frame = frame_allocate();
        if (!frame)
            return;
        uint8_t *body = frame->data + BODY_OFFSET;
        size_t from_head = offset == 0 ? head_length : 0; /* which always fits into the first */
        memcpy(body, head, from_head);
        if (length > from_head)
            memcpy(body + from_head, (const uint8_t *)tail + (offset + from_head - head_length),
                   length - from_head);
        send_frame(vswitch, frame, kind, identification,
                   (uint16_t)((offset / 8) | (whole ? 0 : IPV4_MORE_FRAGMENTS)), length);
        offset += length;
    }
}

static struct udp_header udp_header(const struct udp_path *path, const void *payload, size_t length)
{
    uint16_t total = (uint16_t)(sizeof(struct udp_header) + length);
    struct udp_header udp = {
        .source_port = path->source_port,
        .destination_port = path->destination_port,
        .length = htons(total),
    };
    uint16_t sum = checksum_pseudo_header(path->source, path->destination, IPPROTO_UDP, total);
    sum = checksum_add(sum, &udp, sizeof(udp));
    uint16_t checksum = checksum_finish(checksum_add(sum, payload, length));
    udp.checksum = checksum ? checksum : 0xFFFF; /* 0 would mean "none" (RFC 768) */
    return udp;
}

void ipv4_output_udp_frame(struct vswitch *vswitch, struct frame *frame, const struct udp_path *path,
                           size_t length)
{
    const struct packet_kind kind = {path->source, path->destination, IPPROTO_UDP};
    struct udp_header udp = udp_header(path, frame->data + IPV4_OUTPUT_UDP_OFFSET, length);
    memcpy(frame->data + BODY_OFFSET, &udp, sizeof(udp));
    send_frame(vswitch, frame, &kind, vswitch->identification++, 0, sizeof(udp) + length);
}

void ipv4_output_udp(struct vswitch *vswitch, const struct udp_path *path, const void *payload, size_t length)
{
    const struct packet_kind kind = {path->source, path->destination, IPPROTO_UDP};
    struct udp_header udp = udp_header(path, payload, length);
    send_parts(vswitch, &kind, &udp, sizeof(udp), payload, length);
}

void ipv4_output_udp_to_port(struct port *port, bool broadcast, const struct udp_path *path,
                             const void *payload, size_t length)
{
    struct frame *frame = frame_allocate();
    if (!frame)
        return;
    const struct packet_kind kind = {path->source, path->destination, IPPROTO_UDP};
    const struct udp_header udp = udp_header(path, payload, length);
    memcpy(frame->data + BODY_OFFSET, &udp, sizeof(udp));
    memcpy(frame->data + IPV4_OUTPUT_UDP_OFFSET, payload, length);
    struct pbuf *packet =
        finish_packet(frame, &kind, port->vswitch->identification++, 0, sizeof(udp) + length);
    struct ethernet_header *ethernet = packet->payload;
    *ethernet = (struct ethernet_header){.source = port->vswitch->mac, .type = htons(ETHERTYPE_IPV4)};
    if (broadcast)
        memset(&ethernet->destination, 0xFF, sizeof(ethernet->destination));
    else
        ethernet->destination = port->mac;
    port_queue(port, packet);
    frame_free(frame);
}

void ipv4_output_icmp(struct vswitch *vswitch, in_addr_t source, in_addr_t destination,
                      struct icmp_header header, const void *payload, size_t length)
{
    const struct packet_kind kind = {source, destination, IPPROTO_ICMP};
    header.checksum = 0;
    uint16_t sum = checksum_add(0, &header, sizeof(header));
    header.checksum = checksum_finish(checksum_add(sum, payload, length));
    send_parts(vswitch, &kind, &header, sizeof(header), payload, length);
}

void ipv4_output_error(struct vswitch *vswitch, in_addr_t source, struct icmp_header header,
                       const struct ipv4_header *original, const uint8_t transport[8])
{
    uint8_t payload[sizeof(*original) + 8];
    memcpy(payload, original, sizeof(*original));
    memcpy(payload + sizeof(*original), transport, 8);
    ipv4_output_icmp(vswitch, source, original->source, header, payload, sizeof(payload));
}
