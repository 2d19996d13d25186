/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_SIZE 4096u

void channel_initialize(struct channel *channel, struct event_loop *loop, struct alarms *alarms,
                        void (*event)(void *owner, const json_t *event), void (*closed)(void *owner),
                        void *owner)
{
    *channel = (struct channel){
        .loop = loop, .alarms = alarms, .descriptor = -1, .event = event, .closed = closed, .owner = owner};
}

int channel_connect(int directory, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* By way of the directory's descriptor, because the path of a socket may not be long. */
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory, path);
    if (length >= (int)sizeof(address.sun_path))
        return -ENAMETOOLONG;
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor >= 0 && connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return descriptor;
    int error = errno;
    if (descriptor >= 0)
        close(descriptor);
    return -error;
}

static void close_descriptor(struct channel *channel)
{
    event_loop_remove(channel->loop, &channel->source);
    close(channel->descriptor);
    channel->descriptor = -1;
    free(channel->input);
    channel->input = NULL;
    channel->input_length = channel->input_size = 0;
}

/* ---- Calls ---- */

/* Takes the oldest call off the list. */
static struct channel_call *take_call(struct channel *channel)
{
    struct channel_call *call = channel->calls;
    channel->calls = call->next;
    channel->count--;
    return call;
}

/* Frees a call; its answer is given afterwards, since that may close the channel. */
static void answer(struct channel_call *call, const json_t *value)
{
    channel_answer *done = call->done;
    void *owner = call->owner;
    if (call->descriptor >= 0)
        close(call->descriptor);
    free(call->text);
    free(call);
    if (done)
        done(owner, value);
}

void channel_close(struct channel *channel)
{
    if (channel->descriptor < 0)
        return;
    close_descriptor(channel);
    alarm_cancel(channel->alarms, &channel->alarm);
    while (channel->calls)
        answer(take_call(channel), NULL);
}

static void lose(struct channel *channel)
{
    channel_close(channel);
    channel->closed(channel->owner);
}

/*
 * Calls that have waited for too long. The one that has been sent stays, since its answer may still come;
 * those behind it are not sent any more.
 */
static void patience_ended(void *owner)
{
    struct channel *channel = owner;
    const uint64_t now = channel->loop->now;
    struct channel_call *sent = channel->calls, *late = sent->next, **end = &late;
    channel_answer *done = sent->deadline <= now ? sent->done : NULL;
    void *done_owner = sent->owner;
    if (done)
        sent->done = NULL;
    while (*end && (*end)->deadline <= now) {
        channel->count--;
        end = &(*end)->next;
    }
    sent->next = *end;
    *end = NULL;
    const struct channel_call *next = sent->deadline > now ? sent : sent->next;
    if (next)
        alarm_set(channel->alarms, &channel->alarm, next->deadline, patience_ended, channel);
    /* Last, since the channel may be closed by it. */
    if (done)
        done(done_owner, NULL);
    while (late) {
        struct channel_call *call = late;
        late = call->next;
        answer(call, NULL);
    }
}

static bool send_call(struct channel *channel, const struct channel_call *call)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = call->text, .iov_len = strlen(call->text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (call->descriptor >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        *rights = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(rights), &call->descriptor, sizeof(int));
    }
    /* The other side has read everything before: its socket has room. */
    return sendmsg(channel->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)part.iov_len;
}

/* Sends the oldest call, if it has not been. False: the channel is lost. */
static bool send_next(struct channel *channel)
{
    struct channel_call *call = channel->calls;
    if (!call || !call->text)
        return true;
    if (!send_call(channel, call)) {
        lose(channel);
        return false;
    }
    free(call->text);
    call->text = NULL;
    if (!channel->alarm.set)
        alarm_set(channel->alarms, &channel->alarm, call->deadline, patience_ended, channel);
    return true;
}

void channel_call(struct channel *channel, json_t *request, int descriptor, channel_answer *done, void *owner)
{
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    struct channel_call *call = calloc(1, sizeof(*call));
    json_decref(request);
    if (!call || !text || channel->descriptor < 0 || channel->count >= CHANNEL_CALLS ||
        asprintf(&call->text, "%s\n", text) < 0) {
        free(text);
        free(call);
        if (done)
            done(owner, NULL);
        return;
    }
    free(text);
    call->descriptor = descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    call->done = done;
    call->owner = owner;
    call->deadline = channel->loop->now + CHANNEL_PATIENCE;
    struct channel_call **link = &channel->calls;
    while (*link)
        link = &(*link)->next;
    *link = call;
    channel->count++;
    send_next(channel);
}

/* ---- Input ---- */

/* False: the channel has been closed. */
static bool handle(struct channel *channel, const json_t *line)
{
    if (json_object_get(line, "event")) {
        if (channel->event)
            channel->event(channel->owner, line);
    } else if (!json_object_get(line, "hello") && channel->calls && !channel->calls->text) {
        struct channel_call *call = take_call(channel);
        alarm_cancel(channel->alarms, &channel->alarm);
        bool open = send_next(channel);
        answer(call, line);
        return open && channel->descriptor >= 0;
    }
    return channel->descriptor >= 0;
}

/* Handles the whole lines in the buffer. */
static void handle_lines(struct channel *channel)
{
    size_t done = 0;
    char *end;
    while ((end = memchr(channel->input + done, '\n', channel->input_length - done)) != NULL) {
        const char *line = channel->input + done;
        json_t *value = json_loadb(line, (size_t)(end - line), 0, NULL);
        if (!value) {
            lose(channel);
            return;
        }
        done += (size_t)(end - line) + 1;
        bool open = handle(channel, value);
        json_decref(value);
        if (!open)
            return;
    }
    channel->input_length -= done;
    memmove(channel->input, channel->input + done, channel->input_length);
}

static bool grow(struct channel *channel)
{
    if (channel->input_length < channel->input_size)
        return true;
    size_t size = channel->input_size ? channel->input_size * 2 : FIRST_SIZE;
    char *input = size <= CHANNEL_LONGEST_LINE ? realloc(channel->input, size) : NULL;
    if (!input)
        return false;
    channel->input = input;
    channel->input_size = size;
    return true;
}

static void on_input(void *owner, uint32_t events)
{
    struct channel *channel = owner;
    (void)events;
    if (!grow(channel)) {
        lose(channel);
        return;
    }
    ssize_t count = recv(channel->descriptor, channel->input + channel->input_length,
                         channel->input_size - channel->input_length, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        lose(channel);
        return;
    }
    channel->input_length += (size_t)count;
    handle_lines(channel);
}

int channel_open(struct channel *channel, int descriptor)
{
    int error = event_loop_add(channel->loop, &channel->source, descriptor, EPOLLIN, on_input, channel);
    if (error)
        close(descriptor);
    else
        channel->descriptor = descriptor;
    return error;
}
