/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing to a VHDX: blocks are allocated as they are first written. See vhdx/image.h. */
#ifndef DISK_VHDX_WRITE_H
#define DISK_VHDX_WRITE_H

#include "partitions/root/disk/vhdx/block.h"

/*
 * Takes room for `length` bytes, a multiple of 1 MiB that may be 0, behind everything else, which reads as zeros and
 * will do so after a crash. After vhdx_begin_writing. 0 or an errno.
 */
int vhdx_take_room(struct vhdx_image *image, uint64_t length, uint64_t *place);

/* As in struct disk_image_operations. */
int vhdx_write(struct disk_image *image, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors);

#endif
