/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structures of a VHDX's log, [MS-VHDX] 2.3.1. An entry is a header, descriptors, and for each descriptor of data a
 * sector of 4 KiB with what is to be written. Pure functions, no I/O.
 */
#ifndef DISK_VHDX_LOG_ENTRY_H
#define DISK_VHDX_LOG_ENTRY_H

#include "partitions/root/disk/vhdx/vhdx.h"

#define VHDX_LOG_SECTOR 0x1000u
/* Descriptors in the first sector of an entry, behind its header, and in each of the others. */
#define VHDX_FIRST_DESCRIPTORS 126u
#define VHDX_MORE_DESCRIPTORS  128u

struct vhdx_log_header {
    uint32_t length;
    uint32_t tail;
    uint64_t sequence;
    uint32_t descriptors;
    uint32_t reserved;
    uint8_t guid[VHDX_GUID_SIZE];
    uint64_t flushed_end;
    uint64_t last_end;
};

/* One sector of an entry; false: no signature. The checksum is that of the entry, as found. */
bool vhdx_log_header_decode(const uint8_t *bytes, struct vhdx_log_header *header, uint32_t *checksum);
/* Writes the 64 bytes, with a checksum of 0. */
void vhdx_log_header_encode(const struct vhdx_log_header *header, uint8_t *bytes);
void vhdx_log_header_seal(uint8_t *bytes, uint32_t checksum);
/* The CRC of an entry's first sector, as the entry's checksum has it. */
uint32_t vhdx_log_first_checksum(const uint8_t *bytes);
/* Sectors that have the header and so many descriptors. */
uint32_t vhdx_log_descriptor_sectors(uint32_t descriptors);

enum vhdx_descriptor_kind { VHDX_DESCRIPTOR_NONE, VHDX_DESCRIPTOR_ZERO, VHDX_DESCRIPTOR_DATA };

struct vhdx_descriptor {
    enum vhdx_descriptor_kind kind; /* NONE: no signature, or something in a reserved field */
    uint64_t length;                /* VHDX_LOG_SECTOR of DATA */
    uint64_t offset;                /* in the file */
    uint64_t sequence;
};

#define VHDX_DESCRIPTOR_SIZE 32u
void vhdx_descriptor_decode(const uint8_t *bytes, struct vhdx_descriptor *descriptor);

/*
 * A data sector and its descriptor. Packing takes the first 8 and the last 4 bytes of `sector` into the descriptor and
 * puts the signature and the sequence number in their place; unpacking restores them.
 */
void vhdx_data_pack(uint8_t *sector, uint64_t offset, uint64_t sequence, uint8_t *descriptor);
bool vhdx_is_data_sector(const uint8_t *sector, uint64_t sequence);
void vhdx_data_unpack(uint8_t *sector, const uint8_t *descriptor);

#endif
