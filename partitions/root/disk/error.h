/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why something could not be done with a disk file, in one line for people and one number for programs. */
#ifndef DISK_ERROR_H
#define DISK_ERROR_H

#include <sys/types.h>

#define DISK_ERROR_TEXT 1024

/*
 * `code` is an errno. Beside what the system reports (ENOENT, EACCES, EIO, ENOSPC, EEXIST ...):
 *   EMEDIUMTYPE  the file is not a VHD
 *   EUCLEAN      it is a VHD, and damaged
 *   EOPNOTSUPP   a sound VHD of a kind that is not supported
 *   EFBIG        the disk is larger than a VHD can be
 *   EBUSY        another process has the file; `holder` names it
 *   EINVAL       a size or an option is out of range
 *   ENOLINK      the parent of a differencing disk is missing, or not the one it was made from
 *   ENOTEMPTY    what would be cut off a disk holds data
 *   EMLINK       other disks are based on the images, and would be worth nothing
 *   ECANCELED    the cancel flag was raised
 */
struct disk_error {
    int code;
    pid_t holder;               /* with EBUSY: who has the file, 0 if that cannot be seen */
    unsigned reason;            /* where in `text` the name ends and the reason begins */
    char text[DISK_ERROR_TEXT]; /* "NAME: what is wrong and how to mend it", no newline */
};

/* Fills `error`, which may be NULL. A long name is cut, so that the reason is always there. */
void disk_error_set(struct disk_error *error, int code, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
