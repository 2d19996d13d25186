/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verb that mends disk images. */
#include <stdio.h>

#include "partitions/root/disk/repair.h"
#include "partitions/root/manager/text.h"
#include "tools/loam/cli.h"
#include "tools/loam/disk.h"
#include "tools/loam/disk_work.h"
#include "tools/loam/progress.h"
#include "tools/loam/verbs.h"

/* clang-format off */
static const struct argp_option options[] = {
    {"drop-damaged", DISK_OPTION_DROP_DAMAGED, NULL, 0,
     "Mend what has lost its data, too: zeros, or the parent's data, take their place (default: change nothing then)", 0},
    {"no-backup", DISK_OPTION_NO_BACKUP, NULL, 0, "Do not save what is changed (default: to FILE.repair-backup)", 0},
    {"undo", DISK_OPTION_UNDO, "BACKUP", 0,
     "Make FILE what it was before the repair that has saved to BACKUP; nothing may have been written to it since", 0},
    {"dry-run", DISK_OPTION_DRY_RUN, NULL, 0, DISK_DRY_RUN_DOC, 0},
    {0},
};
/* clang-format on */

static const char *const kind_names[] = {
    [DISK_REPAIR_MENDED] = "mended",
    [DISK_REPAIR_LOST] = "lost",
    [DISK_REPAIR_LEFT] = "left",
};

static void report(void *context, enum disk_repair_kind kind, const char *text)
{
    json_t *findings = context;
    if (cli_options.json)
        json_array_append_new(findings, json_pack("{s:s, s:o}", "kind", kind_names[kind], "text", text_json(text)));
    else
        printf("%s: %s\n", kind_names[kind], text);
}

/* Whether nothing is left that would have to be mended. */
static bool is_sound(const struct disk_arguments *arguments, const struct disk_repair_result *result)
{
    return !result->count[DISK_REPAIR_LEFT] && (!result->count[DISK_REPAIR_LOST] || arguments->drop_damaged);
}

static void print_verdict(const struct disk_arguments *arguments, const struct disk_repair_result *result)
{
    const char *path = arguments->values[0];
    if (result->count[DISK_REPAIR_LEFT])
        printf("%s: it cannot be mended, and nothing was changed: restore it from a copy\n", path);
    else if (!is_sound(arguments, result))
        printf(
            "%s: nothing was changed, as data are lost; to mend it without them: loam disk repair --drop-damaged %s\n",
            path, path);
    else if (arguments->dry_run)
        printf("%s: %s\n", path,
               result->count[DISK_REPAIR_MENDED] + result->count[DISK_REPAIR_LOST] ? "would be mended" : "sound");
    else if (result->backup[0])
        printf("%s: mended; to undo that: loam disk repair --undo %s %s\n", path, result->backup, path);
    else
        printf("%s: %s\n", path, result->changed ? "mended" : "sound");
}

static void print_result(const struct disk_arguments *arguments, const struct disk_repair_result *result,
                         json_t *findings)
{
    if (!cli_options.json) {
        print_verdict(arguments, result);
        return;
    }
    cli_print_json(json_pack("{s:o, s:b, s:b, s:b, s:o, s:O}", "path", text_json(arguments->values[0]), "dry_run",
                             arguments->dry_run, "changed", result->changed, "sound", is_sound(arguments, result),
                             "backup", result->backup[0] ? text_json(result->backup) : json_null(), "findings",
                             findings));
}

static int repair(const struct disk_arguments *arguments)
{
    struct disk_repair_result result;
    struct disk_error error;
    json_t *findings = json_array();
    const struct disk_repair_options chosen = {
        .drop_damaged = arguments->drop_damaged,
        .dry_run = arguments->dry_run,
        .no_backup = arguments->no_backup,
        .progress = progress_begin("repairing"),
    };
    bool done = disk_repair(arguments->values[0], &chosen, report, findings, &result, &error);
    progress_end();
    if (done)
        print_result(arguments, &result, findings);
    json_decref(findings);
    if (!done)
        return disk_fail(&error);
    return is_sound(arguments, &result) ? CLI_DONE : CLI_REFUSED;
}

static int undo(const struct disk_arguments *arguments)
{
    struct disk_error error;
    return disk_repair_undo(arguments->values[0], arguments->undo, &error) ? CLI_DONE : disk_fail(&error);
}

int disk_repair_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.names = {"FILE"}};
    disk_parse(argc, argv, options,
               "Mends a damaged VHD or VHDX, and saves before what it changes.\vExit status: 0 the disk is sound, or "
               "would be, 1 it is not.",
               &arguments);
    const struct broker_grant grant = {
        .files = {{arguments.values[0], disk_changing(&arguments) | (arguments.no_backup ? 0 : BROKER_BACKUP)},
                  {arguments.undo, BROKER_READ | BROKER_REMOVE}},
    };
    if (!arguments.undo)
        return disk_work(repair, &arguments, &grant);
    if (arguments.dry_run || arguments.drop_damaged || arguments.no_backup)
        cli_refuse("--undo: has no other options");
    return disk_work(undo, &arguments, &grant);
}
