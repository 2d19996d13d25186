/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs that look at disk images: info, chain, check, compare. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "partitions/root/disk/chain_list.h"
#include "partitions/root/disk/check.h"
#include "partitions/root/disk/compare.h"
#include "partitions/root/disk/info.h"
#include "partitions/root/manager/text.h"
#include "tools/loam/cli.h"
#include "tools/loam/confined.h"
#include "tools/loam/disk.h"
#include "tools/loam/disk_work.h"
#include "tools/loam/progress.h"
#include "tools/loam/size.h"
#include "tools/loam/table.h"
#include "tools/loam/verbs.h"

/* ---- Info ---- */

/* NULL for an empty text, which is something that is not there. */
static json_t *optional_json(const char *text)
{
    return text[0] ? text_json(text) : json_null();
}

/* Of a parent that is fetched; null: it is a file. */
static json_t *remote_json(const struct disk_info *info)
{
    const struct remote_source *source = &info->parent_remote;
    if (!source->url[0])
        return json_null();
    return json_pack("{s:s, s:b, s:I, s:s, s:I}", "url", source->url, "raw", source->raw, "size",
                     (json_int_t)source->size, "validator", source->validator, "local", (json_int_t)info->local);
}

static json_t *info_json(const char *path, const struct disk_info *info)
{
    json_t *value = json_pack("{s:o, s:s, s:s, s:I, s:I, s:I, s:[i,i,i], s:b}", "path", text_json(path), "container",
                              disk_container_name(info->container), "format", disk_format_name(info->format), "size",
                              (json_int_t)info->size, "file_size", (json_int_t)info->file_size, "file_space",
                              (json_int_t)info->file_space, "geometry", info->geometry.cylinders, info->geometry.heads,
                              info->geometry.sectors_per_track, "in_use", info->in_use);
    if (info->format == DISK_FORMAT_RAW)
        return value;
    json_object_set_new(value, "identifier", disk_identifier_json(info->identifier));
    if (info->container == DISK_CONTAINER_VHD)
        json_object_update_new(value,
                               json_pack("{s:s, s:s, s:I, s:b, s:b}", "creator", info->creator_application,
                                         "creator_host", info->creator_host, "created", (json_int_t)info->created,
                                         "saved_state", info->saved_state, "footer_damaged", info->footer_damaged));
    else
        json_object_set_new(value, "logical_sector", json_integer(info->logical_sector));
    if (info->format == DISK_FORMAT_FIXED)
        return value;
    json_object_update_new(value,
                           json_pack("{s:I, s:I, s:I, s:I}", "block_size", (json_int_t)info->block_size, "blocks",
                                     (json_int_t)info->blocks, "allocated_blocks", (json_int_t)info->allocated_blocks,
                                     "damaged_blocks", (json_int_t)info->damaged_blocks));
    if (info->format == DISK_FORMAT_DIFFERENCING)
        json_object_update_new(value,
                               json_pack("{s:o, s:o, s:o, s:o, s:o}", "remote", remote_json(info), "parent_identifier",
                                         disk_identifier_json(info->parent_identifier), "parent_name",
                                         optional_json(info->parent_name), "parent", optional_json(info->parent_path),
                                         "parent_problem", optional_json(info->parent_problem)));
    return value;
}

int disk_print_info(const char *path, bool raw)
{
    struct disk_info info;
    struct disk_error error;
    if (!disk_info(path, raw ? DISK_OPEN_RAW : 0, &info, &error))
        return disk_fail(&error);
    cli_print_json(info_json(path, &info));
    return CLI_DONE;
}

/* clang-format off */
static const struct argp_option info_options[] = {
    {"raw", DISK_OPTION_RAW, NULL, 0, DISK_RAW_DOC, 0},
    {0},
};
/* clang-format on */

static void describe_remote(const struct disk_info *info)
{
    const struct remote_source *source = &info->parent_remote;
    char local[SIZE_TEXT_SIZE], size[SIZE_TEXT_SIZE];
    size_format(info->local, local);
    size_format(source->size, size);
    table_describe("Parent", "%s, fetched as needed; %s of %s", source->url, source->raw ? "raw" : "an image", size);
    table_describe("Local", "%s (%llu bytes), %u %% of the disk", local, (unsigned long long)info->local,
                   (unsigned)((double)info->local * 100 / (double)info->size));
    if (source->validator[0])
        table_describe("Version", "%s", source->validator);
}

static void describe_parent(const struct disk_info *info)
{
    json_t *identifier = disk_identifier_json(info->parent_identifier);
    if (info->parent_remote.url[0])
        describe_remote(info);
    else
        table_describe("Parent", "%s, %s%s", info->parent_name[0] ? info->parent_name : "(without a name)",
                       info->parent_path[0] ? "which is " : "not found", info->parent_path);
    table_describe("Parent's UUID", "%s", json_string_value(identifier));
    if (info->parent_problem[0])
        table_describe("Problem", "%s", info->parent_problem);
    json_decref(identifier);
}

static void describe_creator(const struct disk_info *info)
{
    char date[64] = "";
    const time_t created = (time_t)info->created;
    struct tm parts;
    if (localtime_r(&created, &parts))
        strftime(date, sizeof(date), ", %Y-%m-%d %H:%M", &parts);
    table_describe("Created by", "%s on %s%s", info->creator_application, info->creator_host, date);
}

static void describe_structure(const struct disk_info *info)
{
    char block_size[SIZE_TEXT_SIZE];
    if (info->container == DISK_CONTAINER_VHD)
        describe_creator(info);
    else
        table_describe("Sectors", "of %u bytes", info->logical_sector);
    if (info->format != DISK_FORMAT_FIXED) {
        size_format(info->block_size, block_size);
        table_describe("Blocks", "%u of %s, %u allocated", info->blocks, block_size, info->allocated_blocks);
    }
    if (info->format == DISK_FORMAT_DIFFERENCING)
        describe_parent(info);
    if (info->damaged_blocks || info->footer_damaged)
        table_describe("Damaged", "%u blocks%s: loam disk check says more", info->damaged_blocks,
                       info->footer_damaged ? ", one of the two footers" : "");
    if (info->saved_state)
        table_describe("Saved state", "the disk belongs to a virtual machine that is saved");
}

static void describe_user(pid_t holder)
{
    char vm[64];
    confined_find_vm(holder, vm);
    if (vm[0])
        table_describe("In use", "by virtual machine %s", vm);
    else
        table_describe("In use", "by process %d", (int)holder);
}

static void print_info(const struct disk_arguments *arguments, const struct disk_info *info)
{
    char size[SIZE_TEXT_SIZE], space[SIZE_TEXT_SIZE], format[DISK_FORMAT_TEXT_SIZE];
    size_format(info->size, size);
    size_format(info->file_space, space);
    table_describe("File", "%s", arguments->values[0]);
    disk_format_text(info->container, info->format, format);
    table_describe("Format", "%s", format);
    table_describe("Size", "%s (%llu bytes), takes %s", size, (unsigned long long)info->size, space);
    table_describe("Geometry", "%u cylinders, %u heads, %u sectors a track", info->geometry.cylinders,
                   info->geometry.heads, info->geometry.sectors_per_track);
    if (info->format != DISK_FORMAT_RAW)
        describe_structure(info);
    if (info->in_use)
        describe_user(info->holder);
}

static int show_info(const struct disk_arguments *arguments)
{
    struct disk_info info;
    struct disk_error error;
    if (cli_options.json)
        return disk_print_info(arguments->values[0], arguments->raw);
    if (!disk_info(arguments->values[0], arguments->raw ? DISK_OPEN_RAW : 0, &info, &error))
        return disk_fail(&error);
    print_info(arguments, &info);
    return CLI_DONE;
}

int disk_info_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.names = {"FILE"}};
    disk_parse(argc, argv, info_options, "Shows what a disk image is, and of a differencing one where its parent is.",
               &arguments);
    const struct broker_grant grant = {.files = {{arguments.values[0], BROKER_READ}}, .parents = BROKER_READ};
    return disk_work(show_info, &arguments, &grant);
}

/* ---- Chain ---- */

/* The images so far: an array for --json, otherwise a table and the problems, which come after it. */
struct chain_output {
    json_t *images;
    struct libscols_table *table;
    unsigned problems;
};

static json_t *member_json(const struct disk_chain_member *member)
{
    const char *name = member->link && member->link->names ? member->link->name[0] : "";
    const char *url = member->link ? member->link->remote.url : "";
    return json_pack("{s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:o, s:b, s:o, s:o, s:o}", "parent_url", optional_json(url),
                     "path", text_json(member->path), "format", disk_format_name(member->format), "size",
                     (json_int_t)member->size, "present", (json_int_t)disk_chain_present(member), "file_space",
                     (json_int_t)member->file_space, "modified", (json_int_t)member->modified, "identifier",
                     disk_identifier_json(member->identifier), "in_use", member->in_use, "parent_name",
                     optional_json(name), "parent_identifier",
                     member->link ? disk_identifier_json(member->link->identifier) : json_null(), "problem",
                     optional_json(member->problem ? member->problem : ""));
}

static void add_line(struct libscols_table *table, const struct disk_chain_member *member)
{
    char size[SIZE_TEXT_SIZE], present[SIZE_TEXT_SIZE], date[64] = "", vm[64] = "";
    const time_t modified = (time_t)member->modified;
    struct tm parts;
    struct libscols_line *line = table_add_line(table);
    size_format(member->size, size);
    size_format(disk_chain_present(member), present);
    if (localtime_r(&modified, &parts))
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &parts);
    if (member->in_use)
        confined_find_vm(member->holder, vm);
    table_set(line, 0, "%s", member->path);
    table_set(line, 1, "%s", disk_format_name(member->format));
    table_set(line, 2, "%s", size);
    table_set(line, 3, "%s", present);
    table_set(line, 4, "%s", date);
    table_set(line, 5, "%s", !member->in_use ? "" : vm[0] ? vm : "another process");
}

/* What is known of it without asking. */
static void add_remote_line(struct libscols_table *table, const struct remote_source *source)
{
    char size[SIZE_TEXT_SIZE];
    struct libscols_line *line = table_add_line(table);
    size_format(source->size, size);
    table_set(line, 0, "%s", source->url);
    table_set(line, 1, "%s", source->raw ? "raw" : "image");
    table_set(line, 2, "%s", size);
}

static bool show_member(void *context, const struct disk_chain_member *member)
{
    struct chain_output *output = context;
    output->problems += member->problem != NULL;
    json_array_append_new(output->images, member_json(member));
    if (output->table)
        add_line(output->table, member);
    if (output->table && member->link && member->link->remote.url[0])
        add_remote_line(output->table, &member->link->remote);
    return true;
}

static void print_problems(const json_t *images)
{
    json_t *image;
    size_t index;
    json_array_foreach(images, index, image)
    {
        const char *problem = cli_text(image, "problem");
        if (problem[0])
            printf("%s: %s\n", cli_text(image, "path"), problem);
    }
}

static int show_chain(const struct disk_arguments *arguments)
{
    static const struct table_column columns[] = {
        {"FILE",     false},
        {"FORMAT",   false},
        {"SIZE",     true },
        {"IN IT",    true },
        {"MODIFIED", false},
        {"IN USE",   false},
    };
    struct disk_error error;
    struct chain_output output = {.images = json_array()};
    if (!cli_options.json)
        output.table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
    bool shown = disk_chain_list(arguments->values[0], 0, show_member, &output, &error);
    if (output.table)
        table_print(output.table);
    if (shown && cli_options.json)
        cli_print_json(json_pack("{s:b, s:O}", "whole", output.problems == 0, "images", output.images));
    else if (shown)
        print_problems(output.images);
    json_decref(output.images);
    return !shown ? disk_fail(&error) : output.problems ? CLI_REFUSED : CLI_DONE;
}

int disk_chain_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.names = {"FILE"}};
    disk_parse(argc, argv, NULL,
               "Lists the images of a differencing disk, from itself to the last parent, as far as they are "
               "found.\vExit status: 0 the chain is whole, 1 it is not, or cannot be shown.",
               &arguments);
    const struct broker_grant grant = {.files = {{arguments.values[0], BROKER_READ}}, .parents = BROKER_READ};
    return disk_work(show_chain, &arguments, &grant);
}

/* ---- Check ---- */

static const char *const level_names[] = {"note", "warning", "error"};

static void report(void *context, enum disk_check_level level, const char *text)
{
    json_t *findings = context;
    if (cli_options.json)
        json_array_append_new(findings, json_pack("{s:s, s:o}", "level", level_names[level], "text", text_json(text)));
    else
        printf("%s: %s\n", level_names[level], text);
}

static void print_verdict(const char *path, const struct disk_check_result *result)
{
    const unsigned long long errors = result->count[DISK_CHECK_ERROR], warnings = result->count[DISK_CHECK_WARNING];
    if (errors)
        printf("%s: damaged, %llu error%s: loam disk repair --dry-run %s says what can be mended\n", path, errors,
               errors == 1 ? "" : "s", path);
    else if (warnings)
        printf("%s: sound; what the warnings say is mended when a virtual machine next starts with it\n", path);
    else
        printf("%s: sound\n", path);
}

static int check(const struct disk_arguments *arguments)
{
    struct disk_check_result result;
    struct disk_error error;
    json_t *findings = json_array();
    if (!disk_check(arguments->values[0], report, findings, &result, &error)) {
        json_decref(findings);
        return disk_fail(&error);
    }
    const bool sound = result.count[DISK_CHECK_ERROR] == 0;
    if (cli_options.json)
        cli_print_json(json_pack("{s:o, s:b, s:o}", "path", text_json(arguments->values[0]), "sound", sound, "findings",
                                 findings));
    else
        json_decref(findings);
    if (!cli_options.json)
        print_verdict(arguments->values[0], &result);
    return sound ? CLI_DONE : CLI_REFUSED;
}

int disk_check_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.names = {"FILE"}};
    disk_parse(argc, argv, NULL,
               "Looks a VHD or VHDX over: what it says of itself, its block allocation table, and then its parents. "
               "Nothing is changed.\vExit status: 0 sound, 1 damaged or not to be checked.",
               &arguments);
    const struct broker_grant grant = {.files = {{arguments.values[0], BROKER_READ}}, .parents = BROKER_READ};
    return disk_work(check, &arguments, &grant);
}

/* ---- Compare ---- */

/* clang-format off */
static const struct argp_option compare_options[] = {
    {"strict", DISK_OPTION_STRICT, NULL, 0, "Disks of different sizes are refused (default: what one has more must be zeros)", 0},
    {"first-raw", DISK_OPTION_FIRST_RAW, NULL, 0, "FIRST is raw, even if it looks like a VHD (default: if it is no VHD)", 0},
    {"second-raw", DISK_OPTION_SECOND_RAW, NULL, 0, "SECOND is", 0},
    {0},
};
/* clang-format on */

static json_t *comparison_json(const struct disk_compare_result *result)
{
    bool equal = result->different_sectors == 0;
    return json_pack("{s:b, s:I, s:o, s:[I,I]}", "equal", equal, "different_sectors",
                     (json_int_t)result->different_sectors, "first_difference",
                     equal ? json_null() : json_integer((json_int_t)result->first_difference), "sizes",
                     (json_int_t)result->size[0], (json_int_t)result->size[1]);
}

static int compare(const struct disk_arguments *arguments)
{
    struct disk_compare_result result;
    struct disk_error error;
    const struct disk_compare_options options = {
        .raw = {arguments->raw, arguments->second_raw},
        .strict = arguments->strict,
        .progress = progress_begin("comparing"),
    };
    bool compared = disk_compare(arguments->values, &options, &result, &error);
    progress_end();
    if (!compared)
        return disk_fail(&error);
    if (cli_options.json)
        cli_print_json(comparison_json(&result));
    else if (result.different_sectors)
        printf("%llu sector%s differ%s, from byte %llu on\n", (unsigned long long)result.different_sectors,
               result.different_sectors == 1 ? "" : "s", result.different_sectors == 1 ? "s" : "",
               (unsigned long long)result.first_difference);
    else
        printf("equal\n");
    return result.different_sectors ? CLI_REFUSED : CLI_DONE;
}

int disk_compare_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {
        .names = {"FIRST", "SECOND"}
    };
    disk_parse(argc, argv, compare_options,
               "Compares the contents of two disks, whatever their formats.\vExit status: 0 equal, 1 different or not "
               "to be compared.",
               &arguments);
    const struct broker_grant grant = {
        .files = {{arguments.values[0], BROKER_READ}, {arguments.values[1], BROKER_READ}},
        .parents = BROKER_READ,
        .sources = 2,
    };
    return disk_work(compare, &arguments, &grant);
}
