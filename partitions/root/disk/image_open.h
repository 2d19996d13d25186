/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening an image of whichever format its file has. */
#ifndef DISK_IMAGE_OPEN_H
#define DISK_IMAGE_OPEN_H

#include "partitions/root/disk/image.h"

/* `flags` as in disk_open. NULL with `error`; the file stays the caller's in any case. */
struct disk_image *image_open(struct disk_file *file, unsigned flags, struct metadata_cache *cache,
                              struct disk_error *error);

#endif
