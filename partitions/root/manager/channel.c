/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_SIZE 4096u

void channel_initialize(struct channel *channel, struct event_loop *loop, struct alarms *alarms,
                        void (*event)(void *owner, const json_t *event), void (*closed)(void *owner), void *owner)
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

/* Takes the oldest call off the ring. */
static struct channel_call take_call(struct channel *channel)
{
    struct channel_call call = channel->calls[channel->first];
    channel->first = (channel->first + 1) % CHANNEL_CALLS;
    channel->count--;
    return call;
}

void channel_close(struct channel *channel)
{
    if (channel->descriptor < 0)
        return;
    close_descriptor(channel);
    alarm_cancel(channel->alarms, &channel->alarm);
    while (channel->count > 0) {
        struct channel_call call = take_call(channel);
        if (call.done)
            call.done(call.owner, NULL);
    }
}

static void lose(struct channel *channel)
{
    channel_close(channel);
    channel->closed(channel->owner);
}

/* Answers that are late are not waited for, but their places are kept, since answers are told by their order. */
static void patience_ended(void *owner)
{
    struct channel *channel = owner;
    for (unsigned i = 0; i < channel->count; i++) {
        struct channel_call *call = &channel->calls[(channel->first + i) % CHANNEL_CALLS];
        if (call->deadline > channel->loop->now) {
            alarm_set(channel->alarms, &channel->alarm, call->deadline, patience_ended, channel);
            return;
        }
        channel_answer *done = call->done;
        call->done = NULL;
        if (done)
            done(call->owner, NULL);
    }
}

static void handle(struct channel *channel, const json_t *line)
{
    if (json_object_get(line, "event")) {
        if (channel->event)
            channel->event(channel->owner, line);
    } else if (!json_object_get(line, "hello") && channel->count > 0) {
        struct channel_call call = take_call(channel);
        if (!channel->count)
            alarm_cancel(channel->alarms, &channel->alarm);
        if (call.done)
            call.done(call.owner, line);
    }
}

/* Handles the whole lines in the buffer. False: what came is no JSON. */
static bool handle_lines(struct channel *channel)
{
    size_t done = 0;
    while (channel->descriptor >= 0) {
        char *line = channel->input + done;
        char *end = memchr(line, '\n', channel->input_length - done);
        if (!end)
            break;
        json_t *value = json_loadb(line, (size_t)(end - line), 0, NULL);
        done += (size_t)(end - line) + 1;
        if (!value)
            return false;
        handle(channel, value);
        json_decref(value);
    }
    if (channel->descriptor >= 0) {
        channel->input_length -= done;
        memmove(channel->input, channel->input + done, channel->input_length);
    }
    return true;
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
    if (count > 0)
        channel->input_length += (size_t)count;
    if (count <= 0 || !handle_lines(channel))
        lose(channel);
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

/* False: nothing was sent, or the channel is lost. */
static bool send_line(struct channel *channel, const char *text, int descriptor)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec parts[] = {{.iov_base = (char *)text, .iov_len = strlen(text)}, {.iov_base = "\n", .iov_len = 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (descriptor >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        *rights =
            (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
    }
    /* The requests that may wait together fit into a socket's buffer; one that does not take them is stuck. */
    ssize_t sent = sendmsg(channel->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0 && sent < (ssize_t)strlen(text) + 1)
        lose(channel);
    return sent == (ssize_t)strlen(text) + 1;
}

void channel_call(struct channel *channel, json_t *request, int descriptor, channel_answer *done, void *owner)
{
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    bool sent = text && channel->descriptor >= 0 && channel->count < CHANNEL_CALLS &&
                send_line(channel, text, descriptor);
    free(text);
    json_decref(request);
    if (!sent) {
        if (done)
            done(owner, NULL);
        return;
    }
    uint64_t deadline = channel->loop->now + CHANNEL_PATIENCE;
    channel->calls[(channel->first + channel->count++) % CHANNEL_CALLS] =
        (struct channel_call){.done = done, .owner = owner, .deadline = deadline};
    if (!channel->alarm.set)
        alarm_set(channel->alarms, &channel->alarm, deadline, patience_ended, channel);
}
