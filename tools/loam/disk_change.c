/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs that change disk images: compact, merge, resize, reconnect. */
#include <stdio.h>

#include "partitions/root/disk/compact.h"
#include "partitions/root/disk/merge.h"
#include "partitions/root/disk/reconnect.h"
#include "partitions/root/disk/resize.h"
#include "partitions/root/manager/text.h"
#include "tools/loam/cli.h"
#include "tools/loam/disk.h"
#include "tools/loam/disk_work.h"
#include "tools/loam/progress.h"
#include "tools/loam/size.h"
#include "tools/loam/verbs.h"

/* For a line that says what is done, or would be. */
static const char *tense(const struct disk_arguments *arguments, const char *would, const char *did)
{
    return arguments->dry_run ? would : did;
}

/* ---- Compact ---- */

/* clang-format off */
static const struct argp_option compact_options[] = {
    {"raw", DISK_OPTION_RAW, NULL, 0, DISK_RAW_DOC, 0},
    {"dry-run", DISK_OPTION_DRY_RUN, NULL, 0, DISK_DRY_RUN_DOC, 0},
    {0},
};
/* clang-format on */

static void print_compaction(const struct disk_arguments *arguments, const struct disk_compact_result *result)
{
    uint64_t gained = result->before > result->after ? result->before - result->after : 0;
    char text[SIZE_TEXT_SIZE];
    size_format(gained, text);
    if (cli_options.json)
        cli_print_json(json_pack("{s:o, s:b, s:I, s:I, s:I, s:I, s:I}", "path", text_json(arguments->values[0]),
                                 "dry_run", arguments->dry_run, "gained", (json_int_t)gained, "before",
                                 (json_int_t)result->before, "after", (json_int_t)result->after, "blocks_given_up",
                                 (json_int_t)result->given_up, "blocks_moved", (json_int_t)result->moved));
    else if (arguments->raw)
        printf("%s: %s %s (%llu bytes)\n", arguments->values[0], tense(arguments, "would give back", "gave back"), text,
               (unsigned long long)gained);
    else
        printf("%s: %s %s (%llu bytes): %u blocks are not needed, %u %s\n", arguments->values[0],
               tense(arguments, "would give back", "gave back"), text, (unsigned long long)gained, result->given_up,
               result->moved, tense(arguments, "would be moved", "were moved"));
}

static int compact(const struct disk_arguments *arguments)
{
    struct disk_compact_result result;
    struct disk_error error;
    const struct disk_compact_options options = {
        .raw = arguments->raw,
        .dry_run = arguments->dry_run,
        .progress = progress_begin("compacting"),
    };
    bool done = disk_compact(arguments->values[0], &options, &result, &error);
    progress_end();
    if (!done)
        return disk_fail(&error);
    print_compaction(arguments, &result);
    return CLI_DONE;
}

int disk_compact_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.names = {"FILE"}};
    disk_parse(
        argc, argv, compact_options,
        "Gives space back to the host: blocks of a dynamic disk that are zeros, blocks of a differencing one that "
        "are as in its parent, and zeros of a raw image.",
        &arguments);
    const struct broker_grant grant = {
        .files = {{arguments.values[0], disk_changing(&arguments)}},
        .parents = BROKER_READ,
        .sources = 1,
    };
    return disk_work(compact, &arguments, &grant);
}

/* ---- Merge ---- */

/* clang-format off */
static const struct argp_option merge_options[] = {
    {"into", DISK_OPTION_INTO, "PARENT", 0, "Which of its parents, one of loam disk chain FILE (default: the next)", 0},
    {"keep", DISK_OPTION_KEEP, NULL, 0, "Keep the merged images (default: remove them)", 0},
    {"force", DISK_OPTION_FORCE, NULL, 0,
     "Even if other images in the directory are based on these, which are worth nothing then", 0},
    {"dry-run", DISK_OPTION_DRY_RUN, NULL, 0, DISK_DRY_RUN_DOC, 0},
    {0},
};
/* clang-format on */

static void print_merge(const struct disk_arguments *arguments, const struct disk_merge_result *result)
{
    char written[SIZE_TEXT_SIZE], space[SIZE_TEXT_SIZE];
    size_format(result->written, written);
    size_format(result->space, space);
    if (cli_options.json) {
        cli_print_json(json_pack("{s:o, s:o, s:b, s:b, s:I, s:I, s:I}", "path", text_json(arguments->values[0]),
                                 "parent", text_json(result->ancestor), "dry_run", arguments->dry_run, "kept",
                                 arguments->keep, "images", (json_int_t)result->images, "written",
                                 (json_int_t)result->written, "space", (json_int_t)result->space));
        return;
    }
    printf("%s: %s %s (%llu bytes) into %s, which %s by %s\n", arguments->values[0],
           tense(arguments, "would write", "wrote"), written, (unsigned long long)result->written, result->ancestor,
           tense(arguments, "would grow", "grew"), space);
    if (!arguments->keep && !arguments->dry_run)
        printf("A virtual machine with %s gets %s now: loam vm set NAME --disk %s\n", arguments->values[0],
               result->ancestor, result->ancestor);
}

static int merge(const struct disk_arguments *arguments)
{
    struct disk_merge_result result;
    struct disk_error error;
    const struct disk_merge_options options = {
        .keep = arguments->keep,
        .force = arguments->force,
        .dry_run = arguments->dry_run,
        .progress = progress_begin("merging"),
    };
    bool done = disk_merge(arguments->values[0], arguments->parent, &options, &result, &error);
    progress_end();
    if (!done)
        return disk_fail(&error);
    print_merge(arguments, &result);
    return CLI_DONE;
}

int disk_merge_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.names = {"FILE"}};
    disk_parse(argc, argv, merge_options,
               "Writes what a differencing disk has over one of its parents into that parent, and removes it and the "
               "images between.\vInterrupted, it can be repeated; the disk reads as before until it is done. Other "
               "disks that are based on the parent are worth nothing from then on, wherever they are.",
               &arguments);
    unsigned rights = disk_changing(&arguments) | (arguments.force ? 0 : BROKER_LIST);
    if (!arguments.dry_run && !arguments.keep)
        rights |= BROKER_REMOVE;
    const struct broker_grant grant = {
        .files = {{arguments.values[0], rights}, {arguments.parent, BROKER_LOOK}},
        .parents = rights,
        .sources = 3, /* the chain is opened so often */
    };
    return disk_work(merge, &arguments, &grant);
}

/* ---- Resize ---- */

/* clang-format off */
static const struct argp_option resize_options[] = {
    {"raw", DISK_OPTION_RAW, NULL, 0, DISK_RAW_DOC, 0},
    {"sparse", DISK_OPTION_SPARSE, NULL, 0, "A fixed or raw disk takes its new space as it is written (default: at once)", 0},
    {"discard-data", DISK_OPTION_DISCARD_DATA, NULL, 0, "Cut off what is not zeros, too (default: refuse)", 0},
    {"dry-run", DISK_OPTION_DRY_RUN, NULL, 0, DISK_DRY_RUN_DOC, 0},
    {0},
};
/* clang-format on */

static void print_resize(const struct disk_arguments *arguments, uint64_t old_size, uint64_t size)
{
    char before[SIZE_TEXT_SIZE], after[SIZE_TEXT_SIZE];
    size_format(old_size, before);
    size_format(size, after);
    if (cli_options.json)
        cli_print_json(json_pack("{s:o, s:b, s:I, s:I}", "path", text_json(arguments->values[0]), "dry_run",
                                 arguments->dry_run, "old_size", (json_int_t)old_size, "size", (json_int_t)size));
    else
        printf("%s: %s from %s (%llu bytes) to %s (%llu bytes)\n", arguments->values[0],
               tense(arguments, "would be resized", "resized"), before, (unsigned long long)old_size, after,
               (unsigned long long)size);
}

static int resize(const struct disk_arguments *arguments)
{
    struct disk_resize_result result;
    struct disk_error error;
    const struct disk_resize_options options = {
        .raw = arguments->raw,
        .sparse = arguments->sparse,
        .discard_data = arguments->discard_data,
        .dry_run = arguments->dry_run,
        .progress = progress_begin("resizing"),
    };
    bool done = disk_resize(arguments->values[0], arguments->size, &options, &result, &error);
    progress_end();
    if (!done)
        return disk_fail(&error);
    print_resize(arguments, result.old_size, arguments->size);
    return CLI_DONE;
}

int disk_resize_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {
        .names = {"FILE", "SIZE"}
    };
    disk_parse(argc, argv, resize_options,
               "Makes a disk larger, with zeros, or smaller. Partitions and file systems are the guest's: they are "
               "shrunk before, and grown afterwards.\vExample: loam disk resize web1.vhd 20G",
               &arguments);
    arguments.size = disk_parse_size("SIZE", arguments.values[1], INT64_MAX);
    const struct broker_grant grant = {.files = {{arguments.values[0], disk_changing(&arguments)}}};
    return disk_work(resize, &arguments, &grant);
}

/* ---- Reconnect ---- */

/* clang-format off */
static const struct argp_option reconnect_options[] = {
    {"parent", DISK_OPTION_PARENT, "PARENT", 0,
     "Where the parent is, a file or a URL (default: where the disk has it, or a file of that name beside it)", 0},
    {"force", DISK_OPTION_FORCE, NULL, 0,
     "Even if PARENT is not the disk that FILE was made from; unless it is a copy, the contents are those of neither", 0},
    {"dry-run", DISK_OPTION_DRY_RUN, NULL, 0, DISK_DRY_RUN_DOC, 0},
    {0},
};
/* clang-format on */

static void print_reconnection(const struct disk_arguments *arguments, const struct disk_reconnect_result *result)
{
    if (cli_options.json)
        cli_print_json(json_pack("{s:o, s:o, s:b, s:b, s:b, s:b}", "path", text_json(arguments->values[0]), "parent",
                                 text_json(result->parent), "dry_run", arguments->dry_run, "other_identity",
                                 result->other_identity, "moved", result->moved, "changed", result->changed));
    else
        printf("%s: %s %s%s%s\n", arguments->values[0], tense(arguments, "its parent would be", "its parent is"),
               result->parent, result->moved ? ", which was elsewhere" : "",
               result->changed ? ", whose file was changed meanwhile" : "");
}

static int reconnect(const struct disk_arguments *arguments)
{
    struct disk_reconnect_result result;
    struct disk_error error;
    const struct disk_reconnect_options options = {
        .other_identity = arguments->force,
        .dry_run = arguments->dry_run,
    };
    if (!disk_reconnect(arguments->values[0], arguments->parent, &options, &result, &error))
        return disk_fail(&error);
    print_reconnection(arguments, &result);
    return CLI_DONE;
}

int disk_reconnect_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.names = {"FILE"}};
    disk_parse(argc, argv, reconnect_options,
               "Connects a differencing disk with its parent again, after one of them was moved, renamed or copied.",
               &arguments);
    const struct broker_grant grant = {
        .files = {{arguments.values[0], disk_changing(&arguments)}, {arguments.parent, BROKER_READ}},
        .parents = BROKER_READ,
        .sources = 1,
    };
    return disk_work(reconnect, &arguments, &grant);
}
