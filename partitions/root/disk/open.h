/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening and closing disk images. */
#ifndef DISK_OPEN_H
#define DISK_OPEN_H

#include <stdbool.h>

#include "partitions/root/disk/disk.h"
#include "partitions/root/disk/error.h"

struct disk_file;
struct remote_source;

/* So long the source of a remote image may take to answer while the disk is opened: milliseconds. */
#define DISK_OPEN_PATIENCE 20000u

enum disk_format { DISK_FORMAT_RAW, DISK_FORMAT_FIXED, DISK_FORMAT_DYNAMIC, DISK_FORMAT_DIFFERENCING };

/* "raw", "fixed", "dynamic", "differencing". */
const char *disk_format_name(enum disk_format format);

enum {
    DISK_OPEN_READ_ONLY = 1u << 0,
    /*
     * A raw image; otherwise a VHD, fixed or dynamic, as its footer says. A guest writes what it likes into a
     * raw image, also a VHD's footer, so a raw image is never recognised as such: whoever attaches it has to
     * say so.
     */
    DISK_OPEN_RAW = 1u << 1,
    /* The image of an optical disc: raw, for reading only, and refused if it is not whole (iso.h). */
    DISK_OPEN_ISO = 1u << 3 | DISK_OPEN_RAW | DISK_OPEN_READ_ONLY,
    /* For a glance at an image that may be in use: no lock. */
    DISK_OPEN_UNLOCKED = 1u << 2 | DISK_OPEN_READ_ONLY,
    /* Nothing else is opened, not even to find out who has the image: for a process that may not. */
    DISK_OPEN_CONFINED = 1u << 4,
    /* disk_open_descriptor looks for parents too, as if it had opened `name` itself. */
    DISK_OPEN_FIND_PARENTS = 1u << 5,
    /* With it: a parent at a URL is not opened, and the disk, which is for looking at only, ends above it
     * (disk_unopened_source). */
    DISK_OPEN_WITHOUT_SOURCE = 1u << 6,
};

/*
 * Opens an image and locks it, exclusively for writing, shared for reading. Opening a VHD for writing renews
 * its footers where a crash has left them damaged. With a differencing image its parents are opened too, for reading,
 * wherever they are by what the images say. NULL with `error` (see error.h for the codes) if it cannot
 * be used.
 *
 * disk_open_descriptor takes a descriptor that was opened elsewhere, for reading and writing unless
 * DISK_OPEN_READ_ONLY is set. It belongs to the disk from then on, and is closed if the disk cannot be
 * opened. The lock is that of the open file: it lasts while any process has a copy of the descriptor, unless
 * the disk is closed. `name` is used in messages.
 */
struct disk *disk_open(const char *path, unsigned flags, struct disk_error *error);
struct disk *disk_open_descriptor(int descriptor, const char *name, unsigned flags, struct disk_error *error);

/*
 * A chain of images that were opened elsewhere: a differencing disk, its parent, the parent's parent and so on; only
 * the first is ever written to, and the others are opened for reading. All descriptors belong to the disk, as above.
 */
struct disk_link {
    int descriptor;
    const char *name;
    /* NULL: a file. Otherwise the descriptor is the socket of a loam-fetch for this source (remote_file.h), which is
     * the last of the chain; when it ends another one is waited for. */
    const struct remote_source *remote;
};
struct disk *disk_open_chain(const struct disk_link *links, unsigned count, unsigned flags, struct disk_error *error);

/* The same without a lock, and the files stay the caller's if it fails. For what is no file of the system's. */
struct disk *disk_open_file(struct disk_file *file, unsigned flags, struct disk_error *error);
struct disk *disk_open_files(struct disk_file *const *files, unsigned count, unsigned flags, struct disk_error *error);

/*
 * Puts the image in order, makes everything durable, unlocks and closes. Not from within a request's `done`.
 * 0, or the errno of what was not written; the disk is gone in any case.
 */
int disk_close(struct disk *disk);

enum disk_format disk_format(const struct disk *disk);

/* Where the parent of the last image is that was not opened for DISK_OPEN_WITHOUT_SOURCE; NULL: there is none. */
const struct remote_source *disk_unopened_source(const struct disk *disk);

#endif
