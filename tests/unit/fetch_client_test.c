/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a disk may say to loam-fetch, and in which order it is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "partitions/root/fetch/client.h"

#define SIZE 10000000u

static const struct fetch_source source = {.size = SIZE, .validator = "\"tag\""};

struct fixture {
    struct client client;
    int disk;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    fixture->disk = ends[0];
    client_initialize(&fixture->client, ends[1]);
    fixture->client.source = &source;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < FETCH_REQUESTS_MAXIMUM; i++)
        free(fixture->client.reads[i].buffer);
    close(fixture->client.socket);
    close(fixture->disk);
    free(fixture);
    return 0;
}

static bool take(struct client *client, uint32_t kind, uint32_t length, uint64_t offset)
{
    const struct fetch_message message = {.kind = kind, .length = length, .tag = offset + 1, .offset = offset};
    char error[FETCH_TEXT_SIZE] = "";
    bool taken = client_take(client, &message, sizeof(message), error);
    assert_true(taken == (error[0] == '\0'));
    return taken;
}

static void reads_within_the_source_are_taken(void **state)
{
    struct client *client = &((struct fixture *)*state)->client;
    assert_true(take(client, FETCH_READ, 1, 0));
    assert_true(take(client, FETCH_READ, 1, SIZE - 1));
    assert_true(take(client, FETCH_READ, FETCH_READ_MAXIMUM, SIZE - FETCH_READ_MAXIMUM));
    assert_int_equal(client->reads[2].state, READ_WAITING);
    assert_int_equal(client->reads[2].length, FETCH_READ_MAXIMUM);
    assert_int_equal(client->reads[2].tag, SIZE - FETCH_READ_MAXIMUM + 1);
}

static void other_messages_are_refused(void **state)
{
    struct client *client = &((struct fixture *)*state)->client;
    assert_false(take(client, 0, 1, 0));
    assert_false(take(client, FETCH_SOURCE, 1, 0));
    assert_false(take(client, UINT32_MAX, 1, 0));
    assert_false(take(client, FETCH_READ, 0, 0));
    assert_false(take(client, FETCH_READ, FETCH_READ_MAXIMUM + 1, 0));
    assert_false(take(client, FETCH_READ, UINT32_MAX, 0));
    assert_false(take(client, FETCH_READ, 1, SIZE));
    assert_false(take(client, FETCH_READ, 2, SIZE - 1));
    assert_false(take(client, FETCH_READ, 1, UINT64_MAX));
    client->source = NULL;
    assert_false(take(client, FETCH_READ, 1, 0));
    for (unsigned i = 0; i < FETCH_REQUESTS_MAXIMUM; i++)
        assert_int_equal(client->reads[i].state, READ_FREE);
}

static void as_many_as_are_agreed_are_taken(void **state)
{
    struct client *client = &((struct fixture *)*state)->client;
    for (unsigned i = 0; i < FETCH_REQUESTS_MAXIMUM; i++)
        assert_true(take(client, FETCH_READ, 1, i));
    assert_false(take(client, FETCH_READ, 1, 0));
}

static void messages_may_come_in_pieces(void **state)
{
    struct client *client = &((struct fixture *)*state)->client;
    const struct fetch_message messages[2] = {
        {.kind = FETCH_READ, .length = 5, .offset = 6, .tag = 7 },
        {.kind = FETCH_READ, .length = 8, .offset = 9, .tag = 10},
    };
    char error[FETCH_TEXT_SIZE];
    for (size_t piece = 1; piece < sizeof(messages); piece++) {
        for (size_t at = 0; at < sizeof(messages); at += piece) {
            size_t left = sizeof(messages) - at;
            assert_true(client_take(client, (const uint8_t *)messages + at, left < piece ? left : piece, error));
        }
        assert_int_equal(client->reads[0].tag, 7);
        assert_int_equal(client->reads[1].tag, 10);
        client->reads[0].state = client->reads[1].state = READ_FREE;
    }
}

/* The next message, its body in memory to be freed. */
static struct fetch_message receive(int disk, char **body)
{
    struct fetch_message message;
    assert_int_equal(recv(disk, &message, sizeof(message), MSG_WAITALL), sizeof(message));
    *body = calloc(1, message.length + 1);
    if (message.length)
        assert_int_equal(recv(disk, *body, message.length, MSG_WAITALL), message.length);
    return message;
}

static void expect_text(int disk, uint32_t kind, const char *text)
{
    char *body;
    assert_int_equal(receive(disk, &body).kind, kind);
    assert_string_equal(body, text);
    free(body);
}

static void answers_come_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct client *client = &fixture->client;
    char *body;
    assert_true(client_has_output(client));
    client_set_status(client, "first");
    client_set_status(client, "b\xe4"
                              "d\x1b[2J");
    assert_true(take(client, FETCH_READ, 3, 4));
    client->reads[0].state = READ_DONE;
    client->reads[0].data = client->reads[0].buffer;
    memcpy(client->reads[0].data, "abc", 3);
    client_send(client);
    assert_false(client_has_output(client));
    struct fetch_message message = receive(fixture->disk, &body);
    assert_int_equal(message.kind, FETCH_SOURCE);
    assert_memory_equal(body, &source, sizeof(source));
    free(body);
    expect_text(fixture->disk, FETCH_STATUS, "b?d?[2J");
    message = receive(fixture->disk, &body);
    assert_int_equal(message.kind, FETCH_DATA);
    assert_int_equal(message.tag, 5);
    assert_int_equal(message.offset, 4);
    assert_string_equal(body, "abc");
    free(body);
    assert_int_equal(client->reads[0].state, READ_FREE);
    /* The same again is no news. */
    client_set_status(client, "b\xe4"
                              "d\x1b[2J");
    assert_false(client_has_output(client));
    client_set_status(client, "");
    client_refuse(client, "no");
    client_send(client);
    expect_text(fixture->disk, FETCH_REFUSED, "no");
    assert_true(client->ended);
}

/* Longer than a message of text can be. */
static void texts_are_cut(void **state)
{
    struct fixture *fixture = *state;
    char text[2 * FETCH_TEXT_SIZE], *body;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    client_refuse(&fixture->client, text);
    client_send(&fixture->client);
    assert_int_equal(receive(fixture->disk, &body).length, FETCH_TEXT_SIZE - 1);
    free(body);
}

static void a_full_socket_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    struct client *client = &fixture->client;
    char *body;
    for (unsigned i = 0; i < FETCH_REQUESTS_MAXIMUM; i++) {
        assert_true(take(client, FETCH_READ, FETCH_READ_MAXIMUM, i));
        client->reads[i].state = READ_DONE;
        client->reads[i].data = client->reads[i].buffer;
        memset(client->reads[i].data, (int)('a' + i), FETCH_READ_MAXIMUM);
    }
    client_send(client);
    assert_true(client_has_output(client));
    receive(fixture->disk, &body);
    free(body);
    for (unsigned i = 0; i < FETCH_REQUESTS_MAXIMUM; i++) {
        uint8_t *data = malloc(sizeof(struct fetch_message) + FETCH_READ_MAXIMUM);
        for (size_t length = 0; length < sizeof(struct fetch_message) + FETCH_READ_MAXIMUM;) {
            ssize_t got =
                recv(fixture->disk, data + length, sizeof(struct fetch_message) + FETCH_READ_MAXIMUM - length, 0);
            assert_true(got > 0);
            length += (size_t)got;
            client_send(client);
        }
        assert_int_equal(data[sizeof(struct fetch_message)], 'a' + i);
        assert_int_equal(data[sizeof(struct fetch_message) + FETCH_READ_MAXIMUM - 1], 'a' + i);
        free(data);
    }
    assert_false(client_has_output(client));
}

static void a_closed_socket_ends_it(void **state)
{
    struct fixture *fixture = *state;
    char error[FETCH_TEXT_SIZE];
    assert_true(client_receive(&fixture->client, error));
    assert_false(fixture->client.ended);
    shutdown(fixture->disk, SHUT_RDWR);
    assert_true(client_receive(&fixture->client, error));
    assert_true(fixture->client.ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_within_the_source_are_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_messages_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(as_many_as_are_agreed_are_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_may_come_in_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_come_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(texts_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_socket_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_closed_socket_ends_it, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
