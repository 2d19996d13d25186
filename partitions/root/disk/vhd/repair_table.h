/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The block allocation table of a damaged VHD, and what it should be. */
#ifndef DISK_VHD_REPAIR_TABLE_H
#define DISK_VHD_REPAIR_TABLE_H

#include "partitions/root/disk/progress.h"
#include "partitions/root/disk/repair_finding.h"
#include "partitions/root/disk/vhd/rewrite.h"
#include "partitions/root/disk/vhd/table.h"

/* A block that gets a place of its own. */
struct vhd_moved_block {
    uint32_t block, sector; /* where it is now */
    uint32_t length;        /* bytes of it that are in the file, its bitmap included */
};

struct vhd_repair_table {
    struct vhd_table table; /* what the metadata say; not scanned */
    uint32_t *entries;      /* as they are in the file, but for those that are lost, which are unallocated */
    uint64_t *places;       /* of blocks that may stay: sector in the upper half, block in the lower */
    uint32_t count;         /* of places */
    uint32_t *beyond;       /* sectors of the file where blocks are that go beyond its end, in their order */
    uint32_t beyond_count;
    struct vhd_moved_block *moved;
    uint32_t moved_count;
    uint32_t lost_count;  /* blocks that are unallocated from now on */
    uint64_t first_block; /* no block with data lies before this byte of the file */
    uint64_t used_end;    /* no block that stays lies behind this one, nor metadata */
};

/*
 * Looks the table of the image over, for which nothing but its metadata must be sound, and tells what is wrong. Takes
 * 20 bytes of memory a block. 0 or an errno; to be freed in either case.
 */
int vhd_repair_table_load(struct vhd_repair_table *repair, struct disk_file *file, const struct vhd_metadata *metadata,
                          struct disk_repair_findings *findings);
void vhd_repair_table_free(struct vhd_repair_table *repair);

static inline bool vhd_repair_table_is_sound(const struct vhd_repair_table *repair)
{
    return repair->moved_count == 0 && repair->lost_count == 0;
}

/*
 * Where room for the new table begins: at or behind the file's end, and where no block of the old table would find
 * itself in it, as the file grows over places beyond its end before the new table counts. What the file grows over
 * elsewhere reads as zeros, and so do the bitmaps there.
 */
uint64_t vhd_repair_table_room(const struct vhd_repair_table *repair, uint64_t file_size);

/*
 * Writes the blocks that move and the new table to room of the rewriting, and the header that belongs to it, sealed, to
 * `header`, VHD_HEADER_SIZE bytes. 0; ECANCELED, EFBIG if there are no places left, or another errno.
 */
int vhd_repair_table_write(struct vhd_repair_table *repair, struct vhd_rewrite *rewrite,
                           const struct disk_progress *progress, uint8_t *header);

#endif
