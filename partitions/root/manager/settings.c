/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/settings.h"

#include <argp.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "partitions/root/manager/report.h"

#define DEFAULT_STATE        "/var/lib/loam"
#define DEFAULT_RUN          "/run/loam"
#define DEFAULT_LOG          "/var/log/loam"
#define DEFAULT_HOST_DEVICE  "/dev/loam"
#define DEFAULT_GROUP        "loam"
#define DEFAULT_WORKER_USER  "loam-worker"
#define DEFAULT_FETCH_USER   "loam-fetch"
#define DEFAULT_SWITCH_USER  "loam-switch"
#define DEFAULT_STOP_TIMEOUT 60u
#define LONGEST_STOP_TIMEOUT 3600u

struct arguments {
    struct settings *settings;
    const char *group; /* NULL: the default, if there is one */
    const char *worker_user;
    const char *fetch_user;
    const char *switch_user;
};

enum {
    OPTION_STATE = 0x100,
    OPTION_RUN,
    OPTION_LOG,
    OPTION_WORKER,
    OPTION_WORKER_USER,
    OPTION_FETCH,
    OPTION_FETCH_USER,
    OPTION_SWITCH,
    OPTION_SWITCH_USER,
    OPTION_GROUP,
    OPTION_HOST_DEVICE,
    OPTION_STOP_TIMEOUT,
    OPTION_SHUTDOWN_VMS,
};

/* clang-format off */
static const struct argp_option options[] = {
    {"state", OPTION_STATE, "DIR", 0, "Where definitions are kept (default " DEFAULT_STATE ")", 0},
    {"run", OPTION_RUN, "DIR", 0, "Where sockets and records of processes are (default " DEFAULT_RUN ")", 0},
    {"log", OPTION_LOG, "DIR", 0, "Where the logs of virtual machines are (default " DEFAULT_LOG ")", 0},
    {"worker", OPTION_WORKER, "PATH", 0, "The program that is a virtual machine (default: loam-worker beside loamd)",
     0},
    {"worker-user", OPTION_WORKER_USER, "USER", 0,
     "Whom it becomes (default " DEFAULT_WORKER_USER ", or nobody if there is no such user)", 0},
    {"fetch", OPTION_FETCH, "PATH", 0,
     "The program that fetches what disks have at a URL (default: loam-fetch beside loamd)", 0},
    {"fetch-user", OPTION_FETCH_USER, "USER", 0,
     "Whom it becomes (default " DEFAULT_FETCH_USER ", or nobody if there is no such user)", 0},
    {"switch", OPTION_SWITCH, "PATH", 0, "The program that is a switch (default: loam-switch beside loamd)", 0},
    {"switch-user", OPTION_SWITCH_USER, "USER", 0,
     "Whom it becomes (default " DEFAULT_SWITCH_USER ", or nobody if there is no such user)", 0},
    {"group", OPTION_GROUP, "GROUP", 0,
     "Whose members may manage, beside root: a name or a number (default " DEFAULT_GROUP ", if there is such a group)",
     0},
    {"host-device", OPTION_HOST_DEVICE, "PATH", 0, "The hypervisor's device (default " DEFAULT_HOST_DEVICE ")", 0},
    {"stop-timeout", OPTION_STOP_TIMEOUT, "SECONDS", 0,
     "With --shutdown-vms: how long virtual machines have to stop (default 60)", 0},
    {"shutdown-vms", OPTION_SHUTDOWN_VMS, NULL, 0,
     "Have the loamd that runs stop all virtual machines, turn off those that do not, and wait for that", 0},
    {0},
};
/* clang-format on */

static unsigned parse_timeout(const char *text, struct argp_state *state)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > LONGEST_STOP_TIMEOUT)
        argp_error(state, "--stop-timeout: '%s' is not a number from 0 to %u", text, LONGEST_STOP_TIMEOUT);
    return (unsigned)value;
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    struct settings *settings = arguments->settings;
    switch (key) {
    case OPTION_STATE:
        settings->state_directory = text;
        break;
    case OPTION_RUN:
        settings->run_directory = text;
        break;
    case OPTION_LOG:
        settings->log_directory = text;
        break;
    case OPTION_WORKER:
        settings->worker = text;
        break;
    case OPTION_WORKER_USER:
        arguments->worker_user = text;
        break;
    case OPTION_FETCH:
        settings->fetch = text;
        break;
    case OPTION_FETCH_USER:
        arguments->fetch_user = text;
        break;
    case OPTION_SWITCH:
        settings->switch_program = text;
        break;
    case OPTION_SWITCH_USER:
        arguments->switch_user = text;
        break;
    case OPTION_GROUP:
        arguments->group = text;
        break;
    case OPTION_HOST_DEVICE:
        settings->host_device = text;
        break;
    case OPTION_STOP_TIMEOUT:
        settings->stop_timeout = parse_timeout(text, state);
        break;
    case OPTION_SHUTDOWN_VMS:
        settings->shutdown_vms = true;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", text);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* A program of the same directory as this one, in memory that stays. */
static const char *find_beside(const char *name)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path, '/'), *found = NULL;
    if (!slash || asprintf(&found, "%.*s/%s", (int)(slash - path), path, name) < 0)
        return name;
    return found;
}

static const struct group *find_group(const char *name)
{
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    static struct group numbered;
    const struct group *entry = getgrnam(name);
    if (entry || *end || end == name)
        return entry;
    numbered.gr_gid = (gid_t)number;
    return &numbered;
}

static void determine_group(struct settings *settings, const char *name, const struct argp_state *state)
{
    const struct group *entry = find_group(name ? name : DEFAULT_GROUP);
    settings->has_group = entry;
    if (entry)
        settings->group = entry->gr_gid;
    else if (name)
        argp_failure(state, EXIT_FAILURE, 0, "there is no group '%s'", name);
    else
        report("there is no group " DEFAULT_GROUP
               ", so only root may manage: make it with groupadd --system " DEFAULT_GROUP);
}

/* Never root: what serves guests has no rights that it does not need. */
static struct passwd find_user(const char *name, const char *fallback, const struct argp_state *state)
{
    const struct passwd *entry = getpwnam(name ? name : fallback);
    if (!entry && name)
        argp_failure(state, EXIT_FAILURE, 0, "there is no user '%s'", name);
    if (!entry) {
        report("there is no user %s, so nobody stands in", fallback);
        entry = getpwnam("nobody");
    }
    if (!entry || entry->pw_uid == 0)
        argp_failure(state, EXIT_FAILURE, 0,
                     "%s cannot be used: make a user of its own with useradd --system %s",
                     name ? name : "nobody", fallback);
    return *entry;
}

static void determine_users(const struct arguments *arguments, const struct argp_state *state)
{
    struct settings *settings = arguments->settings;
    if (geteuid() != 0)
        return; /* we have no other user's rights to give */
    struct passwd user = find_user(arguments->switch_user, DEFAULT_SWITCH_USER, state);
    snprintf(settings->switch_user, sizeof(settings->switch_user), "%s", user.pw_name);
    settings->switch_uid = user.pw_uid;
    settings->switch_gid = user.pw_gid;
    user = find_user(arguments->fetch_user, DEFAULT_FETCH_USER, state);
    snprintf(settings->fetch_user, sizeof(settings->fetch_user), "%u:%u", (unsigned)user.pw_uid, (unsigned)user.pw_gid);
    user = find_user(arguments->worker_user, DEFAULT_WORKER_USER, state);
    /* The switch's group: so the worker reaches its port again when the switch has been away. */
    snprintf(settings->worker_user, sizeof(settings->worker_user), "%u:%u", (unsigned)user.pw_uid,
             (unsigned)settings->switch_gid);
}

void settings_parse(int argc, char **argv, struct settings *settings)
{
    static const struct argp parser = {
        .options = options,
        .parser = parse_option,
        .doc = "Keeps virtual machines and virtual switches, and serves the command loam. Stopping it leaves "
               "virtual "
               "machines running; the next loamd takes them over.\v"
               "Exit status: 0 ended by SIGTERM or SIGINT, or done; 1 a problem; 2 usage; with "
               "--shutdown-vms, 3 no "
               "loamd runs.",
    };
    struct arguments arguments = {.settings = settings};
    *settings = (struct settings){
        .state_directory = DEFAULT_STATE,
        .run_directory = DEFAULT_RUN,
        .log_directory = DEFAULT_LOG,
        .host_device = DEFAULT_HOST_DEVICE,
        .stop_timeout = DEFAULT_STOP_TIMEOUT,
    };
    argp_err_exit_status = 2;
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    if (settings->shutdown_vms)
        return;
    if (!settings->worker)
        settings->worker = find_beside("loam-worker");
    if (!settings->fetch)
        settings->fetch = find_beside("loam-fetch");
    if (!settings->switch_program)
        settings->switch_program = find_beside("loam-switch");
    determine_group(settings, arguments.group, NULL);
    determine_users(&arguments, NULL);
}
