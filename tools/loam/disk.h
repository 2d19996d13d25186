/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the verbs about disk images share: arguments, errors, and words. */
#ifndef LOAM_DISK_H
#define LOAM_DISK_H

#include <argp.h>
#include <jansson.h>

#include "partitions/root/disk/container.h"
#include "partitions/root/disk/error.h"
#include "partitions/root/disk/open.h"

/* Options without a letter, for the tables of the verbs. */
enum {
    DISK_OPTION_BLOCK_SIZE = 0x100,
    DISK_OPTION_LOGICAL_SECTOR,
    DISK_OPTION_SPARSE,
    DISK_OPTION_REPLACE,
    DISK_OPTION_SOURCE_RAW,
    DISK_OPTION_RAW,
    DISK_OPTION_FIRST_RAW,
    DISK_OPTION_SECOND_RAW,
    DISK_OPTION_PARENT,
    DISK_OPTION_PARENT_RAW,
    DISK_OPTION_INTO,
    DISK_OPTION_KEEP,
    DISK_OPTION_FORCE,
    DISK_OPTION_STRICT,
    DISK_OPTION_DISCARD_DATA,
    DISK_OPTION_DROP_DAMAGED,
    DISK_OPTION_NO_BACKUP,
    DISK_OPTION_UNDO,
    DISK_OPTION_DRY_RUN,
};

#define DISK_FORMAT_TEXT_SIZE 32

#define DISK_DRY_RUN_DOC "Say what would be done, and change nothing"
#define DISK_RAW_DOC     "FILE is a raw image (default: a VHD or VHDX)"

struct disk_arguments {
    /* What the verb has, and what they are called: NULL ends it. */
    const char *const names[2];
    const char *values[2];
    const char *parent; /* of --parent and --into; NULL: none is given */
    const char *undo;   /* likewise */
    uint64_t size;
    bool has_size, has_format;
    enum disk_format format;
    uint32_t block_size, logical_sector;
    bool sparse, replace, raw, second_raw, keep, force, strict, discard_data, drop_damaged, no_backup, dry_run;
};

/* Parses a verb's arguments, and gives it a way to parents at URLs; ends the program if they are wrong. `options` and
 * `doc` as in cli_parse. */
void disk_parse(int argc, char **argv, const struct argp_option *options, const char *doc,
                struct disk_arguments *arguments);

/* A size that is an argument, a multiple of no more than `maximum`; ends the program if it is none. */
uint64_t disk_parse_size(const char *option, const char *text, uint64_t maximum);

/* In the process that has done the work (disk_work.h): prints the error, with the virtual machine that has the image
 * and what to do; returns the exit status. */
int disk_fail(const struct disk_error *error);

/* A UUID. */
json_t *disk_identifier_json(const uint8_t *identifier);

/* "dynamic VHDX", "raw". */
void disk_format_text(enum disk_container container, enum disk_format format, char text[DISK_FORMAT_TEXT_SIZE]);

/* Likewise; with --json prints what the image is now. Returns the exit status. */
int disk_print_info(const char *path, bool raw);

#endif
