/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/host_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/new_file.h"
#include "partitions/root/disk/parent_search.h"

/* Bytes of names; what a directory has beyond them is not seen. */
#define LIST_MAXIMUM (64u << 20)

static int real_path(const char *path, char real[PATH_MAX])
{
    return realpath(path, real) ? 0 : errno;
}

static int get_status(const char *path, struct stat *status)
{
    return stat(path, status) < 0 ? errno : 0;
}

/* With the slash at its end; "." for the current one. */
static void directory_of(const char *path, char directory[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    snprintf(directory, PATH_MAX, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
}

/* ---- Listing ---- */

static bool write_names(DIR *entries, FILE *names)
{
    const struct dirent *entry;
    size_t total = 0;
    while ((entry = readdir(entries)) && (total += strlen(entry->d_name) + 1) <= LIST_MAXIMUM)
        if (fputs(entry->d_name, names) < 0 || fputc('\0', names) < 0)
            return false;
    return fflush(names) == 0;
}

static int list_beside(const char *path)
{
    char directory[PATH_MAX];
    directory_of(path, directory);
    DIR *entries = opendir(directory);
    int descriptor = entries ? memfd_create("names", MFD_CLOEXEC) : -1;
    int copy = descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    FILE *names = copy < 0 ? NULL : fdopen(copy, "w");
    bool done = names && write_names(entries, names) && lseek(descriptor, 0, SEEK_SET) == 0;
    if (names)
        fclose(names);
    else if (copy >= 0)
        close(copy);
    if (entries)
        closedir(entries);
    if (done || descriptor < 0)
        return descriptor;
    close(descriptor);
    return -1;
}

/* ---- Fetching ---- */

static int open_source(const struct remote_source *source, struct disk_error *error)
{
    disk_error_set(error, EOPNOTSUPP, source->url, "it has to be fetched, which only loam and loamd can");
    return -1;
}

/* ---- Changing ---- */

static void synchronize_directory(const char *path)
{
    char directory[PATH_MAX];
    directory_of(path, directory);
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor); /* some file systems cannot */
        close(descriptor);
    }
}

static int remove_file(const char *path, int descriptor)
{
    char real[PATH_MAX];
    struct stat own, other;
    if (!realpath(path, real) || fstat(descriptor, &own) < 0 || stat(real, &other) < 0)
        return errno;
    if (own.st_dev != other.st_dev || own.st_ino != other.st_ino)
        return ESTALE;
    if (unlink(real) < 0)
        return errno;
    synchronize_directory(real);
    return 0;
}

static void set_times(const char *path, int descriptor, const struct timespec times[2])
{
    (void)path;
    futimens(descriptor, times);
}

const struct host_files host_files_direct = {
    .open_image = image_file_open_directly,
    .open_source = open_source,
    .begin_file = new_file_begin_directly,
    .commit_file = new_file_commit_directly,
    .abandon_file = new_file_abandon_directly,
    .find_parent = parent_find_directly,
    .real_path = real_path,
    .status = get_status,
    .list_beside = list_beside,
    .remove = remove_file,
    .set_times = set_times,
};

const struct host_files *host_files = &host_files_direct;
