/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The block allocation table (BAT) of a dynamic VHD in memory, every entry checked when it is loaded. */
#ifndef DISK_VHD_TABLE_H
#define DISK_VHD_TABLE_H

#include "partitions/root/disk/vhd_metadata.h"

/*
 * Where a block is, as its first sector in the file. The two values that stand for no place are the footer's
 * copy and the sector after it, where no block can be; as the table is mostly zeros, a large empty disk costs
 * no memory.
 */
enum { VHD_BLOCK_UNALLOCATED = 0, VHD_BLOCK_DAMAGED = 1 };

struct vhd_table {
    uint32_t *sector;     /* [blocks] */
    uint32_t blocks;      /* of the disk */
    uint32_t block_size;  /* bytes of data */
    uint32_t bitmap_size; /* bytes before them */
    uint64_t disk_size;   /* bytes */
    uint64_t offset;      /* of the table in the file */
    uint32_t allocated;   /* blocks with a place, damaged ones not counted */
    uint32_t damaged;
    uint64_t used_end; /* nothing that is in use lies at or behind this byte of the file; a multiple of 512 */
};

/* Told of each problem of the table. `text` lasts for the call. */
typedef void vhd_table_report(void *context, const char *text);

/*
 * Loads the table. An entry that cannot be right (outside the file, over metadata or over another block) is
 * VHD_BLOCK_DAMAGED and reported. 0, ENOMEM, or the error of a read. Free with vhd_table_free in either case.
 */
int vhd_table_load(struct vhd_table *table, struct disk_file *file, const struct vhd_metadata *metadata,
                   vhd_table_report *report, void *context);
void vhd_table_free(struct vhd_table *table);

/* Bytes of the disk in a block: the block size but for the last one. */
uint32_t vhd_table_block_bytes(const struct vhd_table *table, uint32_t block);

#endif
