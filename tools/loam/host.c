/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs about the host. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/loam/cli.h"
#include "tools/loam/size.h"
#include "tools/loam/table.h"
#include "tools/loam/verbs.h"

static error_t parse_nothing(int key, char *text, struct argp_state *state)
{
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    argp_error(state, "'%s' is one argument too many", text);
    return 0;
}

static void describe_size(const char *name, const json_t *object, const char *key)
{
    char text[SIZE_TEXT_SIZE];
    size_format((uint64_t)cli_number(object, key), text);
    table_describe(name, "%s", text);
}

int host_info(int argc, char **argv)
{
    int status;
    cli_parse(argc, argv, NULL, parse_nothing, NULL, "Shows what this machine and its hypervisor are.", NULL);
    json_t *info = cli_call("host-info", NULL, &status);
    if (!info)
        return status;
    if (cli_options.json) {
        cli_print_json(info);
        return CLI_DONE;
    }
    const json_t *counters = json_object_get(info, "counters"), *vms = json_object_get(info, "vms");
    table_describe("Hypervisor", "%s, interface version %lld", cli_text(info, "hypervisor"),
                   (long long)cli_number(info, "interface_version"));
    table_describe("Processors", "%lld", (long long)cli_number(info, "logical_processors"));
    table_describe("Parent", "Linux %s", cli_text(info, "kernel"));
    describe_size("Memory", info, "memory");
    describe_size("  available", info, "memory_available");
    describe_size("  hypervisor's", counters, "reserved_bytes");
    table_describe("  deposited", "%lld pages", (long long)cli_number(counters, "deposited_pages"));
    table_describe("Partitions", "%lld, the parent included", (long long)cli_number(counters, "partitions"));
    table_describe("VMs", "%lld Running, %lld Paused, %lld Off", (long long)cli_number(vms, "Running"),
                   (long long)cli_number(vms, "Paused"), (long long)cli_number(vms, "Off"));
    json_decref(info);
    return CLI_DONE;
}

/* Copies the hypervisor's log to standard output. */
static int copy_log(int descriptor)
{
    char chunk[4096];
    ssize_t count;
    while ((count = read(descriptor, chunk, sizeof(chunk))) != 0) {
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            cli_complain("the log cannot be read: %s", strerror(errno));
            return CLI_REFUSED;
        }
        if (fwrite(chunk, 1, (size_t)count, stdout) != (size_t)count)
            break;
    }
    return fflush(stdout) == 0 ? CLI_DONE : CLI_REFUSED;
}

/* The log as a list of lines, with what JSON cannot hold replaced. */
static int print_log_json(int descriptor)
{
    json_t *lines = json_array();
    FILE *stream = fdopen(descriptor, "r");
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    while (stream && (length = getline(&line, &size, stream)) > 0) {
        if (line[length - 1] == '\n')
            line[--length] = '\0';
        for (ssize_t i = 0; i < length; i++)
            if (line[i] < ' ' || line[i] == 0x7F)
                line[i] = '?';
        json_array_append_new(lines, json_string(line));
    }
    free(line);
    if (stream)
        fclose(stream);
    cli_print_json(json_pack("{s:o}", "lines", lines));
    return CLI_DONE;
}

int host_log(int argc, char **argv)
{
    int status, descriptor;
    cli_parse(argc, argv, NULL, parse_nothing, NULL,
              "Prints what the hypervisor has logged since the machine started, as far as it still has it.", NULL);
    json_t *result = cli_call_for_descriptor("host-log", NULL, &descriptor, &status);
    if (!result)
        return status;
    json_decref(result);
    if (cli_options.json)
        return print_log_json(descriptor);
    status = copy_log(descriptor);
    close(descriptor);
    return status;
}

/* ---- Statistics ---- */

/* One column for each of `columns`, which are exits by reason; a line for each reason that has occurred. */
static void print_exits(const json_t *columns, const char *const *titles)
{
    struct table_column headings[64] = {
        {"EXITS", false}
    };
    size_t count = json_array_size(columns) < 63 ? json_array_size(columns) : 63;
    const char *reason;
    json_t *value;
    for (size_t i = 0; i < count; i++)
        headings[i + 1] = (struct table_column){titles[i], true};
    struct libscols_table *table = table_create(headings, count + 1);
    json_object_foreach(json_array_get(columns, 0), reason, value)
    {
        json_int_t sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += cli_number(json_array_get(columns, i), reason);
        if (!sum)
            continue;
        struct libscols_line *line = table_add_line(table);
        table_set(line, 0, "%s", reason);
        for (size_t i = 0; i < count; i++)
            table_set(line, i + 1, "%lld", (long long)cli_number(json_array_get(columns, i), reason));
    }
    table_print(table);
}

/* Adds the counters of `from` to those of `to`. */
static void add_up(json_t *to, const json_t *from)
{
    const char *reason;
    json_t *value;
    json_object_foreach((json_t *)from, reason, value)
    {
        json_object_set_new(to, reason, json_integer(cli_number(to, reason) + json_integer_value(value)));
    }
}

static json_t *sum(const json_t *list)
{
    json_t *total = json_object(), *entry;
    size_t index;
    json_array_foreach(list, index, entry)
    {
        add_up(total, entry);
    }
    return total;
}

static void print_statistics(const json_t *statistics)
{
    const json_t *vms = json_object_get(statistics, "vms");
    const char *titles[63] = {"PARENT"}, *name;
    json_t *columns = json_array(), *vm, *value;
    size_t index;
    json_object_foreach(json_object_get(statistics, "hypervisor"), name, value)
    {
        table_describe(name, "%lld", (long long)json_integer_value(value));
    }
    json_array_append_new(columns, sum(json_object_get(statistics, "parent")));
    json_array_foreach(vms, index, vm)
    {
        if (index + 1 >= sizeof(titles) / sizeof(titles[0]))
            break;
        titles[index + 1] = cli_text(vm, "name");
        json_array_append_new(columns, sum(json_object_get(vm, "vps")));
    }
    putchar('\n');
    print_exits(columns, titles);
    json_decref(columns);
}

int host_stats(int argc, char **argv)
{
    int status;
    cli_parse(argc, argv, NULL, parse_nothing, NULL,
              "Shows the hypervisor's counters, and how often the parent and each virtual machine have left "
              "guest mode, "
              "by reason.",
              NULL);
    json_t *result = cli_call("host-stats", NULL, &status);
    if (!result)
        return status;
    if (cli_options.json) {
        cli_print_json(result);
        return CLI_DONE;
    }
    print_statistics(result);
    json_decref(result);
    return CLI_DONE;
}
