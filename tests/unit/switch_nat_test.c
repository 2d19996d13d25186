/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NAT of loam-switch: UDP, TCP, ICMP and DNS, their limits and their ends, on a network that is a fake.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/net/nat_policy.h"
#include "tests/unit/switch_fixture.h"

#define CHILD  "192.168.100.2"
#define REMOTE "198.51.100.7"

static struct fixture_child child;

static int connect_child(void **state)
{
    (void)state;
    child = fixture_connect(2);
    return 0;
}

static int disconnect_child(void **state)
{
    (void)state;
    fixture_disconnect(&child);
    fake_reset();
    assert_int_equal(fixture_switch.tcp.count, 0);
    assert_int_equal(fixture_switch.udp.count, 0);
    assert_int_equal(fixture_switch.dns.active, 0);
    fixture_switch.allow_host = false;
    fixture_switch.limits.rate = 1000000;
    return 0;
}

static void expect_nothing(void)
{
    assert_int_equal(fixture_receive(&child).length, 0);
}

static void expect_icmp(uint8_t type, uint8_t code)
{
    struct ipv4_header header;
    size_t length;
    const uint8_t *icmp = fixture_receive_ipv4(&child, &header, &length);
    assert_non_null(icmp);
    assert_int_equal(header.protocol, IPPROTO_ICMP);
    assert_int_equal(icmp[0], type);
    assert_int_equal(icmp[1], code);
}

static void send_udp(uint16_t source_port, const char *destination, uint16_t port, const char *text)
{
    fixture_send(&child, fixture_udp(&child, CHILD, source_port, destination, port, text, strlen(text)));
}

static void expect_at_peer(const struct fake_peer *peer, const char *text)
{
    char buffer[70000];
    ssize_t length = recv(peer->descriptor, buffer, sizeof(buffer), MSG_DONTWAIT);
    assert_int_equal(length, (ssize_t)strlen(text));
    assert_memory_equal(buffer, text, strlen(text));
}

static void test_udp(void **state)
{
    (void)state;
    send_udp(5000, REMOTE, 53, "question");
    struct fake_peer *peer = fake_newest_peer(IPPROTO_UDP);
    assert_non_null(peer);
    assert_int_equal(peer->address.sin_addr.s_addr, inet_addr(REMOTE));
    assert_int_equal(peer->address.sin_port, htons(53));
    expect_at_peer(peer, "question");
    send_udp(5000, REMOTE, 53, "again"); /* the same session */
    expect_at_peer(peer, "again");
    assert_int_equal(fake_connects, 1);
    send_udp(5001, REMOTE, 53, "other");
    assert_int_equal(fake_connects, 2);

    assert_int_equal(send(peer->descriptor, "answer", 6, 0), 6);
    fixture_settle();
    struct ipv4_header header;
    size_t length;
    const uint8_t *udp = fixture_receive_ipv4(&child, &header, &length);
    assert_non_null(udp);
    assert_int_equal(header.source, inet_addr(REMOTE));
    assert_int_equal(header.destination, inet_addr(CHILD));
    assert_memory_equal(udp, ((uint8_t[]){0, 53, 5000 >> 8, 5000 & 0xFF, 0, 14}), 6);
    assert_memory_equal(udp + 8, "answer", 6);
    expect_nothing();
}

static void test_udp_long_answer(void **state)
{
    (void)state;
    static uint8_t data[20000], whole[20008];
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    send_udp(5000, REMOTE, 53, "q");
    static const size_t sizes[] = {0, 1472, 1473, 20000};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(send(fake_newest_peer(IPPROTO_UDP)->descriptor, data, sizes[i], 0),
                         (ssize_t)sizes[i]);
        fixture_settle();
        size_t received = 0;
        do {
            struct ipv4_header header;
            size_t length;
            const uint8_t *part = fixture_receive_ipv4(&child, &header, &length);
            assert_non_null(part);
            size_t offset = (ntohs(header.fragment) & IPV4_FRAGMENT_OFFSET) * 8u;
            assert_true(offset + length <= sizes[i] + 8);
            memcpy(whole + offset, part, length);
            received += length;
        } while (received < sizes[i] + 8);
        assert_memory_equal(whole + 8, data, sizes[i]);
        expect_nothing();
    }
}

static void test_udp_lengths(void **state)
{
    (void)state;
    struct fixture_frame frame = fixture_udp(&child, CHILD, 5000, REMOTE, 53, "12345678", 8);
    struct fixture_frame bad = frame;
    bad.bytes[14 + 20 + 5] = 7; /* shorter than its header */
    fixture_send(&child, bad);
    bad.bytes[14 + 20 + 5] = 17; /* longer than the packet */
    fixture_send(&child, bad);
    bad = frame;
    memset(bad.bytes + 14 + 20, 0, 2); /* port 0 */
    fixture_send(&child, bad);
    assert_int_equal(child.port->counters.malformed, 3);
    assert_int_equal(fake_connects, 0);
    frame.bytes[14 + 20 + 5] = 12; /* shorter than the packet: the rest is padding */
    fixture_send(&child, frame);
    expect_at_peer(fake_newest_peer(IPPROTO_UDP), "1234");
}

static void test_policy(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        uint8_t code;
    } closed[] = {
        {CHILD_GATEWAY,     ICMP_CODE_PORT      },
        {"127.0.0.1",       ICMP_CODE_PORT      },
        {"0.0.0.1",         ICMP_CODE_PROHIBITED},
        {"169.254.169.254", ICMP_CODE_PROHIBITED},
        {"240.0.0.1",       ICMP_CODE_PROHIBITED},
        {"192.168.100.77",  ICMP_CODE_HOST      },
    };
    for (unsigned i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        send_udp(5000, closed[i].address, 80, "x");
        if (ntohl(inet_addr(closed[i].address)) < 0xE0000000)
            expect_icmp(ICMP_TYPE_UNREACHABLE, closed[i].code);
    }
    static const struct {
        enum host_route route;
        uint8_t code;
    } routes[] = {
        {HOST_ROUTE_OWN,         ICMP_CODE_PORT      },
        {HOST_ROUTE_GROUP,       ICMP_CODE_PROHIBITED},
        {HOST_ROUTE_NONE,        ICMP_CODE_NETWORK   },
        {HOST_ROUTE_UNREACHABLE, ICMP_CODE_HOST      },
        {HOST_ROUTE_PROHIBITED,  ICMP_CODE_PROHIBITED},
    };
    for (unsigned i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        fake_route = routes[i].route;
        send_udp(5000, REMOTE, 80, "x");
        expect_icmp(ICMP_TYPE_UNREACHABLE, routes[i].code);
    }
    assert_int_equal(fake_connects, 0);
    assert_int_equal(fixture_switch.udp.count, 0);
    fake_route = HOST_ROUTE_OUTSIDE;
    fake_connect_error = EHOSTUNREACH;
    send_udp(5000, REMOTE, 80, "x");
    expect_icmp(ICMP_TYPE_UNREACHABLE, ICMP_CODE_HOST);
    expect_nothing();
}

static void test_allow_host(void **state)
{
    (void)state;
    fixture_switch.allow_host = true;
    fake_route = HOST_ROUTE_OWN;
    send_udp(5000, "203.0.113.1", 80, "own");
    assert_int_equal(fake_newest_peer(IPPROTO_UDP)->address.sin_addr.s_addr, inet_addr("203.0.113.1"));
    send_udp(5000, CHILD_GATEWAY, 80, "loopback");
    assert_int_equal(fake_newest_peer(IPPROTO_UDP)->address.sin_addr.s_addr, inet_addr("127.0.0.1"));
    send_udp(5000, "0.0.0.1", 80, "never");
    expect_icmp(ICMP_TYPE_UNREACHABLE, ICMP_CODE_PROHIBITED);
}

static void test_udp_table(void **state)
{
    (void)state;
    const unsigned limit = fixture_switch.limits.flows / 2; /* of one port */
    uint64_t evicted = fixture_switch.udp.evicted;
    for (uint16_t i = 0; i < limit; i++)
        send_udp((uint16_t)(5000 + i), REMOTE, 53, "x");
    assert_int_equal(fixture_switch.udp.count, limit);
    send_udp(5000, REMOTE, 53, "x"); /* the first one is in use again, so the second is the oldest */
    unsigned before = fake_connects;
    send_udp(9000, REMOTE, 53, "x");
    assert_int_equal(fixture_switch.udp.count, limit);
    assert_int_equal(fixture_switch.udp.evicted, evicted + 1);
    send_udp(5000, REMOTE, 53, "x");
    assert_int_equal(fake_connects, before + 1);
    send_udp(5001, REMOTE, 53, "x");
    assert_int_equal(fake_connects, before + 2);
}

static void pass_time(uint64_t seconds)
{
    fixture_switch.loop.now += seconds * 1000;
    nat_udp_tick(&fixture_switch);
    nat_tcp_tick(&fixture_switch);
}

static void test_udp_expiry(void **state)
{
    (void)state;
    send_udp(5000, REMOTE, 53, "unanswered");
    send_udp(5001, REMOTE, 53, "answered");
    assert_int_equal(send(fake_newest_peer(IPPROTO_UDP)->descriptor, "a", 1, 0), 1);
    fixture_settle();
    pass_time(NAT_UDP_UNANSWERED_TIME - 1);
    assert_int_equal(fixture_switch.udp.count, 2);
    pass_time(2);
    assert_int_equal(fixture_switch.udp.count, 1);
    pass_time(NAT_UDP_IDLE_TIME - NAT_UDP_UNANSWERED_TIME - 2);
    assert_int_equal(fixture_switch.udp.count, 1);
    pass_time(2);
    assert_int_equal(fixture_switch.udp.count, 0);
    assert_int_equal(child.port->udp_session_count, 0);
}

static void test_rate(void **state)
{
    (void)state;
    fixture_switch.limits.rate = 10;
    child.port->new_flows = (struct rate_limit){0};
    for (uint16_t i = 0; i < 100; i++) {
        struct fixture_frame frame = fixture_udp(&child, CHILD, (uint16_t)(5000 + i), REMOTE, 53, "x", 1);
        fixture_queue(&child, &frame);
    }
    fixture_settle();
    assert_in_range(fake_connects, 20, 22);
    assert_true(child.port->counters.limited >= 78);
}

/* A stream of equal datagrams goes to the socket in pieces that the kernel cuts up; the socket pair gets them
 * whole. */
static void test_udp_stream(void **state)
{
    (void)state;
    char expected[10 * 100], got[2000];
    for (unsigned i = 0; i < 10; i++) {
        memset(expected + i * 100, 'a' + (int)i, 100);
        struct fixture_frame frame = fixture_udp(&child, CHILD, 5000, REMOTE, 53, expected + i * 100, 100);
        fixture_queue(&child, &frame);
    }
    fixture_settle();
    assert_int_equal(recv(fake_newest_peer(IPPROTO_UDP)->descriptor, got, sizeof(got), 0), sizeof(expected));
    assert_memory_equal(got, expected, sizeof(expected));
    /* Of different sizes: one by one. */
    for (size_t i = 1; i <= 5; i++) {
        struct fixture_frame frame = fixture_udp(&child, CHILD, 5000, REMOTE, 53, expected, i);
        fixture_queue(&child, &frame);
    }
    fixture_settle();
    for (ssize_t i = 1; i <= 5; i++)
        assert_int_equal(recv(fake_newest_peer(IPPROTO_UDP)->descriptor, got, sizeof(got), 0), i);
}

/* A connection as the child sees it. */
struct connection {
    struct fixture_tcp out; /* what the next segment of the child's has */
    uint32_t received;      /* bytes of data so far */
};

static struct connection begin(uint16_t port)
{
    return (struct connection){
        .out = {.source = CHILD,
                .destination = REMOTE,
                .source_port = port,
                .destination_port = 80,
                .sequence = 1000,
                .window = 65535}
    };
}

static void send_segment(struct connection *connection, uint8_t flags, const void *data, size_t length)
{
    connection->out.flags = flags;
    fixture_send(&child, fixture_tcp(&child, &connection->out, data, length));
    connection->out.sequence += (uint32_t)length + ((flags & (TCP_FLAG_SYN | TCP_FLAG_FIN)) != 0);
}

/* The next segment to the child; data is appended to `data`. Returns its flags, or -1. */
static int receive_segment(struct connection *connection, uint8_t *data)
{
    struct ipv4_header header;
    size_t length;
    const uint8_t *segment = fixture_receive_ipv4(&child, &header, &length);
    if (!segment)
        return -1;
    struct tcp_header tcp;
    assert_int_equal(header.protocol, IPPROTO_TCP);
    assert_int_equal(header.source, inet_addr(REMOTE));
    memcpy(&tcp, segment, sizeof(tcp));
    assert_int_equal(ntohs(tcp.destination_port), connection->out.source_port);
    size_t headers = (tcp.data_offset >> 4) * 4u;
    length -= headers;
    if (data && length)
        memcpy(data + connection->received, segment + headers, length);
    connection->received += (uint32_t)length;
    connection->out.acknowledgement =
        ntohl(tcp.sequence) + (uint32_t)length + ((tcp.flags & (TCP_FLAG_SYN | TCP_FLAG_FIN)) != 0);
    return tcp.flags;
}

static struct connection establish(uint16_t port)
{
    struct connection connection = begin(port);
    send_segment(&connection, TCP_FLAG_SYN, "", 0);
    assert_int_equal(receive_segment(&connection, NULL), TCP_FLAG_SYN | TCP_FLAG_ACK);
    send_segment(&connection, TCP_FLAG_ACK, "", 0);
    return connection;
}

static void test_tcp(void **state)
{
    (void)state;
    struct connection connection = establish(40000);
    struct fake_peer *peer = fake_newest_peer(IPPROTO_TCP);
    assert_int_equal(peer->address.sin_addr.s_addr, inet_addr(REMOTE));
    assert_int_equal(peer->address.sin_port, htons(80));
    send_segment(&connection, TCP_FLAG_ACK | TCP_FLAG_PSH, "request", 7);
    expect_at_peer(peer, "request");

    static uint8_t data[20000], got[20000];
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    connection.received = 0;
    assert_int_equal(send(peer->descriptor, data, sizeof(data), 0), sizeof(data));
    fixture_settle();
    while (connection.received < sizeof(data)) {
        int flags = receive_segment(&connection, got);
        if (flags < 0) { /* the congestion window: it opens with acknowledgements */
            uint32_t before = connection.received;
            send_segment(&connection, TCP_FLAG_ACK, "", 0);
            assert_int_not_equal(receive_segment(&connection, got), -1);
            assert_true(connection.received > before);
        }
    }
    assert_memory_equal(got, data, sizeof(data));
    send_segment(&connection, TCP_FLAG_ACK, "", 0);

    /* The server ends first, the child still says something, then ends too. */
    assert_int_equal(shutdown(peer->descriptor, SHUT_WR), 0);
    fixture_settle();
    int flags = receive_segment(&connection, NULL);
    assert_true(flags & TCP_FLAG_FIN);
    send_segment(&connection, TCP_FLAG_ACK, "last words", 10);
    expect_at_peer(peer, "last words");
    assert_int_equal(fixture_switch.tcp.count, 1);
    send_segment(&connection, TCP_FLAG_ACK | TCP_FLAG_FIN, "", 0);
    char rest;
    assert_int_equal(recv(peer->descriptor, &rest, 1, MSG_DONTWAIT), 0);
    assert_int_equal(fixture_switch.tcp.count, 0);
}

static void test_tcp_child_closes_first(void **state)
{
    (void)state;
    struct connection connection = establish(40000);
    struct fake_peer *peer = fake_newest_peer(IPPROTO_TCP);
    send_segment(&connection, TCP_FLAG_ACK | TCP_FLAG_FIN, "all of it", 9);
    expect_at_peer(peer, "all of it");
    char rest;
    assert_int_equal(recv(peer->descriptor, &rest, 1, MSG_DONTWAIT), 0);
    assert_int_equal(receive_segment(&connection, NULL), TCP_FLAG_ACK);
    assert_int_equal(send(peer->descriptor, "answer", 6, 0), 6);
    fixture_settle();
    uint8_t data[10];
    connection.received = 0;
    assert_true(receive_segment(&connection, data) >= 0);
    assert_memory_equal(data, "answer", 6);
    send_segment(&connection, TCP_FLAG_ACK, "", 0);
    shutdown(peer->descriptor, SHUT_WR);
    fixture_settle();
    assert_true(receive_segment(&connection, NULL) & TCP_FLAG_FIN);
    assert_int_equal(fixture_switch.tcp.count, 1);
    send_segment(&connection, TCP_FLAG_ACK, "", 0);
    assert_int_equal(fixture_switch.tcp.count, 0);
}

static void test_tcp_refused(void **state)
{
    (void)state;
    struct connection connection = begin(40000);
    fake_connect_error = ECONNREFUSED;
    send_segment(&connection, TCP_FLAG_SYN, "", 0);
    assert_int_equal(receive_segment(&connection, NULL), TCP_FLAG_RST | TCP_FLAG_ACK);
    connection = begin(40001);
    fake_connect_error = ENETUNREACH;
    send_segment(&connection, TCP_FLAG_SYN, "", 0);
    expect_icmp(ICMP_TYPE_UNREACHABLE, ICMP_CODE_NETWORK);
    fake_connect_error = 0;
    fake_route = HOST_ROUTE_OWN;
    unsigned before = fake_connects;
    connection = begin(40002);
    send_segment(&connection, TCP_FLAG_SYN, "", 0);
    assert_int_equal(receive_segment(&connection, NULL), TCP_FLAG_RST | TCP_FLAG_ACK);
    assert_int_equal(fake_connects, before);
    assert_int_equal(fixture_switch.tcp.count, 0);
    /* Segments of no connection. */
    connection = begin(40003);
    send_segment(&connection, TCP_FLAG_ACK, "data", 4);
    assert_true(receive_segment(&connection, NULL) & TCP_FLAG_RST);
    send_segment(&connection, TCP_FLAG_RST, "", 0);
    expect_nothing();
}

static void test_tcp_syn_again(void **state)
{
    (void)state;
    struct connection connection = begin(40000);
    connection.out.flags = TCP_FLAG_SYN;
    struct fixture_frame syn = fixture_tcp(&child, &connection.out, "", 0);
    for (unsigned i = 0; i < 5; i++)
        fixture_queue(&child, &syn);
    fixture_settle();
    assert_int_equal(fake_connects, 1);
    assert_int_equal(fixture_switch.tcp.count, 1);
    assert_int_equal(receive_segment(&connection, NULL), TCP_FLAG_SYN | TCP_FLAG_ACK);
}

static void test_tcp_resets(void **state)
{
    (void)state;
    struct connection connection = establish(40000);
    struct fake_peer *peer = fake_newest_peer(IPPROTO_TCP);
    close(peer->descriptor); /* with the child's data unread: a reset */
    peer->protocol = 0;
    send_segment(&connection, TCP_FLAG_ACK, "data", 4);
    int flags = 0;
    while (!(flags & TCP_FLAG_RST)) {
        flags = receive_segment(&connection, NULL);
        assert_true(flags >= 0);
    }
    assert_int_equal(fixture_switch.tcp.count, 0);
    connection = establish(40001);
    send_segment(&connection, TCP_FLAG_RST, "", 0);
    assert_int_equal(fixture_switch.tcp.count, 0);
    char rest;
    assert_true(recv(fake_newest_peer(IPPROTO_TCP)->descriptor, &rest, 1, MSG_DONTWAIT) <= 0);
}

/* The child goes without a word; its connections go with it. */
static void test_tcp_child_vanishes(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < 10; i++)
        establish((uint16_t)(40000 + i));
    assert_int_equal(fixture_switch.tcp.count, 10);
    fixture_disconnect(&child);
    assert_int_equal(fixture_switch.tcp.count, 0);
    child = fixture_connect(2);
}

static void test_tcp_limit(void **state)
{
    (void)state;
    const unsigned limit = fixture_switch.limits.flows / 2;
    for (uint16_t i = 0; i < limit; i++)
        establish((uint16_t)(40000 + i));
    assert_int_equal(fixture_switch.tcp.count, limit);
    struct connection connection = begin(50000);
    send_segment(&connection, TCP_FLAG_SYN, "", 0);
    expect_nothing();
    assert_int_equal(fake_connects, limit);
    assert_int_equal(child.port->counters.limited, 1);
    /* When one has ended there is room. */
    nat_tcp_remove(child.port->tcp_flows, true);
    fixture_settle();
    while (fixture_receive(&child).length)
        continue;
    establish(50001);
    assert_int_equal(fixture_switch.tcp.count, limit);
}

static void test_tcp_idle(void **state)
{
    (void)state;
    struct connection connection = establish(40000);
    pass_time(TCP_FLOW_IDLE_TIME - 5);
    assert_int_equal(fixture_switch.tcp.count, 1);
    pass_time(10);
    assert_int_equal(fixture_switch.tcp.count, 0);
    fixture_settle();
    assert_true(receive_segment(&connection, NULL) & TCP_FLAG_RST);
}

/* Segments that come in one batch are joined: in order, out of order, twice, and of two connections. */
static void test_tcp_batches(void **state)
{
    (void)state;
    struct connection one = establish(40000);
    struct fake_peer *first_peer = fake_newest_peer(IPPROTO_TCP);
    struct connection two = establish(40001);
    struct fake_peer *second_peer = fake_newest_peer(IPPROTO_TCP);
    char expected[40 * 100 + 1] = "", got[8000];
    static const unsigned order[] = {0, 1, 2, 3, 5, 4, 4, 6, 7, 10, 9, 8, 11, 0, 12, 13};
    for (unsigned i = 0; i < 14 * 100; i++)
        expected[i] = (char)('a' + i % 23);
    const uint32_t base_one = one.out.sequence, base_two = two.out.sequence;
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        struct connection *connections[] = {&one, &two};
        for (unsigned j = 0; j < (i % 3 == 0 ? 2 : 1); j++) {
            connections[j]->out.sequence = (j ? base_two : base_one) + order[i] * 100;
            connections[j]->out.flags = TCP_FLAG_ACK | (i % 4 == 0 ? TCP_FLAG_PSH : 0);
            struct fixture_frame frame =
                fixture_tcp(&child, &connections[j]->out, expected + order[i] * 100, 100);
            fixture_queue(&child, &frame);
        }
    }
    fixture_settle();
    ssize_t length = recv(first_peer->descriptor, got, sizeof(got), MSG_DONTWAIT);
    assert_int_equal(length, 1400);
    assert_memory_equal(got, expected, 1400);
    length = recv(second_peer->descriptor, got, sizeof(got), MSG_DONTWAIT);
    assert_true(length == 100); /* the others of the second connection have gaps before them */
    assert_memory_equal(got, expected, 100);
}

/* A peer that does not read: what the child may send, and what the switch keeps, is bounded. */
static void test_tcp_flow_control(void **state)
{
    (void)state;
    struct connection connection = establish(40000);
    struct fake_peer *peer = fake_newest_peer(IPPROTO_TCP);
    uint8_t payload[1400];
    for (unsigned i = 0; i < 3000; i++) {
        memset(payload, (int)i, sizeof(payload));
        connection.out.flags = TCP_FLAG_ACK;
        struct fixture_frame frame = fixture_tcp(&child, &connection.out, payload, sizeof(payload));
        fixture_queue(&child, &frame);
        connection.out.sequence += sizeof(payload);
        if (i % 50 == 49) {
            fixture_settle();
            while (fixture_receive(&child).length)
                continue;
        }
    }
    assert_true(child.port->account->frames <= PORT_FRAMES_MAXIMUM + PORT_BATCH);
    size_t received = 0;
    ssize_t length;
    static uint8_t got[65536];
    for (;;) {
        length = recv(peer->descriptor, got, sizeof(got), MSG_DONTWAIT);
        if (length <= 0)
            break;
        for (ssize_t i = 0; i < length; i++)
            assert_int_equal(got[i], (uint8_t)((received + (size_t)i) / sizeof(payload)));
        received += (size_t)length;
        fixture_settle();
    }
    assert_true(received >= 60000);
    /* What the child sent beyond the window, as no child should, is kept as far as it fits into it. */
    assert_true(child.port->account->frames <= 65535 / sizeof(payload) + 1);
    nat_tcp_remove(child.port->tcp_flows, true);
    assert_int_equal(child.port->account->frames, 0);
    fixture_settle();
}

static void test_echo(void **state)
{
    (void)state;
    uint8_t echo[8 + 56] = {8, 0, 0, 0, 0x12, 0x34, 0, 7, 'p', 'i', 'n', 'g'};
    const struct fixture_frame request =
        fixture_ipv4(&child, CHILD, REMOTE, IPPROTO_ICMP, echo, sizeof(echo));
    fixture_send(&child, request); /* without a socket */
    expect_icmp(ICMP_TYPE_UNREACHABLE, ICMP_CODE_PROHIBITED);
    fixture_send(&child, fixture_ipv4(&child, CHILD, CHILD_GATEWAY, IPPROTO_ICMP, echo, 7));
    assert_int_equal(child.port->counters.malformed, 1);
    /* An answer that nobody asked for. */
    echo[0] = 0;
    fixture_send(&child, fixture_ipv4(&child, CHILD, REMOTE, IPPROTO_ICMP, echo, sizeof(echo)));
    expect_nothing();
}

static void test_dns(void **state)
{
    (void)state;
    char resolvers[] =
        "# comment\nnameserver\nsearch nameserver 1.2.3.4\n nameserver  192.0.2.1 \nnameserver 2001:db8::1\n"
        "nameserver x\nnameserver fe80::1%eth0\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n";
    struct dns *dns = &fixture_switch.dns;
    dns_parse_resolvers(dns, resolvers);
    assert_int_equal(dns->resolver_count, 3);
    assert_int_equal(((struct sockaddr_in *)&dns->resolvers[0])->sin_addr.s_addr, inet_addr("192.0.2.1"));
    assert_int_equal(dns->resolvers[1].ss_family, AF_INET6);
    assert_int_equal(((struct sockaddr_in *)&dns->resolvers[2])->sin_addr.s_addr, inet_addr("192.0.2.2"));
    const char *query = "\x12\x34\x01"
                        "aaaaaaaaaaaaaaaaa";
    struct ipv4_header header;
    size_t length;
    dns->read_at = fixture_switch.loop.now;
    send_udp(5000, CHILD_GATEWAY, 53, "too short");
    assert_int_equal(child.port->counters.malformed, 1);
    dns->read_at = fixture_switch.loop.now;
    send_udp(5000, CHILD_GATEWAY, 53, query);
    struct fake_peer *first = fake_newest_peer(IPPROTO_UDP);
    assert_int_equal(first->address.sin_addr.s_addr, inet_addr("192.0.2.1"));
    expect_at_peer(first, query);
    /* Not the answer: another number, a question. */
    assert_true(send(first->descriptor,
                     "\x12\x35\x81"
                     "aaaaaaaaaaaaaaa",
                     18, 0) > 0);
    assert_true(send(first->descriptor, query, 18, 0) > 0);
    fixture_settle();
    expect_nothing();
    /* Nothing comes: the next one is asked, at last the child is told. */
    for (unsigned i = 1; i < DNS_ATTEMPTS; i++) {
        fixture_switch.loop.now += DNS_TIMEOUT + 1;
        dns_tick(&fixture_switch);
        expect_at_peer(fake_newest_peer(IPPROTO_UDP), query);
    }
    expect_nothing();
    fixture_switch.loop.now += DNS_TIMEOUT + 1;
    dns_tick(&fixture_switch);
    fixture_settle();
    const uint8_t *udp = fixture_receive_ipv4(&child, &header, &length);
    assert_non_null(udp);
    assert_int_equal(header.source, inet_addr(CHILD_GATEWAY));
    assert_memory_equal(udp + 8, "\x12\x34\x81\x82", 4);
    assert_int_equal(dns->active, 0);

    dns->read_at = fixture_switch.loop.now;
    send_udp(5001, CHILD_GATEWAY, 53, query);
    assert_true(send(fake_newest_peer(IPPROTO_UDP)->descriptor,
                     "\x12\x34\x81"
                     "answeranswer",
                     15, 0) > 0);
    fixture_settle();
    udp = fixture_receive_ipv4(&child, &header, &length);
    assert_non_null(udp);
    assert_memory_equal(udp + 11, "answeranswer", 12);
    assert_int_equal(dns->active, 0);
}

/* More questions than there are places; every place comes back. */
static void test_dns_table(void **state)
{
    (void)state;
    char resolvers[] = "nameserver 192.0.2.1\n";
    dns_parse_resolvers(&fixture_switch.dns, resolvers);
    for (uint16_t i = 0; i < DNS_QUERIES + 50; i++) {
        fixture_switch.dns.read_at = fixture_switch.loop.now;
        send_udp((uint16_t)(5000 + i), CHILD_GATEWAY, 53,
                 "\x12\x34\x01"
                 "aaaaaaaaaaaaaaa");
    }
    assert_int_equal(fixture_switch.dns.active, DNS_QUERIES);
    fixture_switch.dns.resolver_count = 0;
    fixture_switch.loop.now += DNS_TIMEOUT + 1;
    dns_tick(&fixture_switch);
    assert_int_equal(fixture_switch.dns.active, 0);
}

static int start(void **state)
{
    (void)state;
    fixture_start();
    return 0;
}

#define NAT_TEST(name) cmocka_unit_test_setup_teardown(name, connect_child, disconnect_child)

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAT_TEST(test_udp),
        NAT_TEST(test_udp_long_answer),
        NAT_TEST(test_udp_lengths),
        NAT_TEST(test_policy),
        NAT_TEST(test_allow_host),
        NAT_TEST(test_udp_table),
        NAT_TEST(test_udp_expiry),
        NAT_TEST(test_rate),
        NAT_TEST(test_udp_stream),
        NAT_TEST(test_tcp),
        NAT_TEST(test_tcp_child_closes_first),
        NAT_TEST(test_tcp_refused),
        NAT_TEST(test_tcp_syn_again),
        NAT_TEST(test_tcp_resets),
        NAT_TEST(test_tcp_child_vanishes),
        NAT_TEST(test_tcp_limit),
        NAT_TEST(test_tcp_idle),
        NAT_TEST(test_tcp_batches),
        NAT_TEST(test_tcp_flow_control),
        NAT_TEST(test_echo),
        NAT_TEST(test_dns),
        NAT_TEST(test_dns_table),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
