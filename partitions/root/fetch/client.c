/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/fetch/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

void client_initialize(struct client *client, int socket)
{
    *client = (struct client){.socket = socket, .status_told = true};
}

/* ---- From the disk ---- */

static struct fetch_read *find_read(struct client *client, enum read_state state)
{
    for (unsigned i = 0; i < FETCH_REQUESTS_MAXIMUM; i++)
        if (client->reads[i].state == state)
            return &client->reads[i];
    return NULL;
}

static bool check_message(const struct client *client, char error[FETCH_TEXT_SIZE])
{
    const struct fetch_message *message = &client->input;
    if (message->kind != FETCH_READ)
        snprintf(error, FETCH_TEXT_SIZE, "the disk has sent message %" PRIu32 ", which is none of a disk",
                 message->kind);
    else if (!client->source)
        snprintf(error, FETCH_TEXT_SIZE, "the disk reads before it knows what is there");
    else if (message->length == 0 || message->length > FETCH_READ_MAXIMUM || message->offset > client->source->size ||
             message->length > client->source->size - message->offset)
        snprintf(error, FETCH_TEXT_SIZE, "the disk reads %" PRIu32 " bytes from %" PRIu64 " on, of %" PRIu64,
                 message->length, message->offset, client->source->size);
    else
        return true;
    return false;
}

/* Makes a read of a whole message. */
static bool take_message(struct client *client, char error[FETCH_TEXT_SIZE])
{
    if (!check_message(client, error))
        return false;
    struct fetch_read *read = find_read(client, READ_FREE);
    if (!read) {
        snprintf(error, FETCH_TEXT_SIZE, "the disk reads more than %u things at a time", FETCH_REQUESTS_MAXIMUM);
        return false;
    }
    uint8_t *buffer = read->buffer ? read->buffer : malloc(READ_BUFFER_SIZE);
    if (!buffer) {
        snprintf(error, FETCH_TEXT_SIZE, "no memory");
        return false;
    }
    *read = (struct fetch_read){
        .state = READ_WAITING,
        .tag = client->input.tag,
        .offset = client->input.offset,
        .length = client->input.length,
        .buffer = buffer,
    };
    return true;
}

bool client_take(struct client *client, const void *bytes, size_t length, char error[FETCH_TEXT_SIZE])
{
    const uint8_t *at = bytes;
    while (length > 0) {
        size_t missing = sizeof(client->input) - client->input_length;
        size_t taken = length < missing ? length : missing;
        memcpy((uint8_t *)&client->input + client->input_length, at, taken);
        client->input_length += taken;
        at += taken;
        length -= taken;
        if (client->input_length < sizeof(client->input))
            break;
        client->input_length = 0;
        if (!take_message(client, error))
            return false;
    }
    return true;
}

bool client_receive(struct client *client, char error[FETCH_TEXT_SIZE])
{
    uint8_t bytes[FETCH_REQUESTS_MAXIMUM * sizeof(struct fetch_message)];
    ssize_t length = recv(client->socket, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (length > 0)
        return client_take(client, bytes, (size_t)length, error);
    client->ended = length == 0 || (errno != EAGAIN && errno != EINTR);
    return true;
}

/* ---- To the disk ---- */

static void copy_printable(char to[FETCH_TEXT_SIZE], const char *from)
{
    size_t length = 0;
    for (; from[length] && length < FETCH_TEXT_SIZE - 1; length++)
        to[length] = from[length] >= ' ' && from[length] <= '~' ? from[length] : '?';
    to[length] = '\0';
}

void client_set_status(struct client *client, const char *text)
{
    char status[FETCH_TEXT_SIZE];
    copy_printable(status, text);
    client->status_told = client->status_told && strcmp(status, client->status) == 0;
    strcpy(client->status, status);
}

void client_refuse(struct client *client, const char *text)
{
    copy_printable(client->refused, text);
}

static void begin_output(struct client *client, struct fetch_message header, const void *body, size_t length)
{
    client->output.header = header;
    client->output.header.length = (uint32_t)length;
    client->output.body = body;
    client->output.length = sizeof(header) + length;
    client->output.sent = 0;
    client->output.read = NULL;
}

/* A copy, as the text may change while it is sent. */
static void begin_text(struct client *client, enum fetch_message_kind kind, const char *text)
{
    strcpy(client->output.text, text);
    begin_output(client, (struct fetch_message){.kind = kind}, client->output.text, strlen(text));
}

/* What is to be sent next. */
static void choose_output(struct client *client)
{
    struct fetch_read *read = find_read(client, READ_DONE);
    if (client->refused[0]) {
        begin_text(client, FETCH_REFUSED, client->refused);
    } else if (client->source && !client->source_told) {
        client->source_told = true;
        begin_output(client, (struct fetch_message){.kind = FETCH_SOURCE}, client->source, sizeof(*client->source));
    } else if (!client->status_told) {
        client->status_told = true;
        begin_text(client, FETCH_STATUS, client->status);
    } else if (read) {
        begin_output(client, (struct fetch_message){.kind = FETCH_DATA, .tag = read->tag, .offset = read->offset},
                     read->data, read->length);
        client->output.read = read;
    }
}

static void finish_output(struct client *client)
{
    struct client_output *output = &client->output;
    if (output->read)
        output->read->state = READ_FREE;
    client->ended = client->ended || output->header.kind == FETCH_REFUSED;
    output->length = 0;
}

/* False: the socket takes no more. */
static bool send_some(struct client *client)
{
    struct client_output *output = &client->output;
    size_t header = sizeof(output->header), sent = output->sent, in_body = sent > header ? sent - header : 0;
    struct iovec parts[2] = {
        {(uint8_t *)&output->header + (sent < header ? sent : header), sent < header ? header - sent : 0},
        {(uint8_t *)output->body + in_body,                            output->length - header - in_body},
    };
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t length = sendmsg(client->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (length < 0)
        client->ended = errno != EAGAIN && errno != EINTR;
    else
        output->sent += (size_t)length;
    return length >= 0;
}

void client_send(struct client *client)
{
    while (!client->ended) {
        if (client->output.length == 0)
            choose_output(client);
        if (client->output.length == 0 || !send_some(client))
            return;
        if (client->output.sent == client->output.length)
            finish_output(client);
    }
}

bool client_has_output(const struct client *client)
{
    bool done = false;
    for (unsigned i = 0; i < FETCH_REQUESTS_MAXIMUM; i++)
        done = done || client->reads[i].state == READ_DONE;
    return client->output.length != 0 || client->refused[0] || (client->source && !client->source_told) ||
           !client->status_told || done;
}
