/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The images of a chain for people to look at, as far as it goes: problems are shown, not refused. */
#ifndef DISK_CHAIN_LIST_H
#define DISK_CHAIN_LIST_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/parent_link.h"

struct disk_image;

/* One image. All that it points to lasts for the call. */
struct disk_chain_member {
    const char *path; /* where it was found */
    enum disk_format format;
    uint64_t size;       /* of the disk, bytes */
    uint64_t file_space; /* what the file takes of its file system, bytes */
    int64_t modified;    /* when the file was changed last, seconds since 1970 */
    bool in_use;         /* a writer has it */
    pid_t holder;        /* the writer, 0 if unknown */
    uint8_t identifier[16];
    struct disk_image *image;
    const struct parent_link *link; /* what it says of its parent; NULL: it has none, or that cannot be read */
    const char *parent_path;        /* where that was found; NULL: it was not */
    const char *problem;            /* with its parent, or of itself: what is wrong and how to mend it; NULL: nothing */
};

/* Bytes of the disk that are in the image, which takes a look at every block. */
uint64_t disk_chain_present(const struct disk_chain_member *member);

/* False ends the list. */
typedef bool disk_chain_visit(void *context, const struct disk_chain_member *member);

/*
 * Calls `visit` for the image in `path`, its parent and so on, up to one whose parent is at a URL, which is not asked.
 * `flags`: DISK_OPEN_RAW or 0. Writers are neither waited for nor disturbed. False with `error` if not even the first
 * can be shown.
 */
bool disk_chain_list(const char *path, unsigned flags, disk_chain_visit *visit, void *context,
                     struct disk_error *error);

#endif
