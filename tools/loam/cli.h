/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the verbs of the command share: options, the connection to loamd, and how they end. */
#ifndef LOAM_CLI_H
#define LOAM_CLI_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>

/* Exit statuses; documented in loam(1). */
enum {
    CLI_DONE = 0,
    CLI_REFUSED = 1, /* it cannot be done, or went wrong */
    CLI_USAGE = 2,
    CLI_UNREACHABLE = 3, /* loamd does not run, or may not be used */
    CLI_TIMEOUT = 4,     /* not within the time given */
    CLI_SIGNALLED = 128, /* and the signal's number: ended by one, in order */
};

struct cli_options {
    bool json;
    const char *socket;
};
extern struct cli_options cli_options;

/* --json and --socket, to be a child of every verb's parser. */
extern const struct argp_child cli_common[];

/* Parses a verb's arguments; `doc` as in struct argp. Ends the program with CLI_USAGE if they are wrong. */
void cli_parse(int argc, char **argv, const struct argp_option *options, argp_parser_t parser, const char *arguments,
               const char *doc, void *input);

/* For parsers: takes the only argument, or complains about one too many and a missing one. `what` is "NAME".
 */
error_t cli_take_argument(int key, char *text, struct argp_state *state, const char **target, const char *what);
/* For verbs whose only argument is the name of a virtual machine or a switch. */
const char *cli_parse_name(int argc, char **argv, const char *doc);

/* One line on standard error. */
void cli_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, and ends the program with CLI_REFUSED: for an option whose value cannot be. */
_Noreturn void cli_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The number that is an option's value; ends the program as above if it is none, or larger than `maximum`. */
unsigned cli_parse_number(const char *option, const char *text, unsigned maximum);

/*
 * Asks loamd and returns its result, the caller's. NULL: the reason has been printed, and `status` is what
 * the program is to end with. `arguments` are taken over.
 */
json_t *cli_call(const char *request, json_t *arguments, int *status);
/* The same with the descriptor that comes with the answer, the caller's. */
json_t *cli_call_for_descriptor(const char *request, json_t *arguments, int *descriptor, int *status);
/* Asks, and prints the result with --json, otherwise nothing. Returns the exit status. */
int cli_do(const char *request, json_t *arguments);
/* Whether loamd can be asked; its answer's NULL is silent then. For what is only nice to know. */
json_t *cli_ask_quietly(const char *request, json_t *arguments);

/* Prints a value as JSON. Takes the reference over. */
void cli_print_json(json_t *value);

/* Values of an object, with something to show for those that are not there. */
const char *cli_text(const json_t *object, const char *key);
json_int_t cli_number(const json_t *object, const char *key);

#endif
