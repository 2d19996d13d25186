/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of a VHDX's metadata, in the order that makes a crash harmless (vhdx/image.h): memory, log, place. Of what is
 * held in the cache, sectors of the BAT are in the log already; sectors of bitmaps go there with a flush.
 */
#ifndef DISK_VHDX_COMMIT_H
#define DISK_VHDX_COMMIT_H

#include "partitions/root/disk/vhdx/block.h"

/*
 * Before the first change: the log is in use from now on, and the file gets a new FileWriteGuid. vhdx_begin_writing is
 * for changes of what the disk holds, which get a new DataWriteGuid; with vhdx_begin_writing_as it is `identifier`,
 * which may be the one that it has. Nothing is done a second time. 0 or an errno.
 */
int vhdx_begin_writing(struct vhdx_image *image);
int vhdx_begin_writing_as(struct vhdx_image *image, const uint8_t *identifier);

/* Gives an image that is being written to a new DataWriteGuid, before what the disk holds is changed after all. */
int vhdx_renew_identifier(struct vhdx_image *image);

/* Before an entry with so many updates is written to the log. 0 or an errno. */
int vhdx_make_log_room(struct vhdx_image *image, uint32_t updates);

/* An entry of the BAT, and what it becomes. */
struct vhdx_change {
    uint32_t index;
    struct vhdx_entry entry;
};
/* Entries that are changed together: those of a payload block and of its sector bitmap block. */
#define VHDX_MOST_CHANGES 2u

/*
 * Changes entries: in the log now, in memory, where they are held, and in their places when the log is durable. After a
 * failure nobody knows what is in the log, so the places that the entries name are not to be used for anything else.
 */
int vhdx_change_entries(struct vhdx_image *image, const struct vhdx_change *changes, unsigned count);

/* Changes the bits in memory, where they are held; their data have been written. */
int vhdx_change_bits(struct vhdx_image *image, struct vhdx_bits bits, bool value);

/* Synchronizes the file, and no more. */
int vhdx_synchronize(struct vhdx_image *image);

/* As in struct disk_image_operations. */
int vhdx_flush(struct disk_image *image);

/* Puts everything in its place, gives room back that is not used, and empties the log. 0 or an errno; EIO if the log
 * has to stay (vhdx/update.h). */
int vhdx_end_writing(struct vhdx_image *image);

#endif
