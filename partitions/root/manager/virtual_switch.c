/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/virtual_switch.h"

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
#include "partitions/root/manager/switch_forwards.h"
#include "partitions/root/manager/text.h"

/* Milliseconds. */
#define CONNECT_INTERVAL 50u
#define CONNECT_PATIENCE 10000u
#define FIRST_RESTART    1000u
#define LONGEST_RESTART  30000u

#define FILE_SIZE      (NAME_SIZE + 16)
#define ROUTES_MAXIMUM (1u << 20)
/* As much of the end of a switch's output as is looked at. */
#define TAIL 1024

static void try_to_connect(void *owner);

static void file_name(const char *name, const char *suffix, char buffer[FILE_SIZE])
{
    snprintf(buffer, FILE_SIZE, "%s.%s", name, suffix);
}

struct virtual_switch *virtual_switch_find(struct manager *manager, const char *name)
{
    struct virtual_switch *found = manager->switches;
    while (found && strcmp(found->definition.name, name) != 0)
        found = found->next;
    return found;
}

void virtual_switch_port_path(const struct manager *manager, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/switch/%s.port", manager->settings.run_directory, name);
}

/* ---- Reaching it ---- */

static void is_ready(void *owner, const json_t *answer)
{
    struct virtual_switch *virtual_switch = owner;
    if (!answer)
        return; /* lost; it will be tried again */
    virtual_switch->ready = true;
    virtual_switch->failures = 0;
    switch_forwards_synchronize(virtual_switch, answer);
    if (virtual_switch->maker) {
        request_answer(virtual_switch->maker, switch_definition_json(&virtual_switch->definition));
        virtual_switch->maker = NULL;
    }
}

static void connect_later(struct virtual_switch *virtual_switch)
{
    struct manager *manager = virtual_switch->manager;
    alarm_set(&manager->alarms, &virtual_switch->alarm, manager->loop.now + CONNECT_INTERVAL, try_to_connect,
              virtual_switch);
}

static void on_closed(void *owner)
{
    struct virtual_switch *virtual_switch = owner;
    virtual_switch->ready = false;
    virtual_switch->deadline = virtual_switch->manager->loop.now + CONNECT_PATIENCE;
    connect_later(virtual_switch);
}

/* A switch makes its sockets itself, so they may not be there yet. */
static void try_to_connect(void *owner)
{
    struct virtual_switch *virtual_switch = owner;
    struct manager *manager = virtual_switch->manager;
    char name[FILE_SIZE];
    if (!virtual_switch->process.pid)
        return;
    file_name(virtual_switch->definition.name, "control", name);
    int descriptor = channel_connect(manager->switch_records, name);
    if (descriptor >= 0 && channel_open(&virtual_switch->channel, descriptor) == 0) {
        channel_call(&virtual_switch->channel,
                     json_pack("{s:i, s:s}", "version", 1, "request", "forward-list"), -1, is_ready,
                     virtual_switch);
    } else if (manager->loop.now < virtual_switch->deadline) {
        connect_later(virtual_switch);
    } else {
        report("switch %s does not answer, and is started anew", virtual_switch->definition.name);
        process_signal(&virtual_switch->process, SIGKILL);
    }
}

/* ---- Starting and ending ---- */

/* The last line of what it wrote, without the program's name. */
static void find_problem(struct virtual_switch *virtual_switch)
{
    char name[FILE_SIZE], output[TAIL + 1];
    static const char program[] = "loam-switch: ";
    struct stat status;
    file_name(virtual_switch->definition.name, "output", name);
    int descriptor = openat(virtual_switch->manager->switch_records, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t length = 0;
    if (descriptor >= 0 && fstat(descriptor, &status) == 0)
        length = pread(descriptor, output, TAIL, status.st_size > TAIL ? status.st_size - TAIL : 0);
    if (descriptor >= 0)
        close(descriptor);
    while (length > 0 && output[length - 1] == '\n')
        length--;
    output[length > 0 ? length : 0] = '\0';
    const char *line = strrchr(output, '\n') ? strrchr(output, '\n') + 1 : output;
    if (strncmp(line, program, strlen(program)) == 0)
        line += strlen(program);
    else
        line = "its process has ended without saying why";
    snprintf(virtual_switch->problem, sizeof(virtual_switch->problem), "%s", line);
    text_clean(virtual_switch->problem);
}

/* Takes it off the list, with all that is in directories. */
static void destroy(struct virtual_switch *virtual_switch)
{
    static const char *const suffixes[] = {"control", "port", "output"};
    struct manager *manager = virtual_switch->manager;
    const char *name = virtual_switch->definition.name;
    char path[FILE_SIZE], leases[4096];
    struct virtual_switch **link = &manager->switches;
    while (*link != virtual_switch)
        link = &(*link)->next;
    *link = virtual_switch->next;
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        file_name(name, suffixes[i], path);
        unlinkat(manager->switch_records, path, 0);
    }
    snprintf(leases, sizeof(leases), "%s/leases/%s", manager->settings.state_directory, name);
    unlink(leases);
    alarm_cancel(&manager->alarms, &virtual_switch->alarm);
    free(virtual_switch);
}

static void start_again(void *owner)
{
    virtual_switch_start(owner);
}

/* It has failed to start, or has ended of itself. */
static void failed(struct virtual_switch *virtual_switch)
{
    struct manager *manager = virtual_switch->manager;
    report("switch %s: %s", virtual_switch->definition.name, virtual_switch->problem);
    if (virtual_switch->maker) {
        store_remove(manager->switch_definitions, virtual_switch->definition.name);
        request_refuse(virtual_switch->maker, REFUSED_FAILED, "switch %s cannot be started: %s",
                       virtual_switch->definition.name, virtual_switch->problem);
        destroy(virtual_switch);
        return;
    }
    uint64_t pause = FIRST_RESTART;
    for (unsigned i = 0; i < virtual_switch->failures && pause < LONGEST_RESTART; i++)
        pause *= 2;
    virtual_switch->failures++;
    alarm_set(&manager->alarms, &virtual_switch->alarm,
              manager->loop.now + (pause < LONGEST_RESTART ? pause : LONGEST_RESTART), start_again,
              virtual_switch);
}

static void process_ended(void *owner, int status)
{
    struct virtual_switch *virtual_switch = owner;
    struct request *remover = virtual_switch->remover;
    (void)status;
    channel_close(&virtual_switch->channel);
    virtual_switch->ready = false;
    if (remover) {
        destroy(virtual_switch);
        request_answer(remover, json_object());
        return;
    }
    find_problem(virtual_switch);
    failed(virtual_switch);
}

static int run(struct virtual_switch *virtual_switch, int output)
{
    const struct manager *manager = virtual_switch->manager;
    const struct settings *settings = &manager->settings;
    const struct switch_definition *definition = &virtual_switch->definition;
    char port[4096], control[4096], leases[4096], subnet[SUBNET_TEXT_SIZE];
    virtual_switch_port_path(manager, definition->name, port, sizeof(port));
    snprintf(control, sizeof(control), "%s/switch/%s.control", settings->run_directory, definition->name);
    snprintf(leases, sizeof(leases), "%s/leases/%s", settings->state_directory, definition->name);
    subnet_format(&definition->subnet, subnet);
    char *arguments[18] = {(char *)settings->switch_program,
                           "--name",
                           (char *)definition->name,
                           "--socket",
                           port,
                           "--control",
                           control,
                           "--subnet",
                           subnet,
                           "--leases",
                           leases};
    unsigned count = 11;
    if (definition->boot_file[0]) {
        arguments[count++] = "--boot-file";
        arguments[count++] = (char *)definition->boot_file;
    }
    if (definition->allow_host)
        arguments[count++] = "--allow-host";
    if (settings->switch_user[0]) {
        arguments[count++] = "--user";
        arguments[count++] = (char *)settings->switch_user;
    }
    const struct process_plan plan = {
        .arguments = arguments,
        .output = output,
        .directory = manager->switch_records,
        .record = definition->name,
    };
    return process_start(&virtual_switch->process, &virtual_switch->manager->loop, &plan, process_ended,
                         virtual_switch);
}

void virtual_switch_start(struct virtual_switch *virtual_switch)
{
    struct manager *manager = virtual_switch->manager;
    char name[FILE_SIZE];
    file_name(virtual_switch->definition.name, "output", name);
    int output = openat(manager->switch_records, name,
                        O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = output < 0 ? errno : run(virtual_switch, output);
    if (output >= 0)
        close(output);
    if (error) {
        snprintf(virtual_switch->problem, sizeof(virtual_switch->problem),
                 "its process cannot be started: %s", strerror(error));
        failed(virtual_switch);
        return;
    }
    virtual_switch->problem[0] = '\0';
    virtual_switch->deadline = manager->loop.now + CONNECT_PATIENCE;
    connect_later(virtual_switch);
}

void virtual_switch_remove(struct virtual_switch *virtual_switch, struct request *remover)
{
    if (virtual_switch->process.pid) {
        virtual_switch->remover = remover;
        process_signal(&virtual_switch->process, SIGTERM);
    } else {
        destroy(virtual_switch);
        request_answer(remover, json_object());
    }
}

/* ---- All of them ---- */

struct virtual_switch *virtual_switch_add(struct manager *manager, const struct switch_definition *definition)
{
    struct virtual_switch *added = calloc(1, sizeof(*added));
    if (!added)
        return NULL;
    added->manager = manager;
    added->definition = *definition;
    channel_initialize(&added->channel, &manager->loop, &manager->alarms, NULL, on_closed, added);
    struct virtual_switch **link = &manager->switches;
    while (*link && strcmp((*link)->definition.name, definition->name) < 0)
        link = &(*link)->next;
    added->next = *link;
    *link = added;
    return added;
}

static void load(void *context, const char *name)
{
    struct manager *manager = context;
    static struct switch_definition definition; /* large */
    char error[FIELDS_ERROR_SIZE + 128];
    json_t *value = store_read(manager->switch_definitions, name, error, sizeof(error));
    bool sound = value && switch_definition_read(&definition, value, error);
    json_decref(value);
    if (sound && strcmp(definition.name, name) != 0) {
        snprintf(error, sizeof(error), "is of a switch named %s", definition.name);
        sound = false;
    }
    struct virtual_switch *added = sound ? virtual_switch_add(manager, &definition) : NULL;
    if (!added) {
        report("the definition of switch %s cannot be used, and is left as it is: %s", name,
               sound ? "no memory" : error);
        return;
    }
    if (process_adopt(&added->process, &manager->loop, manager->switch_records, name, process_ended, added) ==
        0) {
        report("switch %s: taken over, process %d", name, (int)added->process.pid);
        added->deadline = manager->loop.now + CONNECT_PATIENCE;
        try_to_connect(added);
    } else {
        virtual_switch_start(added);
    }
}

int virtual_switch_load_all(struct manager *manager)
{
    return store_list(manager->switch_definitions, load, manager);
}

bool virtual_switch_choose_subnet(const struct manager *manager, struct subnet *subnet)
{
    FILE *file = fopen("/proc/net/route", "re");
    /* With a line of the same form for each of our own networks. */
    size_t length = 0, size = ROUTES_MAXIMUM + MANAGER_SWITCHES * 80;
    char *routes = malloc(size);
    bool chosen = false;
    if (routes) {
        if (file)
            length = fread(routes, 1, ROUTES_MAXIMUM, file);
        routes[length] = '\0';
        for (const struct virtual_switch *other = manager->switches; other; other = other->next)
            length += (size_t)snprintf(routes + length, size - length, "\nswitch %08X 0 1 0 0 0 %08X\n",
                                       other->definition.subnet.network, other->definition.subnet.mask);
        chosen = subnet_choose(routes, subnet);
    }
    free(routes);
    if (file)
        fclose(file);
    return chosen;
}
