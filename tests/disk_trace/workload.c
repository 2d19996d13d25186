/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Works on an ext4 file system whose disk is being recorded: small files, appended ones, renames, deletions, a file of
 * pages that are overwritten as a database does it, and much that is never synchronized by name. What is known of the
 * files goes into the recording, too: before a change and after an fsync, text is written past the file system, a
 * sector behind its end, in lines
 *
 *     note NUMBER VERSION                 which note this is, and the last version that has been used before it
 *     changing PATH OFFSET                what PATH holds from OFFSET on is unknown from now on
 *     kept PATH OFFSET LENGTH VERSION     an fsync has returned: there are LENGTH bytes of VERSION
 *     gone PATH                           an fsync has returned: there is no such file
 *
 * usage: workload DISK DIRECTORY BYTES [announce|flush]
 *     BYTES: where the file system on the disk ends
 *     announce: goes on behind the last note that it finds, works for ever, and says "noted NUMBER" of each note that
 * is written flush: the same, of each note that is flushed
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR         512u
#define NOTE_SECTORS   1024u /* are used again from the first one on */
#define ROUNDS         700u
#define SMALL_FILES    24u
#define SMALL_MOST     20000u
#define APPENDED_FILES 4u
#define APPENDED_MOST  3000u
#define PAGE           4096u
#define DATABASE_PAGES 256u
#define LOOSE_FILES    16u
#define LOOSE_SIZE     (256u << 10)
#define SYNC_ROUNDS    60u
#define TRIM_ROUNDS    200u

static int disk;
static bool announcing;
static uint64_t notes_offset, notes_written;
static unsigned version; /* of contents; every one is used once */
static int database;

static void fail(const char *what)
{
    fprintf(stderr, "workload: %s: %s\n", what, strerror(errno));
    exit(1);
}

static unsigned below(unsigned limit)
{
    static uint64_t state;
    if (!state)
        state = notes_written + 1; /* another course each time it goes on */
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((state >> 33) % limit);
}

/* Returns when the text is on the disk, and so in the recording. */
__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    static char sector[SECTOR] __attribute__((aligned(SECTOR)));
    va_list arguments;
    memset(sector, 0, sizeof(sector));
    int length = snprintf(sector, sizeof(sector), "note %llu %u\n", (unsigned long long)notes_written, version);
    va_start(arguments, format);
    vsnprintf(sector + length, sizeof(sector) - (size_t)length, format, arguments);
    va_end(arguments);
    if (pwrite(disk, sector, sizeof(sector), (off_t)(notes_offset + notes_written % NOTE_SECTORS * SECTOR)) !=
        (ssize_t)sizeof(sector))
        fail("note");
    if (announcing)
        printf("noted %llu\n", (unsigned long long)notes_written);
    notes_written++;
}

/* Goes on behind the last of the notes that are there. */
static void find_last_note(void)
{
    static char notes[NOTE_SECTORS][SECTOR] __attribute__((aligned(SECTOR)));
    if (pread(disk, notes, sizeof(notes), (off_t)notes_offset) != (ssize_t)sizeof(notes))
        fail("reading notes");
    for (unsigned i = 0; i < NOTE_SECTORS; i++) {
        unsigned long long number;
        unsigned used;
        if (sscanf(notes[i], "note %llu %u", &number, &used) == 2 && number >= notes_written) {
            notes_written = number + 1;
            version = used + 1; /* may be used since */
        }
    }
}

static void synchronize(int file)
{
    if (fsync(file) < 0)
        fail("fsync");
}

static void synchronize_directory(const char *path)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY);
    if (directory < 0)
        fail(path);
    synchronize(directory);
    close(directory);
}

/* Content of a version: its number in 15 digits and a newline, again and again. */
static void write_version(int file, unsigned offset, unsigned length)
{
    static char content[LOOSE_SIZE + 32];
    version++;
    for (unsigned i = 0; i < length; i += 16)
        snprintf(content + i, 17, "%015u\n", version);
    if (pwrite(file, content, length, offset) != (ssize_t)length)
        fail("write");
}

static int open_file(const char *path, int flags)
{
    int file = open(path, O_WRONLY | O_CREAT | flags, 0644);
    if (file < 0)
        fail(path);
    return file;
}

static void write_small(void)
{
    char path[32];
    unsigned length = 1 + below(SMALL_MOST);
    snprintf(path, sizeof(path), "small/%u", below(SMALL_FILES));
    note("changing %s 0\n", path);
    int file = open_file(path, O_TRUNC);
    write_version(file, 0, length);
    synchronize(file);
    close(file);
    synchronize_directory("small");
    note("kept %s 0 %u %u\n", path, length, version);
}

static void replace_small(void)
{
    char path[32];
    unsigned length = 1 + below(SMALL_MOST);
    snprintf(path, sizeof(path), "small/%u", below(SMALL_FILES));
    note("changing %s 0\nchanging small/new 0\n", path);
    int file = open_file("small/new", O_TRUNC);
    write_version(file, 0, length);
    synchronize(file);
    close(file);
    if (rename("small/new", path) < 0)
        fail("rename");
    synchronize_directory("small");
    note("kept %s 0 %u %u\ngone small/new\n", path, length, version);
}

static void delete_small(void)
{
    char path[32];
    snprintf(path, sizeof(path), "small/%u", below(SMALL_FILES));
    note("changing %s 0\n", path);
    if (unlink(path) < 0 && errno != ENOENT)
        fail("unlink");
    synchronize_directory("small");
    note("gone %s\n", path);
}

static void append(void)
{
    char path[32];
    unsigned which = below(APPENDED_FILES), length = 1 + below(APPENDED_MOST);
    snprintf(path, sizeof(path), "appended%u", which);
    int file = open_file(path, 0);
    off_t end = lseek(file, 0, SEEK_END);
    if (end < 0)
        fail(path);
    write_version(file, (unsigned)end, length);
    synchronize(file);
    close(file);
    note("kept %s %u %u %u\n", path, (unsigned)end, length, version);
}

static void overwrite_page(void)
{
    unsigned offset = below(DATABASE_PAGES) * PAGE;
    note("changing database %u\n", offset);
    write_version(database, offset, PAGE);
    if (fdatasync(database) < 0)
        fail("fdatasync");
    note("kept database %u %u %u\n", offset, PAGE, version);
}

/* Is written when the kernel likes it. */
static void write_loose(void)
{
    char path[32];
    snprintf(path, sizeof(path), "loose/%u", below(LOOSE_FILES));
    if (below(3) == 0) {
        unlink(path);
        return;
    }
    int file = open_file(path, O_TRUNC);
    write_version(file, 0, 1 + below(LOOSE_SIZE));
    close(file);
}

static void trim(void)
{
    struct fstrim_range range = {.len = UINT64_MAX};
    int directory = open(".", O_RDONLY | O_DIRECTORY);
    if (directory < 0 || ioctl(directory, FITRIM, &range) < 0)
        fail("trim");
    close(directory);
}

static void work(void)
{
    static void (*const kinds[])(void) = {write_small,    replace_small,  delete_small, append,     append,
                                          overwrite_page, overwrite_page, write_loose,  write_loose};
    for (unsigned round = 1; round <= ROUNDS; round++) {
        kinds[below(sizeof(kinds) / sizeof(kinds[0]))]();
        if (round % SYNC_ROUNDS == 0)
            sync();
        if (round % TRIM_ROUNDS == 0)
            trim();
    }
}

static void make_directory(const char *path)
{
    if (mkdir(path, 0755) < 0 && !(announcing && errno == EEXIST))
        fail(path);
}

int main(int count, char **arguments)
{
    if (count != 4 && count != 5)
        return 2;
    announcing = count == 5;
    disk = open(arguments[1], O_RDWR | O_DIRECT | (announcing && strcmp(arguments[4], "flush") == 0 ? O_DSYNC : 0));
    notes_offset = strtoull(arguments[3], NULL, 10);
    if (disk < 0 || chdir(arguments[2]) < 0)
        fail("beginning");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (announcing)
        find_last_note();
    make_directory("small");
    make_directory("loose");
    database = open_file("database", 0);
    do
        work();
    while (announcing);
    return 0;
}
