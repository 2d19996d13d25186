/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/directories.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "partitions/root/manager/manager.h"
#include "partitions/root/manager/report.h"

#define LOCK "loamd.lock"

/* Makes a directory of this mode and owner unless it is there, and opens it. -1: the reason has been
 * reported. */
static int open_directory(const char *path, mode_t mode, uid_t user, gid_t group)
{
    bool made = mkdir(path, mode) == 0;
    int descriptor = made || errno == EEXIST ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (descriptor < 0) {
        report("%s cannot be used: %s", path, strerror(errno));
        return -1;
    }
    if ((geteuid() == 0 && fchown(descriptor, user, group) != 0) || fchmod(descriptor, mode) != 0) {
        report("%s cannot be given its rights: %s", path, strerror(errno));
        close(descriptor);
        return -1;
    }
    return descriptor;
}

static int open_part(const char *directory, const char *name, mode_t mode, uid_t user, gid_t group)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return open_directory(path, mode, user, group);
}

/*
 * Taken for as long as we live, by a lock that no child inherits: one that has been forked and not yet become
 * the program that it is to be may outlive us.
 */
static bool lock(int directory, const char *path)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET}, holder = whole;
    int descriptor = openat(directory, LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor >= 0 && fcntl(descriptor, F_SETLK, &whole) == 0)
        return true;
    int error = errno;
    if (descriptor >= 0 && (error == EAGAIN || error == EACCES) &&
        fcntl(descriptor, F_GETLK, &holder) == 0 && holder.l_type != F_UNLCK)
        report("loamd runs already for %s (process %d)", path, (int)holder.l_pid);
    else
        report("%s/" LOCK " cannot be locked: %s", path, strerror(error));
    if (descriptor >= 0)
        close(descriptor);
    return false;
}

bool directories_open(struct manager *manager)
{
    const struct settings *settings = &manager->settings;
    const uid_t user = geteuid();
    const gid_t group = getegid();
    int run = open_directory(settings->run_directory, 0755, user, group);
    int state = run < 0 ? -1 : open_directory(settings->state_directory, 0755, user, group);
    if (state < 0 || !lock(run, settings->run_directory))
        return false;
    close(run);
    close(state);
    const bool own_switch_user = settings->switch_user[0];
    manager->logs =
        open_directory(settings->log_directory, 0750, user, settings->has_group ? settings->group : group);
    manager->vm_definitions = open_part(settings->state_directory, "vm", 0700, user, group);
    manager->switch_definitions = open_part(settings->state_directory, "switch", 0700, user, group);
    manager->vm_records = open_part(settings->run_directory, "vm", 0700, user, group);
    manager->switch_records = open_part(settings->run_directory, "switch", 0755, user, group);
    int leases =
        open_part(settings->state_directory, "leases", 0700, own_switch_user ? settings->switch_uid : user,
                  own_switch_user ? settings->switch_gid : group);
    if (leases < 0)
        return false;
    close(leases);
    return manager->logs >= 0 && manager->vm_definitions >= 0 && manager->switch_definitions >= 0 &&
           manager->vm_records >= 0 && manager->switch_records >= 0;
}
