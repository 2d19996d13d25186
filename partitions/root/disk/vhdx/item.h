/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The structures of a VHDX's metadata region, [MS-VHDX] 2.6. Pure functions, no I/O. */
#ifndef DISK_VHDX_ITEM_H
#define DISK_VHDX_ITEM_H

#include "partitions/root/disk/vhdx/vhdx.h"

#define VHDX_METADATA_TABLE_SIZE 0x10000u
#define VHDX_METADATA_HEADER     32u
#define VHDX_METADATA_ENTRY      32u
#define VHDX_MOST_ITEMS          2047u
#define VHDX_MOST_USER_ITEMS     1024u
#define VHDX_LARGEST_ITEM        0x100000u
#define VHDX_FILE_PARAMETERS     8u
#define VHDX_LOCATOR_HEADER      20u
#define VHDX_LOCATOR_ENTRY       12u

enum vhdx_item_kind {
    VHDX_ITEM_FILE_PARAMETERS,
    VHDX_ITEM_DISK_SIZE,
    VHDX_ITEM_DISK_ID,
    VHDX_ITEM_LOGICAL_SECTOR,
    VHDX_ITEM_PHYSICAL_SECTOR,
    VHDX_ITEM_PARENT_LOCATOR,
    VHDX_ITEM_KINDS, /* any other */
};

enum { VHDX_ITEM_USER = 1, VHDX_ITEM_VIRTUAL_DISK = 2, VHDX_ITEM_REQUIRED = 4, VHDX_ITEM_FLAGS = 7 };

struct vhdx_item {
    uint8_t id[VHDX_GUID_SIZE];
    uint32_t offset; /* from the region's beginning */
    uint32_t length;
    uint32_t flags;
    uint32_t reserved;
};

enum vhdx_item_kind vhdx_item_kind(const struct vhdx_item *item);
/* "VirtualDiskSize" ...: what the specification calls it. */
const char *vhdx_item_name(enum vhdx_item_kind kind);
/* The table's header. False: no signature; *reserved: something stands in a reserved field. */
bool vhdx_metadata_header_decode(const uint8_t *bytes, uint16_t *count, bool *reserved);
void vhdx_metadata_header_encode(uint16_t count, uint8_t *bytes);
void vhdx_item_decode(const uint8_t *bytes, struct vhdx_item *item);
/* A known item's entry. */
void vhdx_item_encode(enum vhdx_item_kind kind, uint32_t offset, uint32_t length, uint8_t *bytes);

/* Makes zeros of the reserved fields of the table's header, and of an entry. Whether they were none. */
bool vhdx_metadata_header_clear(uint8_t *bytes);
bool vhdx_item_clear(uint8_t *bytes);

/* Where a reserved field stands: 2.6.2.1, "File Parameters", of which the flags have others, and 2.6.2.6.1, "Parent
 * Locator Header". */
#define VHDX_FILE_PARAMETERS_FLAGS 4u
#define VHDX_LOCATOR_RESERVED      16u

enum { VHDX_LEAVE_BLOCKS_ALLOCATED = 1, VHDX_HAS_PARENT = 2, VHDX_FILE_FLAGS = 3 };

#endif
