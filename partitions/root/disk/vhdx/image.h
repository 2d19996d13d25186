/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHDX images: fixed, dynamic, differencing. No table is in memory as a whole: entries of the BAT and bits of sector
 * bitmaps are read as they are needed, through the cache.
 *
 * What makes a crash between any two writes harmless:
 *
 * - Metadata are changed through the log: an entry with the new contents of each 4 KiB concerned is written and
 *   synchronized, then the contents are written to their places. An entry is left behind, by the tail that later
 *   ones name, when a synchronization has followed that. What a crash left in the log is replayed when the image is
 *   opened; if it is opened for reading only, in memory (vhdx/overlay.h).
 *
 * - Room for new blocks is made ahead, several at once: the file is made longer, which leaves zeros, and this is
 *   synchronized before any of the room is used. So an entry of the BAT that reaches the disk never points outside the
 *   file, nor to anything but zeros and what was written to its block.
 *
 * - A block that reads as zeros is allocated by writing its entry of the BAT to the log, and then the data. Either may
 *   be missing after a crash; all of it is on the disk when a flush has succeeded. If only the process dies, nothing
 *   is missing: what is in its memory alone is in the log, too.
 *
 * - A block of a differencing image that is the parent's is allocated in the same way, as PARTIALLY_PRESENT and without
 *   any bit set in the sector bitmap, so that all of it is still the parent's. A sector's bit must not reach the disk
 *   before the sector does, or a crash would show zeros in the place of the parent's data. So bits are set in memory at
 *   first, where reading finds them. A flush synchronizes the data, then writes the bits to the log, and synchronizes
 *   again.
 *
 * - The two headers are written in turn, and both whenever one is, so that neither is ever the only one that is right.
 *   The log has an entry before the header says that it is in use, and both headers say that it is not when the image
 *   has been closed.
 *
 * - Room that was not used is given back at the end, with a new log, whose only entry knows of the shorter file.
 *
 * - Work on the file changes metadata, region tables and entries of the BAT together in one entry of the log
 *   (vhdx/update.h), and each block that moves is durable in its new place before.
 *
 * - What lies behind the last block after a crash is cut off when the image is opened for writing; only then is the BAT
 *   read from end to end.
 */
#ifndef DISK_VHDX_IMAGE_H
#define DISK_VHDX_IMAGE_H

#include "partitions/root/disk/image.h"
#include "partitions/root/disk/parent_link.h"

/*
 * Opens the image. For writing (without DISK_OPEN_READ_ONLY in `flags`) it replays the log if a crash has left one;
 * nothing else is changed before the first write. With that the image gets a new FileWriteGuid and a new DataWriteGuid,
 * which is its identifier. The file stays the caller's. NULL with `error`: EMEDIUMTYPE if it is no VHDX.
 */
struct disk_image *vhdx_open(struct disk_file *file, unsigned flags, struct metadata_cache *cache,
                             struct disk_error *error);

/* The VirtualDiskId, which the images of a chain share. */
const uint8_t *vhdx_disk_id(const struct disk_image *image);

/* What a differencing image says of its parent. False with `error`. */
bool vhdx_read_parent(struct disk_image *image, struct parent_link *link, struct disk_error *error);

#endif
