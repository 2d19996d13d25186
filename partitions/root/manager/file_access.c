/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/file_access.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "partitions/root/disk/chain.h"
#include "partitions/root/disk/floppy_image.h"
#include "partitions/root/disk/image_file.h"
#include "partitions/root/disk/lock.h"
#include "partitions/root/manager/identity.h"

/* Linux/x86 boot protocol: the magic number of the setup header. */
#define SETUP_MAGIC        "HdrS"
#define SETUP_MAGIC_OFFSET 0x202

static int __attribute__((format(printf, 3, 4)))
refuse(struct file_access_problem *problem, const struct file_access *file, const char *format, ...)
{
    int length = snprintf(problem->text, sizeof(problem->text), "%.600s: ", file->path);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->text + length, sizeof(problem->text) - (size_t)length, format, arguments);
    va_end(arguments);
    return -1;
}

/* Finds the first directory on the way to the file that `fails`; NULL: none does. */
static const char *find_directory(const char *path, bool (*fails)(const char *directory), char directory[PATH_MAX])
{
    for (const char *slash = path; slash; slash = strchr(slash + 1, '/')) {
        snprintf(directory, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
        if (fails(directory))
            return directory;
    }
    return NULL;
}

static bool cannot_be_searched(const char *directory)
{
    return access(directory, X_OK) != 0 && errno == EACCES;
}

static bool does_not_exist(const char *directory)
{
    return access(directory, F_OK) != 0 && errno == ENOENT;
}

static bool is_written(const struct file_access *file)
{
    return (file->role == FILE_DISK || file->role == FILE_FLOPPY) && !file->read_only;
}

static const char *missing_right(const struct file_access *file)
{
    if (file->role == FILE_SERIAL)
        return "write";
    if (!is_written(file) || access(file->path, W_OK) == 0)
        return "read";
    return access(file->path, R_OK) == 0 ? "write" : "read and write";
}

static int explain(struct file_access_problem *problem, const struct file_access *file, int error)
{
    char directory[PATH_MAX], user[IDENTITY_NAME_SIZE];
    switch (error) {
    case ENOENT:
        if (find_directory(file->path, does_not_exist, directory))
            return refuse(problem, file, "there is no directory %.300s: check the path", directory);
        return refuse(problem, file, "there is no such file: %s",
                      file->role == FILE_DISK ? "check the path, or make a disk with loam disk create"
                                              : "check the path");
    case EACCES:
    case EPERM:
        identity_name(file->user, user);
        if (find_directory(file->path, cannot_be_searched, directory))
            return refuse(problem, file, "%s may not search the directory %.300s (right x)", user, directory);
        return refuse(problem, file, "%s may not %s it: give that right with chmod or chown", user,
                      missing_right(file));
    case EROFS:
        return refuse(problem, file, "on a file system that is mounted read-only: attach it with read-only");
    case ETXTBSY:
        return refuse(problem, file, "is a program that runs");
    default:
        return refuse(problem, file, "cannot be opened: %s", strerror(error));
    }
}

static int judge_regular(int descriptor, const struct file_access *file, struct file_access_problem *problem)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0)
        return refuse(problem, file, "cannot be examined: %s", strerror(errno));
    if (S_ISDIR(status.st_mode))
        return refuse(problem, file, "is a directory, not a file");
    if (!S_ISREG(status.st_mode))
        return refuse(problem, file, "is not a regular file");
    if (status.st_size == 0)
        return refuse(problem, file, "is empty");
    return 0;
}

static int judge_kernel(int descriptor, const struct file_access *file, struct file_access_problem *problem)
{
    char magic[sizeof(SETUP_MAGIC) - 1];
    ssize_t length = pread(descriptor, magic, sizeof(magic), SETUP_MAGIC_OFFSET);
    if (length < 0)
        return refuse(problem, file, "cannot be read: %s", strerror(errno));
    if (length != sizeof(magic) || memcmp(magic, SETUP_MAGIC, sizeof(magic)) != 0)
        return refuse(problem, file, "is not a Linux kernel for x86 (a bzImage, such as /boot/vmlinuz-...)");
    return 0;
}

static const char *disk_remedy(int code)
{
    switch (code) {
    case EMEDIUMTYPE:
        return " (attach a raw image as PATH,raw)";
    case EUCLEAN:
        return " (loam disk check says more; restore it from a copy)";
    default:
        return "";
    }
}

/* What is wrong with the file of a disk, or with another one that it needs. */
static int refuse_disk(struct file_access_problem *problem, const struct file_access *file,
                       const struct disk_error *error)
{
    const char *remedy = file->role == FILE_DISK ? disk_remedy(error->code) : "";
    if (strncmp(error->text, file->path, strlen(file->path)) == 0)
        return refuse(problem, file, "%s%s", error->text + error->reason, remedy);
    return refuse(problem, file, "its parent %s", error->text);
}

/* Looks at the image without locking it; `open_image`: as what. NULL with `problem`. */
static struct disk *look_at_image(int descriptor, const struct file_access *file, unsigned flags,
                                  struct disk *(*open_image)(int descriptor, const char *name, unsigned flags,
                                                             struct disk_error *error),
                                  struct file_access_problem *problem)
{
    struct disk_error error;
    int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        refuse(problem, file, "cannot be opened: %s", strerror(errno));
        return NULL;
    }
    struct disk *disk = open_image(copy, file->path, DISK_OPEN_UNLOCKED | flags, &error);
    if (!disk)
        refuse_disk(problem, file, &error);
    return disk;
}

static int judge_image(int descriptor, const struct file_access *file, unsigned flags,
                       struct disk *(*open_image)(int descriptor, const char *name, unsigned flags,
                                                  struct disk_error *error),
                       struct file_access_problem *problem)
{
    struct disk *disk = look_at_image(descriptor, file, flags, open_image, problem);
    if (disk)
        disk_close(disk);
    return disk ? 0 : -1;
}

/* ---- Parents ---- */

void file_parents_clear(struct file_parents *parents)
{
    for (unsigned i = 0; i < parents->count; i++) {
        close(parents->list[i].descriptor);
        free(parents->list[i].path);
    }
    parents->count = 0;
    parents->source = (struct remote_source){0};
}

static bool keep_parent(struct file_parents *parents, const struct disk_file *file)
{
    int descriptor = fcntl(file->descriptor, F_DUPFD_CLOEXEC, 0);
    char *path = strdup(file->name);
    if (descriptor >= 0 && path) {
        parents->list[parents->count].descriptor = descriptor;
        parents->list[parents->count++].path = path;
        return true;
    }
    if (descriptor >= 0)
        close(descriptor);
    free(path);
    return false;
}

/* What the disk needs beside its own file. */
static int keep_parents(const struct disk *disk, const struct file_access *file, struct file_parents *parents,
                        struct file_access_problem *problem)
{
    unsigned count = disk->image_count - 1 + (disk_unopened_source(disk) != NULL);
    if (count > CONFIGURATION_PARENTS)
        return refuse(problem, file, "has %u parents, and a virtual machine can use a disk with %u: merge some", count,
                      CONFIGURATION_PARENTS);
    if (disk_unopened_source(disk))
        parents->source = *disk_unopened_source(disk);
    for (uint32_t i = 1; i < disk->image_count; i++)
        if (!keep_parent(parents, disk->images[i]->file))
            return refuse(problem, file, "its parent %.300s cannot be opened: %s", disk->images[i]->file->name,
                          strerror(errno));
    return 0;
}

/* The worker locks it; here we only find out whether it will be able to. */
static int judge_lock(int descriptor, const char *path, bool exclusive, const struct file_access *file,
                      struct file_access_problem *problem)
{
    struct disk_error error;
    if (disk_lock(descriptor, path, exclusive, &error)) {
        disk_unlock(descriptor);
        return 0;
    }
    problem->in_use = error.code == EBUSY;
    problem->holder = error.holder;
    return refuse_disk(problem, file, &error);
}

static int judge_disk(int descriptor, const struct file_access *file, bool to_use, struct file_parents *parents,
                      struct file_access_problem *problem)
{
    unsigned flags = file->raw ? DISK_OPEN_RAW : DISK_OPEN_FIND_PARENTS | DISK_OPEN_WITHOUT_SOURCE;
    struct disk *disk = look_at_image(descriptor, file, flags, disk_open_descriptor, problem);
    if (!disk)
        return -1;
    int result = keep_parents(disk, file, parents, problem);
    disk_close(disk);
    if (!result && to_use)
        result = judge_lock(descriptor, file->path, !file->read_only, file, problem);
    for (unsigned i = 0; i < parents->count && !result && to_use; i++)
        result = judge_lock(parents->list[i].descriptor, parents->list[i].path, false, file, problem);
    return result;
}

/* An optical medium: an image, or a drive of the host. */
static int judge_dvd(int descriptor, const struct file_access *file, struct file_access_problem *problem)
{
    struct stat status;
    if (fstat(descriptor, &status) == 0 && S_ISBLK(status.st_mode))
        return 0;
    int result = judge_regular(descriptor, file, problem);
    return result ? result : judge_image(descriptor, file, DISK_OPEN_ISO, disk_open_descriptor, problem);
}

static int judge(int descriptor, const struct file_access *file, bool to_use, struct file_parents *parents,
                 struct file_access_problem *problem)
{
    int result;
    switch (file->role) {
    case FILE_DISK:
        return judge_disk(descriptor, file, to_use, parents, problem);
    case FILE_KERNEL:
        result = judge_regular(descriptor, file, problem);
        return result ? result : judge_kernel(descriptor, file, problem);
    case FILE_DVD:
        return judge_dvd(descriptor, file, problem);
    case FILE_FLOPPY:
        result = judge_regular(descriptor, file, problem);
        return result ? result : judge_image(descriptor, file, 0, floppy_image_open_descriptor, problem);
    default:
        return judge_regular(descriptor, file, problem);
    }
}

/* ---- The other end of a serial port ---- */

/* A socket that nobody listens on any more is in the way of a new one. */
static void remove_old_socket(const struct sockaddr_un *address)
{
    struct stat status;
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return;
    if (lstat(address->sun_path, &status) == 0 && S_ISSOCK(status.st_mode) &&
        connect(descriptor, (const struct sockaddr *)address, sizeof(*address)) != 0 && errno == ECONNREFUSED)
        unlink(address->sun_path);
    close(descriptor);
}

static int listen_at(const struct file_access *file, struct file_access_problem *problem)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(file->path) >= sizeof(address.sun_path))
        return refuse(problem, file, "the path of a socket can have %zu characters", sizeof(address.sun_path) - 1);
    strcpy(address.sun_path, file->path);
    remove_old_socket(&address);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return refuse(problem, file, "cannot make a socket: %s", strerror(errno));
    if (bind(descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0 && listen(descriptor, 1) == 0)
        return descriptor;
    int error = errno;
    close(descriptor);
    return error == EADDRINUSE ? refuse(problem, file, "is there already: remove it, or choose another path")
                               : explain(problem, file, error);
}

static int open_serial(const struct file_access *file, struct file_access_problem *problem)
{
    struct stat status;
    if (file->serial == CONFIGURATION_SERIAL_SOCKET)
        return listen_at(file, problem);
    bool pipe = file->serial == CONFIGURATION_SERIAL_PIPE;
    /* A FIFO that is open for both never waits for its other end, and does not end with it. */
    int descriptor =
        open(file->path, (pipe ? O_RDWR : O_WRONLY | O_APPEND | O_CREAT) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
    if (descriptor < 0)
        return explain(problem, file, errno);
    if (fstat(descriptor, &status) == 0 && pipe == S_ISFIFO(status.st_mode) && !S_ISDIR(status.st_mode))
        return descriptor;
    close(descriptor);
    return refuse(problem, file, pipe ? "is not a FIFO: make one with mkfifo" : "is a FIFO: give it as pipe:PATH");
}

/* Nothing is made before the machine starts; what can be said is whether it could be. */
static int look_at_serial(const struct file_access *file, struct file_access_problem *problem)
{
    char directory[PATH_MAX];
    snprintf(directory, sizeof(directory), "%s", file->path);
    *(strrchr(directory, '/') + 1) = '\0';
    const bool there = access(file->path, F_OK) == 0;
    const char *needed = there && file->serial != CONFIGURATION_SERIAL_SOCKET ? file->path : directory;
    if (file->serial == CONFIGURATION_SERIAL_PIPE && !there)
        return refuse(problem, file, "there is no such FIFO: make one with mkfifo");
    if (access(needed, W_OK) != 0)
        return explain(problem, file, errno);
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

int file_access_open(const struct file_access *file, bool to_use, struct file_parents *parents,
                     struct file_access_problem *problem)
{
    *problem = (struct file_access_problem){0};
    parents->count = 0;
    if (file->role == FILE_SERIAL)
        return to_use ? open_serial(file, problem) : look_at_serial(file, problem);
    /* O_NONBLOCK: a FIFO would wait for its other end. Files and block devices ignore it. */
    int exclusive = to_use && is_written(file) ? image_file_exclusive(file->path) : 0;
    int descriptor =
        open(file->path, (is_written(file) ? O_RDWR : O_RDONLY) | exclusive | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0 && errno == EBUSY && exclusive)
        return refuse(problem, file, "is a block device that the host uses itself: unmount it, or take it out of use");
    if (descriptor < 0)
        return errno == EISDIR ? refuse(problem, file, "is a directory, not a disk image")
                               : explain(problem, file, errno);
    if (judge(descriptor, file, to_use, parents, problem) == 0)
        return descriptor;
    file_parents_clear(parents);
    close(descriptor);
    return -1;
}
