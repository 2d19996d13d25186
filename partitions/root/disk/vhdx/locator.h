/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parent locator of a differencing VHDX, [MS-VHDX] 2.6.2.6: who its parent is and where. */
#ifndef DISK_VHDX_LOCATOR_H
#define DISK_VHDX_LOCATOR_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/parent_link.h"
#include "partitions/root/disk/vhdx/vhdx.h"

/*
 * Decodes the item's `length` bytes, at least VHDX_LOCATOR_HEADER, which stand at byte `at` of the file. Paths become
 * the link's names in the order in which the specification has them tried; a path of another computer is left out, and
 * all are if there is a remote source.
 * False with `error`: EUCLEAN, or EOPNOTSUPP for a locator of another type.
 */
bool vhdx_locator_decode(struct disk_file *file, const uint8_t *bytes, uint32_t length, uint64_t at,
                         struct parent_link *link, struct disk_error *error);

/* Whether the item that stands in the file can be decoded. False with `error`. */
bool vhdx_locator_check(struct disk_file *file, uint64_t at, uint32_t length, struct disk_error *error);

/* A parent as a new image names it. */
struct vhdx_parent {
    uint8_t identifier[VHDX_GUID_SIZE]; /* its DataWriteGuid */
    const char *relative_path;          /* UTF-8, '/' between components; from the child's directory, or NULL */
    const char *absolute_path;          /* or NULL; one of the two is there, or */
    const struct remote_source *remote; /* where it is, and what; otherwise NULL */
};

/*
 * The item for it: an absolute path, which begins with '/', gets the drive C:, as Windows has no path without. The
 * bytes used in *length. 0; EILSEQ if a path is no UTF-8; ENAMETOOLONG if they do not fit.
 */
int vhdx_locator_encode(const struct vhdx_parent *parent, uint8_t *bytes, uint32_t room, uint32_t *length);

/* Bytes that the identifiers may add to an item. */
#define VHDX_LOCATOR_IDENTIFIERS 512u

/*
 * The item `old`, which is sound, with other identifiers of the parent (parent_linkage, and parent_linkage2 unless
 * `alternative` is NULL) and everything else as it is. `room` is its length and VHDX_LOCATOR_IDENTIFIERS. 0;
 * EOVERFLOW if that is too little, since entries share texts.
 */
int vhdx_locator_change(const uint8_t *old, const uint8_t *identifier, const uint8_t *alternative, uint8_t *bytes,
                        uint32_t room, uint32_t *length);

#endif
