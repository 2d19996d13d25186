/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/little_endian.h"
#include "partitions/root/disk/vhdx/vhdx.h"

#include <ctype.h>
#include <string.h>

#include "partitions/root/disk/crc32c.h"

/* 2.2.2, "Headers": offsets of the fields. */
enum {
    HEADER_CHECKSUM = 4,
    HEADER_SEQUENCE = 8,
    HEADER_FILE_WRITE_GUID = 16,
    HEADER_DATA_WRITE_GUID = 32,
    HEADER_LOG_GUID = 48,
    HEADER_LOG_VERSION = 64,
    HEADER_VERSION = 66,
    HEADER_LOG_LENGTH = 68,
    HEADER_LOG_OFFSET = 72,
};

/* 2.2.3, "Region Table". */
enum {
    REGIONS_CHECKSUM = 4,
    REGIONS_COUNT = 8,
    REGIONS_FIRST = 16,
    REGION_SIZE = 32,
    REGION_OFFSET = 16,
    REGION_LENGTH = 24,
    REGION_REQUIRED = 28,
};

/* 2.5.1, "BAT Entry": bits. */
#define ENTRY_STATE    7u
#define ENTRY_RESERVED 0xffff8ull
#define ENTRY_OFFSET   (~0ull << 20)

static const char identifier_signature[8] = {'v', 'h', 'd', 'x', 'f', 'i', 'l', 'e'};
static const char header_signature[4] = {'h', 'e', 'a', 'd'};
static const char regions_signature[4] = {'r', 'e', 'g', 'i'};

const uint8_t vhdx_zero_guid[VHDX_GUID_SIZE];
/* 2DC27766-F623-4200-9D64-115E9BFD4A08 */
const uint8_t vhdx_bat_region[VHDX_GUID_SIZE] = {
    0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08,
};
/* 8B7CA206-4790-4B9A-B8FE-575F050F886E */
const uint8_t vhdx_metadata_region[VHDX_GUID_SIZE] = {
    0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e,
};
/* B04AEFB7-D19E-4A81-B789-25B8E9445913 */
const uint8_t vhdx_locator_type[VHDX_GUID_SIZE] = {
    0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a, 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13,
};

/* Which byte of a GUID each pair of digits is; the first three groups are numbers, and so stand backwards. */
static const uint8_t guid_order[VHDX_GUID_SIZE] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
#define GUID_PATTERN "{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}"

bool vhdx_same_guid(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, VHDX_GUID_SIZE) == 0;
}

void vhdx_guid_to_uuid(const uint8_t *guid, uint8_t *uuid)
{
    for (unsigned i = 0; i < VHDX_GUID_SIZE; i++)
        uuid[i] = guid[guid_order[i]];
}

void vhdx_guid_print(const uint8_t *guid, char *text)
{
    static const char digits[] = "0123456789abcdef";
    memcpy(text, GUID_PATTERN, VHDX_GUID_TEXT);
    for (unsigned i = 0, digit = 0; i < VHDX_GUID_TEXT; i++) {
        if (text[i] != 'x')
            continue;
        uint8_t byte = guid[guid_order[digit / 2]];
        text[i] = digits[digit % 2 ? byte & 15 : byte >> 4];
        digit++;
    }
}

static unsigned digit_value(char digit)
{
    return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)(tolower((unsigned char)digit) - 'a' + 10);
}

bool vhdx_guid_parse(const char *text, size_t length, uint8_t *guid)
{
    if (length != VHDX_GUID_TEXT)
        return false;
    memset(guid, 0, VHDX_GUID_SIZE);
    for (unsigned i = 0, digit = 0; i < VHDX_GUID_TEXT; i++) {
        bool wants_digit = GUID_PATTERN[i] == 'x';
        if (wants_digit ? !isxdigit((unsigned char)text[i]) : text[i] != GUID_PATTERN[i])
            return false;
        if (!wants_digit)
            continue;
        uint8_t *byte = &guid[guid_order[digit / 2]];
        *byte = (uint8_t)(*byte << 4 | digit_value(text[i]));
        digit++;
    }
    return true;
}

bool vhdx_has_identifier(const uint8_t *bytes)
{
    return memcmp(bytes, identifier_signature, sizeof(identifier_signature)) == 0;
}

void vhdx_identifier_encode(const char *creator, uint8_t *bytes)
{
    memset(bytes, 0, VHDX_IDENTIFIER_SIZE);
    memcpy(bytes, identifier_signature, sizeof(identifier_signature));
    uint8_t *at = bytes + sizeof(identifier_signature);
    for (size_t i = 0; creator[i] && i < VHDX_CREATOR_SIZE / 2; i++)
        at[2 * i] = (uint8_t)creator[i];
}

/* The CRC of a structure in which the checksum, at byte 4 in all of them, is taken as 0. */
static uint32_t checksum_of(const uint8_t *bytes, size_t length)
{
    static const uint8_t zeros[4];
    uint32_t sum = crc32c(0, bytes, HEADER_CHECKSUM);
    sum = crc32c(sum, zeros, sizeof(zeros));
    return crc32c(sum, bytes + HEADER_CHECKSUM + sizeof(zeros), length - HEADER_CHECKSUM - sizeof(zeros));
}

enum vhdx_state vhdx_header_decode(const uint8_t *bytes, struct vhdx_header *header)
{
    if (memcmp(bytes, header_signature, sizeof(header_signature)) != 0)
        return VHDX_ABSENT;
    if (little_endian_load32(bytes + HEADER_CHECKSUM) != checksum_of(bytes, VHDX_HEADER_SIZE))
        return VHDX_FAULTY;
    header->sequence = little_endian_load64(bytes + HEADER_SEQUENCE);
    memcpy(header->file_write_guid, bytes + HEADER_FILE_WRITE_GUID, VHDX_GUID_SIZE);
    memcpy(header->data_write_guid, bytes + HEADER_DATA_WRITE_GUID, VHDX_GUID_SIZE);
    memcpy(header->log_guid, bytes + HEADER_LOG_GUID, VHDX_GUID_SIZE);
    header->log_version = little_endian_load16(bytes + HEADER_LOG_VERSION);
    header->version = little_endian_load16(bytes + HEADER_VERSION);
    header->log_length = little_endian_load32(bytes + HEADER_LOG_LENGTH);
    header->log_offset = little_endian_load64(bytes + HEADER_LOG_OFFSET);
    return VHDX_VALID;
}

void vhdx_header_encode(const struct vhdx_header *header, uint8_t *bytes)
{
    memset(bytes, 0, VHDX_HEADER_SIZE);
    memcpy(bytes, header_signature, sizeof(header_signature));
    little_endian_store64(bytes + HEADER_SEQUENCE, header->sequence);
    memcpy(bytes + HEADER_FILE_WRITE_GUID, header->file_write_guid, VHDX_GUID_SIZE);
    memcpy(bytes + HEADER_DATA_WRITE_GUID, header->data_write_guid, VHDX_GUID_SIZE);
    memcpy(bytes + HEADER_LOG_GUID, header->log_guid, VHDX_GUID_SIZE);
    little_endian_store16(bytes + HEADER_LOG_VERSION, header->log_version);
    little_endian_store16(bytes + HEADER_VERSION, header->version);
    little_endian_store32(bytes + HEADER_LOG_LENGTH, header->log_length);
    little_endian_store64(bytes + HEADER_LOG_OFFSET, header->log_offset);
    vhdx_header_seal(bytes);
}

void vhdx_header_seal(uint8_t *bytes)
{
    little_endian_store32(bytes + HEADER_CHECKSUM, checksum_of(bytes, VHDX_HEADER_SIZE));
}

enum vhdx_state vhdx_regions_decode(const uint8_t *bytes, uint32_t *count)
{
    if (memcmp(bytes, regions_signature, sizeof(regions_signature)) != 0)
        return VHDX_ABSENT;
    if (little_endian_load32(bytes + REGIONS_CHECKSUM) != checksum_of(bytes, VHDX_REGIONS_SIZE))
        return VHDX_FAULTY;
    *count = little_endian_load32(bytes + REGIONS_COUNT);
    return VHDX_VALID;
}

uint32_t vhdx_region_offset(uint32_t index)
{
    return REGIONS_FIRST + index * REGION_SIZE;
}

void vhdx_region_decode(const uint8_t *bytes, uint32_t index, struct vhdx_region *region)
{
    const uint8_t *entry = bytes + vhdx_region_offset(index);
    memcpy(region->guid, entry, VHDX_GUID_SIZE);
    region->offset = little_endian_load64(entry + REGION_OFFSET);
    region->length = little_endian_load32(entry + REGION_LENGTH);
    region->required = little_endian_load32(entry + REGION_REQUIRED);
}

void vhdx_region_encode(const struct vhdx_region *region, uint32_t index, uint8_t *bytes)
{
    uint8_t *entry = bytes + vhdx_region_offset(index);
    memcpy(entry, region->guid, VHDX_GUID_SIZE);
    little_endian_store64(entry + REGION_OFFSET, region->offset);
    little_endian_store32(entry + REGION_LENGTH, region->length);
    little_endian_store32(entry + REGION_REQUIRED, region->required);
}

void vhdx_regions_encode(const struct vhdx_region *regions, uint32_t count, uint8_t *bytes)
{
    memset(bytes, 0, VHDX_REGIONS_SIZE);
    memcpy(bytes, regions_signature, sizeof(regions_signature));
    little_endian_store32(bytes + REGIONS_COUNT, count);
    for (uint32_t i = 0; i < count; i++)
        vhdx_region_encode(&regions[i], i, bytes);
    vhdx_regions_seal(bytes);
}

void vhdx_regions_seal(uint8_t *bytes)
{
    little_endian_store32(bytes + REGIONS_CHECKSUM, checksum_of(bytes, VHDX_REGIONS_SIZE));
}

struct vhdx_entry vhdx_entry_decode(const uint8_t *bytes)
{
    uint64_t value = little_endian_load64(bytes);
    return (struct vhdx_entry){
        .state = (enum vhdx_block_state)(value & ENTRY_STATE),
        .offset = value & ENTRY_OFFSET,
        .reserved = (uint32_t)(value & ENTRY_RESERVED),
    };
}

void vhdx_entry_encode(struct vhdx_entry entry, uint8_t *bytes)
{
    little_endian_store64(bytes, (entry.offset & ENTRY_OFFSET) | (unsigned)entry.state);
}

bool vhdx_block_size_valid(uint32_t block_size)
{
    return block_size >= VHDX_SMALLEST_BLOCK && block_size <= VHDX_LARGEST_BLOCK && !(block_size & (block_size - 1));
}

bool vhdx_sector_size_valid(uint32_t sector_size)
{
    return sector_size == 512 || sector_size == 4096;
}

uint32_t vhdx_chunk_ratio(const struct vhdx_layout *layout)
{
    return (uint32_t)((uint64_t)VHDX_CHUNK_SECTORS * layout->logical_sector / layout->block_size);
}

static uint32_t divide_up(uint64_t value, uint64_t by)
{
    return (uint32_t)((value - 1) / by + 1);
}

uint32_t vhdx_blocks(const struct vhdx_layout *layout)
{
    return divide_up(layout->disk_size, layout->block_size);
}

uint32_t vhdx_entries(const struct vhdx_layout *layout)
{
    uint32_t ratio = vhdx_chunk_ratio(layout);
    uint32_t blocks = vhdx_blocks(layout);
    if (layout->differencing)
        return divide_up(blocks, ratio) * (ratio + 1);
    return blocks + (blocks - 1) / ratio;
}

uint32_t vhdx_payload_entry(const struct vhdx_layout *layout, uint32_t block)
{
    return block + block / vhdx_chunk_ratio(layout);
}

uint32_t vhdx_bitmap_entry(const struct vhdx_layout *layout, uint32_t block)
{
    uint32_t ratio = vhdx_chunk_ratio(layout);
    return block / ratio * (ratio + 1) + ratio;
}

bool vhdx_is_bitmap_entry(const struct vhdx_layout *layout, uint32_t entry)
{
    uint32_t ratio = vhdx_chunk_ratio(layout);
    return entry % (ratio + 1) == ratio;
}

uint32_t vhdx_block_bytes(const struct vhdx_layout *layout, uint32_t block)
{
    uint64_t rest = layout->disk_size - (uint64_t)block * layout->block_size;
    return rest < layout->block_size ? (uint32_t)rest : layout->block_size;
}
