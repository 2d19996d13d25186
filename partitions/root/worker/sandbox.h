/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving up what a running virtual machine does not need: root's rights, and every system call but a few. A
 * guest that breaks into its worker finds a process that can reach its own disks, its switch and its
 * partition.
 */
#ifndef WORKER_SANDBOX_H
#define WORKER_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#define SANDBOX_ERROR_SIZE 256

struct sandbox_user {
    bool given;
    uid_t uid;
    gid_t gid;
};

/* "NAME", "NAME:GROUP", or numbers; the group is the user's own if not given. False: `error` is one line. */
bool sandbox_parse_user(const char *text, struct sandbox_user *user, char error[SANDBOX_ERROR_SIZE]);

/* Before memory is mapped: room to pin it also without root's rights, and no core dumps. */
void sandbox_set_limits(void);

/* Becomes `user`, for good and with no other groups; nothing if none is given. False: `error` is one line. */
bool sandbox_drop(const struct sandbox_user *user, char error[SANDBOX_ERROR_SIZE]);

/*
 * Drops to `user` if given, forbids new privileges, and installs the system call filter in all threads. There
 * is no way back; a forbidden call ends the process. False: `error` is one line.
 */
bool sandbox_enter(const struct sandbox_user *user, char error[SANDBOX_ERROR_SIZE]);

#endif
