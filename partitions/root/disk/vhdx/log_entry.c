/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/vhdx/log_entry.h"

#include <string.h>

#include "partitions/root/disk/crc32c.h"

/* 2.3.1.1, "Entry Header": offsets of the fields. */
enum {
    ENTRY_CHECKSUM = 4,
    ENTRY_LENGTH = 8,
    ENTRY_TAIL = 12,
    ENTRY_SEQUENCE = 16,
    ENTRY_DESCRIPTORS = 24,
    ENTRY_RESERVED = 28,
    ENTRY_GUID = 32,
    ENTRY_FLUSHED_END = 48,
    ENTRY_LAST_END = 56,
    ENTRY_HEADER_SIZE = 64,
};

/* 2.3.1.2 and 2.3.1.3, descriptors. */
enum {
    DESCRIPTOR_TRAILING = 4, /* reserved in a zero descriptor */
    DESCRIPTOR_LEADING = 8,  /* the length of a zero descriptor */
    DESCRIPTOR_OFFSET = 16,
    DESCRIPTOR_SEQUENCE = 24,
};

/* 2.3.1.4, "Data Sector". */
enum { DATA_SEQUENCE_HIGH = 4, DATA_BYTES = 8, DATA_SEQUENCE_LOW = 4092 };

static const char entry_signature[4] = {'l', 'o', 'g', 'e'};
static const char zero_signature[4] = {'z', 'e', 'r', 'o'};
static const char descriptor_signature[4] = {'d', 'e', 's', 'c'};
static const char data_signature[4] = {'d', 'a', 't', 'a'};

bool vhdx_log_header_decode(const uint8_t *bytes, struct vhdx_log_header *header, uint32_t *checksum)
{
    if (memcmp(bytes, entry_signature, sizeof(entry_signature)) != 0)
        return false;
    *checksum = little_endian_load32(bytes + ENTRY_CHECKSUM);
    header->length = little_endian_load32(bytes + ENTRY_LENGTH);
    header->tail = little_endian_load32(bytes + ENTRY_TAIL);
    header->sequence = little_endian_load64(bytes + ENTRY_SEQUENCE);
    header->descriptors = little_endian_load32(bytes + ENTRY_DESCRIPTORS);
    header->reserved = little_endian_load32(bytes + ENTRY_RESERVED);
    memcpy(header->guid, bytes + ENTRY_GUID, VHDX_GUID_SIZE);
    header->flushed_end = little_endian_load64(bytes + ENTRY_FLUSHED_END);
    header->last_end = little_endian_load64(bytes + ENTRY_LAST_END);
    return true;
}

void vhdx_log_header_encode(const struct vhdx_log_header *header, uint8_t *bytes)
{
    memset(bytes, 0, ENTRY_HEADER_SIZE);
    memcpy(bytes, entry_signature, sizeof(entry_signature));
    little_endian_store32(bytes + ENTRY_LENGTH, header->length);
    little_endian_store32(bytes + ENTRY_TAIL, header->tail);
    little_endian_store64(bytes + ENTRY_SEQUENCE, header->sequence);
    little_endian_store32(bytes + ENTRY_DESCRIPTORS, header->descriptors);
    memcpy(bytes + ENTRY_GUID, header->guid, VHDX_GUID_SIZE);
    little_endian_store64(bytes + ENTRY_FLUSHED_END, header->flushed_end);
    little_endian_store64(bytes + ENTRY_LAST_END, header->last_end);
}

void vhdx_log_header_seal(uint8_t *bytes, uint32_t checksum)
{
    little_endian_store32(bytes + ENTRY_CHECKSUM, checksum);
}

uint32_t vhdx_log_first_checksum(const uint8_t *bytes)
{
    static const uint8_t zeros[4];
    uint32_t sum = crc32c(0, bytes, ENTRY_CHECKSUM);
    sum = crc32c(sum, zeros, sizeof(zeros));
    return crc32c(sum, bytes + ENTRY_LENGTH, VHDX_LOG_SECTOR - ENTRY_LENGTH);
}

uint32_t vhdx_log_descriptor_sectors(uint32_t descriptors)
{
    if (descriptors <= VHDX_FIRST_DESCRIPTORS)
        return 1;
    return 1 + (descriptors - VHDX_FIRST_DESCRIPTORS - 1) / VHDX_MORE_DESCRIPTORS + 1;
}

void vhdx_descriptor_decode(const uint8_t *bytes, struct vhdx_descriptor *descriptor)
{
    *descriptor = (struct vhdx_descriptor){
        .length = VHDX_LOG_SECTOR,
        .offset = little_endian_load64(bytes + DESCRIPTOR_OFFSET),
        .sequence = little_endian_load64(bytes + DESCRIPTOR_SEQUENCE),
    };
    if (memcmp(bytes, descriptor_signature, sizeof(descriptor_signature)) == 0) {
        descriptor->kind = VHDX_DESCRIPTOR_DATA;
    } else if (memcmp(bytes, zero_signature, sizeof(zero_signature)) == 0 &&
               little_endian_load32(bytes + DESCRIPTOR_TRAILING) == 0) {
        descriptor->kind = VHDX_DESCRIPTOR_ZERO;
        descriptor->length = little_endian_load64(bytes + DESCRIPTOR_LEADING);
    }
}

void vhdx_data_pack(uint8_t *sector, uint64_t offset, uint64_t sequence, uint8_t *descriptor)
{
    memcpy(descriptor, descriptor_signature, sizeof(descriptor_signature));
    memcpy(descriptor + DESCRIPTOR_TRAILING, sector + DATA_SEQUENCE_LOW, VHDX_LOG_SECTOR - DATA_SEQUENCE_LOW);
    memcpy(descriptor + DESCRIPTOR_LEADING, sector, DATA_BYTES);
    little_endian_store64(descriptor + DESCRIPTOR_OFFSET, offset);
    little_endian_store64(descriptor + DESCRIPTOR_SEQUENCE, sequence);

    memcpy(sector, data_signature, sizeof(data_signature));
    little_endian_store32(sector + DATA_SEQUENCE_HIGH, (uint32_t)(sequence >> 32));
    little_endian_store32(sector + DATA_SEQUENCE_LOW, (uint32_t)sequence);
}

bool vhdx_is_data_sector(const uint8_t *sector, uint64_t sequence)
{
    return memcmp(sector, data_signature, sizeof(data_signature)) == 0 &&
           little_endian_load32(sector + DATA_SEQUENCE_HIGH) == (uint32_t)(sequence >> 32) &&
           little_endian_load32(sector + DATA_SEQUENCE_LOW) == (uint32_t)sequence;
}

void vhdx_data_unpack(uint8_t *sector, const uint8_t *descriptor)
{
    memcpy(sector, descriptor + DESCRIPTOR_LEADING, DATA_BYTES);
    memcpy(sector + DATA_SEQUENCE_LOW, descriptor + DESCRIPTOR_TRAILING, VHDX_LOG_SECTOR - DATA_SEQUENCE_LOW);
}
