/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/report.h"
#include "partitions/root/manager/request.h"
#include "partitions/root/manager/store.h"
#include "partitions/root/manager/vm_media.h"
#include "partitions/root/manager/vm_requests.h"

/* Milliseconds: for a worker to turn itself off, and between attempts to reach one. */
#define TURN_OFF_PATIENCE  10000u
#define RECONNECT_INTERVAL 1000u

/* The file into which a worker writes its states is cut when it has become so long. */
#define LONGEST_OUTPUT 65536

static const char *const state_names[VM_STATES] = {
    [VM_OFF] = "Off",       [VM_STARTING] = "Starting", [VM_RUNNING] = "Running",
    [VM_PAUSED] = "Paused", [VM_STOPPING] = "Stopping",
};

const char *vm_state_name(enum vm_state state)
{
    return state_names[state];
}

static enum vm_state find_state(const char *name)
{
    enum vm_state state = VM_OFF;
    while (state < VM_STATES && strcmp(state_names[state], name) != 0)
        state++;
    return state;
}

void vm_file_name(const struct vm *vm, const char *suffix, char file_name[VM_FILE_SIZE])
{
    snprintf(file_name, VM_FILE_SIZE, "%s.%s", vm->definition.name, suffix);
}

struct vm *vm_find(struct manager *manager, const char *name)
{
    struct vm *vm = manager->vms;
    while (vm && strcmp(vm->definition.name, name) != 0)
        vm = vm->next;
    return vm;
}

/* ---- The worker's states ---- */

void vm_enter(struct vm *vm, enum vm_state state)
{
    if (vm->state != state) {
        vm->state = state;
        if (state == VM_OFF || state == VM_PAUSED)
            report("%s: %s (%s%s%s)", vm->definition.name, vm_state_name(state), vm->end.reason,
                   vm->end.detail[0] ? ": " : "", vm->end.detail);
        else
            report("%s: %s", vm->definition.name, vm_state_name(state));
    }
    vm_answer_waiters(vm);
}

static void shorten_output(struct vm *vm)
{
    char file_name[VM_FILE_SIZE];
    struct stat status;
    vm_file_name(vm, "output", file_name);
    int descriptor = openat(vm->manager->vm_records, file_name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0)
        return;
    if (fstat(descriptor, &status) == 0 && status.st_size > LONGEST_OUTPUT && ftruncate(descriptor, 0) != 0)
        report("%s: %s cannot be shortened: %s", vm->definition.name, file_name, strerror(errno));
    close(descriptor);
}

/* "Off" counts only when the process has ended: until then it has its files. */
static void take_state(struct vm *vm, const json_t *value)
{
    const char *name = json_string_value(json_object_get(value, "state"));
    enum vm_state state = name ? find_state(name) : VM_STATES;
    if (state == VM_STATES)
        return;
    vm_end_from_state(&vm->end, value);
    shorten_output(vm);
    vm_enter(vm, state == VM_OFF ? VM_STOPPING : state);
}

static void on_event(void *owner, const json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "event"));
    if (name && strcmp(name, "media") == 0)
        vm_media_event(owner, event);
    else
        take_state(owner, event);
}

static void on_first_state(void *owner, const json_t *answer)
{
    const json_t *result = json_object_get(answer, "result");
    if (result)
        take_state(owner, result);
}

static void reconnect(void *owner)
{
    struct vm *vm = owner;
    if (vm->worker.pid && vm_connect(vm) != 0)
        alarm_set(&vm->manager->alarms, &vm->reconnect, vm->manager->loop.now + RECONNECT_INTERVAL, reconnect,
                  vm);
}

/* The worker closes when it ends, which is seen elsewhere; if it lives on, it is asked again. */
static void on_closed(void *owner)
{
    struct vm *vm = owner;
    alarm_set(&vm->manager->alarms, &vm->reconnect, vm->manager->loop.now + RECONNECT_INTERVAL, reconnect,
              vm);
}

int vm_connect(struct vm *vm)
{
    char file_name[VM_FILE_SIZE];
    vm_file_name(vm, "control", file_name);
    int descriptor = channel_connect(vm->manager->vm_records, file_name);
    if (descriptor < 0)
        return -descriptor;
    int error = channel_open(&vm->channel, descriptor);
    if (error)
        return error;
    channel_call(&vm->channel, json_pack("{s:s}", "request", "events"), -1, on_first_state, vm);
    vm_media_compare(vm);
    return 0;
}

void vm_keep_end(const struct vm *vm)
{
    char file_name[VM_FILE_SIZE];
    vm_file_name(vm, "output", file_name);
    int error = vm_end_append(&vm->end, vm->manager->vm_records, file_name);
    if (error)
        report("%s: why it is Off cannot be written to %s: %s", vm->definition.name, file_name,
               strerror(error));
}

void vm_forget_end(struct vm *vm)
{
    char file_name[VM_FILE_SIZE];
    vm->end = (struct vm_end){0};
    vm_file_name(vm, "output", file_name);
    unlinkat(vm->manager->vm_records, file_name, 0);
}

void vm_worker_ended(void *owner, int status)
{
    struct vm *vm = owner;
    char file_name[VM_FILE_SIZE];
    vm_file_name(vm, "output", file_name);
    if (!vm_end_read(&vm->end, vm->manager->vm_records, file_name, status))
        vm_end_determine(&vm->end, "", status);
    if (vm->worker.killed && strcmp(vm->end.reason, "killed") == 0)
        snprintf(vm->end.detail, sizeof(vm->end.detail),
                 "turned off, and its worker killed, since it had not ended within %u s",
                 TURN_OFF_PATIENCE / 1000);
    vm_keep_end(vm);
    vm_sources_end(vm);
    vm_file_name(vm, "control", file_name);
    unlinkat(vm->manager->vm_records, file_name, 0);
    alarm_cancel(&vm->manager->alarms, &vm->kill);
    alarm_cancel(&vm->manager->alarms, &vm->reconnect);
    channel_close(&vm->channel);
    vm_enter(vm, VM_OFF);
}

static void kill_worker(void *owner)
{
    struct vm *vm = owner;
    report("%s: does not turn itself off, so its worker is killed", vm->definition.name);
    process_signal(&vm->worker, SIGKILL);
}

void vm_turn_off(struct vm *vm)
{
    channel_call(&vm->channel, json_pack("{s:s}", "request", "turn-off"), -1, NULL, NULL);
    if (!vm->kill.set)
        alarm_set(&vm->manager->alarms, &vm->kill, vm->manager->loop.now + TURN_OFF_PATIENCE, kill_worker,
                  vm);
}

/* ---- All of them ---- */

struct vm *vm_add(struct manager *manager, struct definition *definition)
{
    struct vm *vm = calloc(1, sizeof(*vm));
    if (!vm) {
        definition_clear(definition);
        return NULL;
    }
    vm->manager = manager;
    vm->definition = *definition;
    vm->generation = ++manager->generations;
    for (unsigned i = 0; i < CONFIGURATION_DISKS; i++)
        vm->sources[i] = (struct vm_source){.vm = vm, .disk = i};
    channel_initialize(&vm->channel, &manager->loop, &manager->alarms, on_event, on_closed, vm);
    struct vm **link = &manager->vms;
    while (*link && strcmp((*link)->definition.name, definition->name) < 0)
        link = &(*link)->next;
    vm->next = *link;
    *link = vm;
    return vm;
}

int vm_keep(struct manager *manager, const struct definition *definition)
{
    json_t *value = definition_json(definition);
    int error = value ? store_write(manager->vm_definitions, definition->name, value) : ENOMEM;
    json_decref(value);
    return error;
}

void vm_redefine(struct vm *vm, struct definition *definition)
{
    definition_clear(&vm->definition);
    vm->definition = *definition;
    vm->generation = ++vm->manager->generations;
    *definition = (struct definition){0};
}

void vm_remove(struct vm *vm)
{
    struct vm **link = &vm->manager->vms;
    while (*link != vm)
        link = &(*link)->next;
    *link = vm->next;
    while (vm->waiters) {
        struct request *request = vm->waiters;
        request_unlink(&vm->waiters, request);
        request_refuse(request, REFUSED_NOT_FOUND, "%s has just been removed", vm->definition.name);
    }
    vm_forget_end(vm);
    vm_sources_end(vm);
    definition_clear(&vm->definition);
    free(vm);
}

/* A worker that runs is taken over; how one that has ended did so is found out. */
static void adopt(struct vm *vm)
{
    char file_name[VM_FILE_SIZE];
    int error = process_adopt(&vm->worker, &vm->manager->loop, vm->manager->vm_records, vm->definition.name,
                              vm_worker_ended, vm);
    if (error && error != ENOENT && error != ESRCH)
        report("%s: its worker cannot be watched: %s", vm->definition.name, strerror(error));
    if (error) {
        vm_file_name(vm, "output", file_name);
        vm_end_read(&vm->end, vm->manager->vm_records, file_name, PROCESS_STATUS_UNKNOWN);
        return;
    }
    report("%s: taken over, worker %d", vm->definition.name, (int)vm->worker.pid);
    vm->state = VM_STARTING; /* until it says more */
    reconnect(vm);
    vm_sources_adopt(vm);
}

static void load(void *context, const char *name)
{
    struct manager *manager = context;
    char error[FIELDS_ERROR_SIZE + 128];
    struct definition definition;
    json_t *value = store_read(manager->vm_definitions, name, error, sizeof(error));
    definition_initialize(&definition);
    bool sound = value && definition_read(&definition, value, DEFINITION_STORED, 0, error);
    json_decref(value);
    if (sound && strcmp(definition.name, name) != 0) {
        snprintf(error, sizeof(error), "is of a virtual machine named %s", definition.name);
        sound = false;
    }
    if (!sound) {
        report("the definition of %s cannot be used, and is left as it is: %s", name, error);
        definition_clear(&definition);
        return;
    }
    struct vm *vm = vm_add(manager, &definition);
    if (vm)
        adopt(vm);
    else
        report("%s: no memory", name);
}

int vm_load_all(struct manager *manager)
{
    return store_list(manager->vm_definitions, load, manager);
}
