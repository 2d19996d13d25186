/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs that loamd starts and that live on when it ends. Each has a record in a directory, from before it
 * runs until it has ended, by which the next loamd finds it.
 */
#ifndef MANAGER_PROCESS_H
#define MANAGER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "partitions/root/manager/name.h"
#include "partitions/root/net/event_loop.h"

#define PROCESS_STATUS_UNKNOWN (-1) /* of a process that is not our child, unless we have killed it */

/* A name, and a little more. */
#define PROCESS_RECORD_SIZE (NAME_SIZE + 16)

struct process {
    struct event_loop *loop;
    pid_t pid;           /* 0: none runs */
    uint64_t start_time; /* clock ticks since the machine started */
    bool child;
    bool killed; /* by process_signal() with SIGKILL */
    int directory;
    char record[PROCESS_RECORD_SIZE];
    struct event_source end; /* pidfd */
    void (*ended)(void *owner, int status);
    void *owner;
};

struct process_plan {
    char *const *arguments; /* the first is the program's path; NULL at the end */
    const int *descriptors; /* that it inherits, under their own numbers, beside 0, 1 and 2 */
    unsigned descriptor_count;
    int output;    /* its standard output and error */
    int directory; /* of the record; must stay open */
    const char *record;
};

/*
 * `ended` is called once, when the process has ended and its record is gone, with its wait status or
 * PROCESS_STATUS_UNKNOWN. It may start another in the same place. 0 or an errno.
 */
int process_start(struct process *process, struct event_loop *loop, const struct process_plan *plan,
                  void (*ended)(void *owner, int status), void *owner);

/*
 * Takes over the process of a record. 0; ENOENT: there is no record; ESRCH: it has ended, and the record is
 * gone; another errno: it cannot be watched.
 */
int process_adopt(struct process *process, struct event_loop *loop, int directory, const char *record,
                  void (*ended)(void *owner, int status), void *owner);

void process_signal(struct process *process, int signal);

/* Kills it and waits for its end; `ended` is not called. Nothing if none runs. */
void process_end(struct process *process);

/* For how long it has run, in seconds. */
uint64_t process_uptime(const struct process *process);

#endif
