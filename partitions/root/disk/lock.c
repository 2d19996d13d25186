/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/lock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* How long a lock of one who is gone is waited for, and how often it is tried. Milliseconds. */
#define PATIENCE 3000u
#define STEP     20u

/*
 * Looks the file up in /proc/locks (proc(5)), whose lines read
 *   1: FLOCK  ADVISORY  WRITE 1234 fd:00:5678 0 EOF
 * with the device in hexadecimal; a line of one who waits has "->" after its number. 0 if nobody is found,
 * which also happens for holders outside our PID namespace.
 */
static pid_t find_holder(int descriptor, bool writers_only)
{
    struct stat status;
    FILE *locks = fopen("/proc/locks", "re");
    if (!locks)
        return 0;
    pid_t holder = 0;
    char line[256];
    while (!holder && fstat(descriptor, &status) == 0 && fgets(line, sizeof(line), locks)) {
        char access[8];
        int process;
        unsigned device_major, device_minor;
        unsigned long long inode;
        if (sscanf(line, "%*u: FLOCK %*s %7s %d %x:%x:%llu", access, &process, &device_major, &device_minor, &inode) !=
            5)
            continue;
        if (device_major != major(status.st_dev) || device_minor != minor(status.st_dev) || inode != status.st_ino ||
            (writers_only && strcmp(access, "WRITE") != 0))
            continue;
        if (process > 0)
            holder = process;
    }
    fclose(locks);
    return holder;
}

static void read_process_name(pid_t process, char *name, int size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)process);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(name, size, file))
        snprintf(name, (size_t)size, "?");
    if (file)
        fclose(file);
    name[strcspn(name, "\n")] = '\0';
}

/* Whether it still does something: a process that has been killed may not have been waited for. */
static bool is_running(pid_t process)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)process);
    FILE *file = fopen(path, "re");
    if (file && !fgets(line, sizeof(line), file))
        line[0] = '\0';
    if (file)
        fclose(file);
    const char *name_end = strrchr(line, ')'); /* and the state behind it: proc(5) */
    return name_end && strncmp(name_end, ") Z", 3) != 0 && strncmp(name_end, ") X", 3) != 0;
}

bool disk_lock_confined(int descriptor, const char *name, bool exclusive, struct disk_error *error)
{
    int result;
    do
        result = flock(descriptor, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
    while (result < 0 && errno == EINTR);
    if (result == 0)
        return true;
    if (errno == EWOULDBLOCK)
        disk_error_set(error, EBUSY, name, "in use by another process");
    else
        disk_error_set(error, errno, name, "cannot be locked: %s", strerror(errno));
    return false;
}

/*
 * The same, and who has it in *holder, 0 if that is nobody whom we see. A process that has passed the file on and was
 * killed has it until the other one, which ends with it, has finished its last write.
 */
static bool lock_when_left(int descriptor, const char *name, bool exclusive, pid_t *holder, struct disk_error *error)
{
    const struct timespec step = {.tv_nsec = STEP * 1000000l};
    bool locked = disk_lock_confined(descriptor, name, exclusive, error);
    *holder = 0;
    for (unsigned waited = 0; !locked && error->code == EBUSY && waited < PATIENCE; waited += STEP) {
        *holder = find_holder(descriptor, !exclusive);
        if (is_running(*holder))
            break;
        nanosleep(&step, NULL);
        locked = disk_lock_confined(descriptor, name, exclusive, error);
    }
    return locked;
}

bool disk_lock(int descriptor, const char *name, bool exclusive, struct disk_error *error)
{
    struct disk_error reason;
    pid_t holder;
    if (lock_when_left(descriptor, name, exclusive, &holder, &reason))
        return true;
    if (error)
        *error = reason;
    if (holder == 0)
        return false;
    char process_name[64];
    read_process_name(holder, process_name, sizeof(process_name));
    disk_error_set(error, EBUSY, name, "in use by process %d (%s)", (int)holder, process_name);
    if (error)
        error->holder = holder;
    return false;
}

void disk_unlock(int descriptor)
{
    flock(descriptor, LOCK_UN);
}
