/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/rfb_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define PATIENCE          200000 /* turns */
#define ENCODING_RAW      0
#define ENCODING_NEW_SIZE (-223)

void rfb_client_send(struct rfb_client *client, const void *bytes, size_t length)
{
    size_t sent = 0;

    for (unsigned i = 0; sent < length && i < PATIENCE; i++) {
        ssize_t count =
            send(client->descriptor, (const char *)bytes + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (count > 0)
            sent += (size_t)count;
        else if (errno != EAGAIN)
            fail_msg("the server does not listen: %s", strerror(errno));
        client->turn();
    }
    assert_int_equal(sent, length);
}

void rfb_client_receive(struct rfb_client *client, void *bytes, size_t length)
{
    size_t got = 0;

    for (unsigned i = 0; got < length && i < PATIENCE; i++) {
        ssize_t count = recv(client->descriptor, (char *)bytes + got, length - got, MSG_DONTWAIT);

        if (count > 0)
            got += (size_t)count;
        else if (count == 0 || errno != EAGAIN)
            fail_msg("the server has closed the connection");
        else
            client->turn();
    }
    if (got != length)
        fail_msg("%zu of %zu bytes have come", got, length);
}

static unsigned receive_8(struct rfb_client *client)
{
    uint8_t value;

    rfb_client_receive(client, &value, sizeof value);
    return value;
}

static unsigned receive_16(struct rfb_client *client)
{
    uint16_t value;

    rfb_client_receive(client, &value, sizeof value);
    return ntohs(value);
}

static uint32_t receive_32(struct rfb_client *client)
{
    uint32_t value;

    rfb_client_receive(client, &value, sizeof value);
    return ntohl(value);
}

void rfb_client_choose(struct rfb_client *client, const char *version, uint8_t type)
{
    char greeting[13] = "";

    rfb_client_receive(client, greeting, 12);
    assert_string_equal(greeting, "RFB 003.008\n");
    rfb_client_send(client, version, 12);
    if (strcmp(version, "RFB 003.007\n") < 0) { /* the server decides */
        assert_int_equal(receive_32(client), type);
        return;
    }
    assert_int_equal(receive_8(client), 1);
    assert_int_equal(receive_8(client), type);
    rfb_client_send(client, &type, 1);
}

uint32_t rfb_client_result(struct rfb_client *client)
{
    return receive_32(client);
}

static void change_size(struct rfb_client *client, unsigned width, unsigned height)
{
    client->width = width;
    client->height = height;
    free(client->pixels);
    client->pixels = calloc((size_t)width * height, sizeof *client->pixels);
    assert_non_null(client->pixels);
}

void rfb_client_initialize(struct rfb_client *client)
{
    /* 32 bits, 24 of them colour, little endian, true colour, 255 each, at 16, 8 and 0 */
    const uint8_t format[16] = {32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0};
    uint8_t offered[16];
    unsigned width, height;
    uint32_t length;

    rfb_client_send(client, "\1", 1);
    width = receive_16(client);
    height = receive_16(client);
    rfb_client_receive(client, offered, sizeof offered);
    assert_int_not_equal(offered[3], 0); /* any other value says the same */
    offered[3] = 1;
    assert_memory_equal(offered, format, sizeof format);
    length = receive_32(client);
    assert_true(length < sizeof client->name);
    rfb_client_receive(client, client->name, length);
    change_size(client, width, height);
}

void rfb_client_connect(struct rfb_client *client)
{
    const int32_t encodings[] = {ENCODING_RAW, ENCODING_NEW_SIZE};

    rfb_client_choose(client, "RFB 003.008\n", 1);
    assert_int_equal(rfb_client_result(client), 0);
    rfb_client_initialize(client);
    rfb_client_set_encodings(client, encodings, 2);
}

void rfb_client_set_encodings(struct rfb_client *client, const int32_t *encodings, unsigned count)
{
    uint8_t header[4] = {2, 0, (uint8_t)(count >> 8), (uint8_t)count};

    rfb_client_send(client, header, sizeof header);
    for (unsigned i = 0; i < count; i++) {
        uint32_t encoding = htonl((uint32_t)encodings[i]);

        rfb_client_send(client, &encoding, sizeof encoding);
    }
}

void rfb_client_request(struct rfb_client *client, bool incremental)
{
    uint8_t message[10] = {3,
                           incremental,
                           0,
                           0,
                           0,
                           0,
                           (uint8_t)(client->width >> 8),
                           (uint8_t)client->width,
                           (uint8_t)(client->height >> 8),
                           (uint8_t)client->height};

    rfb_client_send(client, message, sizeof message);
}

static void take_rectangle(struct rfb_client *client)
{
    unsigned x = receive_16(client), y = receive_16(client);
    unsigned width = receive_16(client), height = receive_16(client);
    int32_t encoding = (int32_t)receive_32(client);

    client->rectangles++;
    if (encoding == ENCODING_NEW_SIZE) {
        change_size(client, width, height);
        return;
    }
    assert_int_equal(encoding, ENCODING_RAW);
    assert_true(x + width <= client->width && y + height <= client->height);
    client->area += (uint64_t)width * height;
    for (unsigned row = 0; row < height; row++)
        rfb_client_receive(client, client->pixels + (size_t)(y + row) * client->width + x, 4u * width);
}

void rfb_client_update(struct rfb_client *client)
{
    unsigned count;

    assert_int_equal(receive_8(client), 0);
    receive_8(client);
    count = receive_16(client);
    assert_true(count > 0);
    client->updates++;
    while (count-- > 0)
        take_rectangle(client);
}

void rfb_client_look(struct rfb_client *client, unsigned width, unsigned height, const uint32_t *pixels)
{
    unsigned updates = 0;

    for (bool first = true; first || client->width != width || client->height != height ||
                            memcmp(client->pixels, pixels, (size_t)width * height * sizeof *pixels) != 0;
         first = false) {
        if (++updates > PATIENCE / 100)
            fail_msg("the picture does not become what it should be");
        rfb_client_request(client, !first);
        rfb_client_update(client);
    }
}

void rfb_client_key(struct rfb_client *client, uint32_t keysym, bool pressed)
{
    uint8_t message[8] = {4, pressed};

    keysym = htonl(keysym);
    memcpy(message + 4, &keysym, 4);
    rfb_client_send(client, message, sizeof message);
}

void rfb_client_pointer(struct rfb_client *client, uint8_t mask, uint16_t x, uint16_t y)
{
    uint8_t message[6] = {5, mask, (uint8_t)(x >> 8), (uint8_t)x, (uint8_t)(y >> 8), (uint8_t)y};

    rfb_client_send(client, message, sizeof message);
}

bool rfb_client_is_gone(struct rfb_client *client)
{
    char scratch[4096];

    for (unsigned i = 0; i < 200; i++) {
        ssize_t count = recv(client->descriptor, scratch, sizeof scratch, MSG_DONTWAIT);

        if (count == 0 || (count < 0 && errno != EAGAIN))
            return true;
        client->turn();
    }
    return false;
}

void rfb_client_close(struct rfb_client *client)
{
    if (client->descriptor >= 0)
        close(client->descriptor);
    free(client->pixels);
    *client = (struct rfb_client){.descriptor = -1, .turn = client->turn};
}
