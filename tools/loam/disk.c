/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs about disk images. They do their work in this process, with its user's rights. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "partitions/root/disk/check.h"
#include "partitions/root/disk/convert.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/info.h"
#include "partitions/root/manager/text.h"
#include "tools/loam/cli.h"
#include "tools/loam/progress.h"
#include "tools/loam/size.h"
#include "tools/loam/table.h"
#include "tools/loam/verbs.h"

enum { OPTION_BLOCK_SIZE = 0x100, OPTION_SPARSE, OPTION_REPLACE, OPTION_SOURCE_RAW, OPTION_RAW };

struct disk_arguments {
    const char *paths[2];
    unsigned wanted_paths;
    uint64_t size;
    bool has_size, has_format;
    enum disk_format format;
    uint32_t block_size;
    bool sparse, replace, raw;
};

#define FORMAT_DOC     "dynamic (a VHD that grows), fixed (a VHD of full size), or raw"
#define BLOCK_SIZE_DOC "Block size of a dynamic VHD, a power of two from 4K up (default 2M)"
#define REPLACE_DOC    "Take the place of an existing file that nobody uses (default: refuse)"

/* ---- Arguments ---- */

static enum disk_format parse_format(const char *text)
{
    for (enum disk_format format = DISK_FORMAT_RAW; format <= DISK_FORMAT_DYNAMIC; format++)
        if (strcmp(text, disk_format_name(format)) == 0)
            return format;
    cli_refuse("--format: '%s' is none: use dynamic, fixed or raw", text);
}

static uint64_t parse_size(const char *option, const char *text, uint64_t maximum)
{
    uint64_t size;
    if (!size_parse(text, &size))
        cli_refuse("%s: '%s' is not a size: write it as 512M or 10G", option, text);
    if (size > maximum)
        cli_refuse("%s: '%s' is too large", option, text);
    return size;
}

static void take_path(struct disk_arguments *arguments, const char *text, struct argp_state *state)
{
    if (state->arg_num >= arguments->wanted_paths)
        argp_error(state, "'%s' is one argument too many", text);
    arguments->paths[state->arg_num] = text;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct disk_arguments *arguments = state->input;
    switch (key) {
    case 's':
        arguments->size = parse_size("--size", text, INT64_MAX);
        arguments->has_size = true;
        return 0;
    case 'f':
        arguments->format = parse_format(text);
        arguments->has_format = true;
        return 0;
    case OPTION_BLOCK_SIZE:
        arguments->block_size = (uint32_t)parse_size("--block-size", text, UINT32_MAX);
        if (!arguments->block_size)
            cli_refuse("--block-size: must be a power of two from 4K up, not 0");
        return 0;
    case OPTION_SPARSE:
        arguments->sparse = true;
        return 0;
    case OPTION_REPLACE:
        arguments->replace = true;
        return 0;
    case OPTION_RAW:
    case OPTION_SOURCE_RAW:
        arguments->raw = true;
        return 0;
    case ARGP_KEY_ARG:
        take_path(arguments, text, state);
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num < arguments->wanted_paths)
            argp_error(state, arguments->wanted_paths == 1 ? "FILE is missing"
                              : state->arg_num             ? "DESTINATION is missing"
                                                           : "SOURCE is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- Errors ---- */

/* Which virtual machine's worker this process is; empty: none, as far as loamd can be asked. */
static void find_vm(pid_t process, char name[64])
{
    json_t *result = process ? cli_ask_quietly("vm-list", NULL) : NULL, *vm;
    size_t index;
    name[0] = '\0';
    json_array_foreach(json_object_get(result, "vms"), index, vm)
    {
        if (cli_number(vm, "process") == process)
            snprintf(name, 64, "%s", cli_text(vm, "name"));
    }
    json_decref(result);
}

static int fail(const struct disk_error *error)
{
    char vm[64] = "";
    const char *remedy = error->code == EEXIST    ? ": choose another name, or give --replace"
                         : error->code == EUCLEAN ? " (loam disk check says more)"
                                                  : "";
    if (error->code == EBUSY)
        find_vm(error->holder, vm);
    if (vm[0])
        cli_complain("%.*sin use by virtual machine %s: stop it first", (int)error->reason, error->text, vm);
    else
        cli_complain("%s%s", error->text, remedy);
    return error->code == ECANCELED ? CLI_SIGNALLED + progress_signal() : CLI_REFUSED;
}

/* ---- What an image is ---- */

static json_t *identifier_json(const uint8_t *id)
{
    return json_sprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0], id[1],
                        id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12],
                        id[13], id[14], id[15]);
}

static json_t *info_json(const char *path, const struct disk_info *info)
{
    json_t *value = json_pack("{s:o, s:s, s:I, s:I, s:I, s:[i,i,i], s:b}", "path", text_json(path), "format",
                              disk_format_name(info->format), "size", (json_int_t)info->size, "file_size",
                              (json_int_t)info->file_size, "file_space", (json_int_t)info->file_space,
                              "geometry", info->geometry.cylinders, info->geometry.heads,
                              info->geometry.sectors_per_track, "in_use", info->in_use);
    if (info->format == DISK_FORMAT_RAW)
        return value;
    json_object_update_new(value,
                           json_pack("{s:s, s:s, s:I, s:o, s:b, s:b}", "creator", info->creator_application,
                                     "creator_host", info->creator_host, "created", (json_int_t)info->created,
                                     "identifier", identifier_json(info->identifier), "saved_state",
                                     info->saved_state, "footer_damaged", info->footer_damaged));
    if (info->format == DISK_FORMAT_DYNAMIC)
        json_object_update_new(
            value, json_pack("{s:I, s:I, s:I, s:I}", "block_size", (json_int_t)info->block_size, "blocks",
                             (json_int_t)info->blocks, "allocated_blocks", (json_int_t)info->allocated_blocks,
                             "damaged_blocks", (json_int_t)info->damaged_blocks));
    return value;
}

static int print_json(const char *path, bool raw)
{
    struct disk_info info;
    struct disk_error error;
    if (!disk_info(path, raw ? DISK_OPEN_RAW : 0, &info, &error))
        return fail(&error);
    cli_print_json(info_json(path, &info));
    return CLI_DONE;
}

/* ---- Create and convert ---- */

/* Options that the format has no use for are a mistake. */
static void check_options(const struct disk_arguments *arguments)
{
    if (arguments->block_size && arguments->format != DISK_FORMAT_DYNAMIC)
        cli_refuse("--block-size: only a dynamic VHD has blocks");
    if (arguments->sparse && arguments->format == DISK_FORMAT_DYNAMIC)
        cli_refuse(
            "--sparse: is for fixed and raw disks; a dynamic VHD takes its space as it is written anyway");
}

static int finish(bool made, const struct disk_error *error, const char *path, enum disk_format format)
{
    if (!made)
        return fail(error);
    return cli_options.json ? print_json(path, format == DISK_FORMAT_RAW) : CLI_DONE;
}

/* clang-format off */
static const struct argp_option create_options[] = {
    {"size", 's', "SIZE", 0, "Size of the disk, as 512M or 10G; required", 0},
    {"format", 'f', "FORMAT", 0, FORMAT_DOC " (default dynamic)", 0},
    {"block-size", OPTION_BLOCK_SIZE, "SIZE", 0, BLOCK_SIZE_DOC, 0},
    {"sparse", OPTION_SPARSE, NULL, 0, "A fixed or raw disk takes its space as it is written (default: at once)", 0},
    {"replace", OPTION_REPLACE, NULL, 0, REPLACE_DOC, 0},
    {0},
};
/* clang-format on */

int disk_create_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.wanted_paths = 1, .format = DISK_FORMAT_DYNAMIC};
    struct disk_error error;
    cli_parse(argc, argv, create_options, parse, "FILE",
              "Makes an empty disk.\vExample: loam disk create web1.vhd --size 10G", &arguments);
    if (!arguments.has_size) {
        cli_complain("give the size of the disk with --size, as in: loam disk create %s --size 10G",
                     arguments.paths[0]);
        return CLI_USAGE;
    }
    check_options(&arguments);
    const struct disk_create_options options = {
        .block_size = arguments.block_size,
        .sparse = arguments.sparse,
        .replace = arguments.replace,
        .progress = progress_begin("creating"),
    };
    bool created = disk_create(arguments.paths[0], arguments.size, arguments.format, &options, &error);
    progress_end();
    return finish(created, &error, arguments.paths[0], arguments.format);
}

/* clang-format off */
static const struct argp_option convert_options[] = {
    {"format", 'f', "FORMAT", 0,
     FORMAT_DOC " (default: dynamic if DESTINATION ends with .vhd, raw if it ends with .raw or .img)", 0},
    {"block-size", OPTION_BLOCK_SIZE, "SIZE", 0, BLOCK_SIZE_DOC, 0},
    {"source-raw", OPTION_SOURCE_RAW, NULL, 0, "SOURCE is raw, even if it looks like a VHD (default: if it is no VHD)",
     0},
    {"replace", OPTION_REPLACE, NULL, 0, REPLACE_DOC, 0},
    {0},
};
/* clang-format on */

static bool guess_format(const char *path, enum disk_format *format)
{
    const char *suffix = strrchr(path, '.');
    *format = suffix && strcasecmp(suffix, ".vhd") == 0 ? DISK_FORMAT_DYNAMIC : DISK_FORMAT_RAW;
    return suffix && (strcasecmp(suffix, ".vhd") == 0 || strcasecmp(suffix, ".raw") == 0 ||
                      strcasecmp(suffix, ".img") == 0);
}

int disk_convert_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.wanted_paths = 2};
    struct disk_error error;
    cli_parse(argc, argv, convert_options, parse, "SOURCE DESTINATION",
              "Copies a disk into a new image. Where there are only zeros it takes no space.", &arguments);
    if (!arguments.has_format && !guess_format(arguments.paths[1], &arguments.format)) {
        cli_complain(
            "%s: its name does not say which format it is to have: give --format dynamic, fixed or raw",
            arguments.paths[1]);
        return CLI_USAGE;
    }
    check_options(&arguments);
    const struct disk_convert_options options = {
        .source_raw = arguments.raw,
        .block_size = arguments.block_size,
        .replace = arguments.replace,
        .progress = progress_begin("converting"),
    };
    bool converted = disk_convert(arguments.paths[0], arguments.paths[1], arguments.format, &options, &error);
    progress_end();
    return finish(converted, &error, arguments.paths[1], arguments.format);
}

/* ---- Info ---- */

/* clang-format off */
static const struct argp_option info_options[] = {
    {"raw", OPTION_RAW, NULL, 0, "FILE is a raw image (default: a VHD)", 0},
    {0},
};
/* clang-format on */

static void describe_vhd(const struct disk_info *info)
{
    char block_size[SIZE_TEXT_SIZE], date[64] = "";
    const time_t created = (time_t)info->created;
    struct tm parts;
    if (localtime_r(&created, &parts))
        strftime(date, sizeof(date), ", %Y-%m-%d %H:%M", &parts);
    table_describe("Created by", "%s on %s%s", info->creator_application, info->creator_host, date);
    if (info->format == DISK_FORMAT_DYNAMIC) {
        size_format(info->block_size, block_size);
        table_describe("Blocks", "%u of %s, %u allocated", info->blocks, block_size, info->allocated_blocks);
    }
    if (info->damaged_blocks || info->footer_damaged)
        table_describe("Damaged", "%u blocks%s: loam disk check says more", info->damaged_blocks,
                       info->footer_damaged ? ", one of the two footers" : "");
    if (info->saved_state)
        table_describe("Saved state", "the disk belongs to a virtual machine that is saved");
}

int disk_info_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.wanted_paths = 1};
    struct disk_info info;
    struct disk_error error;
    char size[SIZE_TEXT_SIZE], space[SIZE_TEXT_SIZE], vm[64];
    cli_parse(argc, argv, info_options, parse, "FILE", "Shows what a disk image is.", &arguments);
    if (cli_options.json)
        return print_json(arguments.paths[0], arguments.raw);
    if (!disk_info(arguments.paths[0], arguments.raw ? DISK_OPEN_RAW : 0, &info, &error))
        return fail(&error);
    size_format(info.size, size);
    size_format(info.file_space, space);
    table_describe("File", "%s", arguments.paths[0]);
    table_describe("Format", "%s%s", info.format == DISK_FORMAT_RAW ? "" : "VHD, ",
                   disk_format_name(info.format));
    table_describe("Size", "%s (%llu bytes), takes %s", size, (unsigned long long)info.size, space);
    table_describe("Geometry", "%u cylinders, %u heads, %u sectors a track", info.geometry.cylinders,
                   info.geometry.heads, info.geometry.sectors_per_track);
    if (info.format != DISK_FORMAT_RAW)
        describe_vhd(&info);
    if (info.in_use) {
        find_vm(info.holder, vm);
        if (vm[0])
            table_describe("In use", "by virtual machine %s", vm);
        else
            table_describe("In use", "by process %d", (int)info.holder);
    }
    return CLI_DONE;
}

/* ---- Check ---- */

static const char *const level_names[] = {"note", "warning", "error"};

static void report(void *context, enum disk_check_level level, const char *text)
{
    json_t *findings = context;
    if (cli_options.json)
        json_array_append_new(findings,
                              json_pack("{s:s, s:o}", "level", level_names[level], "text", text_json(text)));
    else
        printf("%s: %s\n", level_names[level], text);
}

static void print_verdict(const char *path, const struct disk_check_result *result)
{
    const unsigned long long errors = result->count[DISK_CHECK_ERROR],
                             warnings = result->count[DISK_CHECK_WARNING];
    if (errors)
        printf("%s: damaged, %llu error%s: restore it from a copy\n", path, errors, errors == 1 ? "" : "s");
    else if (warnings)
        printf("%s: sound; what the warnings say is mended when a virtual machine next starts with it\n",
               path);
    else
        printf("%s: sound\n", path);
}

int disk_check_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.wanted_paths = 1};
    struct disk_check_result result;
    struct disk_error error;
    cli_parse(argc, argv, NULL, parse, "FILE",
              "Looks a VHD over: footers, header, block allocation table. Nothing is changed.\vExit status: "
              "0 sound, 1 "
              "damaged or not to be checked.",
              &arguments);
    json_t *findings = json_array();
    if (!disk_check(arguments.paths[0], report, findings, &result, &error)) {
        json_decref(findings);
        return fail(&error);
    }
    const bool sound = result.count[DISK_CHECK_ERROR] == 0;
    if (cli_options.json)
        cli_print_json(json_pack("{s:o, s:b, s:o}", "path", text_json(arguments.paths[0]), "sound", sound,
                                 "findings", findings));
    else
        json_decref(findings);
    if (!cli_options.json)
        print_verdict(arguments.paths[0], &result);
    return sound ? CLI_DONE : CLI_REFUSED;
}
