/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs about virtual switches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/loam/cli.h"
#include "tools/loam/size.h"
#include "tools/loam/table.h"
#include "tools/loam/verbs.h"

enum { OPTION_TYPE = 0x100, OPTION_SUBNET, OPTION_BOOT_FILE, OPTION_ALLOW_HOST, OPTION_REMOVE };

/* ---- Create and remove ---- */

struct create_arguments {
    const char *name;
    const char *type;
    const char *subnet;
    const char *boot_file;
    bool allow_host;
};

/* clang-format off */
static const struct argp_option create_options[] = {
    {"type", OPTION_TYPE, "TYPE", 0, "NAT, the default and the only one for now", 0},
    {"subnet", OPTION_SUBNET, "NETWORK", 0,
     "Network of its virtual machines, as 192.168.150.0/24 (default: one that neither this machine's routes nor other "
     "switches use)",
     0},
    {"boot-file", OPTION_BOOT_FILE, "URL", 0,
     "What virtual machines that boot from the network shall load, as http://192.168.150.1/boot.ipxe (default: nothing)",
     0},
    {"allow-host", OPTION_ALLOW_HOST, NULL, 0,
     "Let virtual machines reach this machine's own addresses; the gateway's leads to its loopback (default: they "
     "cannot)",
     0},
    {0},
};
/* clang-format on */

static error_t parse_create(int key, char *text, struct argp_state *state)
{
    struct create_arguments *arguments = state->input;
    switch (key) {
    case OPTION_TYPE:
        if (strcmp(text, "NAT") != 0)
            cli_refuse("--type: '%s' cannot be made, only NAT", text);
        return 0;
    case OPTION_SUBNET:
        arguments->subnet = text;
        return 0;
    case OPTION_BOOT_FILE:
        arguments->boot_file = text;
        return 0;
    case OPTION_ALLOW_HOST:
        arguments->allow_host = true;
        return 0;
    default:
        return cli_take_argument(key, text, state, &arguments->name, "NAME");
    }
}

int switch_create(int argc, char **argv)
{
    struct create_arguments arguments = {0};
    cli_parse(argc, argv, create_options, parse_create, "NAME",
              "Makes a virtual switch, which runs from then on. Its virtual machines reach each other, and "
              "by way of "
              "this machine's connections the world.",
              &arguments);
    return cli_do("switch-create",
                  json_pack("{s:s, s:s*, s:s*, s:b}", "name", arguments.name, "subnet", arguments.subnet, "boot_file",
                            arguments.boot_file, "allow_host", arguments.allow_host));
}

int switch_remove(int argc, char **argv)
{
    const char *name = cli_parse_name(argc, argv, "Removes a switch that no virtual machine has a network adapter on.");
    return cli_do("switch-remove", json_pack("{s:s}", "name", name));
}

/* ---- List and show ---- */

static void list_switches(const json_t *switches)
{
    static const struct table_column columns[] = {
        {"NAME",   false},
        {"TYPE",   false},
        {"STATE",  false},
        {"SUBNET", false},
        {"VMS",    true },
        {"REMARK", false},
    };
    struct libscols_table *table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
    json_t *entry;
    size_t index;
    json_array_foreach(switches, index, entry)
    {
        struct libscols_line *line = table_add_line(table);
        table_set(line, 0, "%s", cli_text(entry, "name"));
        table_set(line, 1, "%s", cli_text(entry, "type"));
        table_set(line, 2, "%s", cli_text(entry, "state"));
        table_set(line, 3, "%s", cli_text(entry, "subnet"));
        table_set(line, 4, "%zu", json_array_size(json_object_get(entry, "vms")));
        table_set(line, 5, "%s", cli_text(entry, "problem"));
    }
    table_print(table);
}

enum { OPTION_NAMES = 0x200 };

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

int switch_list(int argc, char **argv)
{
    bool names = false;
    int status;
    cli_parse(argc, argv, list_options, parse_list, NULL, "Lists virtual switches.", &names);
    json_t *result = cli_call("switch-list", NULL, &status), *entry;
    const json_t *switches = json_object_get(result, "switches");
    size_t index;
    if (!result)
        return status;
    if (cli_options.json) {
        cli_print_json(result);
        return CLI_DONE;
    }
    if (names)
        json_array_foreach(switches, index, entry)
        {
            puts(cli_text(entry, "name"));
        }
    else
        list_switches(switches);
    json_decref(result);
    return CLI_DONE;
}

static void show_forwards(const json_t *forwards)
{
    json_t *forward;
    size_t index;
    json_array_foreach(forwards, index, forward)
    {
        const char *vm = cli_text(forward, "vm"), *address = cli_text(forward, "address"),
                   *problem = cli_text(forward, "problem");
        table_describe("Forward", "%s %s:%lld to %s port %lld%s%s", cli_text(forward, "protocol"),
                       cli_text(forward, "host_address"), (long long)cli_number(forward, "host_port"),
                       vm[0]        ? vm
                       : address[0] ? address
                                    : cli_text(forward, "mac"),
                       (long long)cli_number(forward, "port"), problem[0] ? "; not open: " : "", problem);
    }
}

static void show_ports(const json_t *ports)
{
    static const struct table_column columns[] = {
        {"VM",          false},
        {"MAC",         false},
        {"ADDRESS",     false},
        {"RECEIVED",    true },
        {"SENT",        true },
        {"CONNECTIONS", true },
    };
    char received[SIZE_TEXT_SIZE], sent[SIZE_TEXT_SIZE];
    json_t *port;
    size_t index;
    if (json_array_size(ports) == 0)
        return;
    struct libscols_table *table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
    json_array_foreach(ports, index, port)
    {
        struct libscols_line *line = table_add_line(table);
        const char *address = json_string_value(json_array_get(json_object_get(port, "addresses"), 0));
        size_format((uint64_t)cli_number(port, "received_bytes"), received);
        size_format((uint64_t)cli_number(port, "sent_bytes"), sent);
        table_set(line, 0, "%s", cli_text(port, "name"));
        table_set(line, 1, "%s", cli_text(port, "mac"));
        table_set(line, 2, "%s", address ? address : "");
        table_set(line, 3, "%s", received);
        table_set(line, 4, "%s", sent);
        table_set(line, 5, "%lld", (long long)(cli_number(port, "tcp_connections") + cli_number(port, "udp_sessions")));
    }
    putchar('\n');
    table_print(table);
}

int switch_show(int argc, char **argv)
{
    const char *name = cli_parse_name(argc, argv, "Shows everything about a virtual switch.");
    int status;
    json_t *result = cli_call("switch-show", json_pack("{s:s}", "name", name), &status);
    if (!result)
        return status;
    if (cli_options.json) {
        cli_print_json(result);
        return CLI_DONE;
    }
    const char *problem = cli_text(result, "problem");
    table_describe("Name", "%s", cli_text(result, "name"));
    table_describe("Type", "%s", cli_text(result, "type"));
    table_describe("State", "%s%s%s", cli_text(result, "state"), problem[0] ? ": " : "", problem);
    table_describe("Subnet", "%s", cli_text(result, "subnet"));
    if (cli_text(result, "gateway")[0])
        table_describe("Gateway", "%s", cli_text(result, "gateway"));
    table_describe("This machine", "%s",
                   json_is_true(json_object_get(result, "allow_host")) ? "can be reached (--allow-host)"
                                                                       : "cannot be reached");
    if (cli_text(result, "boot_file")[0])
        table_describe("Boot file", "%s", cli_text(result, "boot_file"));
    show_forwards(json_object_get(result, "forwards"));
    show_ports(json_object_get(result, "ports"));
    json_decref(result);
    return CLI_DONE;
}

/* ---- Forward ---- */

struct forward_arguments {
    const char *name;
    char *rule;
    bool remove;
};

/* clang-format off */
static const struct argp_option forward_options[] = {
    {"remove", OPTION_REMOVE, NULL, 0, "End a forward: RULE is then tcp:[ADDRESS:]PORT", 0},
    {0},
};
/* clang-format on */

static error_t parse_forward(int key, char *text, struct argp_state *state)
{
    struct forward_arguments *arguments = state->input;
    switch (key) {
    case OPTION_REMOVE:
        arguments->remove = true;
        return 0;
    case ARGP_KEY_ARG:
        if (arguments->rule)
            argp_error(state, "'%s' is one argument too many", text);
        if (arguments->name)
            arguments->rule = text;
        else
            arguments->name = text;
        return 0;
    case ARGP_KEY_END:
        if (!arguments->rule)
            argp_error(state, arguments->name ? "RULE is missing" : "SWITCH is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static json_t *port_value(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || port < 1 || port > 65535)
        cli_refuse("port: must be from 1 to 65535, not '%s'", text);
    return json_integer((json_int_t)port);
}

/* "tcp:[ADDRESS:]PORT", and ":CHILD:PORT" behind it unless one is removed. NULL: it is not. */
static json_t *parse_rule(char *text, const struct forward_arguments *arguments)
{
    char *parts[6];
    unsigned count = 0;
    const unsigned least = arguments->remove ? 2 : 4;
    while (text && count < 6)
        parts[count++] = strsep(&text, ":");
    if (count < least || count > least + 1)
        return NULL;
    const bool has_address = count == least + 1;
    json_t *rule = json_pack("{s:s, s:s, s:s, s:o}", "name", arguments->name, "protocol", parts[0], "host_address",
                             has_address ? parts[1] : "0.0.0.0", "host_port", port_value(parts[has_address ? 2 : 1]));
    if (arguments->remove)
        return rule;
    const char *child = parts[count - 2];
    const bool is_address = strspn(child, "0123456789.") == strlen(child) && strchr(child, '.');
    json_object_set_new(rule, is_address ? "address" : "vm", json_string(child));
    json_object_set_new(rule, "port", port_value(parts[count - 1]));
    return rule;
}

int switch_forward(int argc, char **argv)
{
    struct forward_arguments arguments = {0};
    cli_parse(argc, argv, forward_options, parse_forward, "SWITCH RULE",
              "Lets a port of this machine lead to a port of a virtual machine.\vRULE is "
              "tcp:[ADDRESS:]PORT:VM:PORT or "
              "udp:...; VM is the name of a virtual machine on this switch, or an IP address of one; ADDRESS "
              "is one of "
              "this machine's (default: all). Examples:\n  loam switch forward default tcp:8080:web1:80\n  "
              "loam switch "
              "forward default --remove tcp:8080",
              &arguments);
    json_t *rule = parse_rule(arguments.rule, &arguments);
    if (!rule) {
        cli_complain(arguments.remove ? "the rule must be written as tcp:8080 or tcp:127.0.0.1:8080"
                                      : "the rule must be written as tcp:8080:web1:80 or tcp:127.0.0.1:8080:web1:80");
        return CLI_REFUSED;
    }
    return cli_do(arguments.remove ? "switch-unforward" : "switch-forward", rule);
}
