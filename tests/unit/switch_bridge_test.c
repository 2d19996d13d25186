/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames between children, and what the gateway itself answers. */
#include <arpa/inet.h>
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

#include "tests/unit/switch_fixture.h"

static const struct mac_address broadcast = {
    {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
};
static struct fixture_child children[3];

static int connect_children(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < 3; i++)
        children[i] = fixture_connect((uint8_t)(i + 2));
    return 0;
}

static int disconnect_children(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        fixture_disconnect(&children[i]);
    fake_reset();
    assert_int_equal(fixture_switch.port_count, 0);
    return 0;
}

static void expect_nothing(const struct fixture_child *child)
{
    assert_int_equal(fixture_receive(child).length, 0);
}

static void test_unicast(void **state)
{
    (void)state;
    struct fixture_frame frame = fixture_ethernet(children[1].mac, children[0].mac, 0x88B5, "unicast", 7);
    fixture_send(&children[0], frame);
    struct fixture_frame got = fixture_receive(&children[1]);
    assert_int_equal(got.length, frame.length);
    assert_memory_equal(got.bytes, frame.bytes, frame.length);
    for (unsigned i = 0; i < 3; i++)
        expect_nothing(&children[i]);
    /* To itself, and to nobody. */
    fixture_send(&children[0], fixture_ethernet(children[0].mac, children[0].mac, 0x88B5, "self", 4));
    struct mac_address nobody = {
        {0x00, 0x15, 0x5D, 0x01, 0x00, 0x77}
    };
    fixture_send(&children[0], fixture_ethernet(nobody, children[0].mac, 0x88B5, "nobody", 6));
    for (unsigned i = 0; i < 3; i++)
        expect_nothing(&children[i]);
    assert_int_equal(children[0].port->counters.unknown, 2);
}

static void test_group(void **state)
{
    (void)state;
    const struct mac_address group = {
        {0x01, 0x00, 0x5E, 0x00, 0x00, 0xFB}
    };
    fixture_send(&children[0], fixture_ethernet(broadcast, children[0].mac, 0x88B5, "all", 3));
    fixture_send(&children[0], fixture_ethernet(group, children[0].mac, 0x88B5, "group", 5));
    for (unsigned i = 1; i < 3; i++) {
        assert_int_equal(fixture_receive(&children[i]).length, 17);
        assert_int_equal(fixture_receive(&children[i]).length, 19);
        expect_nothing(&children[i]);
    }
    expect_nothing(&children[0]);
}

static void test_source_enforced(void **state)
{
    (void)state;
    struct mac_address other = {
        {0x00, 0x15, 0x5D, 0x01, 0x00, 0x77}
    };
    const struct mac_address destinations[] = {broadcast, children[1].mac, fixture_switch.mac};
    const struct mac_address sources[] = {other, children[1].mac, fixture_switch.mac};
    for (unsigned i = 0; i < 3; i++)
        for (unsigned j = 0; j < 3; j++)
            fixture_send(&children[0], fixture_ethernet(destinations[i], sources[j], 0x88B5, "spoofed", 7));
    assert_int_equal(children[0].port->counters.spoofed, 9);
    for (unsigned i = 0; i < 3; i++)
        expect_nothing(&children[i]);
}

/* A message of one frame, of which `length` bytes are sent although it says that it has `said`. */
static void write_message(uint16_t said, size_t length)
{
    uint8_t bytes[1700] = {0};
    memcpy(bytes, &said, sizeof(said));
    memcpy(bytes + 2, &children[1].mac, 6);
    memcpy(bytes + 8, &children[0].mac, 6);
    fixture_write(&children[0], bytes, 2 + length);
}

static void test_frame_sizes(void **state)
{
    (void)state;
    static const uint16_t bad[] = {0, 1, 13, 1519, 1600};
    for (unsigned i = 0; i < 5; i++)
        write_message(bad[i], bad[i]);
    fixture_settle();
    expect_nothing(&children[1]);
    assert_int_equal(children[0].port->counters.malformed, 5);
    static const uint16_t good[] = {14, 60, 1514, 1518};
    for (unsigned i = 0; i < 4; i++) {
        write_message(good[i], good[i]);
        fixture_settle();
        assert_int_equal(fixture_receive(&children[1]).length, good[i]);
    }
}

/* Messages that are not what they say: the frames before the mistake count. */
static void test_malformed_messages(void **state)
{
    (void)state;
    uint64_t *malformed = &children[0].port->counters.malformed;
    write_message(60, 59);
    write_message(1518, 14);
    write_message(0xFFFF, 60);
    fixture_write(&children[0], "x", 1);
    fixture_settle();
    expect_nothing(&children[1]);
    assert_int_equal(*malformed, 4);
    write_message(60, 61); /* half a length behind it */
    write_message(60, 70); /* a frame of no length behind it */
    fixture_settle();
    assert_int_equal(fixture_receive(&children[1]).length, 60);
    assert_int_equal(fixture_receive(&children[1]).length, 60);
    expect_nothing(&children[1]);
    assert_int_equal(*malformed, 6);

    /* One frame more than a message may have, and a message longer than any. */
    static uint8_t bytes[PORT_MESSAGE_MAXIMUM + 1];
    for (unsigned i = 0; i <= PORT_MESSAGE_FRAMES; i++) {
        struct fixture_frame frame =
            fixture_ethernet(children[1].mac, children[0].mac, 0x88B5, &i, sizeof(i));
        memcpy(bytes + i * (2 + frame.length), &(uint16_t){(uint16_t)frame.length}, 2);
        memcpy(bytes + i * (2 + frame.length) + 2, frame.bytes, frame.length);
    }
    fixture_write(&children[0], bytes, (PORT_MESSAGE_FRAMES + 1) * 20);
    fixture_write(&children[0], bytes, sizeof(bytes));
    fixture_settle();
    for (unsigned i = 0; i < PORT_MESSAGE_FRAMES; i++)
        assert_memory_equal(fixture_receive(&children[1]).bytes + 14, &i, sizeof(i));
    expect_nothing(&children[1]);
    assert_int_equal(*malformed, 8);
    assert_int_equal(children[0].port->account->frames, 0);
}

/* Frames for an adapter travel together, as many as there are room for. */
static void test_messages_to_adapter(void **state)
{
    (void)state;
    static struct port_message message;
    for (uint32_t i = 0; i < 40; i++) {
        struct fixture_frame frame =
            fixture_ethernet(children[1].mac, children[0].mac, 0x88B5, &i, sizeof(i));
        fixture_queue(&children[0], &frame);
        if (i % 4 == 3)
            vswitch_round(&fixture_switch, 0);
    }
    unsigned frames = 0, messages = 0;
    while (port_message_receive(&message, children[1].descriptor) == PORT_MESSAGE_RECEIVED) {
        size_t length;
        messages++;
        for (const uint8_t *bytes; (bytes = port_message_peek(&message, &length)); frames++) {
            assert_int_equal(length, 18);
            assert_memory_equal(bytes + 14, &frames, sizeof(frames));
            port_message_take(&message);
        }
    }
    assert_int_equal(frames, 40);
    assert_int_equal(messages, 10);
}

/* A burst of more frames than a batch, in order. */
static void test_burst(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 150; i++) {
        struct fixture_frame frame =
            fixture_ethernet(children[1].mac, children[0].mac, 0x88B5, &i, sizeof(i));
        fixture_queue(&children[0], &frame);
    }
    fixture_settle();
    for (uint32_t i = 0; i < 150; i++)
        assert_memory_equal(fixture_receive(&children[1]).bytes + 14, &i, sizeof(i));
    expect_nothing(&children[1]);
}

/* An adapter that does not read costs a bounded number of frames, and gets the first ones when it reads
 * again. */
static void test_congestion(void **state)
{
    (void)state;
    uint8_t payload[1500] = {0};
    const uint32_t sent = 3000;
    for (uint32_t i = 0; i < sent; i++) {
        memcpy(payload, &i, sizeof(i));
        struct fixture_frame frame =
            fixture_ethernet(children[1].mac, children[0].mac, 0x88B5, payload, sizeof(payload));
        fixture_queue(&children[0], &frame);
        if (i % 50 == 49)
            fixture_settle();
    }
    assert_true(port_congested(children[1].port));
    assert_true(children[1].port->counters.congested > 0);
    assert_int_equal(children[0].port->account->frames, 0);
    uint32_t received = 0, last = 0;
    for (;;) {
        struct fixture_frame frame = fixture_receive(&children[1]);
        if (!frame.length) {
            fixture_settle();
            frame = fixture_receive(&children[1]);
        }
        if (!frame.length)
            break;
        uint32_t number;
        memcpy(&number, frame.bytes + 14, sizeof(number));
        assert_true(received == 0 || number > last);
        last = number;
        received++;
    }
    assert_false(port_congested(children[1].port));
    assert_int_equal(received + children[1].port->counters.congested, sent);
    assert_true(received >= PORT_BACKLOG_FRAMES);
}

static struct arp_packet arp(uint16_t operation, struct mac_address sender_mac, const char *sender,
                             const char *target)
{
    return (struct arp_packet){
        .hardware_type = htons(1),
        .protocol_type = htons(ETHERTYPE_IPV4),
        .hardware_length = 6,
        .protocol_length = 4,
        .operation = htons(operation),
        .sender_mac = sender_mac,
        .sender_address = inet_addr(sender),
        .target_address = inet_addr(target),
    };
}

static void send_arp(unsigned child, struct arp_packet packet)
{
    fixture_send(&children[child],
                 fixture_ethernet(broadcast, children[child].mac, ETHERTYPE_ARP, &packet, sizeof(packet)));
}

static void test_arp(void **state)
{
    (void)state;
    send_arp(0, arp(ARP_REQUEST, children[0].mac, "192.168.100.2", CHILD_GATEWAY));
    struct fixture_frame reply = fixture_receive(&children[0]);
    assert_int_equal(reply.length, 42);
    struct arp_packet packet;
    memcpy(&packet, reply.bytes + 14, sizeof(packet));
    assert_int_equal(packet.operation, htons(ARP_REPLY));
    assert_true(mac_equal(&packet.sender_mac, &fixture_switch.mac));
    assert_int_equal(packet.sender_address, inet_addr(CHILD_GATEWAY));
    assert_true(mac_equal(&packet.target_mac, &children[0].mac));
    assert_int_equal(fixture_receive(&children[1]).length, 42); /* a request is for all */
    assert_ptr_equal(neighbour_find(&fixture_switch, inet_addr("192.168.100.2")), children[0].port);

    /* For another child: the gateway has nothing to say. */
    send_arp(0, arp(ARP_REQUEST, children[0].mac, "192.168.100.2", "192.168.100.3"));
    expect_nothing(&children[0]);
    assert_int_equal(fixture_receive(&children[1]).length, 42);
}

static void test_arp_claims(void **state)
{
    (void)state;
    struct lease *lease =
        lease_assign(&fixture_switch.leases, &children[1].mac, inet_addr("192.168.100.50"), 0);
    assert_int_equal(lease->address, inet_addr("192.168.100.50"));
    struct arp_packet short_one = arp(ARP_REQUEST, children[0].mac, "192.168.100.2", CHILD_GATEWAY);
    fixture_send(&children[0], fixture_ethernet(broadcast, children[0].mac, ETHERTYPE_ARP, &short_one, 27));
    send_arp(0, arp(ARP_REPLY, children[0].mac, CHILD_GATEWAY, "192.168.100.3"));
    send_arp(0, arp(ARP_REPLY, children[1].mac, "192.168.100.3", "192.168.100.4"));
    send_arp(0, arp(ARP_REPLY, children[0].mac, "192.168.100.50", "192.168.100.4")); /* leased to another */
    send_arp(0, arp(ARP_REPLY, children[0].mac, "10.0.0.1", "192.168.100.4"));
    for (unsigned i = 0; i < 3; i++)
        expect_nothing(&children[i]);
    assert_int_equal(children[0].port->counters.spoofed, 4);
    assert_int_equal(children[0].port->counters.malformed, 1);
    /* Its owner may. */
    send_arp(1, arp(ARP_REPLY, children[1].mac, "192.168.100.50", "192.168.100.4"));
    assert_ptr_equal(neighbour_find(&fixture_switch, inet_addr("192.168.100.50")), children[1].port);
    lease_table_free(&fixture_switch.leases);
    assert_int_equal(lease_table_initialize(&fixture_switch.leases, &fixture_switch.subnet,
                                            fixture_switch.leases.in_use, &fixture_switch),
                     0);
}

/* A child that uses many addresses keeps the newest ones. */
static void test_many_addresses(void **state)
{
    (void)state;
    char address[20];
    for (unsigned i = 2; i < 102; i++) {
        snprintf(address, sizeof(address), "192.168.100.%u", i);
        fixture_switch.loop.now++;
        send_arp(0, arp(ARP_REPLY, children[0].mac, address, "192.168.100.200"));
    }
    assert_int_equal(children[0].port->address_count, NEIGHBOUR_PORT_ADDRESSES);
    assert_ptr_equal(neighbour_find(&fixture_switch, inet_addr("192.168.100.101")), children[0].port);
    assert_null(neighbour_find(&fixture_switch, inet_addr("192.168.100.2")));
}

/* DHCP is between a child and the gateway, and no child can be a server. */
static void test_dhcp_guard(void **state)
{
    (void)state;
    uint8_t packet[20 + 8 + 300] = {0x45, 0, 0x01, 0x48, 0, 0, 0, 0, 64, IPPROTO_UDP};
    memset(packet + 16, 0xFF, 4);
    memcpy(packet + 20, (uint8_t[]){0, 68, 0, 67, 0x01, 0x34}, 6);
    packet[28] = packet[29] = 1;
    packet[30] = 6;
    memcpy(packet + 28 + 28, &children[0].mac, 6);
    memcpy(packet + 28 + 236, (uint8_t[]){0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255}, 8);
    fixture_send(&children[0],
                 fixture_ethernet(broadcast, children[0].mac, ETHERTYPE_IPV4, packet, sizeof(packet)));
    expect_nothing(&children[1]);
    struct ipv4_header header;
    size_t length;
    const uint8_t *udp = fixture_receive_ipv4(&children[0], &header, &length);
    assert_non_null(udp);
    assert_int_equal(header.source, inet_addr(CHILD_GATEWAY));
    assert_memory_equal(udp, ((uint8_t[]){0, 67, 0, 68}), 4);
    assert_int_equal(udp[8], 2);

    memcpy(packet + 20, (uint8_t[]){0, 67, 0, 68}, 4);
    fixture_send(&children[0],
                 fixture_ethernet(broadcast, children[0].mac, ETHERTYPE_IPV4, packet, sizeof(packet)));
    for (unsigned i = 0; i < 3; i++)
        expect_nothing(&children[i]);
    assert_int_equal(children[0].port->counters.spoofed, 1);
    /* Other broadcasts go to all. */
    memcpy(packet + 20, (uint8_t[]){0, 137, 0, 137}, 4);
    fixture_send(&children[0],
                 fixture_ethernet(broadcast, children[0].mac, ETHERTYPE_IPV4, packet, sizeof(packet)));
    assert_int_equal(fixture_receive(&children[1]).length, 14 + sizeof(packet));
}

static void test_ping_gateway(void **state)
{
    (void)state;
    uint8_t echo[8 + 1000] = {8, 0, 0, 0, 0x12, 0x34, 0, 7};
    memset(echo + 8, 0x5A, 1000);
    fixture_send(&children[0], fixture_ipv4(&children[0], "192.168.100.2", CHILD_GATEWAY, IPPROTO_ICMP, echo,
                                            sizeof(echo)));
    struct ipv4_header header;
    size_t length;
    const uint8_t *reply = fixture_receive_ipv4(&children[0], &header, &length);
    assert_non_null(reply);
    assert_int_equal(length, sizeof(echo));
    assert_int_equal(reply[0], 0);
    assert_memory_equal(reply + 4, echo + 4, sizeof(echo) - 4);
    assert_int_equal(header.source, inet_addr(CHILD_GATEWAY));
    assert_int_equal(fake_connects, 0);
}

/* Two fragments, the second first; the reply comes in one piece or in fragments that fit. */
static void test_fragments(void **state)
{
    (void)state;
    uint8_t message[8 + 2000] = {8, 0, 0, 0, 0x12, 0x34, 0, 7};
    for (unsigned i = 8; i < sizeof(message); i++)
        message[i] = (uint8_t)(i * 7);
    struct fixture_frame first =
        fixture_ipv4(&children[0], "192.168.100.2", CHILD_GATEWAY, IPPROTO_ICMP, message, 1480);
    struct fixture_frame second = fixture_ipv4(&children[0], "192.168.100.2", CHILD_GATEWAY, IPPROTO_ICMP,
                                               message + 1480, sizeof(message) - 1480);
    memcpy(second.bytes + 18, first.bytes + 18, 2);       /* the same identification */
    memcpy(first.bytes + 20, (uint8_t[]){0x20, 0x00}, 2); /* more fragments */
    memcpy(second.bytes + 20, (uint8_t[]){0, 1480 / 8}, 2);
    fixture_send(&children[0], second);
    expect_nothing(&children[0]);
    fixture_send(&children[0], first);
    uint8_t whole[sizeof(message)] = {0};
    size_t received = 0;
    while (received < sizeof(message)) {
        struct ipv4_header header;
        size_t length;
        const uint8_t *part = fixture_receive_ipv4(&children[0], &header, &length);
        assert_non_null(part);
        size_t offset = (ntohs(header.fragment) & IPV4_FRAGMENT_OFFSET) * 8u;
        assert_true(offset + length <= sizeof(whole));
        memcpy(whole + offset, part, length);
        received += length;
    }
    assert_memory_equal(whole + 4, message + 4, sizeof(message) - 4);
    expect_nothing(&children[0]);
}

static void test_bad_ipv4(void **state)
{
    (void)state;
    struct fixture_frame good =
        fixture_ipv4(&children[0], "192.168.100.2", CHILD_GATEWAY, IPPROTO_ICMP, (uint8_t[8]){8}, 8);
    static const struct {
        size_t offset;
        uint8_t value;
    } damages[] = {
        {14, 0x65}, /* version */
        {14, 0x44}, /* header shorter than a header */
        {14, 0x4F}, /* header longer than the packet */
        {16, 0x01}, /* packet longer than the frame */
        {17, 19  }, /* packet shorter than its header */
        {17, 27  }, /* no whole ICMP header */
        {30, 0   }, /* to 0.168.100.1, which is prohibited */
    };
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        struct fixture_frame bad = good;
        bad.bytes[damages[i].offset] = damages[i].value;
        fixture_send(&children[0], bad);
    }
    assert_int_equal(children[0].port->counters.malformed, 6);
    struct ipv4_header header;
    size_t length;
    const uint8_t *error = fixture_receive_ipv4(&children[0], &header, &length);
    assert_int_equal(error[0], ICMP_TYPE_UNREACHABLE);
    assert_int_equal(error[1], ICMP_CODE_PROHIBITED);
    expect_nothing(&children[0]);
    /* Sources that are not the child's to use. */
    static const char *const sources[] = {"10.0.0.1", CHILD_GATEWAY, "192.168.100.0", "192.168.100.255",
                                          "0.0.0.0"};
    for (unsigned i = 0; i < 5; i++)
        fixture_send(&children[0],
                     fixture_ipv4(&children[0], sources[i], CHILD_GATEWAY, IPPROTO_ICMP, (uint8_t[8]){8}, 8));
    assert_int_equal(children[0].port->counters.spoofed, 5);
    expect_nothing(&children[0]);
}

static void test_time_exceeded(void **state)
{
    (void)state;
    struct fixture_frame frame =
        fixture_udp(&children[0], "192.168.100.2", 5000, "198.51.100.7", 33434, "x", 1);
    frame.bytes[14 + 8] = 1;
    fixture_send(&children[0], frame);
    struct ipv4_header header;
    size_t length;
    const uint8_t *error = fixture_receive_ipv4(&children[0], &header, &length);
    assert_non_null(error);
    assert_int_equal(error[0], ICMP_TYPE_TIME_EXCEEDED);
    assert_memory_equal(error + 8 + 20, frame.bytes + 14 + 20, 8); /* the datagram's header is quoted */
    assert_int_equal(fake_connects, 0);
    /* A protocol that no NAT knows. */
    fixture_send(&children[0],
                 fixture_ipv4(&children[0], "192.168.100.2", "198.51.100.7", 47, "12345678", 8));
    error = fixture_receive_ipv4(&children[0], &header, &length);
    assert_int_equal(error[0], ICMP_TYPE_UNREACHABLE);
    assert_int_equal(error[1], ICMP_CODE_PROTOCOL);
}

static int start(void **state)
{
    (void)state;
    fixture_start();
    return 0;
}

#define BRIDGE_TEST(name) cmocka_unit_test_setup_teardown(name, connect_children, disconnect_children)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BRIDGE_TEST(test_unicast),
        BRIDGE_TEST(test_group),
        BRIDGE_TEST(test_source_enforced),
        BRIDGE_TEST(test_frame_sizes),
        BRIDGE_TEST(test_malformed_messages),
        BRIDGE_TEST(test_messages_to_adapter),
        BRIDGE_TEST(test_burst),
        BRIDGE_TEST(test_congestion),
        BRIDGE_TEST(test_arp),
        BRIDGE_TEST(test_arp_claims),
        BRIDGE_TEST(test_many_addresses),
        BRIDGE_TEST(test_dhcp_guard),
        BRIDGE_TEST(test_ping_gateway),
        BRIDGE_TEST(test_fragments),
        BRIDGE_TEST(test_bad_ipv4),
        BRIDGE_TEST(test_time_exceeded),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
