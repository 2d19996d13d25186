/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving up every right that the switch does not need while it runs. */
#ifndef NET_SANDBOX_H
#define NET_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sandbox_user {
    uid_t user;
    gid_t group;
};

/* Looks a user up by name or number. False, with a message, if there is none or it is root. */
bool sandbox_find_user(const char *name, struct sandbox_user *user, char *error, size_t error_size);

/* Becomes that user, for good, without any capability. False, with a message. */
bool sandbox_become(const struct sandbox_user *user, char *error, size_t error_size);

/* Drops all capabilities, and allows from now on only the system calls that a running switch makes; others
 * fail with EPERM. */
bool sandbox_close(char *error, size_t error_size);

#endif
