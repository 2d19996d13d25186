/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a differencing image says of its parent. */
#ifndef DISK_PARENT_LINK_H
#define DISK_PARENT_LINK_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/disk/remote_source.h"

/* Names of the parent that an image can hold. */
#define PARENT_LINK_NAMES 8u

struct parent_link {
    uint8_t identifier[16];  /* of the parent */
    uint8_t alternative[16]; /* all zeros, or another identifier that is as good (a VHDX's parent_linkage2) */
    bool has_timestamp;
    int64_t timestamp; /* when the parent was last modified, seconds since 1970 */
    /*
     * Paths in the order in which they are to be tried, UTF-8, with '/' between components and no drive letter; a
     * relative one begins in the child's directory. Not empty, and free of control characters.
     */
    unsigned names;
    char name[PARENT_LINK_NAMES][PATH_MAX];
    struct remote_source remote; /* with a URL: this is the parent, and there are no names */
};

#endif
