/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loam-worker: the process that is one virtual machine. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "partitions/root/net/event_loop.h"
#include "partitions/root/worker/configuration.h"
#include "partitions/root/worker/control.h"
#include "partitions/root/worker/life_cycle.h"
#include "partitions/root/worker/machine.h"
#include "partitions/root/worker/mshv.h"
#include "partitions/root/worker/sandbox.h"
#include "partitions/root/worker/screen.h"

#define DEFAULT_DEVICE "/dev/mshv"
#define STACK_SIZE     (512u << 10)

struct arguments {
    const char *configuration;
    int configuration_descriptor; /* -1: by path */
    const char *device;
    struct confinement_user user;
    bool no_reboot;
};

enum { OPTION_CONFIGURATION_FD = 0x100, OPTION_NO_REBOOT, OPTION_DEVICE };

static const struct argp_option options[] = {
    {"configuration",                                                           'c', "FILE", 0, "What the virtual machine is made of, in JSON (docs/worker-protocol.md)", 0},
    {"configuration-fd",                                                                   OPTION_CONFIGURATION_FD, "N", 0, "The same, read from file descriptor N", 0},
    {"user", 'u', "USER[:GROUP]", 0, "Drop root's rights before the guest runs", 0},
    {"no-reboot",                                                                         OPTION_NO_REBOOT, NULL, 0, "A reset by the guest turns the virtual machine off", 0},
    {"device",OPTION_DEVICE, "PATH", 0, "The hypervisor's device (default " DEFAULT_DEVICE ")", 0},
    {0                                                                       },
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    char error[CONFINEMENT_ERROR_SIZE];
    char *rest;

    switch (key) {
    case 'c':
        arguments->configuration = value;
        return 0;
    case OPTION_CONFIGURATION_FD:
        arguments->configuration_descriptor = (int)strtol(value, &rest, 10);
        if (rest == value || *rest || arguments->configuration_descriptor < 0)
            argp_error(state, "--configuration-fd: \"%s\" is not a file descriptor", value);
        return 0;
    case 'u':
        if (!confinement_parse_user(value, &arguments->user, error))
            argp_error(state, "--user: %s", error);
        return 0;
    case OPTION_NO_REBOOT:
        arguments->no_reboot = true;
        return 0;
    case OPTION_DEVICE:
        arguments->device = value;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->configuration == (arguments->configuration_descriptor < 0))
            argp_error(state, "give either --configuration or --configuration-fd");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .doc = "Runs one virtual machine until it is Off; usually started by loamd.\v"
           "Changes of state are written to standard output, one line of JSON each; problems to standard error. "
           "SIGTERM and SIGINT turn the virtual machine off.\n\n"
           "Exit status: 0 the guest switched itself off, 1 it could not be started, 3 turned off on request, 4 "
           "reset "
           "and 5 triple fault with --no-reboot, 6 it could not go on, 7 the guest wrote to its debug exit port, 64 "
           "usage.",
};

struct worker {
    struct event_loop loop;
    struct event_source signal_source;
    int signals;
    struct mshv mshv;
    struct life_cycle life_cycle;
    struct control control;
    struct screen *screen; /* NULL: none */
};

/* Whoever started the worker reads the last line of standard output to learn how it ended. */
static void state_changed(void *context)
{
    struct worker *worker = context;
    char *line = control_state_line(&worker->life_cycle);

    if (line) {
        fputs(line, stdout);
        fflush(stdout);
    }
    free(line);
    if (worker->control.life_cycle)
        control_announce(&worker->control);
}

static void signal_received(void *owner, uint32_t events)
{
    struct worker *worker = owner;
    struct signalfd_siginfo information;

    (void)events;
    if (read(worker->signals, &information, sizeof information) == sizeof information)
        life_cycle_turn_off(&worker->life_cycle);
}

/* Signals that end the worker come as input; those that kick VPs reach only their threads. */
static int take_signals(struct worker *worker)
{
    sigset_t ending, blocked;

    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    blocked = ending;
    sigaddset(&blocked, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &blocked, NULL) != 0)
        return errno;
    signal(SIGPIPE, SIG_IGN);
    worker->signals = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
    if (worker->signals < 0)
        return errno;
    return event_loop_add(&worker->loop, &worker->signal_source, worker->signals, EPOLLIN, signal_received, worker);
}

static bool listen_for_control(struct worker *worker, const struct configuration *configuration,
                               const struct confinement_user *user, char error[MACHINE_ERROR_SIZE])
{
    int listener = configuration->control.descriptor;
    int result;

    if (listener < 0 && configuration->control.path) {
        listener = control_listen(configuration->control.path, error);
        if (listener < 0)
            return false;
    }
    result = control_initialize(&worker->control, &worker->loop, listener);
    if (result) {
        snprintf(error, MACHINE_ERROR_SIZE, "cannot watch the control socket: %s", strerror(result));
        return false;
    }
    control_allow(&worker->control, getuid());
    if (user->given)
        control_allow(&worker->control, user->uid);
    return true;
}

static bool open_hypervisor(struct worker *worker, const char *device, char error[MACHINE_ERROR_SIZE])
{
    int result = mshv_open(&worker->mshv, device);

    if (!result)
        return true;
    snprintf(error, MACHINE_ERROR_SIZE, "%s: cannot be opened: %s%s", device, strerror(-result),
             result == -ENOENT ? " (is the driver loaded, and does the machine run on Loam?)" : "");
    return false;
}

/* The memory of a virtual machine is all there from the start; better to say no than to have the kernel kill.
 */
static bool memory_is_available(uint64_t needed, char error[MACHINE_ERROR_SIZE])
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long long available = 0;
    char line[128];

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu kB", &available) == 1)
            break;
    if (!file || available == 0 || available >= needed / 1024) {
        if (file)
            fclose(file);
        return true;
    }
    fclose(file);
    snprintf(error, MACHINE_ERROR_SIZE,
             "needs %llu MiB of memory, and the host has %llu MiB available: give it less, or stop something",
             (unsigned long long)(needed >> 20), available / 1024);
    return false;
}

/* A machine without a graphics adapter has nothing to be looked at. */
static bool serve_screen(struct worker *worker, const struct machine *machine, char error[MACHINE_ERROR_SIZE])
{
    const struct configuration *configuration = machine->configuration;
    struct screen_listeners listeners;

    if (!screen_listen(&configuration->screen, &listeners, error))
        return false;
    if (machine->screen)
        worker->screen = screen_start(machine->screen, configuration->name, &listeners, error);
    if (!worker->screen)
        screen_close_listeners(&listeners);
    return worker->screen || !machine->screen;
}

/* Everything up to the moment at which the guest runs. NULL: `error` is one line. */
static struct machine *start(struct worker *worker, const struct arguments *arguments,
                             const struct configuration *configuration, char error[MACHINE_ERROR_SIZE])
{
    const struct machine_events events = life_cycle_events(&worker->life_cycle);
    struct machine *machine;
    char ignored[MACHINE_ERROR_SIZE];

    /* What is not open can be closed all the same, whatever fails first. */
    control_initialize(&worker->control, &worker->loop, -1);
    worker->mshv = (struct mshv){.device = -1, .partition = -1};
    sandbox_set_limits();
    if (!memory_is_available(configuration->memory, error) ||
        !listen_for_control(worker, configuration, &arguments->user, error) ||
        !open_hypervisor(worker, arguments->device, error))
        return NULL;
    machine = machine_create(configuration, &worker->mshv.hypervisor, &worker->loop, &events, error);
    if (!machine)
        return NULL;
    if (machine_start_threads(machine, error) && serve_screen(worker, machine, error) &&
        sandbox_enter(&arguments->user, error))
        return machine;
    screen_end(worker->screen);
    machine_destroy(machine, ignored);
    return NULL;
}

static int run(struct worker *worker, const struct arguments *arguments, const struct configuration *configuration)
{
    char error[MACHINE_ERROR_SIZE];
    struct machine *machine = start(worker, arguments, configuration, error);
    int status;

    if (!machine) {
        fprintf(stderr, "loam-worker: %s: %s\n", configuration->name, error);
        control_close(&worker->control);
        mshv_close(&worker->mshv);
        return OFF_START_FAILED;
    }
    control_set_machine(&worker->control, &worker->life_cycle, machine);
    control_set_screen(&worker->control, worker->screen);
    life_cycle_start(&worker->life_cycle, machine);
    while (worker->life_cycle.state != MACHINE_OFF) {
        event_loop_wait(&worker->loop, -1);
        event_loop_dispatch(&worker->loop);
    }
    control_close(&worker->control);
    screen_end(worker->screen);
    if (!machine_destroy(machine, error))
        life_cycle_fail(&worker->life_cycle, error);
    status = worker->life_cycle.off_reason;
    if (status != OFF_POWER_OFF && status != OFF_TURNED_OFF)
        fprintf(stderr, "loam-worker: %s: %s\n", configuration->name, worker->life_cycle.detail);
    mshv_close(&worker->mshv);
    return status;
}

static struct configuration *read_configuration(const struct arguments *arguments)
{
    char error[FIELDS_ERROR_SIZE];
    struct configuration *configuration;
    const char *name = arguments->configuration;
    char number[32];
    int descriptor = arguments->configuration_descriptor;

    if (name) {
        descriptor = open(name, O_RDONLY | O_CLOEXEC);
        if (descriptor < 0) {
            fprintf(stderr, "loam-worker: %s: cannot be opened: %s\n", name, strerror(errno));
            return NULL;
        }
    } else {
        snprintf(number, sizeof number, "descriptor %d", descriptor);
        name = number;
    }
    configuration = configuration_read(descriptor, name, error);
    close(descriptor);
    if (!configuration)
        fprintf(stderr, "loam-worker: %s\n", error);
    return configuration;
}

/*
 * Threads get small stacks: in the usual 8 MiB lies a huge page, which the kernel gives as a whole to the first byte
 * that is touched.
 */
static void set_stack_size(void)
{
    pthread_attr_t attributes;

    if (pthread_attr_init(&attributes))
        return;
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
}

int main(int argc, char **argv)
{
    static struct worker worker;
    struct arguments arguments = {.configuration_descriptor = -1, .device = DEFAULT_DEVICE};
    struct configuration *configuration;
    int result;

    /* One heap is enough for threads that do not allocate, and smaller. */
    mallopt(M_ARENA_MAX, 1);
    set_stack_size();
    argp_err_exit_status = 64;
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    configuration = read_configuration(&arguments);
    if (!configuration)
        return OFF_START_FAILED;
    result = event_loop_initialize(&worker.loop);
    if (!result)
        result = take_signals(&worker);
    if (!result)
        result = life_cycle_initialize(&worker.life_cycle, &worker.loop, configuration->reboot && !arguments.no_reboot,
                                       state_changed, &worker);
    if (result) {
        fprintf(stderr, "loam-worker: cannot wait for events: %s\n", strerror(result));
        return OFF_START_FAILED;
    }
    result = run(&worker, &arguments, configuration);
    life_cycle_close(&worker.life_cycle);
    event_loop_close(&worker.loop);
    configuration_free(configuration);
    return result;
}
