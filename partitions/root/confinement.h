/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What processes that have to do with strangers give up before they begin: root's rights, and all system calls but
 * those that they make.
 */
#ifndef ROOT_CONFINEMENT_H
#define ROOT_CONFINEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <seccomp.h>
#include <sys/types.h>

#define CONFINEMENT_ERROR_SIZE 256

struct confinement_user {
    bool given;
    uid_t uid;
    gid_t gid;
};

/* "NAME", "NAME:GROUP", or numbers; the group is the user's own if not given. False: `error` is one line. */
bool confinement_parse_user(const char *text, struct confinement_user *user, char error[CONFINEMENT_ERROR_SIZE]);

/* Becomes `user`, for good and with no other groups; nothing if none is given. False: `error` is one line. */
bool confinement_become(const struct confinement_user *user, char error[CONFINEMENT_ERROR_SIZE]);

/* Gives up all capabilities, also those that a service manager may have given. False: `error` is one line. */
bool confinement_drop_capabilities(char error[CONFINEMENT_ERROR_SIZE]);

/* System calls that a process makes, beside those for memory. */
struct confinement_calls {
    uint32_t others;    /* what happens at any other, SCMP_ACT_... */
    const int *allowed; /* whatever their arguments */
    size_t count;
    bool threads; /* also to make threads */
    bool disks;   /* also what the disk engine does with files that are open; operations under way together need more:
                     see disk/io.h */
    int (*add_rules)(scmp_filter_ctx filter); /* those whose arguments matter. 0 or a negative errno; NULL: none */
};

/*
 * Forbids new privileges, and all system calls but these in all threads, those that make memory executable always.
 * There is no way back. False: `error` is one line.
 */
bool confinement_close(const struct confinement_calls *calls, char error[CONFINEMENT_ERROR_SIZE]);

#endif
