/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOBODY 65534u

static int read_peer_groups(int socket, struct identity *identity)
{
    socklen_t length = 0;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, NULL, &length) == 0)
        return 0; /* none */
    if (errno != ERANGE)
        return errno;
    identity->groups = malloc(length);
    if (!identity->groups)
        return ENOMEM;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, identity->groups, &length) != 0)
        return errno;
    identity->group_count = length / sizeof(gid_t);
    return 0;
}

int identity_of_peer(int socket, struct identity *identity, pid_t *process)
{
    struct ucred credentials;
    socklen_t length = sizeof(credentials);
    *identity = (struct identity){0};
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
        return errno;
    identity->user = credentials.uid;
    identity->group = credentials.gid;
    *process = credentials.pid;
    int error = read_peer_groups(socket, identity);
    if (error)
        identity_clear(identity);
    return error;
}

int identity_of_user(uid_t user, struct identity *identity)
{
    *identity = (struct identity){.user = user, .group = NOBODY};
    const struct passwd *entry = getpwuid(user);
    if (!entry) {
        if (user == 0)
            identity->group = 0;
        return 0;
    }
    identity->group = entry->pw_gid;
    int count = 0;
    getgrouplist(entry->pw_name, entry->pw_gid, NULL, &count);
    identity->groups = calloc((size_t)count, sizeof(gid_t));
    if (!identity->groups)
        return ENOMEM;
    if (getgrouplist(entry->pw_name, entry->pw_gid, identity->groups, &count) < 0) {
        identity_clear(identity); /* the list has grown just now */
        return EAGAIN;
    }
    identity->group_count = (unsigned)count;
    return 0;
}

bool identity_copy(struct identity *to, const struct identity *from)
{
    *to = *from;
    to->groups = NULL;
    if (!from->group_count)
        return true;
    to->groups = calloc(from->group_count, sizeof(gid_t));
    if (!to->groups)
        return false;
    memcpy(to->groups, from->groups, from->group_count * sizeof(gid_t));
    return true;
}

void identity_clear(struct identity *identity)
{
    free(identity->groups);
    *identity = (struct identity){.user = NOBODY, .group = NOBODY};
}

bool identity_has_group(const struct identity *identity, gid_t group)
{
    if (identity->group == group)
        return true;
    for (unsigned i = 0; i < identity->group_count; i++)
        if (identity->groups[i] == group)
            return true;
    return false;
}

int identity_become(const struct identity *identity)
{
    if (geteuid() != 0) /* a manager that is not root has one user's rights to give */
        return identity->user == geteuid() ? 0 : EPERM;
    if (setgroups(identity->group_count, identity->groups) != 0 ||
        setresgid(identity->group, identity->group, identity->group) != 0 ||
        setresuid(identity->user, identity->user, identity->user) != 0)
        return errno;
    return 0;
}

/* getpwuid() would ask whatever nsswitch.conf names, and wait for it. */
void identity_name(uid_t user, char name[IDENTITY_NAME_SIZE])
{
    FILE *accounts = fopen("/etc/passwd", "re");
    const struct passwd *entry = NULL;
    while (accounts && (entry = fgetpwent(accounts)) != NULL && entry->pw_uid != user)
        ;
    if (entry)
        snprintf(name, IDENTITY_NAME_SIZE, "%.*s", IDENTITY_NAME_SIZE - 1, entry->pw_name);
    else
        snprintf(name, IDENTITY_NAME_SIZE, "user %u", (unsigned)user);
    if (accounts)
        fclose(accounts);
}
