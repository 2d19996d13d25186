/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partitions/root/manager/manager_client.h"

struct cli_options cli_options = {.socket = MANAGER_SOCKET};

enum { OPTION_JSON = 0x1000, OPTION_SOCKET };

/* clang-format off */
static const struct argp_option common_options[] = {
    {"json", OPTION_JSON, NULL, 0, "Print JSON, for programs", 90},
    {"socket", OPTION_SOCKET, "PATH", 0, "Where loamd listens (default " MANAGER_SOCKET ")", 90},
    {NULL, 'h', NULL, OPTION_HIDDEN, NULL, 90}, /* what many type for --help */
    {0},
};
/* clang-format on */

static error_t parse_common(int key, char *text, struct argp_state *state)
{
    switch (key) {
    case 'h':
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        return 0;
    case OPTION_JSON:
        cli_options.json = true;
        return 0;
    case OPTION_SOCKET:
        cli_options.socket = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp common_parser = {.options = common_options, .parser = parse_common};
const struct argp_child cli_common[] = {
    {&common_parser, 0, NULL, 90},
    {0         }
};

void cli_parse(int argc, char **argv, const struct argp_option *options, argp_parser_t parser, const char *arguments,
               const char *doc, void *input)
{
    const struct argp argp = {
        .options = options, .parser = parser, .args_doc = arguments, .doc = doc, .children = cli_common};
    argp_parse(&argp, argc, argv, 0, NULL, input);
}

error_t cli_take_argument(int key, char *text, struct argp_state *state, const char **target, const char *what)
{
    switch (key) {
    case ARGP_KEY_ARG:
        if (*target)
            argp_error(state, "one %s is enough: '%s' is one too many", what, text);
        *target = text;
        return 0;
    case ARGP_KEY_END:
        if (!*target)
            argp_error(state, "%s is missing", what);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_name(int key, char *text, struct argp_state *state)
{
    return cli_take_argument(key, text, state, state->input, "NAME");
}

const char *cli_parse_name(int argc, char **argv, const char *doc)
{
    const char *name = NULL;
    cli_parse(argc, argv, NULL, parse_name, "NAME", doc, &name);
    return name;
}

static void complain(const char *format, va_list arguments)
{
    fputs("loam: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void cli_complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
}

void cli_refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
    exit(CLI_REFUSED);
}

unsigned cli_parse_number(const char *option, const char *text, unsigned maximum)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number > maximum)
        cli_refuse("%s: '%s' is not a whole number from 0 to %u", option, text, maximum);
    return (unsigned)number;
}

/* The connection to loamd, made when it is needed first. */
static struct manager_client client;

static bool connect_once(void)
{
    static bool tried, connected;
    if (!tried)
        connected = manager_client_open(&client, cli_options.socket);
    tried = true;
    return connected;
}

static json_t *call(const char *request, json_t *arguments, bool quietly, int *status)
{
    json_t *result = NULL;
    if (connect_once())
        result = manager_client_call(&client, request, arguments);
    else
        json_decref(arguments);
    *status = result ? CLI_DONE : strcmp(client.code, MANAGER_CLIENT_UNREACHABLE) == 0 ? CLI_UNREACHABLE : CLI_REFUSED;
    if (!result && !quietly)
        cli_complain("%s", client.error);
    return result;
}

json_t *cli_call(const char *request, json_t *arguments, int *status)
{
    return call(request, arguments, false, status);
}

json_t *cli_call_for_descriptor(const char *request, json_t *arguments, int *descriptor, int *status)
{
    json_t *result = call(request, arguments, false, status);
    if (!result)
        return NULL;
    *descriptor = client.passed;
    client.passed = -1;
    if (*descriptor >= 0)
        return result;
    cli_complain("loamd's answer came without a descriptor");
    json_decref(result);
    *status = CLI_REFUSED;
    return NULL;
}

json_t *cli_ask_quietly(const char *request, json_t *arguments)
{
    int status;
    return call(request, arguments, true, &status);
}

int cli_do(const char *request, json_t *arguments)
{
    int status;
    json_t *result = cli_call(request, arguments, &status);
    if (result && cli_options.json)
        cli_print_json(result);
    else
        json_decref(result);
    return status;
}

void cli_print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(value);
}

const char *cli_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

json_int_t cli_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}
