/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New VHDX images. */
#ifndef DISK_VHDX_CREATE_H
#define DISK_VHDX_CREATE_H

#include "partitions/root/disk/file.h"
#include "partitions/root/disk/open.h"
#include "partitions/root/disk/vhdx/locator.h"

/* As Hyper-V makes them. */
#define VHDX_DEFAULT_BLOCK              (32u << 20)
#define VHDX_DEFAULT_DIFFERENCING_BLOCK (2u << 20)

struct vhdx_creation {
    enum disk_format format;          /* DISK_FORMAT_FIXED, DISK_FORMAT_DYNAMIC or DISK_FORMAT_DIFFERENCING */
    uint64_t size;                    /* bytes of the disk, a multiple of logical_sector; that of the parent */
    uint32_t block_size;              /* a power of two, 1 MiB to 256 MiB; 0: the default of the format */
    uint32_t logical_sector;          /* 512 or 4096; 0: 512. That of the parent */
    uint32_t physical_sector;         /* 512 or 4096; 0: 4096 */
    const uint8_t *disk_id;           /* VirtualDiskId, that of the parent; NULL: a new one */
    const struct vhdx_parent *parent; /* of a differencing image */
};

/* What is wrong with the numbers, for a message: a text that lasts, or NULL if nothing is. */
const char *vhdx_creation_fault(const struct vhdx_creation *creation);

/* Bytes of the new file; a fixed image has all of its blocks in it. The numbers are right. */
uint64_t vhdx_created_size(const struct vhdx_creation *creation);

/*
 * Writes a new image to an empty file, or over one that is all zeros and at most vhdx_created_size long; a fixed
 * image's blocks are left as they are. The numbers are right. Not synchronized. 0 or an errno; EILSEQ and ENAMETOOLONG
 * for the parent's paths.
 */
int vhdx_create(struct disk_file *file, const struct vhdx_creation *creation);

#endif
