/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/vm_requests.h"

#include <stdio.h>
#include <string.h>

#include "partitions/root/manager/dispatch.h"
#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/request.h"
#include "partitions/root/manager/text.h"
#include "partitions/root/manager/vm.h"
#include "partitions/root/manager/vm_start.h"

#define COUNT(list)  (sizeof(list) / sizeof((list)[0]))
#define LONGEST_WAIT 3600u /* seconds */

struct vm *vm_request_find(struct request *request, const char *name)
{
    struct vm *found = vm_find(request->manager, name);
    const char *likely = NULL;
    unsigned least = 0;
    if (found)
        return found;
    for (const struct vm *other = request->manager->vms; other; other = other->next) {
        unsigned resemblance = name_resemblance(name, other->definition.name);
        if (resemblance && (!least || resemblance < least)) {
            least = resemblance;
            likely = other->definition.name;
        }
    }
    if (likely)
        request_refuse(request, REFUSED_NOT_FOUND, "there is no virtual machine %s: did you mean %s?", name, likely);
    else
        request_refuse(request, REFUSED_NOT_FOUND, "there is no virtual machine %s: loam vm list shows those that are",
                       name);
    return NULL;
}

struct vm *vm_request_find_named(struct request *request)
{
    char name[NAME_SIZE];
    const struct field list[] = {
        {"name", dispatch_read_name, name, true}
    };
    return dispatch_read_arguments(request, list, COUNT(list)) ? vm_request_find(request, name) : NULL;
}

const char *vm_worker_problem(const json_t *answer)
{
    static char text[512];
    const char *message = json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
    if (json_object_get(answer, "result"))
        return NULL;
    snprintf(text, sizeof(text), "%s", message ? message : "its worker does not answer");
    text_clean(text);
    return text;
}

const char *vm_worker_refusal(const json_t *answer)
{
    static const struct {
        const char *worker, *code;
    } codes[] = {
        {"busy",        REFUSED_BUSY       },
        {"wrong-state", REFUSED_WRONG_STATE},
        {"bad-request", REFUSED_VALUE      },
    };
    const char *code = json_string_value(json_object_get(json_object_get(answer, "error"), "code"));
    for (size_t i = 0; code && i < COUNT(codes); i++)
        if (strcmp(codes[i].worker, code) == 0)
            return codes[i].code;
    return REFUSED_FAILED;
}

/* ---- Waiting ---- */

static json_t *state_json(const struct vm *vm)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", vm->definition.name, "state", vm_state_name(vm->state),
                     "reason", text_json(vm->end.reason), "detail", text_json(vm->end.detail), "path",
                     text_json(vm->end.path));
}

/* Whether a virtual machine that is Off has run before, however short. */
static bool has_run(const struct vm *vm)
{
    static const char *const after_running[] = {"power-off", "turned-off", "reset", "triple-fault", "debug-exit"};
    for (size_t i = 0; i < COUNT(after_running); i++)
        if (strcmp(vm->end.reason, after_running[i]) == 0)
            return true;
    return false;
}

static void answer_starters(struct vm *vm)
{
    while (vm->starters) {
        struct request *request = vm->starters;
        request_unlink(&vm->starters, request);
        if (vm->state != VM_OFF || has_run(vm))
            request_answer(request, state_json(vm));
        else
            request_refuse(request, REFUSED_FAILED, "%s cannot be started: %s", vm->definition.name, vm->end.detail);
    }
}

static bool is_wanted(const struct request *request, const struct vm *vm)
{
    const char *name = vm_state_name(vm->state);
    const json_t *states = json_object_get(request->arguments, "states");
    for (size_t i = 0; i < json_array_size(states); i++)
        if (strcmp(json_string_value(json_array_get(states, i)), name) == 0)
            return true;
    return false;
}

void vm_answer_waiters(struct vm *vm)
{
    if (vm->state != VM_STARTING)
        answer_starters(vm);
    while (vm->state == VM_OFF && vm->stoppers) {
        struct request *request = vm->stoppers;
        request_unlink(&vm->stoppers, request);
        request_answer(request, state_json(vm));
    }
    struct request **link = &vm->waiters;
    while (*link) {
        struct request *request = *link;
        if (is_wanted(request, vm)) {
            request_unlink(&vm->waiters, request);
            request_answer(request, state_json(vm));
        } else {
            link = &request->next;
        }
    }
}

static void waited_enough(void *owner)
{
    struct request *request = owner;
    struct vm *vm = request->context;
    request_unlink(&vm->waiters, request);
    request_answer(request, state_json(vm));
}

static void wait_for_state(struct vm *vm, struct request *request, uint64_t seconds)
{
    struct manager *manager = request->manager;
    request->context = vm;
    request_append(&vm->waiters, request);
    alarm_set(&manager->alarms, &request->alarm, manager->loop.now + seconds * 1000, waited_enough, request);
    vm_answer_waiters(vm);
}

static bool read_state(struct fields *fields, const json_t *value, void *target)
{
    const char *name = json_string_value(value);
    (void)target;
    for (enum vm_state state = VM_OFF; state < VM_STATES; state++)
        if (name && strcmp(name, vm_state_name(state)) == 0)
            return true;
    return fields_complain(fields, "must be Off, Starting, Running, Paused or Stopping");
}

static bool read_states(struct fields *fields, const json_t *value, void *target)
{
    unsigned count;
    return fields_read_list(fields, value, target, 0, VM_STATES, read_state, &count);
}

static bool read_timeout(struct fields *fields, const json_t *value, void *target)
{
    return fields_read_integer(fields, value, 0, LONGEST_WAIT, target);
}

void vm_wait_request(struct request *request)
{
    char name[NAME_SIZE];
    uint64_t timeout = 0;
    const struct field list[] = {
        {"name",    dispatch_read_name, name,     true},
        {"states",  read_states,        name,     true},
        {"timeout", read_timeout,       &timeout, true},
    };
    if (!dispatch_read_arguments(request, list, COUNT(list)))
        return;
    struct vm *vm = vm_request_find(request, name);
    if (vm)
        wait_for_state(vm, request, timeout);
}

/* ---- Changing states ---- */

void vm_start_request(struct request *request)
{
    char name[NAME_SIZE];
    bool boot_menu = false;
    const struct field list[] = {
        {"name",      dispatch_read_name,  name,       true },
        {"boot_menu", fields_read_boolean, &boot_menu, false},
    };
    struct vm *vm = dispatch_read_arguments(request, list, COUNT(list)) ? vm_request_find(request, name) : NULL;
    if (!vm)
        return;
    if (boot_menu && vm->definition.kernel.path) {
        request_refuse(request, REFUSED_VALUE,
                       "%s starts its kernel directly: only a machine without one has firmware with a boot menu", name);
    } else if (request->manager->shutdown.request) {
        request_refuse(request, REFUSED_WRONG_STATE, "%s is not started: the host is being shut down",
                       vm->definition.name);
    } else if (vm->state == VM_STARTING) {
        request_append(&vm->starters, request);
    } else if (vm->state != VM_OFF) {
        request_refuse(request, REFUSED_WRONG_STATE, "%s is %s already", vm->definition.name, vm_state_name(vm->state));
    } else {
        request_append(&vm->starters, request);
        vm_start(vm, &request->asker, boot_menu);
    }
}

static void was_asked(void *owner, const json_t *answer)
{
    struct request *request = owner;
    struct vm *vm = request->context;
    const char *problem = vm_worker_problem(answer);
    if (problem)
        request_refuse(request, answer ? REFUSED_WRONG_STATE : REFUSED_FAILED, "%s: %s", vm->definition.name, problem);
    else
        request_answer(request, state_json(vm));
}

/* Passes a request on to the worker; it is refused unless there is one that runs. */
static void ask_worker(struct request *request, const char *what)
{
    struct vm *vm = vm_request_find_named(request);
    if (!vm)
        return;
    if (vm->state == VM_OFF || !vm->worker.pid) {
        request_refuse(request, REFUSED_WRONG_STATE, "%s is %s", vm->definition.name, vm_state_name(vm->state));
        return;
    }
    request->context = vm;
    channel_call(&vm->channel, json_pack("{s:s}", "request", what), -1, was_asked, request);
}

void vm_stop_request(struct request *request)
{
    ask_worker(request, "stop");
}

void vm_reset_request(struct request *request)
{
    ask_worker(request, "reset");
}

void vm_pause_request(struct request *request)
{
    ask_worker(request, "pause");
}

void vm_resume_request(struct request *request)
{
    ask_worker(request, "resume");
}

/* Answered when it is Off, which it will be. */
void vm_turn_off_request(struct request *request)
{
    struct vm *vm = vm_request_find_named(request);
    if (!vm)
        return;
    if (vm->state == VM_OFF) {
        request_refuse(request, REFUSED_WRONG_STATE, "%s is Off already", vm->definition.name);
    } else if (!vm->worker.pid) {
        request_refuse(request, REFUSED_WRONG_STATE, "%s is Starting: try again when it runs", vm->definition.name);
    } else {
        vm_turn_off(vm);
        request_append(&vm->stoppers, request);
    }
}
