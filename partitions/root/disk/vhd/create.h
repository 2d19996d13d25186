/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes new, empty VHD images. */
#ifndef DISK_VHD_CREATE_H
#define DISK_VHD_CREATE_H

#include "partitions/root/disk/file.h"
#include "partitions/root/disk/vhd/vhd.h"

/*
 * Make an image of `size` bytes (a multiple of 512, at most VHD_MAXIMUM_SIZE) of an empty file, sparsely: for
 * a fixed one, of a file that holds the disk's sectors or is to hold them. `block_size` is a power of two
 * that makes no more than VHD_MAXIMUM_BLOCKS. Not synchronized. 0 or an errno.
 */
int vhd_create_fixed(struct disk_file *file, uint64_t size);
int vhd_create_dynamic(struct disk_file *file, uint64_t size, uint32_t block_size);

/* What a differencing image is made of. */
struct vhd_child {
    uint64_t size; /* the parent's, as its geometry */
    struct disk_geometry geometry;
    uint32_t block_size;
    uint8_t identifier[16];             /* of the parent */
    int64_t timestamp;                  /* when the parent was last modified, seconds since 1970; not of a remote one */
    const struct remote_source *remote; /* the parent; NULL: it is a file */
    const char *relative_path;          /* of the parent's file from the child's directory */
    const char *absolute_path;
};

/* Likewise; EILSEQ if a path is no UTF-8, ENAMETOOLONG. */
int vhd_create_child(struct disk_file *file, const struct vhd_child *child);

#endif
