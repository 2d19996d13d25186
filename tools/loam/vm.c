/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs about virtual machines that show them and change their states. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/loam/cli.h"
#include "tools/loam/console.h"
#include "tools/loam/size.h"
#include "tools/loam/table.h"
#include "tools/loam/verbs.h"

#define DEFAULT_STOP_TIMEOUT 60u
#define LONGEST_TIMEOUT      3600u

static json_t *name_arguments(const char *name)
{
    /* A name that is not UTF-8 is none that exists. */
    json_t *value = json_string(name);
    return json_pack("{s:o}", "name", value ? value : json_string("?"));
}

/* ---- List ---- */

/* Why it is in its state, if that says something. */
static const char *remark(const json_t *vm)
{
    const char *reason = cli_text(vm, "reason");
    if (strcmp(reason, "no-space") == 0)
        return "no space on the host";
    if (strcmp(reason, "no-answer") == 0)
        return "a disk's source does not answer";
    if (strcmp(reason, "power-off") == 0 || strcmp(reason, "turned-off") == 0 || strcmp(reason, "requested") == 0)
        return "";
    return cli_text(vm, "detail");
}

static void list_vms(const json_t *vms)
{
    static const struct table_column columns[] = {
        {"NAME",   false},
        {"STATE",  false},
        {"CPUS",   true },
        {"MEMORY", true },
        {"UPTIME", true },
        {"REMARK", false},
    };
    struct libscols_table *table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
    char memory[SIZE_TEXT_SIZE], uptime[SIZE_TEXT_SIZE];
    json_t *vm;
    size_t index;
    json_array_foreach(vms, index, vm)
    {
        struct libscols_line *line = table_add_line(table);
        size_format((uint64_t)cli_number(vm, "memory"), memory);
        uptime[0] = '\0';
        if (json_is_integer(json_object_get(vm, "uptime")))
            duration_format((uint64_t)cli_number(vm, "uptime"), uptime);
        table_set(line, 0, "%s", cli_text(vm, "name"));
        table_set(line, 1, "%s", cli_text(vm, "state"));
        table_set(line, 2, "%lld", (long long)cli_number(vm, "processors"));
        table_set(line, 3, "%s", memory);
        table_set(line, 4, "%s", uptime);
        table_set(line, 5, "%s", remark(vm));
    }
    table_print(table);
}

enum { OPTION_NAMES = 0x100 };

/* clang-format off */
static const struct argp_option list_options[] = {
    {"names", OPTION_NAMES, NULL, 0, "Only their names, a line each", 0},
    {0},
};
/* clang-format on */

static error_t parse_list(int key, char *text, struct argp_state *state)
{
    switch (key) {
    case OPTION_NAMES:
        *(bool *)state->input = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is one argument too many", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int vm_list(int argc, char **argv)
{
    bool names = false;
    int status;
    cli_parse(argc, argv, list_options, parse_list, NULL, "Lists virtual machines with their states.", &names);
    json_t *result = cli_call("vm-list", NULL, &status), *vm;
    const json_t *vms = json_object_get(result, "vms");
    size_t index;
    if (!result)
        return status;
    if (cli_options.json) {
        cli_print_json(result);
        return CLI_DONE;
    }
    if (names)
        json_array_foreach(vms, index, vm)
        {
            puts(cli_text(vm, "name"));
        }
    else if (json_array_size(vms) == 0)
        puts("No virtual machines yet: loam vm create makes one.");
    else
        list_vms(vms);
    json_decref(result);
    return CLI_DONE;
}

/* ---- Show ---- */

static const char *user_name(const json_t *file)
{
    static char name[64];
    const struct passwd *entry = getpwuid((uid_t)cli_number(file, "uid"));
    if (entry)
        snprintf(name, sizeof(name), "%s", entry->pw_name);
    else
        snprintf(name, sizeof(name), "user %lld", (long long)cli_number(file, "uid"));
    return name;
}

static void show_state(const json_t *vm)
{
    const char *reason = cli_text(vm, "reason"), *detail = cli_text(vm, "detail"), *path = cli_text(vm, "path");
    char uptime[SIZE_TEXT_SIZE];
    table_describe("State", "%s%s%s%s%s%s%s%s", cli_text(vm, "state"), reason[0] ? " (" : "", reason,
                   detail[0] ? ": " : "", detail, path[0] ? ", " : "", path, reason[0] ? ")" : "");
    if (json_is_integer(json_object_get(vm, "uptime"))) {
        duration_format((uint64_t)cli_number(vm, "uptime"), uptime);
        table_describe("Uptime", "%s (worker process %lld)", uptime, (long long)cli_number(vm, "process"));
    }
}

static const char *const ide_places[] = {"IDE 0:0", "IDE 0:1", "IDE 1:0", "IDE 1:1"};

static void show_drive(const char *title, const char *what, const json_t *drive)
{
    if (cli_text(drive, "path")[0])
        table_describe(title, "%s: %s (%sof %s)", what, cli_text(drive, "path"),
                       json_is_true(json_object_get(drive, "read_only")) ? "read-only, " : "", user_name(drive));
    else
        table_describe(title, "%s, empty", what);
}

/* What of a disk is fetched from its source, as far as its worker says. */
static void show_source(const json_t *vm, const json_t *disk, size_t number)
{
    char local[SIZE_TEXT_SIZE], size[SIZE_TEXT_SIZE], fetched[SIZE_TEXT_SIZE];
    json_t *source;
    size_t index;
    if (!cli_text(disk, "source")[0])
        return;
    table_describe("  parent", "fetched from %s", cli_text(disk, "source"));
    json_array_foreach(json_object_get(vm, "sources"), index, source)
    {
        if ((size_t)cli_number(source, "disk") != number)
            continue;
        size_format((uint64_t)cli_number(source, "local"), local);
        size_format((uint64_t)cli_number(source, "size"), size);
        size_format((uint64_t)cli_number(source, "fetched"), fetched);
        table_describe("  local", "the first %s of %s; %s fetched since the start", local, size, fetched);
        if (cli_text(source, "problem")[0])
            table_describe("  problem", "%s", cli_text(source, "problem"));
    }
}

static void show_drives(const json_t *vm)
{
    json_t *drive;
    size_t index, place = json_array_size(json_object_get(vm, "disks"));
    json_array_foreach(json_object_get(vm, "disks"), index, drive)
    {
        table_describe(index < 4 ? ide_places[index] : "Disk", "%s (%s%s, of %s)", cli_text(drive, "path"),
                       cli_text(drive, "format"),
                       json_is_true(json_object_get(drive, "read_only")) ? ", read-only" : "", user_name(drive));
        show_source(vm, drive, index);
    }
    if (place < 2)
        place = 2;
    json_array_foreach(json_object_get(vm, "dvds"), index, drive)
    {
        show_drive(place + index < 4 ? ide_places[place + index] : "DVD", "DVD drive", drive);
    }
    json_array_foreach(json_object_get(vm, "floppies"), index, drive)
    {
        show_drive(index ? "Floppy B" : "Floppy A", "floppy drive", drive);
    }
}

static void show_boot(const json_t *vm)
{
    const json_t *kernel = json_object_get(vm, "kernel"), *initrd = json_object_get(vm, "initrd");
    char order[128] = "";
    json_t *name;
    size_t index;
    if (json_is_object(kernel)) {
        table_describe("Kernel", "%s (of %s)", cli_text(kernel, "path"), user_name(kernel));
        if (json_is_object(initrd))
            table_describe("Initrd", "%s (of %s)", cli_text(initrd, "path"), user_name(initrd));
        table_describe("Command line", "%s", cli_text(vm, "command_line"));
        return;
    }
    json_array_foreach(json_object_get(vm, "boot"), index, name)
    {
        size_t length = strlen(order);
        snprintf(order + length, sizeof(order) - length, "%s%s", index ? ", " : "",
                 json_is_string(name) ? json_string_value(name) : "?");
    }
    table_describe("Boot order", "%s", order);
}

static void show_com2(const json_t *vm)
{
    const json_t *com2 = json_object_get(vm, "com2");
    if (cli_text(com2, "path")[0])
        table_describe("COM2", "%s %s", cli_text(com2, "kind"), cli_text(com2, "path"));
}

static void show_nics(const json_t *vm)
{
    json_t *nic, *address;
    size_t index, i;
    json_array_foreach(json_object_get(vm, "nics"), index, nic)
    {
        char title[32];
        const char *name = cli_text(nic, "switch");
        snprintf(title, sizeof(title), "NIC %zu", index);
        table_describe(title, "%s%s, %s%s", name[0] ? "switch " : "no switch", name, cli_text(nic, "mac"),
                       json_is_false(json_object_get(nic, "connected")) && name[0] ? ", cable pulled" : "");
        json_array_foreach(json_object_get(nic, "addresses"), i, address)
        {
            table_describe("  address", "%s", json_string_value(address));
        }
        if (json_object_get(nic, "sent"))
            table_describe("  frames", "%lld sent, %lld received, %lld dropped", (long long)cli_number(nic, "sent"),
                           (long long)cli_number(nic, "received"), (long long)cli_number(nic, "dropped"));
    }
}

/* Accesses of the guest that no device has claimed: all ones, or dropped. */
static void show_unclaimed(const json_t *vm, const char *key, const char *title)
{
    const json_t *bus = json_object_get(json_object_get(vm, "counters"), key);
    json_int_t reads = cli_number(bus, "unclaimed_reads"), writes = cli_number(bus, "unclaimed_writes");
    if (reads || writes)
        table_describe(title, "%lld reads and %lld writes that no device claimed, the last at %#llx", (long long)reads,
                       (long long)writes, (unsigned long long)cli_number(bus, "last_unclaimed"));
    else if (bus)
        table_describe(title, "every access was claimed by a device");
}

int vm_show(int argc, char **argv)
{
    const char *name = cli_parse_name(argc, argv, "Shows everything about a virtual machine.");
    char memory[SIZE_TEXT_SIZE];
    int status;
    json_t *vm = cli_call("vm-show", name_arguments(name), &status);
    if (!vm)
        return status;
    if (cli_options.json) {
        cli_print_json(vm);
        return CLI_DONE;
    }
    size_format((uint64_t)cli_number(vm, "memory"), memory);
    table_describe("Name", "%s", cli_text(vm, "name"));
    show_state(vm);
    table_describe("Memory", "%s", memory);
    table_describe("Processors", "%lld", (long long)cli_number(vm, "processors"));
    show_boot(vm);
    show_drives(vm);
    show_nics(vm);
    show_com2(vm);
    if (cli_text(vm, "console")[0])
        table_describe("Console", "%s has it", cli_text(vm, "console"));
    table_describe("Log", "%s", cli_text(vm, "log"));
    show_unclaimed(vm, "ports", "I/O ports");
    show_unclaimed(vm, "memory", "Device memory");
    json_decref(vm);
    return CLI_DONE;
}

/* ---- Start and stop ---- */

enum { OPTION_CONSOLE = 0x100, OPTION_BOOT_MENU, OPTION_TURN_OFF, OPTION_TIMEOUT, OPTION_STATE };

struct start_arguments {
    const char *name;
    bool console, boot_menu;
};

/* clang-format off */
static const struct argp_option start_options[] = {
    {"console", OPTION_CONSOLE, NULL, 0, "Then show its console, as loam vm console does", 0},
    {"boot-menu", OPTION_BOOT_MENU, NULL, 0, "The firmware offers, on the screen, a choice of what to boot", 0},
    {0},
};
/* clang-format on */

static error_t parse_start(int key, char *text, struct argp_state *state)
{
    struct start_arguments *arguments = state->input;
    switch (key) {
    case OPTION_CONSOLE:
        arguments->console = true;
        return 0;
    case OPTION_BOOT_MENU:
        arguments->boot_menu = true;
        return 0;
    default:
        return cli_take_argument(key, text, state, &arguments->name, "NAME");
    }
}

int vm_start(int argc, char **argv)
{
    struct start_arguments arguments = {0};
    cli_parse(argc, argv, start_options, parse_start, "NAME", "Starts a virtual machine; returns when it is Running.",
              &arguments);
    json_t *values = name_arguments(arguments.name);
    if (arguments.boot_menu)
        json_object_set_new(values, "boot_menu", json_true());
    int status = cli_do("vm-start", values);
    if (status || !arguments.console)
        return status;
    fflush(stdout); /* the console writes past it */
    return console_run(arguments.name);
}

struct stop_arguments {
    const char *name;
    bool turn_off;
    unsigned timeout;
};

/* clang-format off */
static const struct argp_option stop_options[] = {
    {"turn-off", OPTION_TURN_OFF, NULL, 0, "At once, without asking the guest, as if the plug were pulled", 0},
    {"timeout", OPTION_TIMEOUT, "SECONDS", 0, "How long to wait (default 60)", 0},
    {0},
};
/* clang-format on */

static error_t parse_stop(int key, char *text, struct argp_state *state)
{
    struct stop_arguments *arguments = state->input;
    switch (key) {
    case OPTION_TURN_OFF:
        arguments->turn_off = true;
        return 0;
    case OPTION_TIMEOUT:
        arguments->timeout = cli_parse_number("--timeout", text, LONGEST_TIMEOUT);
        return 0;
    default:
        return cli_take_argument(key, text, state, &arguments->name, "NAME");
    }
}

/* Waits for a state. When the time is over, `remedy` is what may help. */
static int wait_for_state(const char *name, const char *state, unsigned timeout, const char *remedy)
{
    int status;
    json_t *values = name_arguments(name);
    json_object_update_new(values, json_pack("{s:[s], s:i}", "states", state, "timeout", (int)timeout));
    json_t *result = cli_call("vm-wait", values, &status);
    if (!result)
        return status;
    if (strcmp(cli_text(result, "state"), state) != 0) {
        cli_complain("%s is still %s after %u s: %s %s", name, cli_text(result, "state"), timeout, remedy, name);
        status = CLI_TIMEOUT;
    } else if (cli_options.json) {
        cli_print_json(json_incref(result));
    }
    json_decref(result);
    return status;
}

int vm_stop(int argc, char **argv)
{
    struct stop_arguments arguments = {.timeout = DEFAULT_STOP_TIMEOUT};
    int status;
    cli_parse(argc, argv, stop_options, parse_stop, "NAME",
              "Presses a virtual machine's power button, and waits until it is Off.\vInterrupted with "
              "Ctrl-C, or when "
              "the time is over, it stays Stopping and may still become Off.",
              &arguments);
    if (arguments.turn_off)
        return cli_do("vm-turn-off", name_arguments(arguments.name));
    json_t *result = cli_call("vm-stop", name_arguments(arguments.name), &status);
    if (!result)
        return status;
    json_decref(result);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "%s is Stopping; Ctrl-C leaves it so\n", arguments.name);
    /* Ctrl-C ends us, and leaves it Stopping. */
    return wait_for_state(arguments.name, "Off", arguments.timeout, "turn it off with loam vm stop --turn-off");
}

struct wait_arguments {
    const char *name;
    const char *state;
    unsigned timeout;
};

/* clang-format off */
static const struct argp_option wait_options[] = {
    {"state", OPTION_STATE, "STATE", 0, "Off, Starting, Running, Paused or Stopping (default Off)", 0},
    {"timeout", OPTION_TIMEOUT, "SECONDS", 0, "How long to wait, at most and by default 3600", 0},
    {0},
};
/* clang-format on */

static error_t parse_wait(int key, char *text, struct argp_state *state)
{
    struct wait_arguments *arguments = state->input;
    switch (key) {
    case OPTION_STATE:
        arguments->state = text;
        return 0;
    case OPTION_TIMEOUT:
        arguments->timeout = cli_parse_number("--timeout", text, LONGEST_TIMEOUT);
        return 0;
    default:
        return cli_take_argument(key, text, state, &arguments->name, "NAME");
    }
}

int vm_wait(int argc, char **argv)
{
    struct wait_arguments arguments = {.state = "Off", .timeout = LONGEST_TIMEOUT};
    cli_parse(argc, argv, wait_options, parse_wait, "NAME", "Waits until a virtual machine is in a state.", &arguments);
    return wait_for_state(arguments.name, arguments.state, arguments.timeout, "see loam vm show");
}

/* ---- The simple ones ---- */

int vm_reset(int argc, char **argv)
{
    return cli_do("vm-reset",
                  name_arguments(cli_parse_name(argc, argv, "Resets a virtual machine, as its reset button would.")));
}

int vm_pause(int argc, char **argv)
{
    return cli_do("vm-pause",
                  name_arguments(cli_parse_name(argc, argv, "Pauses a virtual machine: its time stands still.")));
}

int vm_resume(int argc, char **argv)
{
    return cli_do("vm-resume", name_arguments(cli_parse_name(
                                   argc, argv,
                                   "Lets a Paused virtual machine go on; one that is Paused because the host has no "
                                   "space tries again.")));
}

int vm_remove(int argc, char **argv)
{
    return cli_do("vm-remove", name_arguments(cli_parse_name(
                                   argc, argv,
                                   "Removes a virtual machine that is Off, and forwards to it. Its disks and its log "
                                   "stay.")));
}

int vm_console(int argc, char **argv)
{
    return console_run(cli_parse_name(argc, argv,
                                      "Connects this terminal with a virtual machine's first serial port. "
                                      "Ctrl-] leaves it. What it showed last is "
                                      "shown again on entry; one at a time can have it."));
}
