/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loamd: keeps the definitions of virtual machines and switches, and looks after the processes that are them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "partitions/root/manager/directories.h"
#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/manager_client.h"
#include "partitions/root/manager/report.h"
#include "partitions/root/manager/store.h"
#include "partitions/root/manager/virtual_switch.h"
#include "partitions/root/manager/vm.h"

#define EXIT_UNREACHABLE 3

/* The switch that is there from the first start, and the mark that the first start has been. */
#define FIRST_SWITCH "default"
#define MARK         "initialized"

/* Descriptors 0, 1 and 2 are taken, so that no socket or file becomes one of them. */
static void take_standard_descriptors(void)
{
    int descriptor;
    do
        descriptor = open("/dev/null", O_RDWR);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor >= 0)
        close(descriptor);
}

/* Each virtual machine takes a few descriptors. */
static void allow_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void signal_received(void *owner, uint32_t events)
{
    struct manager *manager = owner;
    (void)events;
    manager->ending = true;
}

static int watch_signals(struct manager *manager, struct event_source *source)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0)
        return errno;
    int descriptor = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    return descriptor < 0
               ? errno
               : event_loop_add(&manager->loop, source, descriptor, EPOLLIN, signal_received, manager);
}

/* What there is when nothing has been created yet. */
static void prepare_first_start(struct manager *manager)
{
    static struct switch_definition definition = {.name = FIRST_SWITCH}; /* large */
    int state = open(manager->settings.state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state >= 0 && !store_has(state, MARK)) {
        json_t *mark = json_pack("{s:i}", "version", 1), *value = NULL;
        bool chosen = virtual_switch_choose_subnet(manager, &definition.subnet);
        if (chosen && !store_has(manager->switch_definitions, FIRST_SWITCH))
            value = switch_definition_json(&definition);
        int error = value ? store_write(manager->switch_definitions, FIRST_SWITCH, value) : 0;
        if (!error && chosen)
            error = store_write(state, MARK, mark);
        if (error || !chosen)
            report("switch " FIRST_SWITCH " cannot be made: %s",
                   chosen ? strerror(error) : "no private network is free");
        json_decref(value);
        json_decref(mark);
    }
    if (state >= 0)
        close(state);
}

/* Tells systemd, if it has started us, that requests are served (sd_notify(3)). */
static void notify_ready(void)
{
    static const char message[] = "READY=1";
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || strlen(path) >= sizeof(address.sun_path))
        return;
    strcpy(address.sun_path, path);
    if (address.sun_path[0] == '@')
        address.sun_path[0] = '\0';
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (descriptor < 0 || sendto(descriptor, message, strlen(message), MSG_NOSIGNAL,
                                 (const struct sockaddr *)&address, length) < 0)
        report("systemd cannot be notified: %s", strerror(errno));
    if (descriptor >= 0)
        close(descriptor);
    unsetenv("NOTIFY_SOCKET"); /* not for workers */
}

static bool start(struct manager *manager, struct event_source *signals)
{
    char socket_path[PATH_MAX];
    int error = event_loop_initialize(&manager->loop);
    if (!error)
        error = watch_signals(manager, signals);
    if (error) {
        report("cannot wait for events: %s", strerror(error));
        return false;
    }
    manager->openers = (struct opener_context){.loop = &manager->loop, .alarms = &manager->alarms};
    if (!directories_open(manager))
        return false;
    prepare_first_start(manager);
    error = virtual_switch_load_all(manager);
    if (!error)
        error = vm_load_all(manager);
    if (error) {
        report("the definitions in %s cannot be read: %s", manager->settings.state_directory,
               strerror(error));
        return false;
    }
    snprintf(socket_path, sizeof(socket_path), "%s/loamd.sock", manager->settings.run_directory);
    error = server_open(manager, socket_path);
    if (error)
        report("%s cannot be listened on: %s", socket_path, strerror(error));
    return !error;
}

/* Asks the loamd that runs, and waits. Returns the exit status. */
static int shut_down_vms(const struct settings *settings)
{
    struct manager_client client;
    char socket_path[PATH_MAX];
    snprintf(socket_path, sizeof(socket_path), "%s/loamd.sock", settings->run_directory);
    json_t *result = NULL;
    if (manager_client_open(&client, socket_path))
        result = manager_client_call(&client, "host-shutdown",
                                     json_pack("{s:i}", "timeout", (int)settings->stop_timeout));
    int status = result                                                 ? EXIT_SUCCESS
                 : strcmp(client.code, MANAGER_CLIENT_UNREACHABLE) == 0 ? EXIT_UNREACHABLE
                                                                        : EXIT_FAILURE;
    if (!result)
        report("%s", client.error);
    json_decref(result);
    manager_client_close(&client);
    return status;
}

int main(int argc, char **argv)
{
    static struct manager manager;
    static struct event_source signals;
    take_standard_descriptors();
    settings_parse(argc, argv, &manager.settings);
    if (manager.settings.shutdown_vms)
        return shut_down_vms(&manager.settings);
    umask(077);
    allow_files();
    if (!start(&manager, &signals))
        return EXIT_FAILURE;
    notify_ready();
    while (!manager.ending) {
        event_loop_wait(&manager.loop, alarms_timeout(&manager.alarms, manager.loop.now));
        event_loop_dispatch(&manager.loop);
        alarms_ring(&manager.alarms, manager.loop.now);
    }
    report("ends; virtual machines and switches go on");
    server_close(&manager);
    return EXIT_SUCCESS;
}
