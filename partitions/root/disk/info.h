/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an image is, for people. */
#ifndef DISK_INFO_H
#define DISK_INFO_H

#include <limits.h>

#include "partitions/root/disk/container.h"
#include "partitions/root/disk/error.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/remote_source.h"

struct disk_info {
    enum disk_container container;
    enum disk_format format;
    uint64_t size;                 /* of the disk, bytes */
    uint64_t file_size;            /* bytes */
    uint64_t file_space;           /* what the file takes of its file system, bytes */
    struct disk_geometry geometry; /* as the guest sees it */
    bool in_use;                   /* a writer has it, so the numbers are those of one moment */
    pid_t holder;                  /* the writer, 0 if unknown */

    /* Of VHDs: */
    char creator_application[5]; /* printable */
    char creator_host[5];
    uint32_t creator_version; /* major in the upper half */
    int64_t created;          /* seconds since 1970 */
    uint8_t identifier[16];   /* a UUID, most significant byte first */
    bool saved_state;
    bool footer_damaged; /* one of the two; it is renewed when the disk is opened for writing */

    /* Of a VHDX, the sectors that it is made of. */
    uint32_t logical_sector;

    /* Of dynamic and differencing disks: */
    uint32_t block_size;
    uint32_t blocks;
    uint32_t allocated_blocks;
    uint32_t damaged_blocks;

    /* Of differencing disks: */
    uint8_t parent_identifier[16];
    char parent_name[PATH_MAX];           /* the first that the image has for it, or empty */
    char parent_path[PATH_MAX];           /* where it was found, or empty */
    char parent_problem[DISK_ERROR_TEXT]; /* what is wrong with it and how to mend it, or empty */
    struct remote_source parent_remote;   /* where it is fetched from; without a URL: it is a file */
    uint64_t local;                       /* of one that is fetched: bytes of the disk that are here */
};

/* Does not wait for, or disturb, a writer. `flags`: DISK_OPEN_RAW or 0. False with `error`. */
bool disk_info(const char *path, unsigned flags, struct disk_info *info, struct disk_error *error);

#endif
