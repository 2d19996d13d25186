/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/image_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "partitions/root/disk/host_files.h"
#include "partitions/root/disk/lock.h"
#include "partitions/root/disk/open.h"

static bool wants_writing(unsigned flags)
{
    return !(flags & DISK_OPEN_READ_ONLY);
}

/* Whether what is there is of a kind that can hold the image. */
static bool check_kind(const struct stat *status, const char *name, unsigned flags, struct disk_error *error)
{
    if (S_ISDIR(status->st_mode))
        disk_error_set(error, EISDIR, name, "a directory, not a disk image");
    else if (S_ISBLK(status->st_mode) && !(flags & DISK_OPEN_RAW))
        disk_error_set(error, EMEDIUMTYPE, name, "a block device, not a VHD; it can be used as a raw disk");
    else if (!S_ISBLK(status->st_mode) && !S_ISREG(status->st_mode))
        disk_error_set(error, EMEDIUMTYPE, name, "neither a file nor a block device");
    else
        return true;
    return false;
}

static bool check_descriptor(int descriptor, const char *name, unsigned flags, struct disk_error *error)
{
    struct stat status;
    int mode = fcntl(descriptor, F_GETFL);
    if (mode < 0 || fstat(descriptor, &status) < 0)
        disk_error_set(error, errno, name, "cannot be used: %s", strerror(errno));
    else if (!check_kind(&status, name, flags, error))
        return false;
    else if ((mode & O_ACCMODE) != O_RDWR && wants_writing(flags))
        disk_error_set(error, EACCES, name, "opened for reading only, and is to be written");
    else if (mode & O_APPEND)
        disk_error_set(error, EINVAL, name, "opened for appending, which would misplace every write");
    else
        return true;
    return false;
}

/* Between opening and locking, whoever had the file may have deleted it or put another in its place. */
static bool check_name(int descriptor, const char *name, struct disk_error *error)
{
    struct stat status;
    if (fstat(descriptor, &status) == 0 && status.st_nlink > 0)
        return true;
    disk_error_set(error, ESTALE, name, "deleted or replaced just now; try again");
    return false;
}

static bool lock(int descriptor, const char *name, unsigned flags, struct disk_error *error)
{
    if ((flags & DISK_OPEN_UNLOCKED) == DISK_OPEN_UNLOCKED)
        return true;
    if (flags & DISK_OPEN_CONFINED)
        return disk_lock_confined(descriptor, name, wants_writing(flags), error);
    return disk_lock(descriptor, name, wants_writing(flags), error);
}

int image_file_exclusive(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISBLK(status.st_mode) ? O_EXCL : 0;
}

/* The descriptor, or -1 and it is closed. */
static int check_and_lock(int descriptor, const char *name, unsigned flags, struct disk_error *error)
{
    if (check_descriptor(descriptor, name, flags, error) && lock(descriptor, name, flags, error) &&
        check_name(descriptor, name, error))
        return descriptor;
    close(descriptor);
    return -1;
}

static struct disk_file *wrap(int descriptor, const char *name, struct disk_error *error)
{
    struct disk_file *file = descriptor < 0 ? NULL : disk_file_wrap(descriptor, name);
    if (descriptor >= 0 && !file)
        disk_error_set(error, ENOMEM, name, "no memory");
    return file;
}

struct disk_file *image_file_wrap(int descriptor, const char *name, unsigned flags, struct disk_error *error)
{
    return wrap(check_and_lock(descriptor, name, flags, error), name, error);
}

struct disk_file *image_file_open(const char *path, unsigned flags, struct disk_error *error)
{
    return wrap(host_files->open_image(path, flags, error), path, error);
}

int image_file_open_directly(const char *path, unsigned flags, struct disk_error *error)
{
    struct stat status;
    /* Opening a device does things to some. */
    if (stat(path, &status) == 0 && !check_kind(&status, path, flags, error))
        return -1;
    /* O_NONBLOCK: opening what has become a FIFO shall not wait for its other end. Files and block devices ignore it.
     */
    int mode = wants_writing(flags) ? O_RDWR : O_RDONLY;
    int exclusive = wants_writing(flags) ? image_file_exclusive(path) : 0;
    int descriptor = open(path, mode | exclusive | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor >= 0)
        return check_and_lock(descriptor, path, flags, error);

    if (errno == EACCES || errno == EPERM)
        disk_error_set(error, EACCES, path, "no permission to %s it", mode == O_RDWR ? "read and write" : "read");
    else if (errno == EISDIR)
        disk_error_set(error, EISDIR, path, "a directory, not a disk image");
    else if (errno == EBUSY && exclusive)
        disk_error_set(error, EBUSY, path,
                       "a block device that the host uses itself: unmount it, or take it out of use");
    else if (errno == EROFS)
        disk_error_set(error, EROFS, path, "on a file system that is mounted read-only");
    else
        disk_error_set(error, errno, path, "%s", strerror(errno));
    return -1;
}

void image_file_close(struct disk_file *file)
{
    if (file->descriptor >= 0)
        disk_unlock(file->descriptor);
    disk_file_close(file);
}
