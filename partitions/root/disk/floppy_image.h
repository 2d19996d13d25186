/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images of floppy disks: raw (.img, .vfd), of one of the sizes that PCs have had. An image that is shorter
 * than its format is filled up with zeros, which are in no file, and so it is read-only; padded to its full size
 * (truncate -s) it can be written.
 */
#ifndef DISK_FLOPPY_IMAGE_H
#define DISK_FLOPPY_IMAGE_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/open.h"

struct disk_file;

/*
 * As disk_open and its companions; of the flags DISK_OPEN_READ_ONLY, _UNLOCKED and _CONFINED count. The disk's geometry
 * is the format's. NULL with `error`: EMEDIUMTYPE, and a line that says what is accepted, for an empty or a longer
 * file.
 */
struct disk *floppy_image_open(const char *path, unsigned flags, struct disk_error *error);
struct disk *floppy_image_open_descriptor(int descriptor, const char *name, unsigned flags, struct disk_error *error);
struct disk *floppy_image_open_file(struct disk_file *file, unsigned flags, struct disk_error *error);

#endif
