/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block allocation table (BAT) of a dynamic or differencing VHD. It is looked over when the image is opened, and
 * its entries are read as they are needed: in memory is only what the metadata cache keeps.
 */
#ifndef DISK_VHD_TABLE_H
#define DISK_VHD_TABLE_H

#include "partitions/root/disk/metadata_cache.h"
#include "partitions/root/disk/vhd/metadata.h"

/*
 * Where a block is, as its first sector in the file. The two values that stand for no place are the footer's
 * copy and the sector after it, where no block can be.
 */
enum { VHD_BLOCK_UNALLOCATED = 0, VHD_BLOCK_DAMAGED = 1 };

struct vhd_table {
    uint32_t blocks;                            /* of the disk */
    uint32_t block_size;                        /* bytes of data */
    uint32_t bitmap_size;                       /* bytes before them */
    uint64_t disk_size;                         /* bytes */
    uint64_t offset;                            /* of the table in the file */
    struct vhd_reserved reserved[VHD_RESERVED]; /* those that are there */
    unsigned reserved_count;
    uint64_t reserved_end; /* none reaches beyond this byte */
    uint64_t data_end;     /* no block reaches beyond this byte of the file; whoever makes room moves it */
    uint32_t allocated;    /* blocks with a place, damaged ones not counted */
    uint32_t damaged;
    uint8_t *damage;     /* a bit for each block that is damaged; NULL: none is */
    uint64_t used_start; /* no block lies before this byte of the file */
    uint64_t used_end;   /* nothing that is in use lies at or behind this byte of the file; a multiple of 512 */
};

/* What the metadata say of the table and its blocks; nothing of what is in it. */
void vhd_table_initialize(struct vhd_table *table, const struct vhd_metadata *metadata);

/* What a block at `sector` of the file would lie over, apart from other blocks, or beyond; NULL: it lies well. */
const char *vhd_table_place_fault(const struct vhd_table *table, uint32_t block, uint32_t sector);
extern const char vhd_table_past_end[]; /* the one that it lies beyond */

/* Told of each problem of the table. `text` lasts for the call. */
typedef void vhd_table_report(void *context, const char *text);

/*
 * Looks the whole table over. An entry that cannot be right (outside the file, over metadata or over another block) is
 * damaged and reported. 0, ENOMEM, or the error of a read. Takes 8 bytes of memory
 * for each block that is allocated while it works. Free with
 * vhd_table_free in either case.
 */
int vhd_table_scan(struct vhd_table *table, struct disk_file *file, const struct vhd_metadata *metadata,
                   vhd_table_report *report, void *context);
void vhd_table_free(struct vhd_table *table);

/* A block's place, or one of the two values above, in *sector. 0 or the errno of reading it. */
int vhd_table_find(const struct vhd_table *table, struct metadata_cache *cache, struct disk_file *file, uint32_t block,
                   uint32_t *sector);

/* Gives an unallocated block a place, in the file too. 0 or an errno. */
int vhd_table_set(struct vhd_table *table, struct metadata_cache *cache, struct disk_file *file, uint32_t block,
                  uint32_t sector);

/* The first block from `block` on that is not unallocated, in *next; the number of blocks if there is none. */
int vhd_table_next(const struct vhd_table *table, struct metadata_cache *cache, struct disk_file *file, uint32_t block,
                   uint32_t *next);

/* Bytes of the disk in a block: the block size but for the last one. */
uint32_t vhd_table_block_bytes(const struct vhd_table *table, uint32_t block);

#endif
