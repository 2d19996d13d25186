/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the verbs about disk images share. */
#include "tools/loam/disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/loam/cli.h"
#include "tools/loam/confined.h"
#include "tools/loam/progress.h"
#include "tools/loam/size.h"

/* ---- Arguments ---- */

static enum disk_format parse_format(const char *text)
{
    for (enum disk_format format = DISK_FORMAT_RAW; format <= DISK_FORMAT_DYNAMIC; format++)
        if (strcmp(text, disk_format_name(format)) == 0)
            return format;
    cli_refuse("--format: '%s' is none: use dynamic, fixed or raw", text);
}

uint64_t disk_parse_size(const char *option, const char *text, uint64_t maximum)
{
    uint64_t size;
    if (!size_parse(text, &size))
        cli_refuse("%s: '%s' is not a size: write it as 512M or 10G", option, text);
    if (size > maximum)
        cli_refuse("%s: '%s' is too large", option, text);
    return size;
}

static bool wants_value(const struct disk_arguments *arguments, unsigned number)
{
    return number < 2 && arguments->names[number];
}

static void take_value(struct disk_arguments *arguments, const char *text, struct argp_state *state)
{
    if (!wants_value(arguments, state->arg_num))
        argp_error(state, "'%s' is one argument too many", text);
    else
        arguments->values[state->arg_num] = text;
}

/* The field that an option without a value sets; NULL if it is none of these. */
static bool *find_switch(struct disk_arguments *arguments, int key)
{
    const struct {
        int key;
        bool *field;
    } switches[] = {
        {DISK_OPTION_SPARSE,       &arguments->sparse      },
        {DISK_OPTION_REPLACE,      &arguments->replace     },
        {DISK_OPTION_RAW,          &arguments->raw         },
        {DISK_OPTION_SOURCE_RAW,   &arguments->raw         },
        {DISK_OPTION_FIRST_RAW,    &arguments->raw         },
        {DISK_OPTION_SECOND_RAW,   &arguments->second_raw  },
        {DISK_OPTION_PARENT_RAW,   &arguments->raw         },
        {DISK_OPTION_KEEP,         &arguments->keep        },
        {DISK_OPTION_FORCE,        &arguments->force       },
        {DISK_OPTION_STRICT,       &arguments->strict      },
        {DISK_OPTION_DISCARD_DATA, &arguments->discard_data},
        {DISK_OPTION_DROP_DAMAGED, &arguments->drop_damaged},
        {DISK_OPTION_NO_BACKUP,    &arguments->no_backup   },
        {DISK_OPTION_DRY_RUN,      &arguments->dry_run     },
    };
    for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
        if (switches[i].key == key)
            return switches[i].field;
    return NULL;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct disk_arguments *arguments = state->input;
    bool *field = find_switch(arguments, key);
    if (field) {
        *field = true;
        return 0;
    }
    switch (key) {
    case 's':
        arguments->size = disk_parse_size("--size", text, INT64_MAX);
        arguments->has_size = true;
        return 0;
    case 'f':
        arguments->format = parse_format(text);
        arguments->has_format = true;
        return 0;
    case DISK_OPTION_BLOCK_SIZE:
        arguments->block_size = (uint32_t)disk_parse_size("--block-size", text, UINT32_MAX);
        if (!arguments->block_size)
            cli_refuse("--block-size: must be a power of two from 4K up, not 0");
        return 0;
    case DISK_OPTION_LOGICAL_SECTOR:
        arguments->logical_sector = (uint32_t)disk_parse_size("--logical-sector", text, 4096);
        if (arguments->logical_sector != 512 && arguments->logical_sector != 4096)
            cli_refuse("--logical-sector: '%s' is none: use 512 or 4096", text);
        return 0;
    case DISK_OPTION_PARENT:
    case DISK_OPTION_INTO:
        arguments->parent = text;
        return 0;
    case DISK_OPTION_UNDO:
        arguments->undo = text;
        return 0;
    case ARGP_KEY_ARG:
        take_value(arguments, text, state);
        return 0;
    case ARGP_KEY_END:
        if (wants_value(arguments, state->arg_num))
            argp_error(state, "%s is missing", arguments->names[state->arg_num]);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

void disk_parse(int argc, char **argv, const struct argp_option *options, const char *doc,
                struct disk_arguments *arguments)
{
    char names[64];
    snprintf(names, sizeof(names), "%s%s%s", arguments->names[0], arguments->names[1] ? " " : "",
             arguments->names[1] ? arguments->names[1] : "");
    cli_parse(argc, argv, options, parse, names, doc, arguments);
}

/* ---- Errors ---- */

static const char *find_remedy(int code)
{
    switch (code) {
    case EEXIST:
        return ": choose another name, or give --replace";
    case EUCLEAN:
        return " (loam disk check says more)";
    case EMLINK:
        return " (--force does it all the same)";
    default:
        return "";
    }
}

int disk_fail(const struct disk_error *error)
{
    char vm[64] = "";
    if (error->code == EBUSY)
        confined_find_vm(error->holder, vm);
    if (vm[0])
        cli_complain("%.*sin use by virtual machine %s: stop it first", (int)error->reason, error->text, vm);
    else
        cli_complain("%s%s", error->text, find_remedy(error->code));
    return error->code == ECANCELED ? CLI_SIGNALLED + progress_signal() : CLI_REFUSED;
}

/* ---- Words ---- */

json_t *disk_identifier_json(const uint8_t *id)
{
    return json_sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0], id[1], id[2],
                        id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13], id[14],
                        id[15]);
}

void disk_format_text(enum disk_container container, enum disk_format format, char text[DISK_FORMAT_TEXT_SIZE])
{
    if (container == DISK_CONTAINER_NONE)
        snprintf(text, DISK_FORMAT_TEXT_SIZE, "%s", disk_format_name(format));
    else
        snprintf(text, DISK_FORMAT_TEXT_SIZE, "%s %s", disk_format_name(format), disk_container_name(container));
}
