/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VHD file says of itself: both footers and the header, read once and checked as far as they can be
 * alone. */
#ifndef DISK_VHD_METADATA_H
#define DISK_VHD_METADATA_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/vhd/vhd.h"
#include "partitions/root/disk/vhd/parent.h"

/* A part of the file where no block may be. */
struct vhd_reserved {
    uint64_t offset, length; /* length 0: it is not there */
    const char *name;
};

enum {
    VHD_RESERVED_COPY,
    VHD_RESERVED_HEADER,
    VHD_RESERVED_TABLE,
    VHD_RESERVED_BATMAP,
    VHD_RESERVED_LOCATORS,
    VHD_RESERVED = VHD_RESERVED_LOCATORS + VHD_LOCATORS,
};

struct vhd_metadata {
    uint64_t file_size;
    uint64_t footer_offset;   /* of the footer at the file's end, valid or not */
    struct vhd_footer footer; /* the one that counts: the copy at the start if it is valid, else the one at the end */
    uint8_t footer_bytes[VHD_FOOTER_SIZE];
    enum vhd_state end_state;  /* of the footer at the end */
    enum vhd_state copy_state; /* of the copy at the start; meaningless for a fixed image */
    bool footers_differ;       /* both are valid and not the same */

    /* Of a dynamic or differencing image: */
    struct vhd_header header;
    uint8_t header_bytes[VHD_HEADER_SIZE];
    struct vhd_parent parent; /* of a differencing image */
    struct vhd_reserved reserved[VHD_RESERVED];
    bool has_stray_locator; /* a parent locator does not lie within the file, but at: */
    uint64_t stray_locator;

    uint64_t disk_size; /* bytes, a multiple of 512, not 0 */
};

/* False, with `error`, if this is no VHD that can be used (see error.h for the codes). */
bool vhd_metadata_read(struct disk_file *file, struct vhd_metadata *metadata, struct disk_error *error);

/*
 * Leaves out the parent locators that do not lie within the file: a new block would be put over them, and what a guest
 * writes there would be the parent's path. In memory, header_bytes included.
 */
void vhd_metadata_drop_stray_locators(struct vhd_metadata *metadata);

#endif
