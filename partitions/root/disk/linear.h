/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images whose sectors stand in the file one after the other: raw images, and fixed VHDs before their footer. A file
 * that is shorter than its disk, for reading only, goes on with zeros.
 */
#ifndef DISK_LINEAR_H
#define DISK_LINEAR_H

#include "partitions/root/disk/image.h"

/*
 * `data_size` bytes of the file are the disk's, a multiple of 512 unless the image is read_only. NULL if there is no
 * memory. The caller sets format, sectors, geometry, identifier and read_only.
 */
struct disk_image *linear_open(struct disk_file *file, uint64_t data_size);

#endif
