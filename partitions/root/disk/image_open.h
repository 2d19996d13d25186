/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening an image of whichever format its file has. */
#ifndef DISK_IMAGE_OPEN_H
#define DISK_IMAGE_OPEN_H

#include "partitions/root/disk/image.h"

/*
 * Whether a file that is no raw image is a VHD or a VHDX. A guest writes what it likes into the sectors of a fixed VHD,
 * where a VHDX has its signature, and into the last sectors of a VHDX, where a VHD has its footer. Where a file looks
 * like both, its name decides, which no guest can change. What looks like neither is a VHD, and found to be none when
 * it is opened. NONE with `error`.
 */
enum disk_container image_container(struct disk_file *file, struct disk_error *error);

/* `flags` as in disk_open. NULL with `error`; the file stays the caller's in any case. */
struct disk_image *image_open(struct disk_file *file, unsigned flags, struct metadata_cache *cache,
                              struct disk_error *error);

#endif
