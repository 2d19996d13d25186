/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of a VHDX's structures, by those who work on the file and not on the disk: region tables, metadata, the BAT.
 * What is in one update goes through the log as one entry, so that after an interruption all of it is there or nothing.
 */
#ifndef DISK_VHDX_UPDATE_H
#define DISK_VHDX_UPDATE_H

#include "partitions/root/disk/vhdx/block.h"

struct vhdx_update {
    struct vhdx_image *image;
    uint32_t count; /* of pages of 4 KiB */
    uint64_t offset[VHDX_LOG_UPDATES];
    uint8_t *pages; /* as they will be, one after the other */
};

/* Begins one for an image that is open for writing, and of which nothing is held in the cache. 0 or ENOMEM; to be freed
 * in either case. */
int vhdx_update_begin(struct vhdx_update *update, struct vhdx_image *image);
void vhdx_update_free(struct vhdx_update *update);

/*
 * Adds a change: bytes of the file from `offset` on. 0, or an errno; EOVERFLOW: more pages than one entry of the log
 * can have. What lies within one page is not changed by a failure.
 */
int vhdx_update_write(struct vhdx_update *update, uint64_t offset, const void *bytes, size_t length);

/*
 * The same for changes that need not be made together: what would be too much is made before, as by vhdx_update_commit.
 * The bytes lie within one page.
 */
int vhdx_update_write_part(struct vhdx_update *update, uint64_t offset, const void *bytes, size_t length);

/*
 * Makes the changes, which are durable and in their places when it returns 0, and empties the update. After
 * vhdx_begin_writing. After a failure the image, closed and opened again, is as before or as after it; nothing else is
 * to be done with it.
 */
int vhdx_update_commit(struct vhdx_update *update);

#endif
