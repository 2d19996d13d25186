/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs that put media into drives and take them out. */
#include <string.h>

#include "tools/loam/cli.h"
#include "tools/loam/path.h"
#include "tools/loam/verbs.h"

#define LAST_DRIVE      1u
#define READ_ONLY_WORDS ",read-only"

enum { OPTION_DRIVE = 0x100, OPTION_FORCE };

struct media_arguments {
    const char *name, *kind;
    char *file; /* of an insertion */
    bool inserts, force;
    unsigned drive;
};

/* clang-format off */
static const struct argp_option insert_options[] = {
    {"drive", OPTION_DRIVE, "NUMBER", 0, "Which of its DVD or floppy drives, from 0 (the default)", 0},
    {0},
};

static const struct argp_option eject_options[] = {
    {"drive", OPTION_DRIVE, "NUMBER", 0, "Which of its DVD or floppy drives, from 0 (the default)", 0},
    {"force", OPTION_FORCE, NULL, 0, "Even if the guest has locked the tray", 0},
    {0},
};
/* clang-format on */

static error_t take_word(struct media_arguments *arguments, char *text, struct argp_state *state)
{
    if (!arguments->name)
        arguments->name = text;
    else if (!arguments->kind)
        arguments->kind = text;
    else if (arguments->inserts && !arguments->file)
        arguments->file = text;
    else
        argp_error(state, "'%s' is one argument too many", text);
    return 0;
}

static void check_words(const struct media_arguments *arguments, const struct argp_state *state)
{
    const char *kind = arguments->kind;
    if (!arguments->name)
        argp_error(state, "NAME is missing");
    if (!kind)
        argp_error(state, "which drive: dvd or floppy?");
    if (strcmp(kind, "dvd") != 0 && strcmp(kind, "floppy") != 0)
        argp_error(state, "'%s' is no drive: dvd and floppy are", kind);
    if (arguments->inserts && !arguments->file)
        argp_error(state, "FILE is missing");
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct media_arguments *arguments = state->input;
    switch (key) {
    case OPTION_DRIVE:
        arguments->drive = cli_parse_number("--drive", text, LAST_DRIVE);
        return 0;
    case OPTION_FORCE:
        arguments->force = true;
        return 0;
    case ARGP_KEY_ARG:
        return take_word(arguments, text, state);
    case ARGP_KEY_END:
        check_words(arguments, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static json_t *place_json(const struct media_arguments *arguments)
{
    json_t *name = json_string(arguments->name);
    /* A name that is not UTF-8 is none that exists. */
    return json_pack("{s:o, s:s, s:i}", "name", name ? name : json_string("?"), "drive", arguments->kind, "number",
                     (int)arguments->drive);
}

/* Cuts the words off the name of a floppy disk's image. */
static bool is_read_only(struct media_arguments *arguments)
{
    size_t length = strlen(arguments->file), words = strlen(READ_ONLY_WORDS);
    if (strcmp(arguments->kind, "floppy") != 0 || length <= words ||
        strcmp(arguments->file + length - words, READ_ONLY_WORDS) != 0)
        return false;
    arguments->file[length - words] = '\0';
    return true;
}

int vm_insert(int argc, char **argv)
{
    struct media_arguments arguments = {.inserts = true};
    cli_parse(argc, argv, insert_options, parse, "NAME dvd|floppy FILE",
              "Puts an ISO image or a floppy disk's image into a drive that is empty, whether the virtual machine runs "
              "or is Off.\vFILE,read-only is a write-protected floppy disk. It stays there for the next start. All of "
              "the virtual machine's files must be open to you, as with loam vm set.",
              &arguments);
    bool read_only = is_read_only(&arguments);
    json_t *values = place_json(&arguments);
    json_object_update_new(values,
                           json_pack("{s:o, s:b}", "path", path_absolute(arguments.file), "read_only", read_only));
    return cli_do("vm-insert", values);
}

int vm_eject(int argc, char **argv)
{
    struct media_arguments arguments = {0};
    cli_parse(argc, argv, eject_options, parse, "NAME dvd|floppy",
              "Takes out what is in a drive, whether the virtual machine runs or is Off.\vA guest may have locked the "
              "tray of a DVD drive that it uses; then it is asked to eject the disc itself.",
              &arguments);
    json_t *values = place_json(&arguments);
    json_object_set_new(values, "force", json_boolean(arguments.force));
    return cli_do("vm-eject", values);
}
