/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs that make disk images: create and convert. */
#include <string.h>
#include <strings.h>

#include "partitions/root/disk/convert.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/remote_source.h"
#include "tools/loam/cli.h"
#include "tools/loam/disk.h"
#include "tools/loam/disk_work.h"
#include "tools/loam/progress.h"
#include "tools/loam/verbs.h"

#define FORMAT_DOC     "dynamic (it grows), fixed (of full size), or raw"
#define BLOCK_SIZE_DOC "Block size of a disk that grows, a power of two: of a VHD from 4K up, of a VHDX 1M to 256M"
#define REPLACE_DOC    "Take the place of an existing file that nobody uses (default: refuse)"

/* Options that the format has no use for are a mistake. */
static void check_options(const struct disk_arguments *arguments)
{
    if (arguments->block_size && arguments->format != DISK_FORMAT_DYNAMIC)
        cli_refuse("--block-size: only a dynamic disk has blocks");
    if (arguments->sparse && arguments->format == DISK_FORMAT_DYNAMIC)
        cli_refuse("--sparse: is for fixed and raw disks; a dynamic one takes its space as it is written anyway");
}

static int finish(bool made, const struct disk_error *error, const char *path, enum disk_format format)
{
    if (!made)
        return disk_fail(error);
    return cli_options.json ? disk_print_info(path, format == DISK_FORMAT_RAW) : CLI_DONE;
}

/* What may be done with the file that is made; it is read for what --json prints of it. */
static unsigned making(const struct disk_arguments *arguments)
{
    return BROKER_READ | BROKER_CREATE | (arguments->replace ? BROKER_REPLACE : 0);
}

/* clang-format off */
static const struct argp_option create_options[] = {
    {"size", 's', "SIZE", 0, "Size of the disk, as 512M or 10G; required, but for a differencing disk, which has its parent's", 0},
    {"format", 'f', "FORMAT", 0, FORMAT_DOC " (default dynamic)", 0},
    {"block-size", DISK_OPTION_BLOCK_SIZE, "SIZE", 0, BLOCK_SIZE_DOC " (default 2M, of a VHDX 32M)", 0},
    {"parent", DISK_OPTION_PARENT, "PARENT", 0,
     "Make a differencing disk: it has what is in PARENT, to which nothing may be written any more; a file, or the URL "
     "of one, http://, https:// or nbd://, from where it is fetched as it is needed", 0},
    {"parent-raw", DISK_OPTION_PARENT_RAW, NULL, 0, "What is at the URL of PARENT is a raw image (default: a VHD or VHDX)", 0},
    {"logical-sector", DISK_OPTION_LOGICAL_SECTOR, "BYTES", 0, "Sectors of a VHDX, 512 or 4096 (default 512)", 0},
    {"sparse", DISK_OPTION_SPARSE, NULL, 0, "A fixed or raw disk takes its space as it is written (default: at once)", 0},
    {"replace", DISK_OPTION_REPLACE, NULL, 0, REPLACE_DOC, 0},
    {0},
};
/* clang-format on */

/* A differencing disk has its parent's size. */
static void check_child_options(const struct disk_arguments *arguments)
{
    if (arguments->raw && !remote_source_is_url(arguments->parent))
        cli_refuse("--parent-raw: only a parent at a URL can be raw: convert it first, with loam disk convert");
    if (arguments->has_size)
        cli_refuse("--size: a differencing disk has its parent's size");
    if (arguments->has_format || arguments->sparse || arguments->logical_sector)
        cli_refuse("%s: is not for a differencing disk, which is made by --parent", arguments->sparse ? "--sparse"
                                                                                    : arguments->has_format
                                                                                        ? "--format"
                                                                                        : "--logical-sector");
}

static int create(const struct disk_arguments *arguments)
{
    struct disk_error error;
    const struct disk_create_options options = {
        .block_size = arguments->block_size,
        .logical_sector = arguments->logical_sector,
        .sparse = arguments->sparse,
        .replace = arguments->replace,
        .parent_raw = arguments->raw,
        .progress = progress_begin("creating"),
    };
    bool created = arguments->parent
                       ? disk_create_child(arguments->values[0], arguments->parent, &options, &error)
                       : disk_create(arguments->values[0], arguments->size, arguments->format, &options, &error);
    progress_end();
    return finish(created, &error, arguments->values[0], arguments->format);
}

int disk_create_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {.names = {"FILE"}, .format = DISK_FORMAT_DYNAMIC};
    disk_parse(argc, argv, create_options,
               "Makes an empty disk, or a differencing one: a VHDX if FILE ends with .vhdx, a VHD otherwise, unless it "
               "is raw.\v"
               "Examples: loam disk create web1.vhd --size 10G\n"
               "          loam disk create trial.vhd --parent web1.vhd\n"
               "          loam disk create web2.vhd --parent https://images.example.org/web.vhd",
               &arguments);
    if (arguments.parent) {
        check_child_options(&arguments);
    } else if (arguments.raw) {
        cli_refuse("--parent-raw: is for a differencing disk, which is made by --parent");
    } else if (!arguments.has_size) {
        cli_complain("give the size of the disk with --size, as in: loam disk create %s --size 10G",
                     arguments.values[0]);
        return CLI_USAGE;
    }
    check_options(&arguments);
    const struct broker_grant grant = {
        .files = {{arguments.values[0], making(&arguments)}, {arguments.parent, BROKER_READ}},
        .parents = BROKER_READ,
        .sources = 1,
    };
    return disk_work(create, &arguments, &grant);
}

/* clang-format off */
static const struct argp_option convert_options[] = {
    {"format", 'f', "FORMAT", 0,
     FORMAT_DOC " (default: dynamic if DESTINATION ends with .vhd or .vhdx, raw if it ends with .raw or .img)", 0},
    {"block-size", DISK_OPTION_BLOCK_SIZE, "SIZE", 0, BLOCK_SIZE_DOC " (default 2M, of a VHDX 32M)", 0},
    {"source-raw", DISK_OPTION_SOURCE_RAW, NULL, 0, "SOURCE is raw, even if it looks like a VHD (default: if it is no VHD or VHDX)",
     0},
    {"replace", DISK_OPTION_REPLACE, NULL, 0, REPLACE_DOC, 0},
    {0},
};
/* clang-format on */

static bool guess_format(const char *path, enum disk_format *format)
{
    const char *suffix = strrchr(path, '.');
    bool contained = disk_container_by_name(path) != DISK_CONTAINER_NONE;
    *format = contained ? DISK_FORMAT_DYNAMIC : DISK_FORMAT_RAW;
    return contained || (suffix && (strcasecmp(suffix, ".raw") == 0 || strcasecmp(suffix, ".img") == 0));
}

static int convert(const struct disk_arguments *arguments)
{
    struct disk_error error;
    const struct disk_convert_options options = {
        .source_raw = arguments->raw,
        .block_size = arguments->block_size,
        .replace = arguments->replace,
        .progress = progress_begin("converting"),
    };
    bool converted = disk_convert(arguments->values[0], arguments->values[1], arguments->format, &options, &error);
    progress_end();
    return finish(converted, &error, arguments->values[1], arguments->format);
}

int disk_convert_verb(int argc, char **argv)
{
    struct disk_arguments arguments = {
        .names = {"SOURCE", "DESTINATION"}
    };
    disk_parse(argc, argv, convert_options,
               "Copies a disk into a new image: of a differencing disk with what its parents have. Where there are "
               "only zeros it "
               "takes no space.",
               &arguments);
    if (!arguments.has_format && !guess_format(arguments.values[1], &arguments.format)) {
        cli_complain("%s: its name does not say which format it is to have: give --format dynamic, fixed or raw",
                     arguments.values[1]);
        return CLI_USAGE;
    }
    check_options(&arguments);
    const struct broker_grant grant = {
        .files = {{arguments.values[0], BROKER_READ}, {arguments.values[1], making(&arguments)}},
        .parents = BROKER_READ,
        .sources = 1,
    };
    return disk_work(convert, &arguments, &grant);
}
