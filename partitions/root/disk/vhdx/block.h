/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the blocks of an opened VHDX are: entries of its BAT and bits of its sector bitmaps, checked as they are used.
 */
#ifndef DISK_VHDX_BLOCK_H
#define DISK_VHDX_BLOCK_H

#include "partitions/root/disk/image.h"
#include "partitions/root/disk/vhdx/log.h"
#include "partitions/root/disk/vhdx/metadata.h"

/* A stretch of the file that no block may lie over. */
struct vhdx_structure {
    uint64_t offset;
    uint64_t length;
};

enum {
    VHDX_STRUCTURE_SECTION, /* the header section */
    VHDX_STRUCTURE_LOG,
    VHDX_STRUCTURE_BAT,
    VHDX_STRUCTURE_METADATA,
    VHDX_STRUCTURES
};

struct vhdx_image {
    struct disk_image disk;          /* first */
    struct disk_file *metadata_file; /* disk.file, or what it will be when its log is replayed (vhdx/overlay.h) */
    struct vhdx_headers headers;
    struct vhdx_metadata metadata;
    struct vhdx_structure structures[VHDX_STRUCTURES];
    uint64_t bat_offset;
    uint64_t bat_length;
    uint64_t file_end;     /* of metadata_file */
    uint64_t data_end;     /* of disk.file: what lies between the two reads as zeros */
    unsigned block_shift;  /* sectors of 512 bytes in a block, as a power of two */
    unsigned sector_shift; /* and in one of its own sectors */

    /* Only for writing (vhdx/write.h): */
    struct vhdx_log log;
    bool log_begun;          /* its GUID may be in the header */
    bool writing;            /* and the header is as it has to be for writing */
    bool unplaced;           /* the log has an update that may not be in its place: it stays for the next opening */
    bool punches;            /* the host can give space back in the middle of the file */
    bool room_made;          /* the file is longer than it has to be */
    uint64_t used_end;       /* blocks are allocated from here on */
    uint32_t promised_block; /* has this place and no entry of the BAT yet, since the log failed; 0: none */
    uint64_t promised_place;
    unsigned bits_held; /* sectors of bitmaps that are held in the cache and not in the log yet */
};

/*
 * The entry of a payload block; 0, or an errno: EIO if it is damaged. If its state is FULLY_PRESENT or
 * PARTIALLY_PRESENT, what the disk has in it lies within the file and over no structure of it.
 */
int vhdx_load_block(struct vhdx_image *image, uint32_t block, struct vhdx_entry *entry);

/* The entry of the sector bitmap block that is a payload block's. */
int vhdx_load_bitmap_block(struct vhdx_image *image, uint32_t block, struct vhdx_entry *entry);

/* Where the cache has the entry number `index` of the BAT. */
uint64_t vhdx_entry_sector(const struct vhdx_image *image, uint32_t index);
uint32_t vhdx_entry_within(uint32_t index);

/*
 * Bits of a block's own sectors, from `first` on and `count` at most, as far as one sector of the cache has them:
 * `at` is where that stands in the file, `bit` the first one in it.
 */
struct vhdx_bits {
    uint64_t at;
    uint32_t bit;
    uint32_t count;
};
struct vhdx_bits vhdx_locate_bits(const struct vhdx_image *image, uint64_t bitmap, uint32_t block, uint32_t first,
                                  uint32_t count);

/* How many bits from the first on have its value, which is in *value. */
uint32_t vhdx_run_of_bits(const uint8_t *bytes, struct vhdx_bits bits, bool *value);
void vhdx_set_bits(uint8_t *bytes, struct vhdx_bits bits, bool value);

#endif
