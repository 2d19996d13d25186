/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Getting somebody the console: a connection to the worker is made and asked to become the console, and then handed to
 * the client, so that no byte of it passes through loamd and it outlives loamd.
 */
#include "partitions/root/manager/vm_requests.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/request.h"
#include "partitions/root/manager/text.h"
#include "partitions/root/manager/vm.h"

#define PATIENCE     10000u /* milliseconds */
#define LONGEST_LINE 4096u

struct console_attempt {
    struct request *request;
    char name[NAME_SIZE];
    char holder[sizeof(((struct vm *)NULL)->console_holder)];
    struct event_source source;
    struct alarm alarm;
    char line[LONGEST_LINE];
    size_t length;
};

/* Ends the attempt and gives its descriptor back. */
static int end(struct console_attempt *attempt, struct request **request)
{
    struct manager *manager = attempt->request->manager;
    int descriptor = attempt->source.descriptor;
    *request = attempt->request;
    event_loop_remove(&manager->loop, &attempt->source);
    alarm_cancel(&manager->alarms, &attempt->alarm);
    free(attempt);
    return descriptor;
}

static void give_up(struct console_attempt *attempt, const char *code, const char *reason)
{
    struct request *request;
    char name[NAME_SIZE];
    strcpy(name, attempt->name);
    close(end(attempt, &request));
    request_refuse(request, code, "the console of %s: %s", name, reason);
}

static void patience_ended(void *owner)
{
    give_up(owner, REFUSED_FAILED, "its worker does not answer");
}

static void was_answered(struct console_attempt *attempt, json_t *answer)
{
    struct vm *vm = vm_find(attempt->request->manager, attempt->name);
    const char *code = json_string_value(json_object_get(json_object_get(answer, "error"), "code"));
    json_t *result = json_object_get(answer, "result");
    char text[256];
    struct request *request;
    if (result && vm) {
        strcpy(vm->console_holder, attempt->holder);
        int descriptor = end(attempt, &request);
        request_answer_with(request, json_incref(result), descriptor);
    } else if (code && strcmp(code, "busy") == 0) {
        snprintf(text, sizeof(text), "%s has it", vm && vm->console_holder[0] ? vm->console_holder : "somebody else");
        give_up(attempt, REFUSED_BUSY, text);
    } else {
        give_up(attempt, REFUSED_FAILED, vm_worker_problem(answer) ? vm_worker_problem(answer) : "it is gone");
    }
}

/* What comes behind the answer is the console's, so bytes are taken one by one. */
static void on_input(void *owner, uint32_t events)
{
    struct console_attempt *attempt = owner;
    (void)events;
    for (;;) {
        char *byte = &attempt->line[attempt->length];
        ssize_t count = recv(attempt->source.descriptor, byte, 1, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (count <= 0 || ++attempt->length == LONGEST_LINE) {
            give_up(attempt, REFUSED_FAILED, "its worker does not answer");
            return;
        }
        if (*byte != '\n')
            continue;
        json_t *line = json_loadb(attempt->line, attempt->length, 0, NULL);
        bool answer = line && !json_object_get(line, "hello") && !json_object_get(line, "event");
        attempt->length = 0;
        if (answer)
            was_answered(attempt, line);
        json_decref(line);
        if (answer)
            return;
    }
}

/* Sends the request for the console. 0 or an errno. */
static int ask(const struct console_attempt *attempt, int descriptor)
{
    json_t *request = json_pack("{s:s, s:s}", "request", "console", "user", attempt->holder);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    int error = ENOMEM;
    if (text) {
        struct iovec parts[] = {{.iov_base = text, .iov_len = strlen(text)}, {.iov_base = "\n", .iov_len = 1}};
        const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t sent = sendmsg(descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        error = sent < 0 ? errno : sent == (ssize_t)strlen(text) + 1 ? 0 : EIO;
    }
    free(text);
    return error;
}

static int begin(struct console_attempt *attempt, const struct vm *vm)
{
    struct manager *manager = vm->manager;
    char file_name[VM_FILE_SIZE], user[IDENTITY_NAME_SIZE];
    identity_name(attempt->request->asker.user, user);
    /* A worker knows user names of up to 63 bytes. */
    snprintf(attempt->holder, 64, "%.32s (process %d)", user, (int)attempt->request->process);
    strcpy(attempt->name, vm->definition.name);
    vm_file_name(vm, "control", file_name);
    int descriptor = channel_connect(manager->vm_records, file_name);
    if (descriptor < 0)
        return -descriptor;
    int error = ask(attempt, descriptor);
    if (!error)
        error = event_loop_add(&manager->loop, &attempt->source, descriptor, EPOLLIN, on_input, attempt);
    if (error)
        close(descriptor);
    else
        alarm_set(&manager->alarms, &attempt->alarm, manager->loop.now + PATIENCE, patience_ended, attempt);
    return error;
}

void vm_console_request(struct request *request)
{
    struct vm *vm = vm_request_find_named(request);
    if (!vm)
        return;
    if (vm->state == VM_OFF || !vm->worker.pid) {
        request_refuse(request, REFUSED_WRONG_STATE, "%s is %s, so it has no console: loam vm start --console %s",
                       vm->definition.name, vm_state_name(vm->state), vm->definition.name);
        return;
    }
    struct console_attempt *attempt = calloc(1, sizeof(*attempt));
    int error = ENOMEM;
    if (attempt) {
        attempt->request = request;
        error = begin(attempt, vm);
    }
    if (!error)
        return;
    free(attempt);
    request_refuse(request, REFUSED_FAILED, "the console of %s cannot be reached: %s", vm->definition.name,
                   strerror(error));
}
