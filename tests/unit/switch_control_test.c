/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to loam-switch's control socket. */
#include <arpa/inet.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/net/control.h"
#include "tests/unit/switch_fixture.h"

static struct control control;
static char socket_path[] = "/tmp/control-XXXXXX";

static json_t *execute(const char *request)
{
    char *reply = control_execute(&fixture_switch, request, -1);
    assert_non_null(reply);
    assert_int_equal(reply[strlen(reply) - 1], '\n');
    json_t *json = json_loads(reply, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "version")), CONTROL_VERSION);
    free(reply);
    return json;
}

static void expect_status(const char *request, const char *status)
{
    json_t *reply = execute(request);
    assert_string_equal(json_string_value(json_object_get(reply, "status")), status);
    if (strcmp(status, "error") == 0)
        assert_true(json_string_length(json_object_get(reply, "error")) > 0);
    json_decref(reply);
}

static void test_errors(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "3",
        "\"show\"",
        "{}",
        "{\"version\":1}",
        "{\"version\":2,\"request\":\"show\"}",
        "{\"version\":\"1\",\"request\":\"show\"}",
        "{\"version\":1,\"request\":\"nothing\"}",
        "{\"version\":1,\"request\":7}",
        "{\"version\":1,\"request\":\"show\",\"request\":\"show\"}",
        "{\"version\":1,\"request\":\"forward-add\"}",
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":80}",
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":80,\"port\":80}",
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":80,\"port\":80,"
        "\"address\":\"192.168.100.2\",\"mac\":\"00-15-5D-01-02-03\"}",
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":80,\"port\":80,"
        "\"address\":\"x\"}",
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":80,\"port\":80,"
        "\"mac\":\"00-15\"}",
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"icmp\",\"host_port\":80,\"port\":80,"
        "\"address\":\"192.168.100.2\"}",
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":0,\"port\":80,"
        "\"address\":\"192.168.100.2\"}",
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":65616,\"port\":80,"
        "\"address\":\"192.168.100.2\"}",
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":80,\"port\":-1,"
        "\"address\":\"192.168.100.2\"}",
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":80,\"port\":80,"
        "\"address\":\"192.168.100.1\"}",
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":80,\"port\":80,"
        "\"host_address\":\"somewhere\",\"address\":\"192.168.100.2\"}",
        "{\"version\":1,\"request\":\"forward-remove\",\"protocol\":\"tcp\",\"host_port\":80}",
        "{\"version\":1,\"request\":\"echo-socket\"}",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_status(bad[i], "error");
    assert_null(fixture_switch.forwards);
    assert_false(fixture_switch.stop);
}

static void test_deep(void **state)
{
    (void)state;
    char text[CONTROL_REQUEST];
    memset(text, '[', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    expect_status(text, "error");
}

static void test_show(void **state)
{
    (void)state;
    struct fixture_child child = fixture_connect(2);
    lease_assign(&fixture_switch.leases, &child.mac, 0, 1);
    json_t *reply = execute("{\"version\":1,\"request\":\"show\"}");
    assert_string_equal(json_string_value(json_object_get(reply, "subnet")), CHILD_NETWORK);
    assert_string_equal(json_string_value(json_object_get(reply, "gateway")), CHILD_GATEWAY);
    json_t *port = json_array_get(json_object_get(reply, "ports"), 0);
    assert_string_equal(json_string_value(json_object_get(port, "name")), "child2");
    assert_string_equal(json_string_value(json_object_get(port, "mac")), "00-15-5D-01-00-02");
    json_t *lease = json_array_get(json_object_get(reply, "leases"), 0);
    assert_string_equal(json_string_value(json_object_get(lease, "address")), "192.168.100.2");
    json_decref(reply);
    fixture_disconnect(&child);
}

static void test_forwards(void **state)
{
    (void)state;
    expect_status(
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"udp\",\"host_port\":5353,\"port\":53,"
        "\"address\":\"192.168.100.2\"}",
        "ok");
    expect_status(
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"udp\",\"host_port\":5353,\"port\":53,"
        "\"address\":\"192.168.100.2\"}",
        "error"); /* twice */
    expect_status(
        "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":8080,\"port\":80,"
        "\"host_address\":\"127.0.0.1\",\"mac\":\"00-15-5D-01-02-03\"}",
        "ok");
    json_t *reply = execute("{\"version\":1,\"request\":\"forward-list\"}");
    json_t *list = json_object_get(reply, "forwards");
    assert_int_equal(json_array_size(list), 2);
    json_t *first = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(first, "mac")), "00-15-5D-01-02-03");
    assert_string_equal(json_string_value(json_object_get(first, "host_address")), "127.0.0.1");
    json_decref(reply);
    expect_status("{\"version\":1,\"request\":\"forward-remove\",\"protocol\":\"tcp\",\"host_port\":8080}",
                  "error");
    expect_status("{\"version\":1,\"request\":\"forward-remove\",\"protocol\":\"tcp\",\"host_port\":8080,"
                  "\"host_address\":\"127.0.0.1\"}",
                  "ok");
    expect_status("{\"version\":1,\"request\":\"forward-remove\",\"protocol\":\"udp\",\"host_port\":5353}",
                  "ok");
    assert_null(fixture_switch.forwards);
}

static int connect_client(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, socket_path);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    fixture_settle();
    return client;
}

static void say(int client, const char *text)
{
    assert_int_equal(send(client, text, strlen(text), 0), (ssize_t)strlen(text));
    fixture_settle();
}

/* The lines that have come. */
static unsigned count_lines(int client)
{
    char buffer[65536];
    unsigned lines = 0;
    ssize_t length;
    while ((length = recv(client, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
        for (ssize_t i = 0; i < length; i++)
            lines += buffer[i] == '\n';
    return lines;
}

#define LIST "{\"version\":1,\"request\":\"forward-list\"}"

static void test_stream(void **state)
{
    (void)state;
    int client = connect_client();
    say(client, LIST "\n");
    assert_int_equal(count_lines(client), 1);
    say(client, LIST "\n" LIST "\n" LIST "\n");
    assert_int_equal(count_lines(client), 3);
    for (const char *at = LIST "\n"; *at; at++) { /* byte by byte */
        assert_int_equal(count_lines(client), 0);
        say(client, (char[]){*at, '\0'});
    }
    assert_int_equal(count_lines(client), 1);
    close(client);
    fixture_settle();
}

static void test_long_line(void **state)
{
    (void)state;
    int client = connect_client();
    static char text[CONTROL_REQUEST + 1];
    memset(text, 'x', CONTROL_REQUEST);
    say(client, text);
    char byte;
    assert_int_equal(recv(client, &byte, 1, 0), 0); /* closed */
    close(client);
}

/* Many replies to somebody who does not read wait, and come when he does. */
static void test_slow_client(void **state)
{
    (void)state;
    int client = connect_client();
    unsigned sent = 0;
    while (send(client, LIST "\n", strlen(LIST "\n"), MSG_DONTWAIT) > 0) {
        sent++;
        fixture_settle();
    }
    unsigned lines = 0, more;
    while ((more = count_lines(client))) {
        lines += more;
        fixture_settle();
    }
    assert_true(sent > 100);
    assert_int_equal(lines, sent);
    close(client);
    fixture_settle();
}

static void test_many_clients(void **state)
{
    (void)state;
    int clients[CONTROL_CLIENTS + 2];
    for (unsigned i = 0; i < CONTROL_CLIENTS + 2; i++)
        clients[i] = connect_client();
    fixture_settle();
    char byte;
    assert_int_equal(recv(clients[CONTROL_CLIENTS], &byte, 1, 0), 0);
    assert_int_equal(recv(clients[CONTROL_CLIENTS + 1], &byte, 1, 0), 0);
    for (unsigned i = 0; i < CONTROL_CLIENTS + 2; i++)
        close(clients[i]);
    fixture_settle();
    int client = connect_client();
    say(client, LIST "\n");
    assert_int_equal(count_lines(client), 1);
    close(client);
    fixture_settle();
}

/* Sockets that come along are used, or closed. */
static void test_passed_socket(void **state)
{
    (void)state;
    int client = connect_client();
    for (unsigned i = 0; i < 3; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(int))];
        } ancillary = {
            .header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}
        };
        memcpy(CMSG_DATA(&ancillary.header), &pair[0], sizeof(int));
        char text[] =
            "{\"version\":1,\"request\":\"forward-add\",\"protocol\":\"tcp\",\"host_port\":80,\"port\":80,"
            "\"address\":\"192.168.100.2\"}\n";
        struct iovec part = {.iov_base = text,
                             .iov_len = i == 2 ? 10 : strlen(text)}; /* the last one: no whole line */
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = &ancillary,
                                 .msg_controllen = sizeof(ancillary)};
        assert_true(sendmsg(client, &message, 0) > 0);
        close(pair[0]);
        fixture_settle();
        char byte;
        if (i == 2) {
            close(client);
            fixture_settle();
        } else {
            assert_int_equal(count_lines(client), 1);
        }
        assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), 0); /* not bound to that port: closed */
        close(pair[1]);
    }
    assert_null(fixture_switch.forwards);
}

static int start(void **state)
{
    (void)state;
    fixture_start();
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int descriptor = mkstemp(socket_path);
    close(descriptor);
    unlink(socket_path);
    strcpy(address.sun_path, socket_path);
    descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(descriptor, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(descriptor, 16), 0);
    assert_int_equal(control_initialize(&control, &fixture_switch, descriptor), 0);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    unlink(socket_path);
    fake_reset();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_show),          cmocka_unit_test(test_forwards),
        cmocka_unit_test(test_stream),        cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_slow_client),   cmocka_unit_test(test_many_clients),
        cmocka_unit_test(test_passed_socket),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
