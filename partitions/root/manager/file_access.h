/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening the files of a virtual machine with the rights of this process, and judging whether they are what
 * they should be. Runs in a process that has become the user whose files they are (opener.h), since it reads
 * what he wrote.
 */
#ifndef MANAGER_FILE_ACCESS_H
#define MANAGER_FILE_ACCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "partitions/root/disk/remote_source.h"
#include "partitions/root/worker/configuration.h"

#define FILE_ACCESS_ERROR_SIZE 1024

enum file_role { FILE_KERNEL, FILE_INITRD, FILE_DISK, FILE_DVD, FILE_FLOPPY, FILE_SERIAL };

struct file_access {
    enum file_role role;
    unsigned index; /* which one of its role */
    const char *path;
    uid_t user;                            /* whose rights count */
    bool raw;                              /* a disk that is no VHD */
    bool read_only;                        /* a disk or floppy disk that is not to be written */
    enum configuration_serial_kind serial; /* what a serial port is connected to */
};

struct file_access_problem {
    bool in_use;                       /* another process has the disk; `holder` names it */
    pid_t holder;                      /* 0: unknown */
    char text[FILE_ACCESS_ERROR_SIZE]; /* one line: the path, what is wrong, and how to mend it */
};

/* The images beneath a differencing disk, its parent first. */
struct file_parents {
    struct remote_source source; /* what is beneath the last of them, at a URL; without one: nothing */
    unsigned count;
    struct {
        int descriptor;
        char *path;
    } list[CONFIGURATION_PARENTS];
};

/* Closes and frees them. */
void file_parents_clear(struct file_parents *parents);

/*
 * Opens a file for what the worker does with it. With `to_use`, a disk must also be free at this moment.
 * Returns a descriptor, and what it needs besides in `parents`, which the caller clears; or -1 with `problem`. Never
 * waits for another program, except for one that serves a file system.
 */
int file_access_open(const struct file_access *file, bool to_use, struct file_parents *parents,
                     struct file_access_problem *problem);

#endif
