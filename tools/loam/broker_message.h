/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the process that works on disk images asks its broker, and the answers: one each, in turn, over a SOCK_SEQPACKET
 * socket (passing.h). Both are the same program.
 */
#ifndef LOAM_BROKER_MESSAGE_H
#define LOAM_BROKER_MESSAGE_H

#include <limits.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "partitions/root/disk/error.h"

/* What `path`, `text` and `number` are for each; the first ones as in host_files.h. */
enum broker_request_kind {
    ASK_OPEN_IMAGE,   /* number: flags. The answer comes with the descriptor */
    ASK_OPEN_SOURCE,  /* path: the URL, text: the validator, number: whether it is raw, size. Likewise */
    ASK_BEGIN_FILE,   /* number: whether to replace. Likewise; one file at a time is begun */
    ASK_COMMIT_FILE,  /* the file that is begun */
    ASK_ABANDON_FILE, /* likewise */
    ASK_FIND_PARENT,  /* path: the child, text: the name. The answer's path: where it is */
    ASK_REAL_PATH,    /* the answer's path */
    ASK_STATUS,       /* the answer's status */
    ASK_LIST_BESIDE,  /* the answer comes with the descriptor */
    ASK_REMOVE,       /* if it is the file that was opened last by that path */
    ASK_SET_TIMES,    /* likewise */
    ASK_FIND_VM,      /* number: a process. The answer's path: the name of the virtual machine, or empty */
    ASK_PRINT,        /* text on standard output, number 1, or standard error, 2 */
    ASK_PROGRESS,     /* text: the work, number: per cent; more than 100: it is at an end */
};

struct broker_request {
    uint32_t kind;
    uint32_t number;
    uint64_t size;
    struct timespec times[2];
    char path[PATH_MAX]; /* these two end with a NUL */
    char text[PATH_MAX];
};

struct broker_answer {
    int result; /* 0 or an errno */
    struct disk_error error;
    struct stat status;
    char path[PATH_MAX];
};

#endif
