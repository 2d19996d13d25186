/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writing to a VHDX: blocks are allocated as they are first written. See vhdx/image.h. */
#ifndef DISK_VHDX_WRITE_H
#define DISK_VHDX_WRITE_H

#include "partitions/root/disk/vhdx/block.h"

/* As in struct disk_image_operations. */
int vhdx_write(struct disk_image *image, struct disk_cursor *cursor, uint64_t sector, uint32_t sectors);

#endif
