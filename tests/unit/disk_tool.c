/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk engine for the interoperability test, disk_interop.py:
 *   disk_tool create PATH SIZE FORMAT [BLOCK_SIZE]
 *   disk_tool child PATH PARENT [BLOCK_SIZE]
 *   disk_tool merge PATH           into its parent
 *   disk_tool compact PATH
 *   disk_tool convert SOURCE DESTINATION FORMAT
 *   disk_tool check PATH           a line for each finding; fails if there is an error or a warning
 *   disk_tool info PATH            lines "name value"
 *   disk_tool write PATH SECTOR [crash]   sectors from standard input; "crash" ends without closing the disk
 *   disk_tool read PATH SECTOR SECTORS    sectors to standard output
 *   disk_tool resize PATH SIZE [discard]  "discard": what is cut off may hold data
 *   disk_tool repair PATH                 a line for each finding; blocks that are lost are dropped
 *   disk_tool reconnect PATH PARENT
 * FORMAT is raw, fixed or dynamic. Messages go to standard error; the exit status is 0 or 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "partitions/root/disk/check.h"
#include "partitions/root/disk/compact.h"
#include "partitions/root/disk/convert.h"
#include "partitions/root/disk/create.h"
#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/reconnect.h"
#include "partitions/root/disk/repair.h"
#include "partitions/root/disk/resize.h"
#include "partitions/root/disk/info.h"
#include "partitions/root/disk/merge.h"

#define BUFFER_SECTORS 65536u

static struct disk_error error;

static enum disk_format parse_format(const char *name)
{
    for (enum disk_format format = DISK_FORMAT_RAW; format <= DISK_FORMAT_DYNAMIC; format++)
        if (strcmp(name, disk_format_name(format)) == 0)
            return format;
    fprintf(stderr, "no format: %s\n", name);
    exit(2);
}

static bool create(int count, char **arguments)
{
    struct disk_create_options options = {.sparse = true};
    if (count > 3)
        options.block_size = (uint32_t)strtoul(arguments[3], NULL, 10);
    return disk_create(arguments[0], strtoull(arguments[1], NULL, 10), parse_format(arguments[2]), &options, &error);
}

static bool create_child(int count, char **arguments)
{
    struct disk_create_options options = {0};
    if (count > 2)
        options.block_size = (uint32_t)strtoul(arguments[2], NULL, 10);
    return disk_create_child(arguments[0], arguments[1], &options, &error);
}

static bool merge(int count, char **arguments)
{
    (void)count;
    struct disk_merge_result result;
    return disk_merge(arguments[0], NULL, NULL, &result, &error);
}

static bool compact(int count, char **arguments)
{
    (void)count;
    struct disk_compact_result result;
    return disk_compact(arguments[0], NULL, &result, &error);
}

static bool convert(int count, char **arguments)
{
    (void)count;
    return disk_convert(arguments[0], arguments[1], parse_format(arguments[2]), NULL, &error);
}

static void print_finding(void *context, enum disk_check_level level, const char *text)
{
    static const char *const names[] = {"note", "warning", "error"};
    (void)context;
    printf("%s: %s\n", names[level], text);
}

static bool check(int count, char **arguments)
{
    (void)count;
    struct disk_check_result result;
    if (!disk_check(arguments[0], print_finding, NULL, &result, &error))
        return false;
    snprintf(error.text, sizeof(error.text), "%s: not sound", arguments[0]);
    return result.count[DISK_CHECK_WARNING] + result.count[DISK_CHECK_ERROR] == 0;
}

static bool info(int count, char **arguments)
{
    (void)count;
    struct disk_info about;
    if (!disk_info(arguments[0], 0, &about, &error))
        return false;
    printf("format %s\nsize %llu\ncreator %s\nallocated %u\n", disk_format_name(about.format),
           (unsigned long long)about.size, about.creator_application, about.allocated_blocks);
    return true;
}

static bool finish(int result, const char *path)
{
    snprintf(error.text, sizeof(error.text), "%s: %s", path, strerror(result));
    return result == 0;
}

static bool write_sectors(int count, char **arguments)
{
    struct disk *disk = disk_open(arguments[0], 0, &error);
    if (!disk)
        return false;
    uint8_t *buffer = malloc((size_t)BUFFER_SECTORS * DISK_SECTOR_SIZE);
    uint64_t sector = strtoull(arguments[1], NULL, 10);
    int result = 0;
    for (size_t sectors; !result && (sectors = fread(buffer, DISK_SECTOR_SIZE, BUFFER_SECTORS, stdin)) > 0;
         sector += sectors)
        result = disk_transfer(disk, DISK_WRITE, buffer, sector, (uint32_t)sectors);
    free(buffer);
    if (count > 2)
        _exit(result != 0);
    int closed = disk_close(disk);
    return finish(result ? result : closed, arguments[0]);
}

static bool read_sectors(int count, char **arguments)
{
    (void)count;
    struct disk *disk = disk_open(arguments[0], DISK_OPEN_READ_ONLY, &error);
    if (!disk)
        return false;
    uint32_t sectors = (uint32_t)strtoul(arguments[2], NULL, 10);
    uint8_t *buffer = malloc((size_t)sectors * DISK_SECTOR_SIZE);
    int result = disk_transfer(disk, DISK_READ, buffer, strtoull(arguments[1], NULL, 10), sectors);
    if (!result)
        fwrite(buffer, DISK_SECTOR_SIZE, sectors, stdout);
    free(buffer);
    disk_close(disk);
    return finish(result, arguments[0]);
}

static bool resize(int count, char **arguments)
{
    const struct disk_resize_options options = {.sparse = true, .discard_data = count > 2};
    return disk_resize(arguments[0], strtoull(arguments[1], NULL, 10), &options, NULL, &error);
}

static void print_repair(void *context, enum disk_repair_kind kind, const char *text)
{
    static const char *const names[] = {"mended", "lost", "left"};
    (void)context;
    printf("%s: %s\n", names[kind], text);
}

static bool repair(int count, char **arguments)
{
    (void)count;
    const struct disk_repair_options options = {.drop_damaged = true};
    struct disk_repair_result result;
    if (!disk_repair(arguments[0], &options, print_repair, NULL, &result, &error))
        return false;
    snprintf(error.text, sizeof(error.text), "%s: not mended", arguments[0]);
    return result.count[DISK_REPAIR_LEFT] == 0;
}

static bool reconnect(int count, char **arguments)
{
    (void)count;
    return disk_reconnect(arguments[0], arguments[1], NULL, NULL, &error);
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        int least;
        bool (*run)(int count, char **arguments);
    } commands[] = {
        {"create",    3, create       },
        {"child",     2, create_child },
        {"merge",     1, merge        },
        {"compact",   1, compact      },
        {"convert",   3, convert      },
        {"check",     1, check        },
        {"info",      1, info         },
        {"write",     2, write_sectors},
        {"read",      3, read_sectors },
        {"resize",    2, resize       },
        {"repair",    1, repair       },
        {"reconnect", 2, reconnect    },
    };
    for (size_t i = 0; count > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(arguments[1], commands[i].name) != 0 || count - 2 < commands[i].least)
            continue;
        if (commands[i].run(count - 2, arguments + 2))
            return 0;
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    fprintf(stderr, "usage: see the source\n");
    return 2;
}
