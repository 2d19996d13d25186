/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/host_shutdown.h"

#include <string.h>
#include <unistd.h>

#include "partitions/root/manager/dispatch.h"
#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/report.h"
#include "partitions/root/manager/request.h"
#include "partitions/root/manager/vm.h"

#define INTERVAL        500u /* milliseconds between looks */
#define PRESS_AGAIN     10u  /* looks between presses of a power button that a guest may have missed */
#define DEFAULT_TIMEOUT 60u  /* seconds */
#define LONGEST_TIMEOUT 3600u

/*
 * What brings a virtual machine nearer to Off. A guest that does not listen yet may do so at the next look.
 * One whose kernel listens loses the press if it is still starting what acts on it, so it is pressed again.
 */
static void hurry(struct vm *vm, bool press_again)
{
    if (!vm->worker.pid)
        return;
    if (vm->state == VM_RUNNING || (vm->state == VM_STOPPING && press_again))
        channel_call(&vm->channel, json_pack("{s:s}", "request", "stop"), -1, NULL, NULL);
    else if (vm->state == VM_PAUSED && strcmp(vm->end.reason, "requested") == 0)
        channel_call(&vm->channel, json_pack("{s:s}", "request", "resume"), -1, NULL, NULL);
}

static void look(void *owner)
{
    struct manager *manager = owner;
    struct host_shutdown *shutdown = &manager->shutdown;
    const bool late = manager->loop.now >= shutdown->deadline;
    const bool press_again = shutdown->looks++ % PRESS_AGAIN == 0;
    unsigned left = 0;
    for (struct vm *vm = manager->vms; vm; vm = vm->next) {
        if (vm->state == VM_OFF)
            continue;
        left++;
        if (late && vm->worker.pid)
            vm_turn_off(vm);
        else
            hurry(vm, press_again);
    }
    if (left) {
        alarm_set(&manager->alarms, &shutdown->alarm, manager->loop.now + INTERVAL, look, manager);
        return;
    }
    struct request *request = shutdown->request;
    shutdown->request = NULL;
    request_answer(request, json_object());
}

static bool read_timeout(struct fields *fields, const json_t *value, void *target)
{
    return fields_read_integer(fields, value, 0, LONGEST_TIMEOUT, target);
}

void host_shutdown_request(struct request *request)
{
    struct manager *manager = request->manager;
    uint64_t timeout = DEFAULT_TIMEOUT;
    const struct field list[] = {
        {"timeout", read_timeout, &timeout, false}
    };
    if (!dispatch_read_arguments(request, list, 1))
        return;
    if (request->asker.user != 0 && request->asker.user != geteuid()) {
        request_refuse(request, REFUSED_DENIED, "only root may shut all virtual machines down");
    } else if (manager->shutdown.request) {
        request_refuse(request, REFUSED_BUSY, "they are being shut down already");
    } else {
        report("all virtual machines are being shut down");
        manager->shutdown.request = request;
        manager->shutdown.deadline = manager->loop.now + timeout * 1000;
        manager->shutdown.looks = 0;
        look(manager);
    }
}
