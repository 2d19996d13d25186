/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking an image over. Nothing is changed. */
#ifndef DISK_CHECK_H
#define DISK_CHECK_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"

enum disk_check_level {
    DISK_CHECK_NOTE,    /* worth knowing */
    DISK_CHECK_WARNING, /* not as it should be; no data are concerned, and opening the disk for writing mends
                           it */
    DISK_CHECK_ERROR,   /* damaged: data are lost, or the disk cannot be used */
    DISK_CHECK_LEVELS,
};

/* `text` is a line without a newline and lasts for the call. */
typedef void disk_check_report(void *context, enum disk_check_level level, const char *text);

/* Of each level, the first so many findings are told one by one, and all are counted. */
#define DISK_CHECK_MOST_REPORTED 20

struct disk_check_result {
    uint64_t count[DISK_CHECK_LEVELS]; /* of findings */
};

/*
 * Checks a VHD or VHDX: what it says of itself, its block allocation table, and that everything lies within the file;
 * of a differencing one then its parents too. False with `error` if it could not be done: no such file, no VHD, in use
 * by a writer, unreadable. Findings are no failure: see `result`. disk_check_file looks at one image alone.
 */
bool disk_check(const char *path, disk_check_report *report, void *context, struct disk_check_result *result,
                struct disk_error *error);
bool disk_check_file(struct disk_file *file, disk_check_report *report, void *context, struct disk_check_result *result,
                     struct disk_error *error);

#endif
