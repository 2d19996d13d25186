/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/vm_start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/report.h"
#include "partitions/root/manager/text.h"
#include "partitions/root/manager/virtual_switch.h"
#include "partitions/root/manager/vm.h"
#include "partitions/root/manager/worker_configuration.h"

/* Milliseconds. */
#define SWITCH_PATIENCE 15000u
#define SWITCH_INTERVAL 50u

#define CONTROL_BACKLOG 8

/* Of one virtual machine. */
#define DESCRIPTORS (20u + CONFIGURATION_DISKS * CONFIGURATION_PARENTS)

struct vm_start {
    struct worker_files files;
    bool boot_menu;
    uint64_t deadline; /* for the switches */
    struct alarm alarm;
};

/* Calls `use` with the place of every descriptor. */
static void for_each_file(struct worker_files *files, void (*use)(int *place, void *context), void *context)
{
    int *const single[] = {&files->kernel,  &files->initrd, &files->com2,
                           &files->control, &files->log,    &files->previous_log};
    for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++)
        use(single[i], context);
    for (unsigned i = 0; i < CONFIGURATION_DISKS; i++)
        use(&files->disks[i], context);
    for (unsigned i = 0; i < CONFIGURATION_DISKS; i++)
        use(&files->sources[i], context);
    for (unsigned i = 0; i < CONFIGURATION_DISKS; i++)
        for (unsigned j = 0; files->parents[i] && j < files->parents[i]->count; j++)
            use(&files->parents[i]->list[j].descriptor, context);
    for (unsigned i = 0; i < CONFIGURATION_DVDS; i++)
        use(&files->dvds[i], context);
    for (unsigned i = 0; i < CONFIGURATION_FLOPPIES; i++)
        use(&files->floppies[i], context);
}

static void set_none(int *place, void *context)
{
    (void)context;
    *place = -1;
}

static void close_file(int *place, void *context)
{
    (void)context;
    if (*place >= 0)
        close(*place);
}

static void release_files(struct worker_files *files)
{
    for_each_file(files, close_file, NULL);
    for (unsigned i = 0; i < CONFIGURATION_DISKS; i++) {
        for (unsigned j = 0; files->parents[i] && j < files->parents[i]->count; j++)
            free(files->parents[i]->list[j].path);
        free(files->parents[i]);
    }
}

/* What a worker inherits. */
struct inheritance {
    int descriptors[DESCRIPTORS];
    unsigned count;
};

static void inherit_file(int *place, void *context)
{
    struct inheritance *inheritance = context;
    if (*place >= 0)
        inheritance->descriptors[inheritance->count++] = *place;
}

static void end_start(struct vm *vm)
{
    struct vm_start *start = vm->starting;
    alarm_cancel(&vm->manager->alarms, &start->alarm);
    release_files(&start->files);
    free(start);
    vm->starting = NULL;
}

static void __attribute__((format(printf, 2, 3))) fail(struct vm *vm, const char *format, ...)
{
    va_list arguments;
    vm->end = (struct vm_end){.reason = "start-failed"};
    va_start(arguments, format);
    vsnprintf(vm->end.detail, sizeof(vm->end.detail), format, arguments);
    va_end(arguments);
    text_clean(vm->end.detail);
    vm_keep_end(vm);
    vm_sources_end(vm);
    end_start(vm);
    vm_enter(vm, VM_OFF);
}

/* ---- The worker ---- */

/* A listening socket that is there whether or not loamd is. */
static int open_control(struct vm *vm)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char file_name[VM_FILE_SIZE];
    vm_file_name(vm, "control", file_name);
    unlinkat(vm->manager->vm_records, file_name, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", vm->manager->vm_records, file_name);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor >= 0 && bind(descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(descriptor, CONTROL_BACKLOG) == 0)
        return descriptor;
    int error = errno;
    if (descriptor >= 0)
        close(descriptor);
    errno = error;
    return -1;
}

/* Readable for those who may manage. */
static int open_log(struct vm *vm, const char *suffix)
{
    const struct settings *settings = &vm->manager->settings;
    char file_name[VM_FILE_SIZE];
    vm_file_name(vm, suffix, file_name);
    int descriptor =
        openat(vm->manager->logs, file_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    if (descriptor >= 0 && settings->has_group &&
        (fchown(descriptor, (uid_t)-1, settings->group) != 0 || fchmod(descriptor, 0640) != 0))
        report("%s: its log cannot be shown to the group: %s", vm->definition.name, strerror(errno));
    return descriptor;
}

static int open_output(struct vm *vm)
{
    char file_name[VM_FILE_SIZE];
    vm_file_name(vm, "output", file_name);
    return openat(vm->manager->vm_records, file_name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                  0600);
}

static void find_switch_path(void *context, const char *name, char *path, size_t size)
{
    virtual_switch_port_path(context, name, path, size);
}

/* The configuration in memory that the worker reads; -1 and errno. */
static int write_configuration(struct vm *vm)
{
    char log_path[4096];
    snprintf(log_path, sizeof(log_path), "%s/%s.log", vm->manager->settings.log_directory, vm->definition.name);
    json_t *value = worker_configuration(&vm->definition, &vm->starting->files, vm->starting->boot_menu, log_path,
                                         find_switch_path, vm->manager);
    char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
    json_decref(value);
    int descriptor = text ? memfd_create("configuration", MFD_CLOEXEC) : -1;
    int error = text ? errno : ENOMEM;
    if (descriptor >= 0 && (pwrite(descriptor, text, strlen(text), 0) != (ssize_t)strlen(text))) {
        error = errno;
        close(descriptor);
        descriptor = -1;
    }
    free(text);
    errno = error;
    return descriptor;
}

static int run_worker(struct vm *vm, int configuration, int output)
{
    const struct settings *settings = &vm->manager->settings;
    struct inheritance inheritance = {.descriptors = {configuration}, .count = 1};
    char number[16];
    char *arguments[] = {(char *)settings->worker,
                         "--configuration-fd",
                         number,
                         settings->worker_user[0] ? "--user" : NULL,
                         (char *)settings->worker_user,
                         NULL};
    for_each_file(&vm->starting->files, inherit_file, &inheritance);
    snprintf(number, sizeof(number), "%d", configuration);
    const struct process_plan plan = {
        .arguments = arguments,
        .descriptors = inheritance.descriptors,
        .descriptor_count = inheritance.count,
        .output = output,
        .directory = vm->manager->vm_records,
        .record = vm->definition.name,
    };
    return process_start(&vm->worker, &vm->manager->loop, &plan, vm_worker_ended, vm);
}

/* Each source gets its loam-fetch. False: it has failed. */
static bool start_sources(struct vm *vm)
{
    struct worker_files *files = &vm->starting->files;
    for (unsigned i = 0; i < vm->definition.disk_count; i++) {
        if (!vm->definition.disks[i].source)
            continue;
        int error = vm_source_start(&vm->sources[i], &files->sources[i]);
        if (error) {
            fail(vm, "%s: loam-fetch cannot be started for %.300s: %s", vm->definition.disks[i].file.path,
                 vm->definition.disks[i].source, strerror(error));
            return false;
        }
    }
    return true;
}

static void launch(struct vm *vm)
{
    struct worker_files *files = &vm->starting->files;
    if (!start_sources(vm))
        return;
    files->control = open_control(vm);
    if (files->control < 0) {
        fail(vm, "its control socket cannot be made in %s: %s", vm->manager->settings.run_directory, strerror(errno));
        return;
    }
    files->log = open_log(vm, "log");
    files->previous_log = files->log < 0 ? -1 : open_log(vm, "log.1");
    if (files->previous_log < 0) {
        fail(vm, "its log %s/%s.log cannot be opened: %s", vm->manager->settings.log_directory, vm->definition.name,
             strerror(errno));
        return;
    }
    int output = open_output(vm), configuration = output < 0 ? -1 : write_configuration(vm);
    int error = configuration < 0 ? errno : run_worker(vm, configuration, output);
    if (configuration >= 0)
        close(configuration);
    if (output >= 0)
        close(output);
    if (error) {
        fail(vm, "its worker cannot be started and recorded in %s: %s", vm->manager->settings.run_directory,
             strerror(error));
        return;
    }
    end_start(vm);
    error = vm_connect(vm);
    if (error)
        report("%s: its worker cannot be reached: %s", vm->definition.name, strerror(error));
}

/* ---- The switches ---- */

static void wait_for_switches(void *owner)
{
    struct vm *vm = owner;
    struct manager *manager = vm->manager;
    bool waiting = false;
    for (unsigned i = 0; i < vm->definition.nic_count; i++) {
        const char *name = vm->definition.nics[i].switch_name;
        const struct virtual_switch *virtual_switch = virtual_switch_find(manager, name);
        if (!name[0])
            continue;
        if (!virtual_switch) {
            fail(vm, "there is no switch %s: change its nic with loam vm set, or make one with loam switch create",
                 name);
            return;
        }
        if (virtual_switch->problem[0] || manager->loop.now >= vm->starting->deadline) {
            fail(vm, "switch %s does not run: %s", name,
                 virtual_switch->problem[0] ? virtual_switch->problem : "it does not answer");
            return;
        }
        waiting |= !virtual_switch->ready;
    }
    if (waiting)
        alarm_set(&manager->alarms, &vm->starting->alarm, manager->loop.now + SWITCH_INTERVAL, wait_for_switches, vm);
    else
        launch(vm);
}

/* ---- The files ---- */

static int *place_of(struct worker_files *files, const struct file_access *access)
{
    int *const places[] = {
        [FILE_KERNEL] = &files->kernel, [FILE_INITRD] = &files->initrd,  [FILE_DISK] = files->disks,
        [FILE_DVD] = files->dvds,       [FILE_FLOPPY] = files->floppies, [FILE_SERIAL] = &files->com2,
    };
    return places[access->role] + access->index;
}

static void keep_files(struct worker_files *files, struct opener_result *result)
{
    for (unsigned i = 0; i < result->count; i++) {
        *place_of(files, &result->files[i].access) = result->files[i].descriptor;
        result->files[i].descriptor = -1;
        if (result->files[i].access.role == FILE_DISK) {
            files->parents[result->files[i].access.index] = result->files[i].parents;
            result->files[i].parents = NULL;
        }
    }
}

/* The first disk whose parent is somewhere else than was recorded when it was attached; NULL: there is none. */
static const struct opener_file *find_stranger(const struct definition *definition, const struct opener_result *result)
{
    for (unsigned i = 0; i < result->count; i++) {
        const struct opener_file *file = &result->files[i];
        if (file->access.role != FILE_DISK)
            continue;
        const char *recorded = definition->disks[file->access.index].source;
        if (strcmp(recorded ? recorded : "", file->parents ? file->parents->source.url : "") != 0)
            return file;
    }
    return NULL;
}

static void refuse_stranger(struct vm *vm, const struct opener_file *file)
{
    const char *recorded = vm->definition.disks[file->access.index].source;
    const char *url = file->parents ? file->parents->source.url : "";
    if (!url[0])
        fail(vm,
             "%.300s: its parent is a file now, and was at %.300s when it was attached; if that is right, attach it "
             "again: loam vm set %s --disk ...",
             file->access.path, recorded, vm->definition.name);
    else
        fail(vm,
             "%.300s: its parent is at %.300s, and %s%.300s when it was attached; if that is right, attach it again: "
             "loam vm set %s --disk ...",
             file->access.path, url, recorded ? "was at " : "was a file", recorded ? recorded : "",
             vm->definition.name);
}

static const struct vm *find_by_worker(const struct manager *manager, pid_t worker)
{
    const struct vm *vm = manager->vms;
    while (vm && (vm->worker.pid != worker || !worker))
        vm = vm->next;
    return vm;
}

static void files_opened(void *owner, struct opener_result *result)
{
    struct vm *vm = owner;
    const struct file_access_problem *problem = result->problem;
    const struct opener_file *stranger = problem ? NULL : find_stranger(&vm->definition, result);
    if (stranger) {
        refuse_stranger(vm, stranger);
        return;
    }
    if (!problem) {
        keep_files(&vm->starting->files, result);
        vm->starting->deadline = vm->manager->loop.now + SWITCH_PATIENCE;
        wait_for_switches(vm);
        return;
    }
    const struct vm *holder = problem->in_use ? find_by_worker(vm->manager, problem->holder) : NULL;
    const char *place = strstr(problem->text, ": in use");
    if (holder && place)
        fail(vm, "%.*s: in use by virtual machine %s: stop it first", (int)(place - problem->text), problem->text,
             holder->definition.name);
    else
        fail(vm, "%s", problem->text);
}

void vm_start(struct vm *vm, const struct identity *asker, bool boot_menu)
{
    const struct opener_plan plan = {.definition = &vm->definition, .asker = asker, .to_use = true};
    struct vm_start *start = calloc(1, sizeof(*start));
    vm->starting = start;
    if (!start) {
        vm->end = (struct vm_end){.reason = "start-failed", .detail = "no memory"};
        vm_enter(vm, VM_OFF);
        return;
    }
    start->boot_menu = boot_menu;
    for_each_file(&start->files, set_none, NULL);
    vm_forget_end(vm);
    vm_enter(vm, VM_STARTING);
    int error = opener_begin(&vm->manager->openers, &plan, files_opened, vm);
    if (error)
        fail(vm, "its files cannot be opened: %s", strerror(error));
}
