/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/nat_udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <lwip/opt.h>

#include "partitions/root/net/forward.h"
#include "partitions/root/net/host_network.h"
#include "partitions/root/net/ipv4_output.h"
#include "partitions/root/net/nat_policy.h"
#include "partitions/root/net/vswitch.h"

/* Fragments of a reassembled datagram; of more than that it is not made. */
#define DATAGRAM_PARTS 128u
_Static_assert(IP_REASS_MAX_PBUFS <= DATAGRAM_PARTS, "a datagram must not be cut");
/* Datagrams read by one system call, each with room for the largest there is. */
#define RECEIVE_BATCH 16u
/* What the kernel takes in one piece to cut it up (UDP_SEGMENT). */
#define SEGMENTS_MAXIMUM 64u

bool nat_udp_initialize(struct nat_udp *udp)
{
    flow_key_seed(&udp->seed);
    /* Touched only where long datagrams arrive. */
    udp->receive_buffer = malloc((size_t)RECEIVE_BATCH * PACKET_UDP_MAXIMUM);
    return udp->receive_buffer != NULL;
}

static struct udp_session **bucket_of(struct nat_udp *udp, const struct flow_key *key)
{
    return &udp->buckets[flow_key_hash(key, &udp->seed)];
}

static struct udp_session *find(struct nat_udp *udp, const struct flow_key *key)
{
    struct udp_session *session = *bucket_of(udp, key);
    while (session && !flow_key_equal(&session->key, key))
        session = session->next_in_bucket;
    return session;
}

static void unlink_age(struct nat_udp *udp, struct udp_session *session)
{
    *(session->newer ? &session->newer->older : &udp->newest) = session->older;
    *(session->older ? &session->older->newer : &udp->oldest) = session->newer;
}

static void link_newest(struct nat_udp *udp, struct udp_session *session)
{
    session->newer = NULL;
    session->older = udp->newest;
    *(udp->newest ? &udp->newest->newer : &udp->oldest) = session;
    udp->newest = session;
}

static void touch(struct udp_session *session)
{
    struct nat_udp *udp = &session->vswitch->udp;
    session->last_activity = session->vswitch->loop.now;
    if (udp->newest != session) {
        unlink_age(udp, session);
        link_newest(udp, session);
    }
}

static void end_session(struct udp_session *session)
{
    struct nat_udp *udp = &session->vswitch->udp;
    if (udp->sender == session)
        nat_udp_flush(session->vswitch);
    struct udp_session **link = bucket_of(udp, &session->key);
    while (*link != session)
        link = &(*link)->next_in_bucket;
    *link = session->next_in_bucket;
    unlink_age(udp, session);
    udp->count--;
    session->port->udp_session_count--;
    if (!session->forward) {
        event_loop_remove(&session->vswitch->loop, &session->source);
        close(session->source.descriptor);
    }
    free(session);
}

/* Makes room for one more session of the port by ending its oldest, or the oldest of all. */
static void make_room(struct port *port)
{
    struct nat_udp *udp = &port->vswitch->udp;
    const unsigned limit = port->vswitch->limits.flows;
    bool own = port->udp_session_count >= limit / 2;
    if (!own && udp->count < limit)
        return;
    struct udp_session *session = udp->oldest;
    while (own && session->port != port)
        session = session->newer;
    udp->evicted++;
    end_session(session);
}

/* Adds a session to the table. NULL without memory. */
static struct udp_session *add(struct port *port, const struct flow_key *key)
{
    struct nat_udp *udp = &port->vswitch->udp;
    make_room(port);
    struct udp_session *session = calloc(1, sizeof(*session));
    if (!session)
        return NULL;
    struct udp_session **bucket = bucket_of(udp, key);
    session->vswitch = port->vswitch;
    session->port = port;
    session->key = *key;
    session->last_activity = port->vswitch->loop.now;
    session->next_in_bucket = *bucket;
    *bucket = session;
    link_newest(udp, session);
    udp->count++;
    udp->opened++;
    port->udp_session_count++;
    return session;
}

static struct udp_path path_to_child(const struct udp_session *session)
{
    return (struct udp_path){
        .source = session->key.remote,
        .destination = session->key.child,
        .source_port = session->key.remote_port,
        .destination_port = session->key.child_port,
    };
}

/* Passes an ICMP error about the session's datagrams on to the child. */
static void report(const struct udp_session *session, in_addr_t source, const struct icmp_header *icmp)
{
    const struct ipv4_header original = {
        .version_and_length = 0x45,
        .total_length = htons(sizeof(struct ipv4_header) + sizeof(struct udp_header)),
        .time_to_live = 1,
        .protocol = IPPROTO_UDP,
        .source = session->key.child,
        .destination = session->key.remote,
    };
    const struct udp_header udp = {
        .source_port = session->key.child_port,
        .destination_port = session->key.remote_port,
        .length = htons(sizeof(udp)),
    };
    ipv4_output_error(session->vswitch, source, *icmp, &original, (const uint8_t *)&udp);
}

/* What an entry of a socket's error queue means to the child. */
static void report_queued(const struct udp_session *session, const struct sock_extended_err *error)
{
    const struct sockaddr_in *offender = (const struct sockaddr_in *)SO_EE_OFFENDER(error);
    in_addr_t source = session->vswitch->subnet.gateway;
    struct icmp_header icmp = {.type = ICMP_TYPE_UNREACHABLE};
    if (error->ee_origin == SO_EE_ORIGIN_ICMP) {
        icmp.type = error->ee_type;
        icmp.code = error->ee_code;
        if (icmp.type == ICMP_TYPE_UNREACHABLE && icmp.code == ICMP_CODE_TOO_BIG)
            icmp.sequence = htons((uint16_t)error->ee_info);
        /* The destination itself, under the name that the child knows, or a router on the way. */
        if (icmp.type == ICMP_TYPE_UNREACHABLE && icmp.code == ICMP_CODE_PORT)
            source = session->key.remote;
        else if (offender->sin_family == AF_INET &&
                 nat_policy_presentable(session->vswitch, offender->sin_addr.s_addr))
            source = offender->sin_addr.s_addr;
    } else if (error->ee_origin == SO_EE_ORIGIN_LOCAL) {
        icmp.code = nat_policy_icmp_code(nat_policy_from_error((int)error->ee_errno));
    } else {
        return;
    }
    report(session, source, &icmp);
}

static void read_errors(struct udp_session *session)
{
    for (unsigned i = 0; i < RECEIVE_BATCH; i++) {
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(struct sock_extended_err) + sizeof(struct sockaddr_in))];
        } control;
        struct msghdr message = {.msg_control = &control, .msg_controllen = sizeof(control)};
        if (recvmsg(session->source.descriptor, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
            return;
        for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part))
            if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_RECVERR)
                report_queued(session, (const struct sock_extended_err *)CMSG_DATA(part));
    }
}

/* Reads datagrams of the remote's and passes them on: short ones in the frames into which they were read. */
static void read_datagrams(struct udp_session *session)
{
    struct frame *frames[RECEIVE_BATCH];
    struct iovec parts[RECEIVE_BATCH][2];
    struct mmsghdr messages[RECEIVE_BATCH];
    uint8_t *overflow = session->vswitch->udp.receive_buffer;
    unsigned allocated = 0;
    for (; allocated < RECEIVE_BATCH; allocated++) {
        frames[allocated] = frame_allocate();
        if (!frames[allocated])
            break;
        parts[allocated][0] =
            (struct iovec){frames[allocated]->data + IPV4_OUTPUT_UDP_OFFSET, PACKET_UDP_PAYLOAD};
        parts[allocated][1] =
            (struct iovec){overflow + (size_t)allocated * PACKET_UDP_MAXIMUM + PACKET_UDP_PAYLOAD,
                           PACKET_UDP_MAXIMUM - PACKET_UDP_PAYLOAD};
        messages[allocated] = (struct mmsghdr){
            .msg_hdr = {.msg_iov = parts[allocated], .msg_iovlen = 2}
        };
    }
    int count = recvmmsg(session->source.descriptor, messages, allocated, MSG_DONTWAIT, NULL);
    const struct udp_path path = path_to_child(session);
    for (int i = 0; i < count; i++) {
        size_t length = messages[i].msg_len;
        if (length <= PACKET_UDP_PAYLOAD) {
            ipv4_output_udp_frame(session->vswitch, frames[i], &path, length);
            frames[i] = NULL;
        } else {
            uint8_t *whole = overflow + (size_t)i * PACKET_UDP_MAXIMUM;
            memcpy(whole, frames[i]->data + IPV4_OUTPUT_UDP_OFFSET, PACKET_UDP_PAYLOAD);
            ipv4_output_udp(session->vswitch, &path, whole, length);
        }
    }
    for (unsigned i = 0; i < allocated; i++)
        if (frames[i])
            frame_free(frames[i]);
    if (count > 0) {
        session->answered = true;
        touch(session);
    }
}

static void on_event(void *owner, uint32_t events)
{
    struct udp_session *session = owner;
    if (events & EPOLLERR)
        read_errors(session);
    read_datagrams(session); /* also clears an error that is not in the queue */
}

/* The session of a child's first datagram to somewhere. NULL: there is none, and the child was told if it
 * should be. */
static struct udp_session *open_session(const struct ipv4_packet *packet, const struct flow_key *key)
{
    struct port *port = packet->port;
    struct vswitch *vswitch = port->vswitch;
    if (!nat_policy_new_flow(port))
        return NULL;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = key->remote_port};
    enum nat_verdict verdict = nat_policy(vswitch, key->remote, &address.sin_addr.s_addr);
    int descriptor = -1;
    if (verdict == NAT_ALLOWED) {
        descriptor = host_network_connect_udp((const struct sockaddr *)&address, sizeof(address));
        if (descriptor == -EMFILE || descriptor == -ENFILE || descriptor == -ENOBUFS ||
            descriptor == -ENOMEM) {
            port->counters.limited++;
            return NULL;
        }
        if (descriptor < 0)
            verdict = nat_policy_from_error(-descriptor);
    }
    if (verdict != NAT_ALLOWED) {
        vswitch->udp.refused++;
        gateway_reject(packet, ICMP_TYPE_UNREACHABLE, nat_policy_icmp_code(verdict));
        return NULL;
    }
    struct udp_session *session = add(port, key);
    if (!session) {
        close(descriptor);
        return NULL;
    }
    if (event_loop_add(&vswitch->loop, &session->source, descriptor, EPOLLIN, on_event, session) != 0) {
        session->source.descriptor = descriptor;
        end_session(session);
        return NULL;
    }
    return session;
}

/* The message that carries one datagram; `parts` has room for DATAGRAM_PARTS. */
static size_t describe(const struct pbuf *packet, struct iovec *parts)
{
    const struct ipv4_header *ip = packet->payload;
    size_t skip = (ip->version_and_length & 0x0Fu) * 4u + sizeof(struct udp_header);
    size_t count = 0;
    for (const struct pbuf *part = packet; part; part = part->next) {
        parts[count++] = (struct iovec){(uint8_t *)part->payload + skip, part->len - skip};
        skip = 0; /* the headers are in the first */
    }
    return count;
}

static size_t payload_length(const struct pbuf *packet)
{
    const struct ipv4_header *ip = packet->payload;
    return packet->tot_len - (ip->version_and_length & 0x0Fu) * 4u - sizeof(struct udp_header);
}

/*
 * The size of all datagrams of the batch but the last, if the kernel can cut them from one buffer; else 0.
 * What comes from one sender in a stream has this form, and it saves the kernel the way through its stack for
 * each.
 */
static uint16_t segment_size(const struct nat_udp *udp)
{
    size_t size = payload_length(udp->batch[0]);
    if (udp->batch_count < 2 || udp->sender->no_segmentation || udp->sender->forward || size == 0 ||
        size * udp->batch_count > PACKET_UDP_MAXIMUM)
        return 0;
    for (unsigned i = 0; i < udp->batch_count; i++) {
        size_t length = payload_length(udp->batch[i]);
        bool last = i + 1 == udp->batch_count;
        if (udp->batch[i]->next || length == 0 || (last ? length > size : length != size))
            return 0;
    }
    return (uint16_t)size;
}

static bool send_segmented(const struct nat_udp *udp, uint16_t size)
{
    struct iovec parts[SEGMENTS_MAXIMUM];
    for (unsigned i = 0; i < udp->batch_count; i++)
        describe(udp->batch[i], &parts[i]);
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(size))];
    } control = {0};
    const struct msghdr message = {.msg_iov = parts,
                                   .msg_iovlen = udp->batch_count,
                                   .msg_control = &control,
                                   .msg_controllen = sizeof(control)};
    control.header.cmsg_level = IPPROTO_UDP;
    control.header.cmsg_type = UDP_SEGMENT;
    control.header.cmsg_len = CMSG_LEN(sizeof(size));
    memcpy(CMSG_DATA(&control.header), &size, sizeof(size));
    return sendmsg(udp->sender->source.descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void send_singly(const struct nat_udp *udp)
{
    struct udp_session *session = udp->sender;
    int descriptor = session->forward ? session->forward->source.descriptor : session->source.descriptor;
    for (unsigned i = 0; i < udp->batch_count; i++) {
        struct iovec parts[DATAGRAM_PARTS];
        const struct msghdr message = {.msg_name = session->forward ? &session->client : NULL,
                                       .msg_namelen = session->forward ? sizeof(session->client) : 0,
                                       .msg_iov = parts,
                                       .msg_iovlen = describe(udp->batch[i], parts)};
        /* An error of an earlier datagram is reported by the next call, which then has sent nothing. */
        if (sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
            (void)sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

void nat_udp_flush(struct vswitch *vswitch)
{
    struct nat_udp *udp = &vswitch->udp;
    if (!udp->batch_count)
        return;
    uint16_t size = segment_size(udp);
    if (size && !send_segmented(udp, size)) {
        /* EIO, EINVAL, EMSGSIZE: the route's device or MTU does not allow it. Other errors concern one
         * datagram. */
        udp->sender->no_segmentation = errno == EIO || errno == EINVAL || errno == EMSGSIZE;
        size = 0;
    }
    if (!size)
        send_singly(udp);
    for (unsigned i = 0; i < udp->batch_count; i++)
        pbuf_free(udp->batch[i]);
    udp->batch_count = 0;
    udp->sender = NULL;
}

/* The child's idea of how far its datagrams may go holds beyond the gateway, so that traceroute works. */
static void set_time_to_live(struct udp_session *session, const struct ipv4_header *header)
{
    int wanted = header->time_to_live - 1;
    if (session->forward || wanted == session->time_to_live)
        return;
    nat_udp_flush(session->vswitch);
    session->time_to_live = wanted;
    setsockopt(session->source.descriptor, IPPROTO_IP, IP_TTL, &wanted,
               sizeof(wanted)); /* 1 to 254 is valid */
}

void nat_udp_input(const struct ipv4_packet *packet)
{
    struct vswitch *vswitch = packet->port->vswitch;
    struct nat_udp *udp = &vswitch->udp;
    const struct udp_header *header = packet->transport;
    const struct flow_key key = {packet->header->source, packet->header->destination, header->source_port,
                                 header->destination_port};
    struct udp_session *session = udp->sender;
    if (!session || !flow_key_equal(&session->key, &key)) {
        nat_udp_flush(vswitch);
        session = find(udp, &key);
        if (!session)
            session = open_session(packet, &key);
        if (!session)
            return;
    }
    set_time_to_live(session, packet->header);
    touch(session);
    if (udp->batch_count == NAT_UDP_BATCH)
        nat_udp_flush(vswitch);
    pbuf_ref(packet->pbuf);
    udp->batch[udp->batch_count++] = packet->pbuf;
    udp->sender = session;
}

/* The session under this key if it is the client's, or made for it if there is none. NULL: another's, or no
 * memory. */
static struct udp_session *claim(struct forward *forward, struct port *port, const struct flow_key *key,
                                 const struct sockaddr_in *client)
{
    struct udp_session *session = find(&port->vswitch->udp, key);
    if (!session) {
        session = add(port, key);
        if (!session)
            return NULL;
        session->forward = forward;
        session->client = *client;
        session->answered = true; /* the child is the one who answers */
    }
    bool same = session->forward == forward && session->client.sin_addr.s_addr == client->sin_addr.s_addr &&
                session->client.sin_port == client->sin_port;
    return same ? session : NULL;
}

/* The session of a client of a forwarded port: under its own name if it can be, else under the gateway's. */
static struct udp_session *forwarded_session(struct forward *forward, struct port *port, struct flow_key key,
                                             const struct sockaddr_in *client)
{
    struct udp_session *session = NULL;
    key.remote = client->sin_addr.s_addr;
    key.remote_port = client->sin_port;
    if (nat_policy_presentable(port->vswitch, key.remote))
        session = claim(forward, port, &key, client);
    key.remote = port->vswitch->subnet.gateway;
    for (unsigned i = 0; i < FLOW_KEY_SUBSTITUTES && !session; i++) {
        key.remote_port = flow_key_substitute(client->sin_port, i);
        session = claim(forward, port, &key, client);
    }
    return session;
}

void nat_udp_forwarded(struct forward *forward, const struct sockaddr_in *client, in_addr_t child,
                       in_port_t child_port, const void *payload, size_t length)
{
    struct vswitch *vswitch = forward->vswitch;
    struct port *port = neighbour_find(vswitch, child);
    if (!port) {
        neighbour_ask(vswitch, child);
        return;
    }
    const struct flow_key key = {.child = child, .child_port = child_port};
    struct udp_session *session = forwarded_session(forward, port, key, client);
    if (!session)
        return;
    touch(session);
    const struct udp_path path = path_to_child(session);
    ipv4_output_udp(vswitch, &path, payload, length);
}

void nat_udp_tick(struct vswitch *vswitch)
{
    /* From the oldest on; unanswered ones expire earlier, so all up to the shorter time are looked at. */
    struct udp_session *newer;
    for (struct udp_session *session = vswitch->udp.oldest; session; session = newer) {
        uint64_t idle = vswitch->loop.now - session->last_activity;
        newer = session->newer;
        if (idle <= NAT_UDP_UNANSWERED_TIME * 1000)
            return;
        if (!session->answered || idle > NAT_UDP_IDLE_TIME * 1000)
            end_session(session);
    }
}

static void end_matching(struct vswitch *vswitch, const struct port *port, const struct forward *forward)
{
    struct udp_session *newer;
    for (struct udp_session *session = vswitch->udp.oldest; session; session = newer) {
        newer = session->newer;
        if ((port && session->port == port) || (forward && session->forward == forward))
            end_session(session);
    }
}

void nat_udp_port_closed(struct port *port)
{
    end_matching(port->vswitch, port, NULL);
}

void nat_udp_forward_removed(struct forward *forward)
{
    end_matching(forward->vswitch, NULL, forward);
}
