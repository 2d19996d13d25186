/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose rights count: a user with his groups. */
#ifndef MANAGER_IDENTITY_H
#define MANAGER_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define IDENTITY_NAME_SIZE 64

struct identity {
    uid_t user;
    gid_t group;
    gid_t *groups; /* supplementary ones; the owner frees the identity with identity_clear() */
    unsigned group_count;
};

/* Who is at the other end of a Unix socket, as the kernel recorded it when he connected. 0 or an errno. */
int identity_of_peer(int socket, struct identity *identity, pid_t *process);

/*
 * A user as the account database knows him now. One that it does not know has no groups. May wait for a
 * directory service. 0 or an errno.
 */
int identity_of_user(uid_t user, struct identity *identity);

bool identity_copy(struct identity *to, const struct identity *from);
void identity_clear(struct identity *identity);
bool identity_has_group(const struct identity *identity, gid_t group);

/* Gives this process the user's rights and no others, for good. 0 or an errno. */
int identity_become(const struct identity *identity);

/*
 * "alice", or "user 1234" if /etc/passwd has no such account. Directory services are not asked, so that
 * whoever connects cannot make loamd wait for one.
 */
void identity_name(uid_t user, char name[IDENTITY_NAME_SIZE]);

#endif
