/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/vhdx/item.h"

#include <string.h>

/* 2.6.1.1, "Metadata Table Header", and 2.6.1.2, "Metadata Table Entry": offsets of the fields. */
enum {
    TABLE_RESERVED = 8,
    TABLE_COUNT = 10,
    TABLE_RESERVED2 = 12,
    ITEM_OFFSET = 16,
    ITEM_LENGTH = 20,
    ITEM_FLAGS = 24,
    ITEM_RESERVED2 = 28,
};

static const char table_signature[8] = {'m', 'e', 't', 'a', 'd', 'a', 't', 'a'};

/* 2.6.2, "Known Metadata Items". */
static const struct {
    uint8_t id[VHDX_GUID_SIZE];
    const char *name;
    uint32_t flags;
} known[VHDX_ITEM_KINDS] = {
  /* CAA16737-FA36-4D43-B3B6-33F0AA44E76B */
    [VHDX_ITEM_FILE_PARAMETERS] = {{0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44,
                                    0xe7, 0x6b},
                                   "FileParameters",     VHDX_ITEM_REQUIRED                         },
 /* 2FA54224-CD1B-4876-B211-5DBED83BF4B8 */
    [VHDX_ITEM_DISK_SIZE] = {{0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4,
                              0xb8},
                                   "VirtualDiskSize",    VHDX_ITEM_REQUIRED | VHDX_ITEM_VIRTUAL_DISK},
 /* BECA12AB-B2E6-4523-93EF-C309E000C746 */
    [VHDX_ITEM_DISK_ID] = {{0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7,
                            0x46},
                                   "VirtualDiskId",      VHDX_ITEM_REQUIRED | VHDX_ITEM_VIRTUAL_DISK},
 /* 8141BF1D-A96F-4709-BA47-F233A8FAAB5F */
    [VHDX_ITEM_LOGICAL_SECTOR] = {{0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa,
                                   0xab, 0x5f},
                                   "LogicalSectorSize",  VHDX_ITEM_REQUIRED | VHDX_ITEM_VIRTUAL_DISK},
 /* CDA348C7-445D-4471-9CC9-E9885251C556 */
    [VHDX_ITEM_PHYSICAL_SECTOR] = {{0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51,
                                    0xc5, 0x56},
                                   "PhysicalSectorSize", VHDX_ITEM_REQUIRED | VHDX_ITEM_VIRTUAL_DISK},
 /* A8D35F2D-B30B-454D-ABF7-D3D84834AB0C */
    [VHDX_ITEM_PARENT_LOCATOR] = {{0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34,
                                   0xab, 0x0c},
                                   "ParentLocator",      VHDX_ITEM_REQUIRED                         },
};

enum vhdx_item_kind vhdx_item_kind(const struct vhdx_item *item)
{
    enum vhdx_item_kind kind = 0;
    while (kind < VHDX_ITEM_KINDS && ((item->flags & VHDX_ITEM_USER) || !vhdx_same_guid(item->id, known[kind].id)))
        kind++;
    return kind;
}

const char *vhdx_item_name(enum vhdx_item_kind kind)
{
    return known[kind].name;
}

static bool all_zeros(const uint8_t *bytes, size_t length)
{
    while (length && !bytes[length - 1])
        length--;
    return length == 0;
}

bool vhdx_metadata_header_decode(const uint8_t *bytes, uint16_t *count, bool *reserved)
{
    if (memcmp(bytes, table_signature, sizeof(table_signature)) != 0)
        return false;
    *count = little_endian_load16(bytes + TABLE_COUNT);
    *reserved = little_endian_load16(bytes + TABLE_RESERVED) != 0 ||
                !all_zeros(bytes + TABLE_RESERVED2, VHDX_METADATA_HEADER - TABLE_RESERVED2);
    return true;
}

void vhdx_metadata_header_encode(uint16_t count, uint8_t *bytes)
{
    memset(bytes, 0, VHDX_METADATA_HEADER);
    memcpy(bytes, table_signature, sizeof(table_signature));
    little_endian_store16(bytes + TABLE_COUNT, count);
}

bool vhdx_metadata_header_clear(uint8_t *bytes)
{
    bool clear = little_endian_load16(bytes + TABLE_RESERVED) == 0 &&
                 all_zeros(bytes + TABLE_RESERVED2, VHDX_METADATA_HEADER - TABLE_RESERVED2);
    little_endian_store16(bytes + TABLE_RESERVED, 0);
    memset(bytes + TABLE_RESERVED2, 0, VHDX_METADATA_HEADER - TABLE_RESERVED2);
    return !clear;
}

bool vhdx_item_clear(uint8_t *bytes)
{
    uint32_t flags = little_endian_load32(bytes + ITEM_FLAGS);
    bool clear = !(flags & ~(uint32_t)VHDX_ITEM_FLAGS) && little_endian_load32(bytes + ITEM_RESERVED2) == 0;
    little_endian_store32(bytes + ITEM_FLAGS, flags & VHDX_ITEM_FLAGS);
    little_endian_store32(bytes + ITEM_RESERVED2, 0);
    return !clear;
}

void vhdx_item_decode(const uint8_t *bytes, struct vhdx_item *item)
{
    memcpy(item->id, bytes, VHDX_GUID_SIZE);
    item->offset = little_endian_load32(bytes + ITEM_OFFSET);
    item->length = little_endian_load32(bytes + ITEM_LENGTH);
    item->flags = little_endian_load32(bytes + ITEM_FLAGS);
    item->reserved = little_endian_load32(bytes + ITEM_RESERVED2);
}

void vhdx_item_encode(enum vhdx_item_kind kind, uint32_t offset, uint32_t length, uint8_t *bytes)
{
    memcpy(bytes, known[kind].id, VHDX_GUID_SIZE);
    little_endian_store32(bytes + ITEM_OFFSET, offset);
    little_endian_store32(bytes + ITEM_LENGTH, length);
    little_endian_store32(bytes + ITEM_FLAGS, known[kind].flags);
    little_endian_store32(bytes + ITEM_RESERVED2, 0);
}
