/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dynamic and differencing VHDs: sectors are mapped through the block allocation table (BAT), blocks are allocated when
 * first written.
 *
 * What makes a crash between any two writes harmless:
 *
 * - Room for new blocks is made ahead, several at once: the footer is written at the file's new end, which
 *   leaves zeros before it, and this is synchronized before any of the room is used. So an entry of the BAT
 *   that reaches the disk never points outside the file, nor to anything but zeros and what was written to
 *   its block.
 *
 * - A block of a dynamic image is allocated by writing its entry of the BAT, its bitmap (all ones) and the guest's
 *   sectors, in this order. Any of these may be missing after a crash: sectors without their bit read as zeros, as they
 *   did before, and all of it is on the disk when a flush has succeeded.
 *
 * - A block of a differencing image is allocated by writing its entry; its bitmap is zeros then, so that all of it is
 *   still the parent's. A sector's bit must not reach the disk before the sector does, or a crash would show zeros in
 *   the place of the parent's data. So bits are set in memory at first, where reading finds them. A flush synchronizes
 *   the data, then writes the bits, and synchronizes again. It is the same with bitmaps that have zeros in a dynamic
 *   image, of others or left by a crash.
 *
 * - The copy of the footer at the start is not written while it is valid, and counts. The footer at the end,
 *   where others look first, is renewed when the image is opened for writing.
 *
 * - What lies behind the last block, perhaps left there by a crash, is cut off before room is made.
 */
#ifndef DISK_VHD_IMAGE_H
#define DISK_VHD_IMAGE_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/image.h"
#include "partitions/root/disk/vhd/metadata.h"

/*
 * Opens the image and, unless it is `read_only`, renews damaged footers. A damaged BAT is an error unless it is
 * `read_only`; then the blocks concerned read as EIO. NULL with `error`. The caller sets geometry and identifier.
 */
struct disk_image *vhd_image_open(struct disk_file *file, const struct vhd_metadata *metadata, bool read_only,
                                  struct metadata_cache *cache, struct disk_error *error);

#endif
