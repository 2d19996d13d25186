/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/nat_icmp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/net/checksum.h"
#include "partitions/root/net/ipv4_output.h"
#include "partitions/root/net/nat_policy.h"
#include "partitions/root/net/vswitch.h"

/* Messages handled in a row before other sources have their turn. */
#define RECEIVE_BATCH 16u

static uint8_t buffer[65536];

void nat_icmp_initialize(struct nat_icmp *icmp)
{
    *icmp = (struct nat_icmp){.source = {.descriptor = -1}};
}

/* The request under this number, if it is not too old. */
static const struct nat_icmp_request *find(const struct vswitch *vswitch, uint16_t our_sequence)
{
    const struct nat_icmp_request *request = &vswitch->icmp.requests[our_sequence % NAT_ICMP_PENDING];
    if (!request->port || request->our_sequence != our_sequence ||
        vswitch->loop.now - request->sent_at > NAT_ICMP_TIMEOUT)
        return NULL;
    return request;
}

/* Whether a message on the socket is one of ours; a raw one sees those of others too. */
static bool is_ours(const struct nat_icmp *icmp, const struct icmp_header *header)
{
    return !icmp->raw || header->identifier == icmp->identifier;
}

static void pass_reply_on(struct vswitch *vswitch, in_addr_t from, const uint8_t *message, size_t length)
{
    struct icmp_header header;
    if (length < sizeof(header))
        return;
    memcpy(&header, message, sizeof(header));
    const struct nat_icmp_request *request = find(vswitch, ntohs(header.sequence));
    if (header.type != ICMP_TYPE_ECHO_REPLY || !is_ours(&vswitch->icmp, &header) || !request ||
        request->actual != from)
        return;
    header.identifier = request->identifier;
    header.sequence = request->sequence;
    ipv4_output_icmp(vswitch, request->destination, request->child, header, message + sizeof(header),
                     length - sizeof(header));
}

static bool read_reply(struct vswitch *vswitch)
{
    struct sockaddr_in from = {0};
    socklen_t from_length = sizeof(from);
    ssize_t length = recvfrom(vswitch->icmp.source.descriptor, buffer, sizeof(buffer), MSG_DONTWAIT,
                              (struct sockaddr *)&from, &from_length);
    if (length < 0)
        return false;
    size_t skip = 0;
    if (vswitch->icmp.raw) { /* with its IP header */
        if ((size_t)length < sizeof(struct ipv4_header))
            return true;
        skip = (buffer[0] & 0x0Fu) * 4u;
    }
    if (skip <= (size_t)length)
        pass_reply_on(vswitch, from.sin_addr.s_addr, buffer + skip, (size_t)length - skip);
    return true;
}

static void report(struct vswitch *vswitch, const struct sock_extended_err *error,
                   const struct icmp_header *sent)
{
    const struct nat_icmp_request *request = find(vswitch, ntohs(sent->sequence));
    if (error->ee_origin != SO_EE_ORIGIN_ICMP || !is_ours(&vswitch->icmp, sent) || !request)
        return;
    const struct sockaddr_in *offender = (const struct sockaddr_in *)SO_EE_OFFENDER(error);
    in_addr_t source = vswitch->subnet.gateway;
    if (offender->sin_family == AF_INET && nat_policy_presentable(vswitch, offender->sin_addr.s_addr))
        source = offender->sin_addr.s_addr;
    const struct ipv4_header original = {
        .version_and_length = 0x45,
        .total_length = htons(sizeof(original) + sizeof(struct icmp_header)),
        .time_to_live = 1,
        .protocol = IPPROTO_ICMP,
        .source = request->child,
        .destination = request->destination,
    };
    const struct icmp_header echo = {
        .type = ICMP_TYPE_ECHO, .identifier = request->identifier, .sequence = request->sequence};
    const struct icmp_header header = {
        .type = error->ee_type, .code = error->ee_code, .sequence = htons((uint16_t)error->ee_info)};
    ipv4_output_error(vswitch, source, header, &original, (const uint8_t *)&echo);
}

static bool read_error(struct vswitch *vswitch)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct sock_extended_err) + sizeof(struct sockaddr_in))];
    } control;
    struct iovec part = {.iov_base = buffer, .iov_len = sizeof(buffer)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t length = recvmsg(vswitch->icmp.source.descriptor, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (length < 0)
        return false;
    struct icmp_header sent;
    if (length < (ssize_t)sizeof(sent))
        return true;
    memcpy(&sent, buffer, sizeof(sent));
    for (struct cmsghdr *piece = CMSG_FIRSTHDR(&message); piece; piece = CMSG_NXTHDR(&message, piece))
        if (piece->cmsg_level == IPPROTO_IP && piece->cmsg_type == IP_RECVERR)
            report(vswitch, (const struct sock_extended_err *)CMSG_DATA(piece), &sent);
    return true;
}

static void on_event(void *owner, uint32_t events)
{
    struct vswitch *vswitch = owner;
    for (unsigned i = 0; (events & EPOLLERR) && i < RECEIVE_BATCH && read_error(vswitch); i++)
        continue;
    for (unsigned i = 0; i < RECEIVE_BATCH && read_reply(vswitch); i++)
        continue;
}

int nat_icmp_set_socket(struct vswitch *vswitch, int descriptor)
{
    struct nat_icmp *icmp = &vswitch->icmp;
    int kind = 0;
    socklen_t length = sizeof(kind);
    if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &kind, &length) != 0)
        return errno;
    if (icmp->source.descriptor >= 0) {
        event_loop_remove(&vswitch->loop, &icmp->source);
        close(icmp->source.descriptor);
    }
    icmp->raw = kind == SOCK_RAW;
    icmp->time_to_live = 0;
    if (getrandom(&icmp->identifier, sizeof(icmp->identifier), 0) != sizeof(icmp->identifier))
        icmp->identifier = (uint16_t)getpid();
    int error = event_loop_add(&vswitch->loop, &icmp->source, descriptor, EPOLLIN, on_event, vswitch);
    if (error)
        icmp->source.descriptor = -1;
    return error;
}

static void answer_ping(const struct ipv4_packet *packet, const uint8_t *message, size_t length)
{
    struct icmp_header header;
    memcpy(&header, message, sizeof(header));
    header.type = ICMP_TYPE_ECHO_REPLY;
    ipv4_output_icmp(packet->port->vswitch, packet->header->destination, packet->header->source, header,
                     message + sizeof(header), length - sizeof(header));
}

/* Notes a request under a number of ours. */
static void remember(const struct ipv4_packet *packet, const struct icmp_header *header, in_addr_t actual,
                     uint16_t our_sequence)
{
    struct vswitch *vswitch = packet->port->vswitch;
    vswitch->icmp.requests[our_sequence % NAT_ICMP_PENDING] = (struct nat_icmp_request){
        .port = packet->port,
        .child = packet->header->source,
        .destination = packet->header->destination,
        .actual = actual,
        .identifier = header->identifier,
        .sequence = header->sequence,
        .our_sequence = our_sequence,
        .sent_at = vswitch->loop.now,
    };
}

static void send_echo(const struct ipv4_packet *packet, uint8_t *message, size_t length, in_addr_t actual)
{
    struct nat_icmp *icmp = &packet->port->vswitch->icmp;
    const uint16_t our_sequence = icmp->next_sequence++;
    struct icmp_header header;
    memcpy(&header, message, sizeof(header));
    remember(packet, &header, actual, our_sequence);

    header.checksum = 0;
    header.identifier = icmp->identifier;
    header.sequence = htons(our_sequence);
    memcpy(message, &header, sizeof(header));
    header.checksum = checksum_finish(checksum_add(0, message, length));
    memcpy(message, &header, sizeof(header));

    const int time_to_live = packet->header->time_to_live - 1;
    if (time_to_live != icmp->time_to_live &&
        setsockopt(icmp->source.descriptor, IPPROTO_IP, IP_TTL, &time_to_live, sizeof(time_to_live)) == 0)
        icmp->time_to_live = time_to_live;
    const struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = actual};
    ssize_t sent = sendto(icmp->source.descriptor, message, length, MSG_DONTWAIT | MSG_NOSIGNAL,
                          (const struct sockaddr *)&to, sizeof(to));
    if (sent < 0 && errno != EAGAIN && errno != ENOBUFS)
        gateway_reject(packet, ICMP_TYPE_UNREACHABLE, nat_policy_icmp_code(nat_policy_from_error(errno)));
    icmp->forwarded++;
}

void nat_icmp_input(const struct ipv4_packet *packet)
{
    struct port *port = packet->port;
    struct vswitch *vswitch = port->vswitch;
    const struct icmp_header *header = packet->transport;
    if (header->type != ICMP_TYPE_ECHO || header->code != 0)
        return; /* replies and errors of a child's concern nothing that we would know of */
    size_t offset = (size_t)((const uint8_t *)packet->transport - (const uint8_t *)packet->header);
    size_t length =
        pbuf_copy_partial(packet->pbuf, buffer, (u16_t)(packet->pbuf->tot_len - offset), (u16_t)offset);

    if (packet->header->destination == vswitch->subnet.gateway) {
        answer_ping(packet, buffer, length);
        return;
    }
    if (!nat_policy_new_flow(port))
        return;
    in_addr_t actual;
    enum nat_verdict verdict = nat_policy(vswitch, packet->header->destination, &actual);
    if (verdict != NAT_ALLOWED || vswitch->icmp.source.descriptor < 0) {
        /* For pings there are no closed ports: what is refused is prohibited. */
        if (verdict == NAT_ALLOWED || verdict == NAT_REFUSED)
            verdict = NAT_PROHIBITED;
        gateway_reject(packet, ICMP_TYPE_UNREACHABLE, nat_policy_icmp_code(verdict));
        return;
    }
    send_echo(packet, buffer, length, actual);
}

void nat_icmp_port_closed(struct port *port)
{
    struct nat_icmp *icmp = &port->vswitch->icmp;
    for (unsigned i = 0; i < NAT_ICMP_PENDING; i++)
        if (icmp->requests[i].port == port)
            icmp->requests[i].port = NULL;
}
