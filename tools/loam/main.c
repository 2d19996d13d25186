/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loam: the command. A noun, a verb, and the verb's arguments. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "partitions/root/manager/name.h"
#include "tools/loam/cli.h"
#include "tools/loam/verbs.h"

#define MOST_VERBS 18 /* and an empty one behind them */

struct verb {
    const char *name;
    verb_function *run;
    const char *summary;
};

/* clang-format off */
static const struct noun {
    const char *name;
    const char *summary;
    struct verb verbs[MOST_VERBS];
} nouns[] = {
    {"host",
     "The hypervisor and this machine",
     {{"info", host_info, "what this machine and its hypervisor are"},
      {"log", host_log, "the hypervisor's log"},
      {"stats", host_stats, "counters: memory, exits"}}},
    {"vm",
     "Virtual machines",
     {{"create", vm_create, "define a new one"},
      {"list", vm_list, "all of them, with their states"},
      {"show", vm_show, "everything about one"},
      {"start", vm_start, "from Off to Running"},
      {"stop", vm_stop, "press its power button and wait; or turn it off"},
      {"reset", vm_reset, "as its reset button does"},
      {"pause", vm_pause, "let its time stand still"},
      {"resume", vm_resume, "let its time go on"},
      {"wait", vm_wait, "wait until one is in a state"},
      {"set", vm_set, "change one that is Off"},
      {"console", vm_console, "its first serial port, on this terminal"},
      {"screen", vm_screen, "its screen, for VNC viewers or as text"},
      {"screenshot", vm_screenshot, "a picture of its screen"},
      {"send-keys", vm_send_keys, "press keys, or type a text"},
      {"insert", vm_insert, "put a medium into a DVD or floppy drive"},
      {"eject", vm_eject, "take it out"},
      {"remove", vm_remove, "forget one that is Off; its disks stay"}}},
    {"disk",
     "Disk images: VHD and raw",
     {{"create", disk_create_verb, "make an empty disk, or a differencing one"},
      {"info", disk_info_verb, "what an image is"},
      {"chain", disk_chain_verb, "a differencing disk and its parents"},
      {"check", disk_check_verb, "look a VHD over"},
      {"repair", disk_repair_verb, "mend a damaged VHD"},
      {"convert", disk_convert_verb, "copy a disk into an image of another format"},
      {"compare", disk_compare_verb, "whether two disks hold the same"},
      {"resize", disk_resize_verb, "make a disk larger or smaller"},
      {"compact", disk_compact_verb, "give space back that is not needed"},
      {"merge", disk_merge_verb, "write a differencing disk into its parent"},
      {"reconnect", disk_reconnect_verb, "say where a differencing disk's parent is"}}},
    {"switch",
     "Virtual switches",
     {{"create", switch_create, "make one"},
      {"list", switch_list, "all of them"},
      {"show", switch_show, "everything about one: ports, addresses, forwards"},
      {"forward", switch_forward, "let a port of this machine lead to a virtual machine"},
      {"remove", switch_remove, "remove one that no virtual machine uses"}}},
};
/* clang-format on */

#define NOUNS (sizeof(nouns) / sizeof(nouns[0]))

static char *program_help(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)text;
    char *help = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&help, &size);
    if (!stream)
        return (char *)text;
    for (size_t i = 0; i < NOUNS; i++) {
        fprintf(stream, "%s%s:\n", i ? "\n" : "", nouns[i].summary);
        for (const struct verb *verb = nouns[i].verbs; verb->name; verb++)
            fprintf(stream, "  loam %s %-*s %s\n", nouns[i].name, 16 - (int)strlen(nouns[i].name), verb->name,
                    verb->summary);
    }
    fputs("\nloam NOUN VERB --help explains a verb. Exit status: 0 done, 1 refused or\n"
          "failed, 2 usage, 3 loamd cannot be reached, 4 not within the time given.",
          stream);
    fclose(stream);
    return help;
}

/* Stops at the noun, whose place goes to *input. */
static error_t parse_program(int key, char *text, struct argp_state *state)
{
    (void)text;
    switch (key) {
    case ARGP_KEY_ARG:
        *(int *)state->input = state->next - 1;
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The best of `count` names that are `stride` bytes apart; NULL: none is near. */
static const char *find_near(const char *typed, const void *names, size_t count, size_t stride)
{
    const char *best = NULL;
    unsigned least = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = *(const char *const *)((const char *)names + i * stride);
        unsigned resemblance = name ? name_resemblance(typed, name) : 0;
        if (resemblance && (!least || resemblance < least)) {
            least = resemblance;
            best = name;
        }
    }
    return best;
}

static int refuse_word(const char *what, const char *word, const char *near, const char *help)
{
    if (near)
        cli_complain("there is no %s '%s': did you mean '%s'?", what, word, near);
    else
        cli_complain("there is no %s '%s': %s --help shows those that are", what, word, help);
    return CLI_USAGE;
}

static int help_noun(const struct noun *noun, FILE *stream)
{
    fprintf(stream, "%s. Verbs:\n", noun->summary);
    for (const struct verb *verb = noun->verbs; verb->name; verb++)
        fprintf(stream, "  loam %s %-10s %s\n", noun->name, verb->name, verb->summary);
    fprintf(stream, "loam %s VERB --help explains one.\n", noun->name);
    return stream == stdout ? CLI_DONE : CLI_USAGE;
}

static bool asks_for_help(const char *word)
{
    static const char *const words[] = {"help", "--help", "-?", "-h"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

static int run_verb(const struct noun *noun, int argc, char **argv)
{
    char program[64], help[64];
    if (argc < 1)
        return help_noun(noun, stderr);
    if (asks_for_help(argv[0])) {
        if (argc < 2)
            return help_noun(noun, stdout);
        argv[0] = argv[1]; /* "help VERB" is "VERB --help" */
        argv[1] = "--help";
        argc = 2;
    }
    for (const struct verb *verb = noun->verbs; verb->name; verb++) {
        if (strcmp(verb->name, argv[0]) != 0)
            continue;
        snprintf(program, sizeof(program), "loam %s %s", noun->name, verb->name);
        argv[0] = program_invocation_name = program_invocation_short_name = program;
        return verb->run(argc, argv);
    }
    snprintf(help, sizeof(help), "loam %s", noun->name);
    return refuse_word("verb", argv[0], find_near(argv[0], &noun->verbs[0].name, MOST_VERBS, sizeof(struct verb)),
                       help);
}

/* What was printed has to arrive, or the program has failed. */
static void finish_output(void)
{
    errno = 0; /* why an earlier write failed is not known any more */
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    cli_complain("standard output cannot be written%s%s", errno ? ": " : "", errno ? strerror(errno) : "");
    _exit(CLI_REFUSED);
}

int main(int argc, char **argv)
{
    static const struct argp parser = {
        .parser = parse_program,
        .args_doc = "NOUN VERB [ARGUMENT...]",
        .doc = "Manages virtual machines on Loam.\v", /* the rest is program_help's */
        .children = cli_common,
        .help_filter = program_help,
    };
    int place = argc;
    atexit(finish_output);
    argp_err_exit_status = CLI_USAGE;
    argp_program_version = "loam " LOAM_VERSION;
    argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &place);
    if (place >= argc)
        return CLI_USAGE;
    if (strcmp(argv[place], "help") == 0 && place + 1 < argc) {
        argv[place] = argv[place + 1]; /* "help NOUN" is "NOUN help" */
        argv[place + 1] = "help";
    } else if (strcmp(argv[place], "help") == 0) {
        char *arguments[] = {argv[0], "--help", NULL};
        argp_parse(&parser, 2, arguments, 0, NULL, &place);
    }
    for (size_t i = 0; i < NOUNS; i++)
        if (strcmp(nouns[i].name, argv[place]) == 0)
            return run_verb(&nouns[i], argc - place - 1, argv + place + 1);
    return refuse_word("noun", argv[place], find_near(argv[place], &nouns[0].name, NOUNS, sizeof(struct noun)), "loam");
}
