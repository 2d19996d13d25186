/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening files with their users' rights while loamd goes on: for each user a process that becomes him, opens
 * and judges his files (file_access.h), and hands the descriptors over.
 */
#ifndef MANAGER_OPENER_H
#define MANAGER_OPENER_H

#include <stdbool.h>

#include "partitions/root/manager/alarm.h"
#include "partitions/root/manager/definition.h"
#include "partitions/root/manager/file_access.h"
#include "partitions/root/manager/identity.h"
#include "partitions/root/net/event_loop.h"

/* A kernel, an initrd, what drives hold, and the second serial port's other end. */
#define OPENER_FILES (2 + CONFIGURATION_DISKS + CONFIGURATION_DVDS + CONFIGURATION_FLOPPIES + 1)

/* Those at work at a time. */
#define OPENER_MAXIMUM 64u

struct opener_file {
    struct file_access access;    /* with a path of its own */
    int descriptor;               /* -1: not open */
    struct file_parents *parents; /* NULL: it needs none */
};

struct opener_result {
    struct opener_file *files; /* in the order of opener_list() */
    unsigned count;
    const struct file_access_problem *problem; /* NULL: all are open */
};

/*
 * The result lasts for the call. Whoever wants to keep a descriptor takes it and leaves -1, or NULL for parents; the
 * others are closed.
 */
typedef void opener_done(void *owner, struct opener_result *result);

struct opener_plan {
    const struct definition *definition;
    /*
     * Whose rights are known better than the account database knows them: those of the one who asks. With
     * `all_as_asker` every file is opened with his, whoever is recorded.
     */
    const struct identity *asker;
    bool all_as_asker;
    bool to_use; /* disks must be free */
};

struct opener_context {
    struct event_loop *loop;
    struct alarms *alarms;
    unsigned active;
};

/* Begins. `done` is called once, later. 0 or an errno; then it is not called. */
int opener_begin(struct opener_context *context, const struct opener_plan *plan, opener_done *done, void *owner);

#endif
