/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/switch_requests.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/manager/dispatch.h"
#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/report.h"
#include "partitions/root/manager/request.h"
#include "partitions/root/manager/store.h"
#include "partitions/root/manager/switch_forwards.h"
#include "partitions/root/manager/text.h"
#include "partitions/root/manager/virtual_switch.h"
#include "partitions/root/manager/vm.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ---- Finding ---- */

/* The switch of this name; NULL: the request has been refused. */
static struct virtual_switch *find(struct request *request, const char *name)
{
    struct virtual_switch *found = virtual_switch_find(request->manager, name);
    const char *likely = NULL;
    unsigned least = 0;
    if (found)
        return found;
    for (const struct virtual_switch *other = request->manager->switches; other; other = other->next) {
        unsigned resemblance = name_resemblance(name, other->definition.name);
        if (resemblance && (!least || resemblance < least)) {
            least = resemblance;
            likely = other->definition.name;
        }
    }
    if (likely)
        request_refuse(request, REFUSED_NOT_FOUND, "there is no switch %s: did you mean %s?", name, likely);
    else
        request_refuse(request, REFUSED_NOT_FOUND,
                       "there is no switch %s: loam switch list shows those that are", name);
    return NULL;
}

/* Reads the only argument, "name", and finds the switch. */
static struct virtual_switch *find_named(struct request *request)
{
    char name[NAME_SIZE];
    const struct field list[] = {
        {"name", dispatch_read_name, name, true}
    };
    return dispatch_read_arguments(request, list, COUNT(list)) ? find(request, name) : NULL;
}

static bool vm_uses(const struct vm *vm, const struct virtual_switch *virtual_switch)
{
    for (unsigned i = 0; i < vm->definition.nic_count; i++)
        if (strcmp(vm->definition.nics[i].switch_name, virtual_switch->definition.name) == 0)
            return true;
    return false;
}

static const struct vm *find_by_mac(const struct manager *manager, const struct mac_address *mac)
{
    for (const struct vm *vm = manager->vms; vm; vm = vm->next)
        for (unsigned i = 0; i < vm->definition.nic_count; i++)
            if (mac_equal(&vm->definition.nics[i].mac, mac))
                return vm;
    return NULL;
}

/* ---- Create and remove ---- */

static bool overlap(const struct subnet *a, const struct subnet *b)
{
    return (a->network & b->mask) == b->network || (b->network & a->mask) == a->network;
}

/* Chooses or checks the network. False: the request has been refused. */
static bool determine_subnet(struct request *request, const char *text, struct subnet *subnet)
{
    char error[256], other_subnet[SUBNET_TEXT_SIZE];
    if (!text) {
        if (virtual_switch_choose_subnet(request->manager, subnet))
            return true;
        request_refuse(request, REFUSED_VALUE, "no private network is free: choose one with --subnet");
        return false;
    }
    if (!subnet_parse(text, subnet, error, sizeof(error))) {
        request_refuse(request, REFUSED_VALUE, "subnet: %s", error);
        return false;
    }
    for (const struct virtual_switch *other = request->manager->switches; other; other = other->next) {
        if (!overlap(&other->definition.subnet, subnet))
            continue;
        subnet_format(&other->definition.subnet, other_subnet);
        request_refuse(request, REFUSED_VALUE, "subnet: %s overlaps %s of switch %s: choose another", text,
                       other_subnet, other->definition.name);
        return false;
    }
    return true;
}

static bool read_type(struct fields *fields, const json_t *value, void *target)
{
    const char *type = json_string_value(value);
    (void)target;
    return (type && strcmp(type, "NAT") == 0) || fields_complain(fields, "must be \"NAT\"");
}

void switch_create_request(struct request *request)
{
    struct manager *manager = request->manager;
    static struct switch_definition definition; /* large */
    const char *subnet = NULL;
    unsigned count = 0;
    definition = (struct switch_definition){0};
    const struct field list[] = {
        {"name",       dispatch_read_name,    definition.name,        true },
        {"type",       read_type,             NULL,                   false},
        {"subnet",     dispatch_read_text,    &subnet,                false},
        {"allow_host", fields_read_boolean,   &definition.allow_host, false},
        {"boot_file",  switch_read_boot_file, definition.boot_file,   false},
    };
    if (!dispatch_read_arguments(request, list, COUNT(list)))
        return;
    for (const struct virtual_switch *other = manager->switches; other; other = other->next)
        count++;
    if (virtual_switch_find(manager, definition.name) ||
        store_has(manager->switch_definitions, definition.name)) {
        request_refuse(request, REFUSED_EXISTS, "there is a switch %s already: choose another name",
                       definition.name);
        return;
    }
    if (count >= MANAGER_SWITCHES) {
        request_refuse(request, REFUSED_VALUE, "there are %u switches, as many as there can be", count);
        return;
    }
    if (!determine_subnet(request, subnet, &definition.subnet))
        return;
    json_t *value = switch_definition_json(&definition);
    int error = value ? store_write(manager->switch_definitions, definition.name, value) : ENOMEM;
    json_decref(value);
    struct virtual_switch *added = error ? NULL : virtual_switch_add(manager, &definition);
    if (!added) {
        store_remove(manager->switch_definitions, definition.name);
        request_refuse(request, REFUSED_FAILED, "switch %s cannot be kept in %s: %s", definition.name,
                       manager->settings.state_directory, strerror(error ? error : ENOMEM));
        return;
    }
    added->maker = request;
    virtual_switch_start(added);
}

void switch_remove_request(struct request *request)
{
    struct manager *manager = request->manager;
    struct virtual_switch *virtual_switch = find_named(request);
    if (!virtual_switch)
        return;
    for (const struct vm *vm = manager->vms; vm; vm = vm->next)
        if (vm_uses(vm, virtual_switch)) {
            request_refuse(request, REFUSED_WRONG_STATE,
                           "switch %s has a nic of virtual machine %s: change that with loam vm set first",
                           virtual_switch->definition.name, vm->definition.name);
            return;
        }
    if (virtual_switch->maker || virtual_switch->remover) {
        request_refuse(request, REFUSED_WRONG_STATE, "switch %s is being %s", virtual_switch->definition.name,
                       virtual_switch->maker ? "created" : "removed");
        return;
    }
    int error = store_remove(manager->switch_definitions, virtual_switch->definition.name);
    if (error)
        request_refuse(request, REFUSED_FAILED, "the definition of switch %s cannot be removed: %s",
                       virtual_switch->definition.name, strerror(error));
    else
        virtual_switch_remove(virtual_switch, request);
}

/* ---- List and show ---- */

static json_t *summary(const struct virtual_switch *virtual_switch)
{
    char subnet[SUBNET_TEXT_SIZE];
    json_t *vms = json_array();
    for (const struct vm *vm = virtual_switch->manager->vms; vm; vm = vm->next)
        if (vm_uses(vm, virtual_switch))
            json_array_append_new(vms, json_string(vm->definition.name));
    subnet_format(&virtual_switch->definition.subnet, subnet);
    const char *state = virtual_switch->problem[0] ? "Failed"
                        : virtual_switch->ready    ? "Running"
                                                   : "Starting";
    return json_pack("{s:s, s:s, s:s, s:b, s:o, s:s, s:o, s:o}", "name", virtual_switch->definition.name,
                     "type", "NAT", "subnet", subnet, "allow_host", virtual_switch->definition.allow_host,
                     "boot_file", switch_boot_file_json(&virtual_switch->definition), "state", state,
                     "problem", text_json(virtual_switch->problem), "vms", vms);
}

void switch_list_request(struct request *request)
{
    if (!dispatch_read_arguments(request, NULL, 0))
        return;
    json_t *list = json_array();
    for (const struct virtual_switch *other = request->manager->switches; other; other = other->next)
        json_array_append_new(list, summary(other));
    request_answer(request, json_pack("{s:o}", "switches", list));
}

static json_t *forwards_json(const struct virtual_switch *virtual_switch)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < virtual_switch->definition.forward_count; i++) {
        const struct switch_forward *forward = &virtual_switch->definition.forwards[i];
        const struct vm *vm =
            forward->rule.by_mac ? find_by_mac(virtual_switch->manager, &forward->rule.mac) : NULL;
        json_t *value = switch_forward_json(&forward->rule);
        json_object_update_new(value, json_pack("{s:o, s:o}", "vm",
                                                vm ? json_string(vm->definition.name) : json_null(),
                                                "problem", text_json(forward->problem)));
        json_array_append_new(list, value);
    }
    return list;
}

/* The ports of a switch with the names of virtual machines are the process's; the rest of `shown` is passed
 * on. */
static void was_shown(void *owner, const json_t *shown)
{
    static const char *const keys[] = {"gateway", "process", "ports", "leases", "nat"};
    struct request *request = owner;
    const struct virtual_switch *virtual_switch = virtual_switch_find(request->manager, request->context);
    free(request->context);
    if (!virtual_switch) {
        request_refuse(request, REFUSED_NOT_FOUND, "the switch has just been removed");
        return;
    }
    json_t *result = summary(virtual_switch);
    json_object_set_new(result, "forwards", forwards_json(virtual_switch));
    for (size_t i = 0; i < COUNT(keys); i++) {
        json_t *value = json_object_get(shown, keys[i]);
        json_object_set(result, keys[i], value ? value : json_null());
    }
    request_answer(request, result);
}

void switch_show_request(struct request *request)
{
    struct virtual_switch *virtual_switch = find_named(request);
    if (!virtual_switch)
        return;
    request->context = strdup(virtual_switch->definition.name);
    if (!request->context) {
        request_answer(request, NULL);
        return;
    }
    channel_call(&virtual_switch->channel, json_pack("{s:i, s:s}", "version", 1, "request", "show"), -1,
                 was_shown, request);
}

/* ---- Forwards ---- */

/* A forward that a request adds or removes. */
struct change {
    struct virtual_switch *virtual_switch;
    struct forward_rule rule;
};

static unsigned find_forward(const struct switch_definition *definition, const struct forward_rule *rule)
{
    unsigned i = 0;
    while (i < definition->forward_count && !switch_forward_same(&definition->forwards[i].rule, rule))
        i++;
    return i;
}

static int keep(const struct virtual_switch *virtual_switch)
{
    json_t *value = switch_definition_json(&virtual_switch->definition);
    int error = value ? store_write(virtual_switch->manager->switch_definitions,
                                    virtual_switch->definition.name, value)
                      : ENOMEM;
    json_decref(value);
    return error;
}

static void forget(struct switch_definition *definition, unsigned index)
{
    definition->forward_count--;
    memmove(&definition->forwards[index], &definition->forwards[index + 1],
            (definition->forward_count - index) * sizeof(definition->forwards[0]));
}

static void was_added(void *owner, const json_t *answer)
{
    struct request *request = owner;
    struct change *change = request->context;
    struct virtual_switch *virtual_switch = change->virtual_switch;
    struct switch_definition *definition = &virtual_switch->definition;
    const struct forward_rule rule = change->rule;
    const char *problem = switch_forwards_problem(answer);
    free(change);
    if (problem) {
        request_refuse(request, REFUSED_FAILED, "switch %s: %s", definition->name, problem);
        return;
    }
    if (find_forward(definition, &rule) == definition->forward_count &&
        definition->forward_count < FORWARD_MAXIMUM)
        definition->forwards[definition->forward_count++] = (struct switch_forward){.rule = rule};
    int error = keep(virtual_switch);
    if (!error) {
        request_answer(request, json_object());
        return;
    }
    forget(definition, find_forward(definition, &rule));
    switch_forwards_call_remove(virtual_switch, &rule, NULL, NULL);
    request_refuse(request, REFUSED_FAILED, "the forward cannot be kept in %s: %s",
                   request->manager->settings.state_directory, strerror(error));
}

/* Where a forward leads: a virtual machine by its name, or an address. False: the request has been refused.
 */
static bool determine_child(struct request *request, const struct virtual_switch *virtual_switch,
                            const char *vm_name, struct forward_rule *rule)
{
    const char *switch_name = virtual_switch->definition.name;
    if (!vm_name[0]) {
        if (subnet_is_host(&virtual_switch->definition.subnet, rule->child))
            return true;
        request_refuse(request, REFUSED_VALUE, "address: no virtual machine on switch %s can have it",
                       switch_name);
        return false;
    }
    const struct vm *vm = vm_find(request->manager, vm_name);
    if (!vm) {
        request_refuse(request, REFUSED_NOT_FOUND,
                       "there is no virtual machine %s: loam vm list shows those that are", vm_name);
        return false;
    }
    for (unsigned i = 0; i < vm->definition.nic_count; i++)
        if (strcmp(vm->definition.nics[i].switch_name, switch_name) == 0) {
            rule->by_mac = true;
            rule->mac = vm->definition.nics[i].mac;
            return true;
        }
    request_refuse(request, REFUSED_VALUE,
                   "virtual machine %s has no nic on switch %s: give it one with loam vm set", vm_name,
                   switch_name);
    return false;
}

static struct change *begin_change(struct request *request, struct virtual_switch *virtual_switch,
                                   const struct forward_rule *rule)
{
    struct change *change = malloc(sizeof(*change));
    if (change)
        *change = (struct change){.virtual_switch = virtual_switch, .rule = *rule};
    else
        request_answer(request, NULL);
    request->context = change;
    return change;
}

void switch_forward_request(struct request *request)
{
    char name[NAME_SIZE], vm_name[NAME_SIZE] = "";
    struct forward_rule rule = {0};
    const struct field list[] = {
        {"name",         dispatch_read_name,   name,             true },
        {"protocol",     switch_read_protocol, &rule.protocol,   true },
        {"host_address", switch_read_address,  &rule.host,       false},
        {"host_port",    switch_read_port,     &rule.host_port,  true },
        {"vm",           dispatch_read_name,   vm_name,          false},
        {"address",      switch_read_address,  &rule.child,      false},
        {"port",         switch_read_port,     &rule.child_port, true },
    };
    if (!dispatch_read_arguments(request, list, COUNT(list)))
        return;
    if (!json_object_get(request->arguments, "vm") == !json_object_get(request->arguments, "address")) {
        request_refuse(request, REFUSED_VALUE, "needs either \"vm\" or \"address\"");
        return;
    }
    struct virtual_switch *virtual_switch = find(request, name);
    if (!virtual_switch || !determine_child(request, virtual_switch, vm_name, &rule))
        return;
    if (find_forward(&virtual_switch->definition, &rule) < virtual_switch->definition.forward_count) {
        request_refuse(request, REFUSED_EXISTS,
                       "port %u is forwarded already: loam switch show %s says where to",
                       ntohs(rule.host_port), name);
        return;
    }
    if (!virtual_switch->ready) {
        request_refuse(request, REFUSED_WRONG_STATE, "switch %s does not run: %s", name,
                       virtual_switch->problem[0] ? virtual_switch->problem : "it is about to start");
        return;
    }
    if (begin_change(request, virtual_switch, &rule))
        switch_forwards_call_add(virtual_switch, &rule, was_added, request);
}

void switch_unforward_request(struct request *request)
{
    char name[NAME_SIZE];
    struct forward_rule rule = {0};
    const struct field list[] = {
        {"name",         dispatch_read_name,   name,            true },
        {"protocol",     switch_read_protocol, &rule.protocol,  true },
        {"host_address", switch_read_address,  &rule.host,      false},
        {"host_port",    switch_read_port,     &rule.host_port, true },
    };
    if (!dispatch_read_arguments(request, list, COUNT(list)))
        return;
    struct virtual_switch *virtual_switch = find(request, name);
    if (!virtual_switch)
        return;
    struct switch_definition *definition = &virtual_switch->definition;
    unsigned index = find_forward(definition, &rule);
    if (index == definition->forward_count) {
        request_refuse(request, REFUSED_NOT_FOUND,
                       "port %u is not forwarded: loam switch show %s says which are", ntohs(rule.host_port),
                       name);
        return;
    }
    const struct switch_forward removed = definition->forwards[index];
    forget(definition, index);
    int error = keep(virtual_switch);
    if (error) {
        definition->forwards[definition->forward_count++] = removed;
        request_refuse(request, REFUSED_FAILED, "the definition of switch %s cannot be kept in %s: %s", name,
                       request->manager->settings.state_directory, strerror(error));
        return;
    }
    /* Should the process miss this, it is told when it is reached again. */
    switch_forwards_call_remove(virtual_switch, &rule, NULL, NULL);
    request_answer(request, json_object());
}

void switch_forget_vm(struct vm *vm)
{
    for (struct virtual_switch *other = vm->manager->switches; other; other = other->next) {
        struct switch_definition *definition = &other->definition;
        unsigned before = definition->forward_count;
        for (unsigned i = definition->forward_count; i-- > 0;) {
            const struct forward_rule rule = definition->forwards[i].rule;
            if (!rule.by_mac || find_by_mac(vm->manager, &rule.mac) != vm)
                continue;
            forget(definition, i);
            switch_forwards_call_remove(other, &rule, NULL, NULL);
        }
        int error = definition->forward_count == before ? 0 : keep(other);
        if (error)
            report("switch %s: its definition cannot be kept: %s", definition->name, strerror(error));
    }
}
