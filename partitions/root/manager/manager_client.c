/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/manager_client.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "partitions/root/manager/request.h"

#define FIRST_SIZE     4096u
#define LONGEST_ANSWER (16u << 20)

static bool __attribute__((format(printf, 3, 4)))
fail(struct manager_client *client, const char *code, const char *format, ...)
{
    va_list arguments;
    snprintf(client->code, sizeof(client->code), "%s", code);
    va_start(arguments, format);
    vsnprintf(client->error, sizeof(client->error), format, arguments);
    va_end(arguments);
    return false;
}

static bool explain_connection(struct manager_client *client, const char *path, int error)
{
    const struct passwd *entry = getpwuid(geteuid());
    switch (error) {
    case ENOENT:
    case ECONNREFUSED:
        return fail(client, MANAGER_CLIENT_UNREACHABLE,
                    "loamd does not run (nobody listens on %s): start it with systemctl start loamd", path);
    case EACCES:
        return fail(client, MANAGER_CLIENT_UNREACHABLE,
                    "%s may not manage virtual machines (%s): only root and members of the group loam may; "
                    "usermod -aG loam makes a user one, from his next login on",
                    entry ? entry->pw_name : "this user", path);
    default:
        return fail(client, MANAGER_CLIENT_UNREACHABLE, "loamd cannot be reached on %s: %s", path,
                    strerror(error));
    }
}

static bool grow(struct manager_client *client)
{
    if (client->length < client->size)
        return true;
    size_t size = client->size ? client->size * 2 : FIRST_SIZE;
    char *input = size <= LONGEST_ANSWER ? realloc(client->input, size) : NULL;
    if (!input)
        return fail(client, REFUSED_FAILED, "loamd's answer is too long");
    client->input = input;
    client->size = size;
    return true;
}

/* Reads more input, and the descriptor that may come with it. */
static bool receive(struct manager_client *client)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    ssize_t count;
    if (!grow(client))
        return false;
    struct iovec part = {.iov_base = client->input + client->length,
                         .iov_len = client->size - client->length};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    do
        count = recvmsg(client->descriptor, &message, MSG_CMSG_CLOEXEC);
    while (count < 0 && errno == EINTR);
    if (count <= 0)
        return fail(client, MANAGER_CLIENT_UNREACHABLE, "loamd has closed the connection%s%s",
                    count < 0 ? ": " : "", count < 0 ? strerror(errno) : "");
    const struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
        if (client->passed >= 0)
            close(client->passed);
        memcpy(&client->passed, CMSG_DATA(rights), sizeof(int));
    }
    client->length += (size_t)count;
    return true;
}

/* The next line as JSON. NULL: there is none. */
static json_t *read_line(struct manager_client *client)
{
    char *end;
    while (!client->length || !(end = memchr(client->input, '\n', client->length)))
        if (!receive(client))
            return NULL;
    json_t *line = json_loadb(client->input, (size_t)(end - client->input), 0, NULL);
    client->length -= (size_t)(end + 1 - client->input);
    memmove(client->input, end + 1, client->length);
    if (!line)
        fail(client, REFUSED_FAILED, "loamd's answer is not JSON");
    return line;
}

/* Takes code and message of an answer that is an error. */
static void take_error(struct manager_client *client, const json_t *answer)
{
    const char *code = "", *message = "loamd's answer is not understood";
    json_unpack((json_t *)answer, "{s:{s:s, s:s}}", "error", "code", &code, "message", &message);
    fail(client, code, "%s", message);
}

static bool read_greeting(struct manager_client *client)
{
    json_t *line = read_line(client);
    int version = 0;
    const char *hello = "";
    if (!line)
        return false;
    bool greeted = json_unpack(line, "{s:s, s:i}", "hello", &hello, "version", &version) == 0;
    if (!greeted)
        take_error(client, line);
    else if (version != REQUEST_VERSION)
        greeted = fail(
            client, MANAGER_CLIENT_UNREACHABLE,
            "loamd speaks version %d of its protocol, and this program version %d: use those of one release",
            version, REQUEST_VERSION);
    if (!greeted && strcmp(client->code, REFUSED_DENIED) == 0)
        strcpy(client->code, MANAGER_CLIENT_UNREACHABLE);
    json_decref(line);
    return greeted;
}

bool manager_client_open(struct manager_client *client, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *client = (struct manager_client){.descriptor = -1, .passed = -1};
    if (strlen(path) >= sizeof(address.sun_path))
        return fail(client, MANAGER_CLIENT_UNREACHABLE, "%s: too long for the path of a socket", path);
    strcpy(address.sun_path, path);
    client->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->descriptor < 0 ||
        connect(client->descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return explain_connection(client, path, errno);
    return read_greeting(client);
}

void manager_client_close(struct manager_client *client)
{
    if (client->descriptor >= 0)
        close(client->descriptor);
    if (client->passed >= 0)
        close(client->passed);
    free(client->input);
    *client = (struct manager_client){.descriptor = -1, .passed = -1};
}

static bool send_line(struct manager_client *client, const char *text)
{
    const char *const parts[] = {text, "\n"};
    for (size_t i = 0; i < 2; i++)
        for (size_t sent = 0, length = strlen(parts[i]); sent < length;) {
            ssize_t count = send(client->descriptor, parts[i] + sent, length - sent, MSG_NOSIGNAL);
            if (count < 0 && errno == EINTR)
                continue;
            if (count < 0)
                return fail(client, MANAGER_CLIENT_UNREACHABLE, "loamd cannot be reached: %s",
                            strerror(errno));
            sent += (size_t)count;
        }
    return true;
}

json_t *manager_client_call(struct manager_client *client, const char *request, json_t *arguments)
{
    json_t *message =
        json_pack("{s:i, s:s, s:o*}", "version", REQUEST_VERSION, "request", request, "arguments", arguments);
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    if (!text) {
        fail(client, REFUSED_FAILED, "no memory");
        return NULL;
    }
    json_t *answer = send_line(client, text) ? read_line(client) : NULL;
    free(text);
    json_t *result = json_incref(json_object_get(answer, "result"));
    if (answer && !result)
        take_error(client, answer);
    json_decref(answer);
    return result;
}
