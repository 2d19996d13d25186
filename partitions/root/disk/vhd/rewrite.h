/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replacing what a VHD says of itself: its footers and its header, and with the header whatever that points to.
 *
 * A footer is one sector, which is written as a whole or not at all, and of a dynamic or differencing image the copy at
 * the start is the one that counts. So it is the switch between the old and the new: everything that the new one points
 * to is written to places that the old one does not use, and is durable before the switch. The header has two sectors,
 * and so is never written in place: it goes to its usual place, behind the copy of the footer, if that is free, and
 * behind everything that is in use otherwise; the place that it had is free then. The footer at the end comes last.
 *
 * After a crash at any moment, the image is the old or the new one, with some bytes behind the last block at worst,
 * which go when it is written to. A fixed image has one footer, and so one write.
 */
#ifndef DISK_VHD_REWRITE_H
#define DISK_VHD_REWRITE_H

#include "partitions/root/disk/vhd/metadata.h"

struct vhd_rewrite {
    struct disk_file *file;       /* the caller's */
    struct vhd_metadata metadata; /* as the file has it until the switch */
    uint64_t first_block;         /* no block lies before this byte of the file */
    uint64_t used_end;            /* nothing that is in use lies at or behind it, what room was made for included */
    uint64_t settled_end;         /* the same of the old image */
    uint64_t header_offset;       /* where the new header goes; 0: that is not settled */
};

/*
 * Begins to rewrite the image in `file`, which is open for writing and locked: reads its metadata, completes what a
 * crash has left undone, and ends the file behind the last block. False with `error`; EUCLEAN if it is damaged.
 */
bool vhd_rewrite_begin(struct vhd_rewrite *rewrite, struct disk_file *file, struct disk_error *error);

/*
 * Begins to rewrite a dynamic or differencing image whose table is damaged, and whose copy of the footer is sound:
 * nothing that is in the file is touched before the switch, and nothing is completed.
 */
void vhd_rewrite_begin_damaged(struct vhd_rewrite *rewrite, struct disk_file *file, const struct vhd_metadata *metadata,
                               uint64_t first_block, uint64_t room);

/*
 * Gives a dynamic or differencing image room of `length` bytes behind what is in use, at byte *offset, a multiple of
 * 512. It reads as zeros, may be written to, and is lost unless a new header points to it. 0; or an errno, after which
 * the rewriting is to be abandoned.
 */
int vhd_rewrite_room(struct vhd_rewrite *rewrite, uint64_t length, uint64_t *offset);

/*
 * Settles where the new header goes, which is otherwise done at the end. To be called before room is made for a table:
 * QEMU writes new blocks behind the table and the last block, whatever is there, so that a header must not be.
 */
int vhd_rewrite_place_header(struct vhd_rewrite *rewrite);

/*
 * Makes the image the new one, durable when it returns 0: with the fields of `footer`, but for the header's place, and,
 * unless it is NULL, with `header`, VHD_HEADER_SIZE bytes, sealed. What the room holds is made durable before. 0 or an
 * errno, after which the image is the old one, or the new one if it was the last steps that failed.
 */
int vhd_rewrite_commit(struct vhd_rewrite *rewrite, const struct vhd_footer *footer, const uint8_t *header);

/* Gives room back that is not needed after all. */
void vhd_rewrite_abandon(struct vhd_rewrite *rewrite);

#endif
