/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structures of the VHDX format: [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format". Numbers in the file are
 * little-endian; they are decoded to the structures below and never used in place. Pure functions, no I/O.
 *
 * The first MiB of the file is the header section: the file type identifier, two headers, of which the valid one with
 * the higher sequence number is current, and two copies of the region table. Everything else begins at a multiple of
 * 1 MiB: the log, to which the current header points; the regions, of which two are known, the metadata and the block
 * allocation table (BAT); payload blocks, which hold the disk's data; and, of differencing images, sector bitmap
 * blocks, which have a bit for each sector of a chunk (2^23 sectors) of the disk. The BAT has the place and the state
 * of each block: after the payload blocks of a chunk stands its sector bitmap block.
 */
#ifndef DISK_VHDX_H
#define DISK_VHDX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VHDX_MIB 0x100000ull

/* 2.2, "Header Section" */
#define VHDX_IDENTIFIER_SIZE      (8u + VHDX_CREATOR_SIZE)
#define VHDX_CREATOR_SIZE         512u
#define VHDX_HEADERS              2u
#define VHDX_HEADER_OFFSET(copy)  ((1u + (copy)) * 0x10000ull)
#define VHDX_HEADER_SIZE          0x1000u
#define VHDX_VERSION              1u
#define VHDX_LOG_VERSION          0u
#define VHDX_REGIONS_OFFSET(copy) ((3u + (copy)) * 0x10000ull)
#define VHDX_REGIONS_SIZE         0x10000u
#define VHDX_MOST_REGIONS         2047u
#define VHDX_SECTION_SIZE         VHDX_MIB

#define VHDX_SMALLEST_BLOCK (1u << 20)
#define VHDX_LARGEST_BLOCK  (256u << 20)
#define VHDX_MAXIMUM_SIZE   (64ull << 40)
#define VHDX_BITMAP_BLOCK   (1u << 20)
#define VHDX_CHUNK_SECTORS  (1u << 23)
#define VHDX_ENTRY_SIZE     8u /* of the BAT */

/* A GUID as it stands in the file. */
#define VHDX_GUID_SIZE 16u
extern const uint8_t vhdx_zero_guid[VHDX_GUID_SIZE];
extern const uint8_t vhdx_bat_region[VHDX_GUID_SIZE];
extern const uint8_t vhdx_metadata_region[VHDX_GUID_SIZE];
extern const uint8_t vhdx_locator_type[VHDX_GUID_SIZE];
bool vhdx_same_guid(const uint8_t *a, const uint8_t *b);

/* "{83ed0ec3-24c8-49a6-a959-5e4bf1288bfb}", without a terminating zero, and back; false if it is none. */
#define VHDX_GUID_TEXT 38u
void vhdx_guid_print(const uint8_t *guid, char *text);

/* The GUID with the most significant byte of each field first, as a VHD has it. */
void vhdx_guid_to_uuid(const uint8_t *guid, uint8_t *uuid);
bool vhdx_guid_parse(const char *text, size_t length, uint8_t *guid);

enum vhdx_state {
    VHDX_ABSENT, /* no signature */
    VHDX_FAULTY, /* wrong checksum */
    VHDX_VALID,
};

bool vhdx_has_identifier(const uint8_t *bytes);
/* VHDX_IDENTIFIER_SIZE bytes; `creator` in ASCII. */
void vhdx_identifier_encode(const char *creator, uint8_t *bytes);

struct vhdx_header {
    uint64_t sequence;
    uint8_t file_write_guid[VHDX_GUID_SIZE];
    uint8_t data_write_guid[VHDX_GUID_SIZE];
    uint8_t log_guid[VHDX_GUID_SIZE]; /* zeros: the log is empty */
    uint16_t log_version;
    uint16_t version;
    uint32_t log_length;
    uint64_t log_offset;
};

/* VHDX_HEADER_SIZE bytes. */
enum vhdx_state vhdx_header_decode(const uint8_t *bytes, struct vhdx_header *header);
void vhdx_header_encode(const struct vhdx_header *header, uint8_t *bytes);
void vhdx_header_seal(uint8_t *bytes);

struct vhdx_region {
    uint8_t guid[VHDX_GUID_SIZE];
    uint64_t offset;
    uint32_t length;
    uint32_t required;
};

/* VHDX_REGIONS_SIZE bytes. `count` is what the table says; only the first VHDX_MOST_REGIONS can be decoded. */
enum vhdx_state vhdx_regions_decode(const uint8_t *bytes, uint32_t *count);
void vhdx_region_decode(const uint8_t *bytes, uint32_t index, struct vhdx_region *region);
void vhdx_region_encode(const struct vhdx_region *region, uint32_t index, uint8_t *bytes);
void vhdx_regions_encode(const struct vhdx_region *regions, uint32_t count, uint8_t *bytes);
void vhdx_regions_seal(uint8_t *bytes);
/* Where the entry stands, from the table's beginning. */
uint32_t vhdx_region_offset(uint32_t index);

/* 2.5.1, "BAT Entry" */
enum vhdx_block_state {
    VHDX_BLOCK_NOT_PRESENT = 0,
    VHDX_BLOCK_UNDEFINED = 1,
    VHDX_BLOCK_ZERO = 2,
    VHDX_BLOCK_UNMAPPED = 3,
    VHDX_BLOCK_FULLY_PRESENT = 6, /* of a sector bitmap block: present */
    VHDX_BLOCK_PARTIALLY_PRESENT = 7,
};

struct vhdx_entry {
    enum vhdx_block_state state; /* may have the reserved values, too */
    uint64_t offset;             /* in the file, a multiple of 1 MiB */
    uint32_t reserved;
};

struct vhdx_entry vhdx_entry_decode(const uint8_t *bytes);
void vhdx_entry_encode(struct vhdx_entry entry, uint8_t *bytes);

/* How a disk is divided. */
struct vhdx_layout {
    uint64_t disk_size;      /* bytes, a multiple of logical_sector, not 0 and at most VHDX_MAXIMUM_SIZE */
    uint32_t block_size;     /* bytes, a power of two, VHDX_SMALLEST_BLOCK to VHDX_LARGEST_BLOCK */
    uint32_t logical_sector; /* 512 or 4096 */
    bool differencing;
};

bool vhdx_block_size_valid(uint32_t block_size);
bool vhdx_sector_size_valid(uint32_t sector_size);
uint32_t vhdx_chunk_ratio(const struct vhdx_layout *layout); /* payload blocks in a chunk */
uint32_t vhdx_blocks(const struct vhdx_layout *layout);      /* payload blocks */
uint32_t vhdx_entries(const struct vhdx_layout *layout);     /* of the BAT */
uint32_t vhdx_payload_entry(const struct vhdx_layout *layout, uint32_t block);
uint32_t vhdx_bitmap_entry(const struct vhdx_layout *layout, uint32_t block); /* of the block's chunk */
bool vhdx_is_bitmap_entry(const struct vhdx_layout *layout, uint32_t entry);
/* Bytes of the disk in the payload block: the block size but for the last one. */
uint32_t vhdx_block_bytes(const struct vhdx_layout *layout, uint32_t block);

#endif
