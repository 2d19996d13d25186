/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The adapter's end of a port, with the test as the switch. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/net/nic_port.h"
#include "partitions/root/net/port_protocol.h"

static struct nic_port port;
static struct nic_backend backend;
static int far_end;
static struct port_message inbox; /* what it has received */

/* A card with room for so many frames. */
static unsigned room, received, lost;
static uint8_t newest[NIC_MAXIMUM_FRAME];
static size_t newest_length;

static bool receive(void *card, const uint8_t *frame, size_t length)
{
    assert_ptr_equal(card, &room);
    if (!room)
        return false;
    room--;
    received++;
    memcpy(newest, frame, length);
    newest_length = length;
    return true;
}

static void count_lost(void *context)
{
    assert_ptr_equal(context, &lost);
    lost++;
}

static int begin(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    far_end = pair[1];
    room = 1000000;
    port_message_clear(&inbox);
    received = lost = 0;
    nic_port_initialize(&port, receive, &room, count_lost, &lost);
    assert_int_equal(nic_port_descriptor(&port), -1);
    nic_port_attach(&port, pair[0]);
    backend = nic_port_backend(&port);
    return 0;
}

static int end(void **state)
{
    (void)state;
    nic_port_disconnect(&port);
    if (far_end >= 0)
        close(far_end);
    return 0;
}

/* The next frame that the adapter sent, or length 0 if there is none. */
static size_t take(const uint8_t **frame)
{
    size_t length;
    *frame = port_message_peek(&inbox, &length);
    if (!*frame && port_message_receive(&inbox, far_end) == PORT_MESSAGE_RECEIVED)
        *frame = port_message_peek(&inbox, &length);
    port_message_take(&inbox);
    return *frame ? length : 0;
}

/* One message with frames of 60 bytes, numbered from `number` on. */
static void deliver_many(uint32_t number, unsigned count)
{
    static struct port_message message;
    port_message_clear(&message);
    for (unsigned i = 0; i < count; i++, number++) {
        uint8_t *frame = port_message_add(&message, 60);
        assert_non_null(frame);
        memset(frame, 0, 60);
        memcpy(frame + 14, &number, sizeof(number));
    }
    assert_true(port_message_send(&message, far_end));
}

static void deliver(uint32_t number)
{
    deliver_many(number, 1);
}

static void test_send(void **state)
{
    (void)state;
    const struct iovec parts[] = {
        {"destination", 6},
        {"source",      6},
        {"\x08\0",      2},
        {"payload",     7}
    };
    const uint8_t *frame;
    backend.send(backend.port, parts, 4);
    assert_int_equal(take(&frame), 0); /* not before it is flushed */
    assert_true(backend.flush(backend.port));
    assert_int_equal(take(&frame), 21);
    assert_memory_equal(frame, "destinsource\x08\0payload", 21);
    assert_true(backend.flush(backend.port)); /* once */
    assert_int_equal(take(&frame), 0);
    /* The switch does not read: refused and counted, and works again later. */
    uint8_t data[1500] = {0};
    const struct iovec big = {data, sizeof(data)};
    do
        backend.send(backend.port, &big, 1);
    while (backend.flush(backend.port));
    assert_true(port.sent >= 60 && port.dropped == 1);
    while (take(&frame))
        continue;
    backend.send(backend.port, &big, 1);
    assert_true(backend.flush(backend.port));
}

/* Frames that are flushed together keep their borders and their order, however many they are. */
static void test_send_many(void **state)
{
    (void)state;
    uint8_t bytes[1514];
    const uint8_t *frame;
    const unsigned count = 2 * PORT_MESSAGE_FRAMES + 5;
    for (unsigned i = 0; i < count; i++) {
        const struct iovec parts[] = {
            {bytes,      14    },
            {bytes + 14, 46 + i}
        };
        memset(bytes, (int)i, sizeof(bytes));
        backend.send(backend.port, parts, 2);
    }
    assert_true(backend.flush(backend.port));
    assert_int_equal(port.sent, count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(take(&frame), 60 + i);
        assert_int_equal(frame[0], i);
        assert_int_equal(frame[59 + i], i);
    }
    assert_int_equal(take(&frame), 0);
    /* The longest frames fit as often as the shortest. Of more than there is room for, the last are lost. */
    const unsigned full_count = 20 * PORT_MESSAGE_FRAMES;
    uint8_t full_bytes[NIC_MAXIMUM_FRAME] = {0};
    const struct iovec full = {full_bytes, sizeof(full_bytes)};
    for (unsigned i = 0; i < full_count; i++) {
        memcpy(full_bytes, &i, sizeof(i));
        backend.send(backend.port, &full, 1);
    }
    assert_false(backend.flush(backend.port));
    assert_int_equal(port.sent + port.dropped, count + full_count);
    for (unsigned i = 0; i < port.sent - count; i++) {
        assert_int_equal(take(&frame), sizeof(full_bytes));
        assert_memory_equal(frame, &i, sizeof(i));
    }
}

static void test_receive(void **state)
{
    (void)state;
    assert_int_equal(nic_port_receive(&port), NIC_PORT_DRAINED);
    for (uint32_t i = 0; i < 50; i += 10)
        deliver_many(i, 10);
    assert_int_equal(nic_port_receive(&port), NIC_PORT_DRAINED);
    assert_int_equal(received, 50);
    assert_memory_equal(newest + 14, &(uint32_t){49}, 4);
    deliver_many(50, PORT_MESSAGE_FRAMES);
    deliver(82);
    assert_int_equal(nic_port_receive(&port), NIC_PORT_DRAINED);
    assert_int_equal(received, 83);
    assert_memory_equal(newest + 14, &(uint32_t){82}, 4);
    /* Too short and too long ones are left out, and messages that are not what they say. */
    static const struct {
        uint16_t said;
        size_t length;
        unsigned received;
    } cases[] = {
        {13,     13,    0},
        {1519,   1519,  0},
        {60,     59,    0},
        {0xFFFF, 1000,  0},
        {60,     61,    1},
        {1518,   1518,  1},
        {60,     49000, 0},
    };
    static uint8_t bytes[50000];
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const unsigned before = received;
        memcpy(bytes, &cases[i].said, 2);
        assert_true(send(far_end, bytes, 2 + cases[i].length, 0) > 0);
        assert_int_equal(nic_port_receive(&port), NIC_PORT_DRAINED);
        assert_int_equal(received - before, cases[i].received);
    }
    assert_int_equal(newest_length, 1518);
}

/* A full card is given the frame that it refused, and all others in order, when it is ready. */
static void test_held(void **state)
{
    (void)state;
    room = 10;
    for (uint32_t i = 0; i < 70; i += 7)
        deliver_many(i, 7);
    assert_int_equal(nic_port_receive(&port), NIC_PORT_HELD);
    assert_int_equal(received, 10);
    assert_int_equal(nic_port_receive(&port), NIC_PORT_HELD);
    for (uint32_t i = 11; i <= 70; i++) {
        room = 1;
        backend.ready(backend.port);
        assert_int_equal(received, i);
        assert_memory_equal(newest + 14, &(uint32_t){i - 1}, 4);
    }
    room = 5;
    backend.ready(backend.port);
    assert_int_equal(received, 70);
    assert_int_equal(nic_port_receive(&port), NIC_PORT_DRAINED);
}

static void test_more(void **state)
{
    (void)state;
    const uint32_t count = NIC_PORT_MESSAGES + 3;
    for (uint32_t i = 0; i < count; i++)
        deliver_many(2 * i, 2);
    assert_int_equal(nic_port_receive(&port), NIC_PORT_MORE);
    assert_in_range(received, 1, 2 * NIC_PORT_MESSAGES);
    assert_int_equal(nic_port_receive(&port), NIC_PORT_DRAINED);
    assert_int_equal(received, 2 * count);
    assert_memory_equal(newest + 14, &(uint32_t){2 * count - 1}, 4);
}

static void close_far_end(void)
{
    close(far_end);
    far_end = -1;
}

static void test_gone(void **state)
{
    (void)state;
    deliver(1);
    close_far_end();
    assert_int_equal(nic_port_receive(&port), NIC_PORT_GONE);
    assert_int_equal(received, 1); /* what came before is delivered */
    assert_int_equal(lost, 1);
    assert_int_equal(nic_port_receive(&port), NIC_PORT_GONE);
    assert_int_equal(lost, 1); /* said once */
    const struct iovec part = {(uint8_t[20]){0}, 20};
    backend.send(backend.port, &part, 1);
    assert_false(backend.flush(backend.port));
    backend.send(backend.port, &part, 1);
    nic_port_disconnect(&port);
    assert_int_equal(nic_port_receive(&port), NIC_PORT_GONE);
    backend.send(backend.port, &part, 1);
    assert_false(backend.flush(backend.port));
    backend.send(backend.port, &part, 1);
    /* And connected again. */
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    far_end = pair[1];
    nic_port_attach(&port, pair[0]);
    assert_true(backend.flush(backend.port)); /* what was sent before went nowhere */
    const uint8_t *frame;
    assert_int_equal(take(&frame), 0);
    deliver(2);
    assert_int_equal(nic_port_receive(&port), NIC_PORT_DRAINED);
    assert_int_equal(received, 2);
}

/* The switch goes while the card is full: that is noticed when the card is ready, not lost. */
static void test_gone_while_held(void **state)
{
    (void)state;
    room = 1;
    deliver_many(1, 2);
    assert_int_equal(nic_port_receive(&port), NIC_PORT_HELD);
    close_far_end();
    assert_int_equal(nic_port_receive(&port), NIC_PORT_HELD);
    assert_int_equal(lost, 0);
    room = 5;
    backend.ready(backend.port);
    assert_int_equal(received, 2);
    assert_int_equal(lost, 1);
}

static int listener;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static uint32_t answer_magic, answer_status;

/* A switch of one connection. */
static void *serve(void *context)
{
    struct port_hello *hello = context;
    int connection = accept(listener, NULL, NULL);
    recv(connection, hello, sizeof(*hello), 0);
    const struct port_welcome welcome = {answer_magic, PORT_PROTOCOL_VERSION, answer_status, 1500};
    send(connection, &welcome, sizeof(welcome), 0);
    close(connection);
    return NULL;
}

static int try_connect(const char *name, struct port_hello *hello, char error[200])
{
    static const uint8_t mac[6] = {0, 0x15, 0x5D, 1, 2, 3};
    pthread_t thread;
    pthread_create(&thread, NULL, serve, hello);
    int descriptor = nic_port_connect(address.sun_path, mac, name, error, 200);
    pthread_join(thread, NULL);
    return descriptor;
}

static void test_connect(void **state)
{
    (void)state;
    char error[200], long_name[200], path[] = "/tmp/nic-port-XXXXXX";
    struct port_hello hello;
    close(mkstemp(path));
    unlink(path);
    strcpy(address.sun_path, path);
    listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);

    answer_magic = PORT_PROTOCOL_MAGIC;
    answer_status = PORT_CONNECTED;
    int descriptor = try_connect("web1", &hello, error);
    assert_true(descriptor >= 0);
    assert_true(fcntl(descriptor, F_GETFL) & O_NONBLOCK);
    assert_int_equal(hello.version, PORT_PROTOCOL_VERSION);
    assert_memory_equal(hello.mac, "\0\x15\x5D\1\2\3", 6);
    assert_string_equal(hello.name, "web1");
    close(descriptor);

    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[199] = '\0';
    descriptor = try_connect(long_name, &hello, error);
    assert_true(descriptor >= 0);
    assert_int_equal(strlen(hello.name), PORT_NAME_SIZE - 1);
    close(descriptor);

    for (answer_status = 1; answer_status <= PORT_STATUS_COUNT; answer_status++) {
        error[0] = '\0';
        assert_int_equal(try_connect("web1", &hello, error), -1);
        assert_true(error[0]);
    }
    answer_status = PORT_CONNECTED;
    answer_magic = 1;
    assert_int_equal(try_connect("web1", &hello, error), -1);
    close(listener);
    unlink(path);
    assert_int_equal(nic_port_connect(path, hello.mac, "web1", error, sizeof(error)), -1);
    assert_non_null(strstr(error, path));
    assert_int_equal(nic_port_connect(long_name, hello.mac, "web1", error, sizeof(error)), -1);
}

#define PORT_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PORT_TEST(test_send),
        PORT_TEST(test_send_many),
        PORT_TEST(test_receive),
        PORT_TEST(test_held),
        PORT_TEST(test_more),
        PORT_TEST(test_gone),
        PORT_TEST(test_gone_while_held),
        cmocka_unit_test(test_connect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
