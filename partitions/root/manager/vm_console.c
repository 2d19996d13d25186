/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Getting somebody the console, the screen, or a picture of that: a connection to the worker is made and asked
 * to become it, and then handed to the client, so that no byte of it passes through loamd and it outlives loamd.
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
#define USER_SIZE    64 /* a worker keeps names of up to 63 bytes */

/* What a connection can become. */
struct purpose {
    const char *request; /* the worker's */
    const char *what;    /* for people */
    const char *lacking; /* why there is none while it is Off, and how to have one */
};

static const struct purpose console = {"console", "the console", "it has no console: loam vm start --console"};
static const struct purpose screen = {"screen", "the screen", "it has no screen: loam vm start"};
static const struct purpose screenshot = {"screenshot", "the screen", "it has no screen: loam vm start"};

struct attempt {
    const struct purpose *purpose;
    struct request *request;
    char name[NAME_SIZE];
    char user[USER_SIZE]; /* what others are told */
    bool busy;            /* somebody else has it, and the worker has been asked who */
    struct event_source source;
    struct alarm alarm;
    char line[LONGEST_LINE];
    size_t length;
};

/* Ends the attempt and gives its descriptor back. */
static int end(struct attempt *attempt, struct request **request)
{
    struct manager *manager = attempt->request->manager;
    int descriptor = attempt->source.descriptor;
    *request = attempt->request;
    event_loop_remove(&manager->loop, &attempt->source);
    alarm_cancel(&manager->alarms, &attempt->alarm);
    free(attempt);
    return descriptor;
}

static void give_up(struct attempt *attempt, const char *code, const char *reason)
{
    const char *what = attempt->purpose->what;
    struct request *request;
    char name[NAME_SIZE];
    strcpy(name, attempt->name);
    close(end(attempt, &request));
    request_refuse(request, code, "%s of %s: %s", what, name, reason);
}

static void patience_ended(void *owner)
{
    give_up(owner, REFUSED_FAILED, "its worker does not answer");
}

/* Sends a request, whose reference it takes over. 0 or an errno. */
static int ask(int descriptor, json_t *request)
{
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL, *line = NULL;
    int length = text ? asprintf(&line, "%s\n", text) : -1, error = ENOMEM;
    if (length >= 0) {
        ssize_t sent = send(descriptor, line, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
        error = sent < 0 ? errno : sent == length ? 0 : EIO;
        free(line);
    }
    free(text);
    json_decref(request);
    return error;
}

static void tell_holder(struct attempt *attempt, const json_t *status)
{
    const char *user = json_string_value(json_object_get(json_object_get(status, "console"), "user"));
    char text[256];
    snprintf(text, sizeof(text), "%s has it", user ? user : "somebody else");
    give_up(attempt, REFUSED_BUSY, text);
}

static void was_answered(struct attempt *attempt, json_t *answer)
{
    const char *code = json_string_value(json_object_get(json_object_get(answer, "error"), "code"));
    json_t *result = json_object_get(answer, "result");
    struct request *request;
    if (attempt->busy) {
        tell_holder(attempt, result);
    } else if (result) {
        int descriptor = end(attempt, &request);
        request_answer_with(request, json_incref(result), descriptor);
    } else if (code && strcmp(code, "busy") == 0 && attempt->purpose == &console) {
        attempt->busy = true;
        if (ask(attempt->source.descriptor, json_pack("{s:s}", "request", "status")) != 0)
            tell_holder(attempt, NULL);
    } else {
        give_up(attempt, vm_worker_refusal(answer), vm_worker_problem(answer));
    }
}

/* What comes behind the answer is the console's or the screen's, so bytes are taken one by one. */
static void on_input(void *owner, uint32_t events)
{
    struct attempt *attempt = owner;
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

static int begin(struct attempt *attempt, const struct vm *vm)
{
    struct manager *manager = vm->manager;
    char file_name[VM_FILE_SIZE], user[IDENTITY_NAME_SIZE];
    identity_name(attempt->request->asker.user, user);
    snprintf(attempt->user, sizeof(attempt->user), "%.32s (process %d)", user,
             (int)attempt->request->process);
    strcpy(attempt->name, vm->definition.name);
    vm_file_name(vm, "control", file_name);
    int descriptor = channel_connect(manager->vm_records, file_name);
    if (descriptor < 0)
        return -descriptor;
    int error = ask(descriptor, json_pack("{s:s, s:s}", "request", attempt->purpose->request, "user",
                                            attempt->user));
    if (!error)
        error = event_loop_add(&manager->loop, &attempt->source, descriptor, EPOLLIN, on_input, attempt);
    if (error)
        close(descriptor);
    else
        alarm_set(&manager->alarms, &attempt->alarm, manager->loop.now + PATIENCE, patience_ended, attempt);
    return error;
}

static void hand_out(struct request *request, const struct purpose *purpose)
{
    struct vm *vm = vm_request_find_named(request);
    if (!vm)
        return;
    if (vm->state == VM_OFF || !vm->worker.pid) {
        request_refuse(request, REFUSED_WRONG_STATE, "%s is %s, so %s %s", vm->definition.name,
                       vm_state_name(vm->state), purpose->lacking, vm->definition.name);
        return;
    }
    struct attempt *attempt = calloc(1, sizeof(*attempt));
    int error = ENOMEM;
    if (attempt) {
        attempt->purpose = purpose;
        attempt->request = request;
        error = begin(attempt, vm);
    }
    if (!error)
        return;
    free(attempt);
    request_refuse(request, REFUSED_FAILED, "%s of %s cannot be reached: %s", purpose->what, vm->definition.name,
                   strerror(error));
}

void vm_console_request(struct request *request)
{
    hand_out(request, &console);
}

void vm_screen_request(struct request *request)
{
    hand_out(request, &screen);
}

void vm_screenshot_request(struct request *request)
{
    hand_out(request, &screenshot);
}
