/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "partitions/root/manager/dispatch.h"
#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/report.h"
#include "partitions/root/manager/request.h"

#define BACKLOG 128

/* After how many milliseconds accepting is tried again when there are no descriptors left. */
#define ACCEPT_PAUSE 200u

static void close_client(struct client *client)
{
    struct server *server = &client->manager->server;
    struct client **link = &server->clients;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    server->client_count--;
    if (client->request)
        client->request->client = NULL;
    event_loop_remove(&client->manager->loop, &client->source);
    close(client->source.descriptor);
    if (client->output_descriptor >= 0)
        close(client->output_descriptor);
    identity_clear(&client->identity);
    free(client->input);
    free(client->output);
    free(client);
}

/* What is waited for: room for the output; otherwise the next request, unless one is being worked on. */
static void watch(struct client *client)
{
    uint32_t events = client->output ? EPOLLOUT : client->request ? 0 : EPOLLIN;
    event_loop_change(&client->manager->loop, &client->source, events);
}

static ssize_t send_output(struct client *client)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = client->output + client->output_sent,
                         .iov_len = client->output_length - client->output_sent};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (client->output_descriptor >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        *rights = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(rights), &client->output_descriptor, sizeof(int));
    }
    return sendmsg(client->source.descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Writes what the socket takes. False: the client is gone. */
static bool flush(struct client *client)
{
    while (client->output) {
        ssize_t count = send_output(client);
        if (count < 0 && errno == EAGAIN)
            return true;
        if (count < 0 && errno != EINTR)
            return false;
        if (count <= 0)
            continue;
        if (client->output_descriptor >= 0)
            close(client->output_descriptor);
        client->output_descriptor = -1;
        client->output_sent += (size_t)count;
        if (client->output_sent == client->output_length) {
            free(client->output);
            client->output = NULL;
        }
    }
    return !client->closing;
}

/* Queues a line; nothing else is queued while one is. */
static bool queue(struct client *client, const json_t *value, int descriptor)
{
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    int length = text ? asprintf(&client->output, "%s\n", text) : -1;
    free(text);
    if (length < 0) {
        client->output = NULL;
        return false;
    }
    client->output_length = (size_t)length;
    client->output_sent = 0;
    client->output_descriptor = descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    return descriptor < 0 || client->output_descriptor >= 0;
}

/* The answer may come from within the client's own turn, so that it is only freed there or later. */
void client_answer(struct client *client, const json_t *answer, int descriptor)
{
    client->request = NULL;
    if (!queue(client, answer, descriptor))
        client->closing = true;
    watch(client);
}

static void refuse(struct client *client, const char *code, const char *text)
{
    json_t *answer = json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", text);
    client->closing = true;
    queue(client, answer, -1);
    json_decref(answer);
    watch(client);
}

/* Begins the next request in the buffer, if there is a whole one and none is being worked on. */
static void begin_request(struct client *client)
{
    char *end;
    while (!client->request && !client->output && !client->closing &&
           (end = memchr(client->input, '\n', client->input_length)) != NULL) {
        size_t length = (size_t)(end - client->input);
        json_error_t error;
        json_t *message = json_loadb(client->input, length, JSON_REJECT_DUPLICATES, &error);
        client->input_length -= length + 1;
        memmove(client->input, end + 1, client->input_length);
        struct request *request = message ? request_create(client->manager, client, message) : NULL;
        client->request = request;
        if (request) {
            dispatch_request(request);
        } else {
            char text[256];
            snprintf(text, sizeof(text), "not JSON: %.160s (column %d)", error.text, error.column);
            refuse(client, REFUSED_BAD_REQUEST, message ? "no memory" : text);
        }
    }
    if (!client->request && !client->closing && client->input_length == SERVER_LONGEST_REQUEST)
        refuse(client, REFUSED_BAD_REQUEST, "the request is longer than 65536 bytes");
}

/* False: the client is gone. */
static bool read_input(struct client *client)
{
    ssize_t count = recv(client->source.descriptor, client->input + client->input_length,
                         SERVER_LONGEST_REQUEST - client->input_length, MSG_DONTWAIT);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    client->input_length += (size_t)count;
    return count > 0;
}

static void on_client(void *owner, uint32_t events)
{
    struct client *client = owner;
    bool here = !(events & (EPOLLHUP | EPOLLERR)) || (events & EPOLLIN);
    if (here && (events & EPOLLIN) && !client->request && !client->output && !client->closing)
        here = read_input(client);
    if (here)
        begin_request(client);
    /* A request that is answered at once makes room for the next, which may be in the buffer already. */
    while (here && client->output) {
        here = flush(client);
        if (!here || client->output)
            break;
        begin_request(client);
    }
    if (!here || (client->closing && !client->output))
        close_client(client);
    else
        watch(client);
}

/* ---- Accepting ---- */

static bool may_manage(const struct manager *manager, const struct identity *identity)
{
    const struct settings *settings = &manager->settings;
    return identity->user == 0 || identity->user == geteuid() ||
           (settings->has_group && identity_has_group(identity, settings->group));
}

static bool has_too_many(const struct server *server, uid_t user)
{
    unsigned count = 0;
    for (const struct client *client = server->clients; client; client = client->next)
        count += client->identity.user == user;
    return user != 0 && (count >= SERVER_CLIENTS_A_USER || server->client_count >= SERVER_CLIENTS);
}

static void greet(struct client *client)
{
    char name[IDENTITY_NAME_SIZE], text[256];
    if (!may_manage(client->manager, &client->identity)) {
        identity_name(client->identity.user, name);
        snprintf(text, sizeof(text),
                 "%s may not manage virtual machines: only root and members of the group loam may", name);
        refuse(client, REFUSED_DENIED, text);
    } else if (has_too_many(&client->manager->server, client->identity.user)) {
        refuse(client, REFUSED_BUSY, "too many connections to loamd: close some, or try again later");
    } else {
        json_t *hello = json_pack("{s:s, s:i}", "hello", "loamd", "version", REQUEST_VERSION);
        client->closing = !queue(client, hello, -1);
        json_decref(hello);
        watch(client);
    }
}

static void accept_again(void *owner)
{
    struct manager *manager = owner;
    event_loop_change(&manager->loop, &manager->server.source, EPOLLIN);
}

static void on_connection(void *owner, uint32_t events)
{
    struct manager *manager = owner;
    struct server *server = &manager->server;
    (void)events;
    int descriptor = accept4(server->descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        event_loop_change(&manager->loop, &server->source, 0);
        alarm_set(&manager->alarms, &server->pause, manager->loop.now + ACCEPT_PAUSE, accept_again, manager);
    }
    if (descriptor < 0)
        return;
    struct client *client = calloc(1, sizeof(*client));
    char *input = malloc(SERVER_LONGEST_REQUEST);
    if (!client || !input || identity_of_peer(descriptor, &client->identity, &client->process) != 0 ||
        event_loop_add(&manager->loop, &client->source, descriptor, 0, on_client, client) != 0) {
        if (client)
            identity_clear(&client->identity);
        free(client);
        free(input);
        close(descriptor);
        return;
    }
    client->manager = manager;
    client->input = input;
    client->output_descriptor = -1;
    greet(client); /* before it counts */
    client->next = server->clients;
    server->clients = client;
    server->client_count++;
}

int server_open(struct manager *manager, const char *path)
{
    struct server *server = &manager->server;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    server->descriptor = -1;
    if (strlen(path) >= sizeof(address.sun_path))
        return ENAMETOOLONG;
    strcpy(address.sun_path, path);
    /* The lock on the directory says that nobody listens there any more. */
    unlink(path);
    server->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0;
    if (server->descriptor < 0 ||
        bind(server->descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        (manager->settings.has_group && chown(path, (uid_t)-1, manager->settings.group) != 0) ||
        chmod(path, manager->settings.has_group ? 0660 : 0600) != 0 ||
        listen(server->descriptor, BACKLOG) != 0)
        error = errno;
    if (!error)
        error = event_loop_add(&manager->loop, &server->source, server->descriptor, EPOLLIN, on_connection,
                               manager);
    return error;
}

void server_close(struct manager *manager)
{
    struct server *server = &manager->server;
    while (server->clients) {
        flush(server->clients);
        close_client(server->clients);
    }
    event_loop_remove(&manager->loop, &server->source);
    close(server->descriptor);
    server->descriptor = -1;
}
