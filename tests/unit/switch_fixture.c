/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/switch_fixture.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/net/checksum.h"

struct vswitch fixture_switch;

void fixture_start(void)
{
    char error[200];
    struct vswitch *vswitch = &fixture_switch;
    assert_true(subnet_parse(CHILD_NETWORK, &vswitch->subnet, error, sizeof(error)));
    vswitch->limits = (struct vswitch_limits){.flows = 64, .rate = 1000000};
    assert_true(vswitch_initialize(vswitch, "/dev/null", error, sizeof(error)));
}

void fixture_settle(void)
{
    /* Each round handles what is there; a few in a row also what followed from it. */
    for (int i = 0; i < 8; i++)
        vswitch_round(&fixture_switch, 0);
}

struct fixture_child fixture_connect(uint8_t number)
{
    struct fixture_child child = {.mac = {{0x00, 0x15, 0x5D, 0x01, 0x00, number}}};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    child.descriptor = pair[1];
    child.inbox = calloc(1, sizeof(*child.inbox));
    assert_non_null(child.inbox);
    child.port = port_open(&fixture_switch, pair[0]);
    assert_non_null(child.port);
    struct port_hello hello = {.magic = PORT_PROTOCOL_MAGIC, .version = PORT_PROTOCOL_VERSION};
    memcpy(hello.mac, &child.mac, sizeof(hello.mac));
    snprintf(hello.name, sizeof(hello.name), "child%u", number);
    assert_int_equal(send(child.descriptor, &hello, sizeof(hello), 0), sizeof(hello));
    fixture_settle();
    struct port_welcome welcome;
    assert_int_equal(recv(child.descriptor, &welcome, sizeof(welcome), 0), sizeof(welcome));
    assert_int_equal(welcome.status, PORT_CONNECTED);
    return child;
}

void fixture_disconnect(struct fixture_child *child)
{
    close(child->descriptor);
    free(child->inbox);
    fixture_settle();
}

struct fixture_frame fixture_ethernet(struct mac_address destination, struct mac_address source,
                                      uint16_t type, const void *payload, size_t length)
{
    struct fixture_frame frame = {.length = sizeof(struct ethernet_header) + length};
    const struct ethernet_header header = {.destination = destination, .source = source, .type = htons(type)};
    assert_true(frame.length <= sizeof(frame.bytes));
    memcpy(frame.bytes, &header, sizeof(header));
    memcpy(frame.bytes + sizeof(header), payload, length);
    return frame;
}

struct fixture_frame fixture_ipv4(const struct fixture_child *child, const char *source,
                                  const char *destination, uint8_t protocol, const void *payload,
                                  size_t length)
{
    static uint16_t identification;
    uint8_t packet[1500];
    struct ipv4_header header = {
        .version_and_length = 0x45,
        .total_length = htons((uint16_t)(sizeof(header) + length)),
        .identification = htons(++identification),
        .time_to_live = 64,
        .protocol = protocol,
        .source = inet_addr(source),
        .destination = inet_addr(destination),
    };
    header.checksum = checksum_finish(checksum_add(0, &header, sizeof(header)));
    memcpy(packet, &header, sizeof(header));
    memcpy(packet + sizeof(header), payload, length);
    return fixture_ethernet(fixture_switch.mac, child->mac, ETHERTYPE_IPV4, packet, sizeof(header) + length);
}

struct fixture_frame fixture_udp(const struct fixture_child *child, const char *source, uint16_t source_port,
                                 const char *destination, uint16_t destination_port, const void *payload,
                                 size_t length)
{
    uint8_t datagram[1480];
    const struct udp_header header = {
        .source_port = htons(source_port),
        .destination_port = htons(destination_port),
        .length = htons((uint16_t)(sizeof(header) + length)),
    };
    memcpy(datagram, &header, sizeof(header));
    memcpy(datagram + sizeof(header), payload, length);
    return fixture_ipv4(child, source, destination, IPPROTO_UDP, datagram, sizeof(header) + length);
}

struct fixture_frame fixture_tcp(const struct fixture_child *child, const struct fixture_tcp *from,
                                 const void *payload, size_t length)
{
    uint8_t segment[1480];
    struct tcp_header header = {
        .source_port = htons(from->source_port),
        .destination_port = htons(from->destination_port),
        .sequence = htonl(from->sequence),
        .acknowledgement = htonl(from->acknowledgement),
        .data_offset = 0x50,
        .flags = from->flags,
        .window = htons(from->window),
    };
    memcpy(segment, &header, sizeof(header));
    memcpy(segment + sizeof(header), payload, length);
    uint16_t sum = checksum_pseudo_header(inet_addr(from->source), inet_addr(from->destination), IPPROTO_TCP,
                                          (uint16_t)(sizeof(header) + length));
    header.checksum = checksum_finish(checksum_add(sum, segment, sizeof(header) + length));
    memcpy(segment, &header, sizeof(header));
    return fixture_ipv4(child, from->source, from->destination, IPPROTO_TCP, segment,
                        sizeof(header) + length);
}

void fixture_queue(const struct fixture_child *child, const struct fixture_frame *frame)
{
    static struct port_message message;
    port_message_clear(&message);
    memcpy(port_message_add(&message, frame->length), frame->bytes, frame->length);
    assert_true(port_message_send(&message, child->descriptor));
}

void fixture_write(const struct fixture_child *child, const void *bytes, size_t length)
{
    assert_int_equal(send(child->descriptor, bytes, length, 0), (ssize_t)length);
}

void fixture_send(const struct fixture_child *child, struct fixture_frame frame)
{
    fixture_queue(child, &frame);
    fixture_settle();
}

struct fixture_frame fixture_receive(const struct fixture_child *child)
{
    struct fixture_frame frame = {.length = 0};
    const uint8_t *bytes = port_message_peek(child->inbox, &frame.length);
    if (!bytes && port_message_receive(child->inbox, child->descriptor) == PORT_MESSAGE_RECEIVED)
        bytes = port_message_peek(child->inbox, &frame.length);
    assert_false(child->inbox->malformed);
    if (bytes)
        memcpy(frame.bytes, bytes, frame.length);
    port_message_take(child->inbox);
    return frame;
}

const uint8_t *fixture_receive_ipv4(const struct fixture_child *child, struct ipv4_header *header,
                                    size_t *length)
{
    static struct fixture_frame frame;
    frame = fixture_receive(child);
    if (!frame.length)
        return NULL;
    struct ethernet_header ethernet;
    memcpy(&ethernet, frame.bytes, sizeof(ethernet));
    assert_int_equal(ethernet.type, htons(ETHERTYPE_IPV4));
    assert_true(mac_equal(&ethernet.source, &fixture_switch.mac));
    assert_true(mac_equal(&ethernet.destination, &child->mac));
    const uint8_t *packet = frame.bytes + sizeof(ethernet);
    memcpy(header, packet, sizeof(*header));
    assert_int_equal(ntohs(header->total_length), frame.length - sizeof(ethernet));
    assert_int_equal(checksum_add(0, packet, sizeof(*header)), 0xFFFF);
    *length = frame.length - sizeof(ethernet) - sizeof(*header);
    const uint8_t *transport = packet + sizeof(*header);
    bool fragment = header->fragment & htons(IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET);
    if (header->protocol == IPPROTO_ICMP && !fragment)
        assert_int_equal(checksum_add(0, transport, *length), 0xFFFF);
    else if (!fragment)
        assert_int_equal(checksum_add(checksum_pseudo_header(header->source, header->destination,
                                                             header->protocol, (uint16_t)*length),
                                      transport, *length),
                         0xFFFF);
    return transport;
}
