/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file type identifier and the two headers of a VHDX, [MS-VHDX] 2.2.1 and 2.2.2. */
#ifndef DISK_VHDX_HEADERS_H
#define DISK_VHDX_HEADERS_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/vhdx/vhdx.h"

struct vhdx_headers {
    uint64_t file_size; /* when they were read */
    enum vhdx_state state[VHDX_HEADERS];
    unsigned current;          /* which of them */
    struct vhdx_header header; /* the current one; its log lies within the file */
};

/* False, with `error`, if the file is no VHDX (EMEDIUMTYPE) or cannot be used. */
bool vhdx_headers_read(struct disk_file *file, struct vhdx_headers *headers, struct disk_error *error);

/*
 * Makes `header` the current one, whatever its sequence number: it is written over the one that is not current, and
 * synchronized. vhdx_headers_update does so twice, so that either copy can be lost. 0 or an errno; after a failure the
 * current header in the file may be the old one or the new one, and `headers` has the one that was synchronized last.
 */
int vhdx_headers_write(struct disk_file *file, struct vhdx_headers *headers, const struct vhdx_header *header);
int vhdx_headers_update(struct disk_file *file, struct vhdx_headers *headers, const struct vhdx_header *header);

/* A random GUID, RFC 4122 section 4.4, in the form in which it stands in the file. 0 or EIO. */
int vhdx_make_guid(uint8_t *guid);

#endif
