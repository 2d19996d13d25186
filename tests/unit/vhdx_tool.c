/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX images for the interoperability test, vhdx_interop.py:
 *   vhdx_tool create PATH SIZE FORMAT BLOCK_SIZE SECTOR_SIZE [PARENT]   0: the default; FORMAT fixed, dynamic,
 * differencing
 *   vhdx_tool check PATH                   a line for each finding; fails if there is an error or a warning
 *   vhdx_tool info PATH                    lines "name value"
 *   vhdx_tool write PATH SECTOR end [PARENT...]     sectors of 512 bytes from standard input
 *   vhdx_tool write PATH SECTOR die [PARENT...]     the same, and ends without closing the disk
 *   vhdx_tool read PATH SECTOR SECTORS [PARENT...]  sectors to standard output
 *   vhdx_tool resize PATH SIZE CHANGES     ends without another change of the file, as if it were killed, after so many
 *   vhdx_tool compact PATH CHANGES         the same; both print "done" if it did not come to that
 * Messages go to standard error; the exit status is 0 or 1.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/compact.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/vhdx/check.h"
#include "partitions/root/disk/vhdx/create.h"
#include "partitions/root/disk/vhdx/image.h"
#include "partitions/root/disk/vhdx/resize.h"

#define BUFFER_SECTORS 65536u

static struct disk_error error;

static bool fail_with(const char *path, int result)
{
    snprintf(error.text, sizeof(error.text), "%s: %s", path, strerror(result));
    return result == 0;
}

static bool add_image(struct disk *disk, const char *path, unsigned flags)
{
    struct disk_file *file = image_file_open(path, flags, &error);
    struct disk_image *image = file ? vhdx_open(file, flags, disk->cache, &error) : NULL;
    if (!image && file)
        image_file_close(file);
    return image && disk_add(disk, image);
}

/* The image and its parents; NULL with `error`. */
static struct disk *open_chain(const char *path, unsigned flags, int parents, char **parent)
{
    struct disk *disk = disk_new();
    bool opened = disk && add_image(disk, path, flags);
    for (int i = 0; i < parents && opened; i++)
        opened = add_image(disk, parent[i], DISK_OPEN_READ_ONLY);
    if (opened || !disk)
        return disk;
    disk_free(disk, true);
    return NULL;
}

static enum disk_format parse_format(const char *name)
{
    for (enum disk_format format = DISK_FORMAT_RAW; format <= DISK_FORMAT_DIFFERENCING; format++)
        if (strcmp(name, disk_format_name(format)) == 0)
            return format;
    fprintf(stderr, "no format: %s\n", name);
    exit(2);
}

static bool create(int count, char **arguments)
{
    static char absolute[PATH_MAX];
    struct vhdx_parent parent = {0};
    struct vhdx_creation creation = {
        .format = parse_format(arguments[2]),
        .size = strtoull(arguments[1], NULL, 10),
        .block_size = (uint32_t)strtoul(arguments[3], NULL, 10),
        .logical_sector = (uint32_t)strtoul(arguments[4], NULL, 10),
    };
    if (count > 5) {
        struct disk *disk = open_chain(arguments[5], DISK_OPEN_READ_ONLY, 0, NULL);
        if (!disk)
            return false;
        memcpy(parent.identifier, disk_top(disk)->identifier, sizeof(parent.identifier));
        disk_free(disk, true);
        parent.relative_path = arguments[5];
        parent.absolute_path = realpath(arguments[5], absolute);
        creation.parent = &parent;
    }
    const char *fault = vhdx_creation_fault(&creation);
    if (fault) {
        snprintf(error.text, sizeof(error.text), "%s", fault);
        return false;
    }
    struct disk_file *file = disk_file_wrap(open(arguments[0], O_RDWR | O_CREAT | O_TRUNC, 0600), arguments[0]);
    int result = vhdx_create(file, &creation);
    disk_file_close(file);
    return fail_with(arguments[0], result);
}

static unsigned findings;

static void print_finding(void *context, enum disk_check_level level, const char *text)
{
    static const char *const names[] = {"note", "warning", "error"};
    (void)context;
    printf("%s: %s\n", names[level], text);
    findings += level > DISK_CHECK_NOTE;
    snprintf(error.text, sizeof(error.text), "%s", text);
}

static bool check(int count, char **arguments)
{
    (void)count;
    struct disk_file *file = image_file_open(arguments[0], DISK_OPEN_READ_ONLY, &error);
    bool done = file && vhdx_check(file, print_finding, NULL, &error);
    if (file)
        image_file_close(file);
    return done && findings == 0;
}

static bool info(int count, char **arguments)
{
    (void)count;
    struct disk *disk = open_chain(arguments[0], DISK_OPEN_READ_ONLY, 0, NULL);
    if (!disk)
        return false;
    const struct disk_image *image = disk_top(disk);
    printf("format %s\nsize %llu\nsector %u\n", disk_format_name(image->format),
           (unsigned long long)image->sectors * DISK_SECTOR_SIZE, image->write_unit * DISK_SECTOR_SIZE);
    static struct parent_link link;
    bool done = !image->differencing || vhdx_read_parent(disk_top(disk), &link, &error);
    for (unsigned i = 0; i < link.names; i++)
        printf("parent %s\n", link.name[i]);
    disk_free(disk, true);
    return done;
}

static bool write_sectors(int count, char **arguments)
{
    struct disk *disk = open_chain(arguments[0], 0, count - 3, arguments + 3);
    if (!disk)
        return false;
    uint8_t *buffer = malloc((size_t)BUFFER_SECTORS * DISK_SECTOR_SIZE);
    uint64_t sector = strtoull(arguments[1], NULL, 10);
    int result = 0;
    for (size_t sectors; !result && (sectors = fread(buffer, DISK_SECTOR_SIZE, BUFFER_SECTORS, stdin)) > 0;
         sector += sectors)
        result = disk_transfer(disk, DISK_WRITE, buffer, sector, (uint32_t)sectors);
    free(buffer);
    if (strcmp(arguments[2], "die") == 0) {
        if (!result && disk_top(disk)->differencing)
            result = disk_transfer(disk, DISK_FLUSH, NULL, 0, 0);
        _exit(result != 0);
    }
    int closed = disk_free(disk, true);
    return fail_with(arguments[0], result ? result : closed);
}

static bool read_sectors(int count, char **arguments)
{
    struct disk *disk = open_chain(arguments[0], DISK_OPEN_READ_ONLY, count - 3, arguments + 3);
    if (!disk)
        return false;
    uint32_t sectors = (uint32_t)strtoul(arguments[2], NULL, 10);
    uint8_t *buffer = malloc((size_t)sectors * DISK_SECTOR_SIZE);
    int result = disk_transfer(disk, DISK_READ, buffer, strtoull(arguments[1], NULL, 10), sectors);
    if (!result)
        fwrite(buffer, DISK_SECTOR_SIZE, sectors, stdout);
    free(buffer);
    disk_free(disk, true);
    return fail_with(arguments[0], result);
}

/* ---- Work that is interrupted ---- */

/* The file's own operations, and how many changes of it are left. */
static const struct disk_file_operations *own;
static unsigned long changes_left;

static void count_change(void)
{
    if (changes_left-- == 0)
        _exit(0);
}

static ssize_t write_and_count(struct disk_file *file, const struct iovec *vector, int count, uint64_t offset)
{
    count_change();
    return own->write(file, vector, count, offset);
}

static int truncate_and_count(struct disk_file *file, uint64_t size)
{
    count_change();
    return own->truncate(file, size);
}

static int punch_and_count(struct disk_file *file, uint64_t offset, uint64_t length)
{
    count_change();
    return own->punch(file, offset, length);
}

/* NULL with `error`. */
static struct disk_file *open_counting(const char *path, const char *changes)
{
    static struct disk_file_operations counting;
    struct disk_file *file = image_file_open(path, 0, &error);
    if (!file)
        return NULL;
    own = file->operations;
    counting = *own;
    counting.write = write_and_count;
    counting.truncate = truncate_and_count;
    counting.punch = punch_and_count;
    changes_left = strtoul(changes, NULL, 10);
    file->operations = &counting;
    return file;
}

static bool close_counting(struct disk_file *file, bool done)
{
    image_file_close(file);
    if (done)
        puts("done");
    return done;
}

static bool resize(int count, char **arguments)
{
    static const struct disk_progress progress;
    const struct vhdx_resize work = {.size = strtoull(arguments[1], NULL, 10), .progress = &progress};
    struct disk_file *file = open_counting(arguments[0], arguments[2]);
    (void)count;
    return file && close_counting(file, vhdx_resize(file, &work, &error));
}

static bool compact(int count, char **arguments)
{
    static const struct disk_compact_options options;
    struct disk_compact_result result;
    struct disk_file *file = open_counting(arguments[0], arguments[1]);
    (void)count;
    return file && close_counting(file, disk_compact_files(&file, 1, &options, &result, &error));
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        int least;
        bool (*run)(int count, char **arguments);
    } commands[] = {
        {"create",  5, create       },
        {"check",   1, check        },
        {"info",    1, info         },
        {"write",   3, write_sectors},
        {"read",    3, read_sectors },
        {"resize",  3, resize       },
        {"compact", 2, compact      },
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
