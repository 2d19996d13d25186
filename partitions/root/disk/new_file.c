/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/lock.h"

#define ATTEMPTS 16

static int open_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char directory[PATH_MAX];
    int length = snprintf(directory, sizeof(directory), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (length >= (int)sizeof(directory)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Whether the name may be taken; an existing file that is to be replaced is opened and locked. */
static bool check_existing(struct new_file *file, struct disk_error *error)
{
    struct stat status;
    if (fstatat(file->directory, file->name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT)
            return true;
        disk_error_set(error, errno, file->path, "%s", strerror(errno));
        return false;
    }
    if (!file->replace) {
        disk_error_set(error, EEXIST, file->path, "exists already");
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        disk_error_set(error, EEXIST, file->path, "exists and is not a regular file, so it is not replaced");
        return false;
    }
    file->replaced = openat(file->directory, file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file->replaced < 0) {
        disk_error_set(error, errno, file->path, "not replaced, as it cannot be read: %s", strerror(errno));
        return false;
    }
    return disk_lock(file->replaced, file->path, true, error);
}

static bool make_temporary(struct new_file *file, struct disk_error *error)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        uint64_t random;
        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
            break;
        snprintf(file->temporary, sizeof(file->temporary), ".loam-%016llx.part", (unsigned long long)random);
        file->descriptor =
            openat(file->directory, file->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (file->descriptor >= 0)
            return true;
        if (errno != EEXIST)
            break;
    }
    if (errno == EACCES || errno == EPERM)
        disk_error_set(error, EACCES, file->path, "no permission to create files in its directory");
    else
        disk_error_set(error, errno, file->path, "cannot be created: %s", strerror(errno));
    return false;
}

static void close_all(struct new_file *file)
{
    if (file->descriptor >= 0)
        close(file->descriptor);
    if (file->replaced >= 0)
        close(file->replaced);
    if (file->directory >= 0)
        close(file->directory);
}

bool new_file_begin_directly(struct new_file *file, const char *path, bool replace, struct disk_error *error)
{
    const char *slash = strrchr(path, '/');
    *file = (struct new_file){
        .descriptor = -1,
        .replaced = -1,
        .path = path,
        .name = slash ? slash + 1 : path,
        .replace = replace,
    };
    file->directory = open_directory(path);
    if (file->directory < 0) {
        disk_error_set(error, errno, path, "its directory cannot be opened: %s", strerror(errno));
        return false;
    }
    if (*file->name == '\0' || strcmp(file->name, ".") == 0 || strcmp(file->name, "..") == 0) {
        disk_error_set(error, EISDIR, path, "not the name of a file");
    } else if (strlen(file->name) > NAME_MAX) {
        disk_error_set(error, ENAMETOOLONG, path, "%s", strerror(ENAMETOOLONG));
    } else if (check_existing(file, error) && make_temporary(file, error)) {
        return true;
    }
    close_all(file);
    return false;
}

struct disk_file *new_file_wrap(const struct new_file *file)
{
    int descriptor = fcntl(file->descriptor, F_DUPFD_CLOEXEC, 0);
    struct disk_file *wrapped = descriptor < 0 ? NULL : disk_file_wrap(descriptor, file->path);
    if (wrapped)
        disk_file_defer(wrapped);
    return wrapped;
}

/* Only the file that was found and locked is replaced. Where renaming always replaces (NFS), hard links do
 * not. */
static int publish(const struct new_file *file)
{
    if (file->replaced >= 0)
        return renameat(file->directory, file->temporary, file->directory, file->name);
    int result = renameat2(file->directory, file->temporary, file->directory, file->name, RENAME_NOREPLACE);
    if (result == 0 || (errno != EINVAL && errno != ENOSYS))
        return result;
    result = linkat(file->directory, file->temporary, file->directory, file->name, 0);
    if (result == 0)
        unlinkat(file->directory, file->temporary, 0);
    return result;
}

bool new_file_commit_directly(struct new_file *file, struct disk_error *error)
{
    if (fsync(file->descriptor) < 0 || publish(file) < 0) {
        if (errno == EEXIST)
            disk_error_set(error, EEXIST, file->path, "exists already");
        else
            disk_error_set(error, errno, file->path, "cannot be completed: %s", strerror(errno));
        new_file_abandon_directly(file);
        return false;
    }
    /* That the name be durable too can only be tried: some file systems cannot synchronize directories. */
    fsync(file->directory);
    close_all(file);
    return true;
}

void new_file_abandon_directly(struct new_file *file)
{
    unlinkat(file->directory, file->temporary, 0);
    close_all(file);
}

/* ---- Whoever does it ---- */

bool new_file_begin(struct new_file *file, const char *path, bool replace, struct disk_error *error)
{
    return host_files->begin_file(file, path, replace, error);
}

bool new_file_commit(struct new_file *file, struct disk_error *error)
{
    return host_files->commit_file(file, error);
}

void new_file_abandon(struct new_file *file)
{
    host_files->abandon_file(file);
}
