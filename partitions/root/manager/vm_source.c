/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/vm_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/report.h"
#include "partitions/root/manager/vm.h"

/* Milliseconds until it is started again; the longer ones if it ended within SHORT_LIFE seconds, as one does that was
 * refused by its server. */
#define AGAIN       1000u
#define AGAIN_LATER 5000u
#define SHORT_LIFE  10u

/* No name of a virtual machine has an '@'. */
static void record_name(const struct vm_source *source, char record[PROCESS_RECORD_SIZE])
{
    snprintf(record, PROCESS_RECORD_SIZE, "%s@fetch%u", source->vm->definition.name, source->disk);
}

static void ended(void *owner, int status);

static int run(struct vm_source *source, int socket, int output)
{
    struct manager *manager = source->vm->manager;
    char number[16], record[PROCESS_RECORD_SIZE];
    char *user = manager->settings.fetch_user;
    char *arguments[] = {
        (char *)manager->settings.fetch, "--socket-fd", number, source->vm->definition.disks[source->disk].source,
        user[0] ? "--user" : NULL,       user,          NULL};
    snprintf(number, sizeof(number), "%d", socket);
    record_name(source, record);
    const struct process_plan plan = {
        .arguments = arguments,
        .descriptors = &socket,
        .descriptor_count = 1,
        .output = output,
        .directory = manager->vm_records,
        .record = record,
    };
    return process_start(&source->process, &manager->loop, &plan, ended, source);
}

int vm_source_start(struct vm_source *source, int *socket)
{
    int ends[2];
    int output = open("/dev/null", O_WRONLY | O_CLOEXEC); /* what it has to say goes to the worker */
    if (output < 0)
        return errno;
    int error = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : errno;
    if (!error) {
        error = run(source, ends[0], output);
        close(ends[0]);
        if (error)
            close(ends[1]);
        else
            *socket = ends[1];
    }
    close(output);
    return error;
}

/* If the worker cannot be reached, nobody has the other end, and loam-fetch ends again. */
static void start_again(void *owner)
{
    struct vm_source *source = owner;
    struct vm *vm = source->vm;
    int socket;
    if (!vm->worker.pid)
        return;
    int error = vm_source_start(source, &socket);
    if (error) {
        report("%s: loam-fetch cannot be started for disk %u: %s", vm->definition.name, source->disk, strerror(error));
        alarm_set(&vm->manager->alarms, &source->again, vm->manager->loop.now + AGAIN_LATER, start_again, source);
        return;
    }
    channel_call(&vm->channel, json_pack("{s:s, s:i}", "request", "source", "disk", (int)source->disk), socket, NULL,
                 NULL);
    close(socket);
}

static void ended(void *owner, int status)
{
    struct vm_source *source = owner;
    struct vm *vm = source->vm;
    (void)status;
    if (!vm->worker.pid)
        return;
    bool short_lived = process_uptime(&source->process) < SHORT_LIFE;
    if (!short_lived)
        report("%s: loam-fetch of disk %u has ended, and is started again", vm->definition.name, source->disk);
    alarm_set(&vm->manager->alarms, &source->again, vm->manager->loop.now + (short_lived ? AGAIN_LATER : AGAIN),
              start_again, source);
}

void vm_sources_adopt(struct vm *vm)
{
    for (unsigned i = 0; i < vm->definition.disk_count; i++) {
        struct vm_source *source = &vm->sources[i];
        char record[PROCESS_RECORD_SIZE];
        if (!vm->definition.disks[i].source)
            continue;
        record_name(source, record);
        if (process_adopt(&source->process, &vm->manager->loop, vm->manager->vm_records, record, ended, source))
            alarm_set(&vm->manager->alarms, &source->again, vm->manager->loop.now + AGAIN, start_again, source);
    }
}

void vm_sources_end(struct vm *vm)
{
    for (unsigned i = 0; i < CONFIGURATION_DISKS; i++) {
        alarm_cancel(&vm->manager->alarms, &vm->sources[i].again);
        process_end(&vm->sources[i].process);
    }
}
