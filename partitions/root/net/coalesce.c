/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/coalesce.h"

#include <arpa/inet.h>
#include <lwip/opt.h>

#include "partitions/root/net/packet.h"

/* Joining leaves the checksum fields as they are, so it can be done only if nobody looks at them. */
#define COALESCING (!CHECKSUM_CHECK_IP && !CHECKSUM_CHECK_TCP)

static const struct tcp_header *tcp_of(const struct pbuf *packet)
{
    const struct ipv4_header *ip = packet->payload;
    return (const struct tcp_header *)(ip + 1);
}

static unsigned headers_length(const struct pbuf *packet)
{
    return (unsigned)sizeof(struct ipv4_header) + (tcp_of(packet)->data_offset >> 4) * 4u;
}

bool coalesce_candidate(const struct pbuf *packet)
{
    const struct ipv4_header *ip = packet->payload;
    const struct tcp_header *tcp = tcp_of(packet);
    return COALESCING && !packet->next && ip->version_and_length == 0x45 &&
           (tcp->flags & ~TCP_FLAG_PSH) == TCP_FLAG_ACK && tcp->data_offset >> 4 >= 5 &&
           headers_length(packet) < packet->len;
}

/* Everything but lengths, identification, checksums, sequence number and PSH must be alike. */
static bool continues(const struct coalescer *coalescer, const struct pbuf *packet)
{
    const struct ipv4_header *ip = coalescer->head->payload, *next_ip = packet->payload;
    const struct tcp_header *tcp = tcp_of(coalescer->head), *next = tcp_of(packet);
    unsigned options = headers_length(packet) - (unsigned)(sizeof(*ip) + sizeof(*tcp));
    return ip->source == next_ip->source && ip->destination == next_ip->destination &&
           tcp->source_port == next->source_port && tcp->destination_port == next->destination_port &&
           ntohl(next->sequence) == coalescer->next_sequence &&
           tcp->acknowledgement == next->acknowledgement && tcp->data_offset == next->data_offset &&
           tcp->window == next->window && memcmp(tcp + 1, next + 1, options) == 0 &&
           coalescer->length + packet->len - headers_length(packet) <= COALESCE_MAXIMUM;
}

bool coalesce_offer(struct coalescer *coalescer, struct pbuf *packet)
{
    if (!coalesce_candidate(packet))
        return false;
    const unsigned headers = headers_length(packet);
    if (!coalescer->head) {
        pbuf_ref(packet);
        *coalescer = (struct coalescer){
            .head = packet,
            .tail = packet,
            .length = packet->len,
            .next_sequence = ntohl(tcp_of(packet)->sequence) + packet->len - headers,
        };
        return true;
    }
    if (!continues(coalescer, packet))
        return false;
    if (tcp_of(packet)->flags & TCP_FLAG_PSH)
        ((struct tcp_header *)tcp_of(coalescer->head))->flags |= TCP_FLAG_PSH;
    pbuf_ref(packet);
    pbuf_remove_header(packet, headers);
    coalescer->tail->next = packet;
    coalescer->tail = packet;
    coalescer->length += packet->len;
    coalescer->next_sequence += packet->len;
    return true;
}

struct pbuf *coalesce_take(struct coalescer *coalescer)
{
    struct pbuf *head = coalescer->head;
    if (!head)
        return NULL;
    if (head->next) {
        uint32_t left = coalescer->length;
        for (struct pbuf *part = head; part; part = part->next) {
            part->tot_len = (u16_t)left;
            left -= part->len;
        }
        ((struct ipv4_header *)head->payload)->total_length = htons((uint16_t)coalescer->length);
    }
    coalescer->head = NULL;
    return head;
}
