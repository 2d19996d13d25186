/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of a hostile child, and a far side that does what it likes. The input is a list of actions; frames
 * are given raw, or behind right headers so that the parts behind are reached, or as segments of connections
 * that get on. After each input everything that the child began must have ended.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/net/port_message.h"
#include "partitions/root/net/vswitch.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/fake_host_network.h"

#define CHILDREN    2u
#define CONNECTIONS 4u
#define CHILD       "192.168.100.2"
#define GATEWAY     "192.168.100.1"
#define ACTIONS     200u /* of one input, at most */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vswitch vswitch;

/* A child's view of its connections, by source port. */
static struct {
    int descriptor;
    struct mac_address mac;
    uint32_t sequence[CONNECTIONS];
    uint32_t acknowledgement[CONNECTIONS];
    struct port_message outbox;
} children[CHILDREN];

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void settle(void)
{
    for (int i = 0; i < 4; i++)
        vswitch_round(&vswitch, 0);
}

static void start(void)
{
    char error[200];
    require(subnet_parse("192.168.100.0/24", &vswitch.subnet, error, sizeof(error)));
    vswitch.limits = (struct vswitch_limits){.flows = 16, .rate = 100000};
    require(vswitch_initialize(&vswitch, "/dev/null", error, sizeof(error)));
}

static void connect_child(unsigned number)
{
    int pair[2];
    require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == 0);
    children[number].descriptor = pair[1];
    children[number].mac = (struct mac_address){
        {0x00, 0x15, 0x5D, 0x01, 0x00, (uint8_t)(number + 2)}
    };
    memset(children[number].sequence, 0, sizeof(children[number].sequence));
    port_message_clear(&children[number].outbox);
    require(port_open(&vswitch, pair[0]) != NULL);
    struct port_hello hello = {
        .magic = PORT_PROTOCOL_MAGIC, .version = PORT_PROTOCOL_VERSION, .name = "fuzz"};
    memcpy(hello.mac, &children[number].mac, sizeof(hello.mac));
    struct port_welcome welcome;
    require(send(pair[1], &hello, sizeof(hello), 0) == sizeof(hello));
    settle();
    require(recv(pair[1], &welcome, sizeof(welcome), 0) == sizeof(welcome));
}

/* Reads what a child gets, and follows its connections. */
static void receive(unsigned number)
{
    static struct port_message message;
    const uint8_t *frame;
    size_t length;
    for (port_message_clear(&message);; port_message_take(&message)) {
        while (!(frame = port_message_peek(&message, &length))) {
            require(!message.malformed);
            if (port_message_receive(&message, children[number].descriptor) != PORT_MESSAGE_RECEIVED)
                return;
        }
        if (length < 54 || frame[12] != 0x08 || frame[13] != 0 || frame[23] != IPPROTO_TCP)
            continue;
        struct tcp_header tcp;
        memcpy(&tcp, frame + 34, sizeof(tcp));
        unsigned connection = ntohs(tcp.destination_port) % CONNECTIONS;
        uint32_t payload = (uint32_t)length - 34 - (tcp.data_offset >> 4) * 4u;
        children[number].acknowledgement[connection] =
            ntohl(tcp.sequence) + payload + ((tcp.flags & (TCP_FLAG_SYN | TCP_FLAG_FIN)) != 0);
        if (tcp.flags & TCP_FLAG_ACK)
            children[number].sequence[connection] = ntohl(tcp.acknowledgement);
    }
}

static void put_headers(uint8_t *frame, unsigned number, uint8_t protocol, size_t payload,
                        const char *destination)
{
    const struct ethernet_header ethernet = {
        .destination = vswitch.mac, .source = children[number].mac, .type = htons(ETHERTYPE_IPV4)};
    const struct ipv4_header ip = {
        .version_and_length = 0x45,
        .total_length = htons((uint16_t)(sizeof(ip) + payload)),
        .time_to_live = 64,
        .protocol = protocol,
        .source = htonl(ntohl(inet_addr(CHILD)) + number),
        .destination = inet_addr(destination),
    };
    memcpy(frame, &ethernet, sizeof(ethernet));
    memcpy(frame + sizeof(ethernet), &ip, sizeof(ip));
}

static void send_message(unsigned number)
{
    struct port_message *message = &children[number].outbox;
    if (message->length && !port_message_send(message, children[number].descriptor))
        settle();
    port_message_clear(message);
}

/* Puts a frame into the child's message, which leaves when it is full, or with send_message(). */
static void send_frame(unsigned number, const uint8_t *frame, size_t length)
{
    struct port_message *message = &children[number].outbox;
    if (length < NIC_MINIMUM_FRAME || length > NIC_MAXIMUM_FRAME)
        return;
    uint8_t *place = port_message_add(message, length);
    if (!place) {
        send_message(number);
        place = port_message_add(message, length);
    }
    memcpy(place, frame, length);
}

/* A message of which some bytes are any. */
static void raw_message(struct fuzz_input *input, unsigned number)
{
    struct port_message *message = &children[number].outbox;
    size_t place = fuzz_take(input, 2), longer = fuzz_take(input, 1);
    if (message->length + longer <= sizeof(message->bytes))
        message->length += longer;
    if (message->length)
        fuzz_take_bytes(input, message->bytes + place % message->length, 1);
    if (message->length >= 2)
        fuzz_take_bytes(input, message->bytes, 2);
    send_message(number);
}

static void raw_frame(struct fuzz_input *input, unsigned number)
{
    uint8_t frame[1600];
    size_t length = fuzz_take(input, 2) % sizeof(frame) + 1;
    fuzz_take_bytes(input, frame, length < 200 ? length : 200);
    memset(frame + 200, 0x55, sizeof(frame) - 200);
    if (length >= 12 && (frame[0] & 2)) /* most should get further than the check of the source */
        memcpy(frame + 6, &children[number].mac, 6);
    send_frame(number, frame, length);
}

/* Right Ethernet and IPv4 headers, into which the input may put mistakes, and a body of its own. */
static void ipv4_frame(struct fuzz_input *input, unsigned number)
{
    static const char *const destinations[] = {GATEWAY, "198.51.100.7", "192.168.100.3", "127.0.0.1"};
    static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP};
    uint8_t frame[1514] = {0}, choice = (uint8_t)fuzz_take(input, 1);
    size_t payload = fuzz_take(input, 2) % 1481, taken = payload < 128 ? payload : 128;
    put_headers(frame, number, protocols[choice & 3], payload, destinations[choice >> 2 & 3]);
    fuzz_take_bytes(input, frame + 34, taken);
    if (choice & 0x10) /* mostly whole datagrams, of known ports */
        memcpy(frame + 34, (uint8_t[]){0x50, 0, 0, 53, (uint8_t)(payload >> 8), (uint8_t)payload}, 6);
    if (choice & 0x20)
        memcpy(frame + 34, (uint8_t[]){0, 68, 0, 67, (uint8_t)(payload >> 8), (uint8_t)payload}, 6);
    if (choice & 0x40)
        fuzz_take_bytes(input, frame + 18, 4); /* identification and fragment */
    if (choice & 0x80)
        frame[14 + fuzz_take(input, 1) % 20] ^= (uint8_t)fuzz_take(input, 1);
    send_frame(number, frame, 34 + payload);
}

/* A segment that mostly continues a connection. */
static void tcp_frame(struct fuzz_input *input, unsigned number)
{
    uint8_t frame[1514] = {0}, choice = (uint8_t)fuzz_take(input, 1), flags = (uint8_t)fuzz_take(input, 1);
    unsigned connection = choice % CONNECTIONS;
    size_t options = (choice >> 2 & 3) * 4u, payload = fuzz_take(input, 2) % 1400;
    if (choice & 0x10)
        payload = 0;
    struct tcp_header tcp = {
        .source_port = htons((uint16_t)(40000 + connection)),
        .destination_port = htons(choice & 0x20 ? 80 : 53),
        .sequence = htonl(children[number].sequence[connection]),
        .acknowledgement = htonl(children[number].acknowledgement[connection]),
        .data_offset = (uint8_t)((5 + options / 4) << 4),
        .flags = flags,
        .window = htons(choice & 0x40 ? 65535 : (uint16_t)fuzz_take(input, 1)),
    };
    if (choice & 0x80) {
        tcp.sequence = htonl(children[number].sequence[connection] + (uint32_t)(int8_t)fuzz_take(input, 1));
        tcp.acknowledgement =
            htonl(children[number].acknowledgement[connection] + (uint32_t)(int8_t)fuzz_take(input, 1));
    }
    put_headers(frame, number, IPPROTO_TCP, sizeof(tcp) + options + payload, "198.51.100.7");
    memcpy(frame + 34, &tcp, sizeof(tcp));
    fuzz_take_bytes(input, frame + 54, options);
    send_frame(number, frame, 54 + options + payload);
    children[number].sequence[connection] +=
        (uint32_t)payload + ((flags & (TCP_FLAG_SYN | TCP_FLAG_FIN)) != 0);
}

/* DHCP, ARP and ping with most of what they need, and options or bytes of the input's. */
static void service_frame(struct fuzz_input *input, unsigned number)
{
    uint8_t frame[1514] = {0}, choice = (uint8_t)fuzz_take(input, 1);
    const uint8_t *mac = children[number].mac.bytes;
    size_t length = 34 + 8 + 240 + 64;
    put_headers(frame, number, choice & 1 ? IPPROTO_UDP : IPPROTO_ICMP, length - 34,
                choice & 2 ? GATEWAY : "198.51.100.7");
    if (choice & 4)
        memset(frame, 0xFF, 6);
    if (choice & 8) {
        memcpy(frame + 12, "\x08\x06\0\1\x08\0\6\4\0\1", 10);
        memcpy(frame + 22, mac, 6);
        fuzz_take_bytes(input, frame + 28, 14);
        if (choice & 0x10)
            memcpy(frame + 28, &(in_addr_t){htonl(ntohl(inet_addr(CHILD)) + number)}, 4);
        if (choice & 0x20)
            memcpy(frame + 38, &(in_addr_t){inet_addr(GATEWAY)}, 4);
    } else if (choice & 1) {
        memcpy(frame + 34, (uint8_t[]){0, 68, 0, 67, 312 >> 8, 312 & 0xFF}, 6);
        memcpy(frame + 42, "\1\1\6", 3);
        fuzz_take_bytes(input, frame + 50, 6);
        memcpy(frame + 70, mac, 6);
        memcpy(frame + 42 + 236, "\x63\x82\x53\x63\x35\1", 6);
        fuzz_take_bytes(input, frame + 42 + 242, 60);
    } else {
        frame[34] = ICMP_TYPE_ECHO;
        fuzz_take_bytes(input, frame + 36, 16);
    }
    send_frame(number, frame, length);
}

/* The far side of a connection answers, closes, or fails. */
static void far_side(struct fuzz_input *input)
{
    static uint8_t answer[70000];
    uint8_t choice = (uint8_t)fuzz_take(input, 1);
    struct fake_peer *peer = &fake_peers[fuzz_take(input, 1) % FAKE_PEERS];
    if (!(choice & 0x40))
        peer = fake_newest_peer(choice & 0x80 ? IPPROTO_ICMP : choice & 1 ? IPPROTO_TCP : IPPROTO_UDP);
    if (!peer || !peer->protocol)
        return;
    switch (choice >> 1 & 7) {
    case 0:
        fuzz_take_bytes(input, answer, 64);
        /* fall through */
    case 1:
        (void)send(peer->descriptor, answer, fuzz_take(input, 3) % 65000, MSG_DONTWAIT | MSG_NOSIGNAL);
        break;
    case 2:
        while (recv(peer->descriptor, answer, sizeof(answer), MSG_DONTWAIT) > 0)
            continue;
        break;
    case 3:
        shutdown(peer->descriptor, SHUT_WR);
        break;
    case 4:
        shutdown(peer->descriptor, SHUT_RD);
        break;
    default:
        close(peer->descriptor);
        peer->protocol = 0;
    }
}

static void surroundings(struct fuzz_input *input)
{
    static const int errors[] = {0, 0, ECONNREFUSED, EHOSTUNREACH};
    char resolvers[] = "nameserver 192.0.2.1\nnameserver 192.0.2.2\n";
    uint8_t choice = (uint8_t)fuzz_take(input, 1);
    fake_connect_error = errors[choice & 3];
    fake_route = choice & 4 ? (enum host_route)(choice >> 3 & 7) : HOST_ROUTE_OUTSIDE;
    if (choice & 0x40)
        dns_parse_resolvers(&vswitch.dns, resolvers);
    if (choice & 0x80) {
        vswitch.loop.now += (fuzz_take(input, 2) + 1) * 100u;
        stack_enter();
        nat_tcp_tick(&vswitch);
        nat_udp_tick(&vswitch);
        dns_tick(&vswitch);
        stack_leave();
    }
}

static void act(struct fuzz_input *input)
{
    uint8_t choice = (uint8_t)fuzz_take(input, 1);
    unsigned number = choice >> 3 & 1;
    vswitch.dns.read_at = vswitch.loop.now; /* what surroundings() says holds */
    switch (choice & 7) {
    case 0:
        raw_frame(input, number);
        break;
    case 1:
    case 2:
        ipv4_frame(input, number);
        break;
    case 3:
    case 4:
        tcp_frame(input, number);
        break;
    case 5:
        far_side(input);
        break;
    case 6:
        surroundings(input);
        if (choice & 0x80)
            raw_message(input, number);
        break;
    default:
        service_frame(input, number);
    }
    if (choice & 0x30) { /* otherwise the next frame is in the same message */
        send_message(number);
        settle();
    }
    if (choice & 0x40)
        receive(number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started)
        start();
    started = true;
    fake_reset();
    vswitch.dns.resolver_count = 0;
    require(nat_icmp_set_socket(&vswitch, host_network_open_echo()) == 0);
    for (unsigned i = 0; i < CHILDREN; i++)
        connect_child(i);
    struct fuzz_input input = {data, size};
    for (unsigned i = 0; i < ACTIONS && input.left; i++)
        act(&input);
    for (unsigned i = 0; i < CHILDREN; i++)
        send_message(i);
    settle();
    for (unsigned i = 0; i < CHILDREN; i++)
        close(children[i].descriptor);
    settle();
    require(vswitch.port_count == 0 && vswitch.tcp.count == 0 && vswitch.udp.count == 0 &&
            vswitch.dns.active == 0);
    require(!vswitch.tcp.dead && !vswitch.tcp.marked && !vswitch.tcp.coalescer.head &&
            !vswitch.udp.batch_count);
    return 0;
}
