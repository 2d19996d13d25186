/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be done with a screen and a keyboard without a connection of one's own: the worker does it. */
#include "partitions/root/manager/vm_requests.h"

#include <stdlib.h>

#include "partitions/root/manager/dispatch.h"
#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/request.h"
#include "partitions/root/manager/vm.h"

#define COUNT(list)   (sizeof(list) / sizeof((list)[0]))
#define MOST_KEYS     64u
#define LONGEST_ASKED 4000u /* bytes of a request to a worker */

static void was_asked(void *owner, const json_t *answer)
{
    struct request *request = owner;
    const struct vm *vm = request->context;
    const char *problem = vm_worker_problem(answer);
    if (problem)
        request_refuse(request, vm_worker_refusal(answer), "%s: %s", vm->definition.name, problem);
    else
        request_answer(request, json_incref(json_object_get(answer, "result")));
}

/* Passes `question`, whose reference it takes over, on to the worker; its result is the answer. */
static void ask_worker(struct request *request, const char *name, json_t *question)
{
    struct vm *vm = vm_request_find(request, name);
    if (vm && (vm->state == VM_OFF || !vm->worker.pid)) {
        request_refuse(request, REFUSED_WRONG_STATE, "%s is %s", vm->definition.name, vm_state_name(vm->state));
    } else if (vm && json_dumpb(question, NULL, 0, JSON_COMPACT) > LONGEST_ASKED) {
        request_refuse(request, REFUSED_VALUE, "%s: that is too much to type at a time", vm->definition.name);
    } else if (vm) {
        request->context = vm;
        channel_call(&vm->channel, question, -1, was_asked, request);
        return;
    }
    json_decref(question);
}

void vm_screen_text_request(struct request *request)
{
    char name[NAME_SIZE];
    const struct field list[] = {
        {"name", dispatch_read_name, name, true}
    };
    if (dispatch_read_arguments(request, list, COUNT(list)))
        ask_worker(request, name, json_pack("{s:s}", "request", "screen-text"));
}

static bool read_key(struct fields *fields, const json_t *value, void *target)
{
    (void)target;
    return fields_text(fields, value, NAME_LENGTH);
}

/* Which keys there are is the worker's business. */
static bool read_keys(struct fields *fields, const json_t *value, void *target)
{
    unsigned count;
    if (!fields_read_list(fields, value, target, 0, MOST_KEYS, read_key, &count))
        return false;
    *(const json_t **)target = value;
    return true;
}

static bool read_text(struct fields *fields, const json_t *value, void *target)
{
    if (!json_is_string(value))
        return fields_complain(fields, "must be a string");
    *(const json_t **)target = value;
    return true;
}

void vm_keys_request(struct request *request)
{
    char name[NAME_SIZE];
    json_t *keys = NULL, *text = NULL;
    const struct field list[] = {
        {"name", dispatch_read_name, name,  true },
        {"keys", read_keys,          &keys, false},
        {"text", read_text,          &text, false},
    };
    if (dispatch_read_arguments(request, list, COUNT(list)))
        ask_worker(request, name, json_pack("{s:s, s:O*, s:O*}", "request", "keys", "keys", keys, "text", text));
}
