/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structures of the VHD format: Microsoft's "Virtual Hard Disk Image Format Specification", version 1.0
 * of October 11, 2006. Numbers in the file are big-endian; they are decoded to the structures below and never
 * changed in place. Pure functions, no I/O.
 *
 * A fixed image is the disk's sectors and then the footer. A dynamic image is a copy of the footer, the
 * header, the block allocation table (BAT), blocks in the order of their allocation, and the footer at the
 * end. A block is a bitmap of its sectors, padded to whole sectors, and the sectors; the BAT has its first
 * sector in the file.
 */
#ifndef DISK_VHD_H
#define DISK_VHD_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/disk/disk.h"

#define VHD_FOOTER_SIZE 512u
/* Images made before Virtual PC 2004 lack the last (reserved) byte of the footer ("Hard Disk Footer Format").
 */
#define VHD_OLD_FOOTER_SIZE 511u
#define VHD_HEADER_SIZE     1024u

#define VHD_FEATURES_RESERVED 2u          /* always set */
#define VHD_VERSION           0x00010000u /* major in the upper half; the same in footer and header */
#define VHD_NO_OFFSET         UINT64_MAX
#define VHD_UNALLOCATED       0xffffffffu /* in the BAT */

#define VHD_MAXIMUM_SIZE       (2040ull << 30)
#define VHD_MINIMUM_BLOCK_SIZE 512u
#define VHD_DEFAULT_BLOCK_SIZE (2u << 20)
/* Blocks a disk may have, so that the BAT in memory stays small: 64 MiB. */
#define VHD_MAXIMUM_BLOCKS (1u << 24)

#define VHD_EPOCH 946684800 /* 2000-01-01 00:00:00 UTC, in time_t */

enum vhd_type { VHD_FIXED = 2, VHD_DYNAMIC = 3, VHD_DIFFERENCING = 4 };

struct vhd_footer {
    uint32_t features;
    uint32_t version;
    uint64_t data_offset; /* of the header, VHD_NO_OFFSET in a fixed image */
    uint32_t timestamp;   /* seconds since VHD_EPOCH */
    char creator_application[4];
    uint32_t creator_version;
    char creator_host[4];
    uint64_t original_size;
    uint64_t current_size; /* bytes; see vhd_disk_size */
    struct disk_geometry geometry;
    uint32_t type;
    uint8_t identifier[16];
    uint8_t saved_state;
};

/* The fields that a dynamic image uses; the others speak of a differencing disk's parent. */
struct vhd_header {
    uint64_t table_offset; /* of the BAT */
    uint32_t version;
    uint32_t table_entries;
    uint32_t block_size; /* bytes of data, a power of two */
};

enum vhd_state { VHD_ABSENT, VHD_FAULTY, VHD_VALID };

/*
 * Decode VHD_FOOTER_SIZE and VHD_HEADER_SIZE bytes. VHD_ABSENT: the cookie is not there; VHD_FAULTY: `fault`
 * says what is wrong (a static text); what they point to is for others to check.
 */
enum vhd_state vhd_footer_decode(const uint8_t *bytes, struct vhd_footer *footer, const char **fault);
enum vhd_state vhd_header_decode(const uint8_t *bytes, struct vhd_header *header, const char **fault);
void vhd_footer_encode(const struct vhd_footer *footer, uint8_t *bytes);
void vhd_header_encode(const struct vhd_header *header, uint8_t *bytes);

/* The same on top of bytes that are there: what the structures do not have stays. */
void vhd_footer_update(const struct vhd_footer *footer, uint8_t *bytes);
void vhd_header_update(const struct vhd_header *header, uint8_t *bytes);

/* Makes this engine the creator: the disk's size is Current Size then. */
void vhd_set_creator(struct vhd_footer *footer);

/* The time stamp of a time, seconds since 1970. */
uint32_t vhd_timestamp(int64_t time);

/* Renews the checksum of an encoded footer or header. */
void vhd_footer_seal(uint8_t *bytes);
void vhd_header_seal(uint8_t *bytes);

/* The algorithm of the specification's appendix, "CHS Calculation". */
struct disk_geometry vhd_geometry(uint64_t sectors);

/*
 * Bytes of the disk. Current Size, but for images made by Virtual PC and QEMU's "vpc " and "qemu", whose
 * disks end with their geometry, as long as that is below the largest one.
 */
uint64_t vhd_disk_size(const struct vhd_footer *footer);

/*
 * The geometry that a disk's IDENTIFY shows: the footer's (`preferred`) if an ATA disk can have it and it
 * fits the disk, otherwise one computed from the size; never more than 16383/16/63.
 */
struct disk_geometry vhd_identify_geometry(struct disk_geometry preferred, uint64_t sectors);

/* Bytes before a block's data: one bit a sector, padded to whole sectors. */
uint32_t vhd_bitmap_size(uint32_t block_size);

/*
 * Where the batmap ends that stands at byte `offset`, with these DISK_SECTOR_SIZE bytes for its start; `offset` if
 * there is none that lies within the file. It is an extension of blktap's: a bit for each block whose bitmap is all
 * ones.
 */
uint64_t vhd_batmap_end(const uint8_t *bytes, uint64_t offset, uint64_t file_size);

/* Entries of the BAT as they stand in the file. */
uint32_t vhd_load_entry(const uint8_t *bytes);
void vhd_store_entry(uint8_t *bytes, uint32_t sector);

#endif
