/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/vm_requests.h"

#include <stdlib.h>
#include <string.h>

#include "partitions/root/manager/dispatch.h"
#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/request.h"
#include "partitions/root/manager/text.h"
#include "partitions/root/manager/virtual_switch.h"
#include "partitions/root/manager/vm.h"

/* What is known here, without asking. */
static json_t *summary(const struct vm *vm)
{
    bool runs = vm->state != VM_OFF && vm->worker.pid;
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:i, s:o, s:o}", "name", vm->definition.name, "state",
                     vm_state_name(vm->state), "reason", text_json(vm->end.reason), "detail",
                     text_json(vm->end.detail), "path", text_json(vm->end.path), "memory",
                     (json_int_t)vm->definition.memory, "processors", (int)vm->definition.processors,
                     "uptime", runs ? json_integer((json_int_t)process_uptime(&vm->worker)) : json_null(),
                     "process", runs ? json_integer(vm->worker.pid) : json_null());
}

/* ---- Showing: the worker and the switches are asked, and the answers put together ---- */

struct survey {
    struct request *request;
    unsigned waiting; /* for so many answers */
    json_t *result;
};

struct question {
    struct survey *survey;
    void (*take)(struct survey *survey, const json_t *answer);
};

static void answer_if_complete(struct survey *survey)
{
    if (survey->waiting)
        return;
    request_answer(survey->request, survey->result);
    free(survey);
}

static void was_answered(void *owner, const json_t *answer)
{
    struct question *question = owner;
    struct survey *survey = question->survey;
    if (answer)
        question->take(survey, answer);
    free(question);
    survey->waiting--;
    answer_if_complete(survey);
}

static void ask(struct survey *survey, struct channel *channel, json_t *request,
                void (*take)(struct survey *survey, const json_t *answer))
{
    struct question *question = malloc(sizeof(*question));
    if (!question) {
        json_decref(request); /* less is shown */
        return;
    }
    *question = (struct question){.survey = survey, .take = take};
    survey->waiting++;
    channel_call(channel, request, -1, was_answered, question);
}

static void take_status(struct survey *survey, const json_t *answer)
{
    const json_t *result = json_object_get(answer, "result");
    const json_t *user = json_object_get(json_object_get(result, "console"), "user");
    if (!result)
        return;
    json_object_set(survey->result, "partition_id", json_object_get(result, "partition_id"));
    json_object_set(survey->result, "disk_io", json_object_get(result, "disk_io"));
    json_object_set(survey->result, "sources", json_object_get(result, "sources"));
    json_object_set_new(survey->result, "console", text_json(json_string_value(user)));
}

static void take_counters(struct survey *survey, const json_t *answer)
{
    json_t *result = json_object_get(answer, "result");
    if (!result)
        return;
    json_t *nics = json_object_get(survey->result, "nics"), *counters;
    size_t index;
    json_object_set(survey->result, "counters", result);
    json_array_foreach(json_object_get(result, "nics"), index, counters)
    {
        json_object_update(json_array_get(nics, index), counters);
    }
}

/* The addresses that a switch has seen behind the MAC addresses. */
static void take_ports(struct survey *survey, const json_t *answer)
{
    json_t *nic, *port;
    size_t i, j;
    json_array_foreach(json_object_get(survey->result, "nics"), i, nic)
    {
        const char *mac = json_string_value(json_object_get(nic, "mac"));
        json_array_foreach(json_object_get(answer, "ports"), j, port)
        {
            const char *port_mac = json_string_value(json_object_get(port, "mac"));
            if (mac && port_mac && strcmp(mac, port_mac) == 0)
                json_object_set(nic, "addresses", json_object_get(port, "addresses"));
        }
    }
}

/* The first of several network adapters on a switch asks for all. */
static bool is_first_on_switch(const struct definition *definition, unsigned index)
{
    for (unsigned i = 0; i < index; i++)
        if (strcmp(definition->nics[i].switch_name, definition->nics[index].switch_name) == 0)
            return false;
    return true;
}

static json_t *begin_result(const struct vm *vm)
{
    json_t *result = definition_json(&vm->definition), *known = summary(vm);
    json_object_update(result, known);
    json_decref(known);
    json_object_del(result, "version");
    json_object_set_new(result, "log",
                        json_sprintf("%s/%s.log", vm->manager->settings.log_directory, vm->definition.name));
    json_object_set_new(result, "console", json_null());
    json_object_set_new(result, "counters", json_null());
    json_object_set_new(result, "partition_id", json_null());
    json_object_set_new(result, "disk_io", json_null());
    json_object_set_new(result, "sources", json_array());
    return result;
}

void vm_show_request(struct request *request)
{
    struct vm *vm = vm_request_find_named(request);
    if (!vm)
        return;
    struct survey *survey = calloc(1, sizeof(*survey));
    if (!survey) {
        request_answer(request, NULL);
        return;
    }
    survey->request = request;
    survey->result = begin_result(vm);
    survey->waiting = 1; /* until everybody has been asked */
    if (vm->worker.pid) {
        ask(survey, &vm->channel, json_pack("{s:s}", "request", "status"), take_status);
        ask(survey, &vm->channel, json_pack("{s:s}", "request", "counters"), take_counters);
    }
    for (unsigned i = 0; vm->worker.pid && i < vm->definition.nic_count; i++) {
        struct virtual_switch *virtual_switch =
            virtual_switch_find(request->manager, vm->definition.nics[i].switch_name);
        if (virtual_switch && is_first_on_switch(&vm->definition, i))
            ask(survey, &virtual_switch->channel, json_pack("{s:i, s:s}", "version", 1, "request", "show"),
                take_ports);
    }
    survey->waiting--;
    answer_if_complete(survey);
}

void vm_list_request(struct request *request)
{
    if (!dispatch_read_arguments(request, NULL, 0))
        return;
    json_t *list = json_array();
    for (const struct vm *vm = request->manager->vms; vm; vm = vm->next)
        json_array_append_new(list, summary(vm));
    request_answer(request, json_pack("{s:o}", "vms", list));
}
