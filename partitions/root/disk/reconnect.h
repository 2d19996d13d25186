/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connecting a differencing disk with its parent again, after files were moved, renamed or copied. */
#ifndef DISK_RECONNECT_H
#define DISK_RECONNECT_H

#include <limits.h>
#include <stdbool.h>

#include "partitions/root/disk/error.h"

struct disk_reconnect_options {
    /*
     * Takes `parent` even if it is not the disk that the child was made from. The child has sectors that belong
     * together with that disk's: with another one the contents are those of neither, unless it is a copy.
     */
    bool other_identity;
    bool dry_run; /* everything is looked at, and nothing changed */
};

struct disk_reconnect_result {
    char parent[PATH_MAX]; /* which was found, or given: an absolute path or a URL */
    bool other_identity;   /* it is not the disk that the child was made from */
    bool moved;            /* the child did not have this path */
    bool changed;          /* its file was changed at another time than the child has noted, or the server says so */
};

/*
 * Makes the child say that its parent is in the file `parent`, by a relative and an absolute path, or at the URL
 * `parent`, and that it is as it is now. With NULL, the parent is looked for where the child has it, and in its
 * directory; the file's name must be the same then. Nobody may have the child open, or write to the parent. What is
 * behind the parent is not looked at: of a chain whose middle was moved, the child and the middle are to be
 * reconnected, in any order, as the child's own time of modification stays.
 *
 * Either done or not whenever it is interrupted. `options` may be NULL, and `result`. False with `error`; ENOLINK if
 * there is no parent, or another disk.
 */
bool disk_reconnect(const char *child, const char *parent, const struct disk_reconnect_options *options,
                    struct disk_reconnect_result *result, struct disk_error *error);

#endif
