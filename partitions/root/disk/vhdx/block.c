/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/block.h"

#include <errno.h>

#define BITS_PER_SECTOR (METADATA_SECTOR_SIZE * 8u)

uint64_t vhdx_entry_sector(const struct vhdx_image *image, uint32_t index)
{
    return image->bat_offset + (uint64_t)index * VHDX_ENTRY_SIZE / METADATA_SECTOR_SIZE * METADATA_SECTOR_SIZE;
}

uint32_t vhdx_entry_within(uint32_t index)
{
    return index % (METADATA_SECTOR_SIZE / VHDX_ENTRY_SIZE) * VHDX_ENTRY_SIZE;
}

static int load_entry(struct vhdx_image *image, uint32_t index, struct vhdx_entry *entry)
{
    const uint8_t *bytes;
    int error = metadata_cache_read(image->disk.cache, image->metadata_file, vhdx_entry_sector(image, index), &bytes);
    if (!error)
        *entry = vhdx_entry_decode(bytes + vhdx_entry_within(index));
    return error;
}

static bool place_valid(const struct vhdx_image *image, uint64_t offset, uint64_t length)
{
    if (offset > image->file_end || length > image->file_end - offset)
        return false;
    for (unsigned i = 0; i < VHDX_STRUCTURES; i++) {
        const struct vhdx_structure *structure = &image->structures[i];
        if (offset < structure->offset + structure->length && structure->offset < offset + length)
            return false;
    }
    return true;
}

int vhdx_load_block(struct vhdx_image *image, uint32_t block, struct vhdx_entry *entry)
{
    const struct vhdx_layout *layout = &image->metadata.layout;
    int error = load_entry(image, vhdx_payload_entry(layout, block), entry);
    if (error)
        return error;
    if (entry->reserved)
        return EIO;
    switch (entry->state) {
    case VHDX_BLOCK_NOT_PRESENT:
    case VHDX_BLOCK_UNDEFINED:
    case VHDX_BLOCK_ZERO:
    case VHDX_BLOCK_UNMAPPED:
        return 0;
    case VHDX_BLOCK_PARTIALLY_PRESENT:
        if (!layout->differencing)
            return EIO;
        break;
    case VHDX_BLOCK_FULLY_PRESENT:
        break;
    default:
        return EIO;
    }
    return place_valid(image, entry->offset, vhdx_block_bytes(layout, block)) ? 0 : EIO;
}

int vhdx_load_bitmap_block(struct vhdx_image *image, uint32_t block, struct vhdx_entry *entry)
{
    int error = load_entry(image, vhdx_bitmap_entry(&image->metadata.layout, block), entry);
    if (error)
        return error;
    if (entry->reserved)
        return EIO;
    if (entry->state == VHDX_BLOCK_NOT_PRESENT)
        return 0;
    return entry->state == VHDX_BLOCK_FULLY_PRESENT && place_valid(image, entry->offset, VHDX_BITMAP_BLOCK) ? 0 : EIO;
}

struct vhdx_bits vhdx_locate_bits(const struct vhdx_image *image, uint64_t bitmap, uint32_t block, uint32_t first,
                                  uint32_t count)
{
    uint32_t bits_per_block = image->metadata.layout.block_size / image->metadata.layout.logical_sector;
    uint32_t bit = block % vhdx_chunk_ratio(&image->metadata.layout) * bits_per_block + first;
    struct vhdx_bits bits = {
        .at = bitmap + bit / BITS_PER_SECTOR * METADATA_SECTOR_SIZE,
        .bit = bit % BITS_PER_SECTOR,
        .count = count,
    };
    if (bits.count > BITS_PER_SECTOR - bits.bit)
        bits.count = BITS_PER_SECTOR - bits.bit;
    return bits;
}

static bool bit_at(const uint8_t *bytes, uint32_t bit)
{
    return bytes[bit / 8] >> bit % 8 & 1;
}

uint32_t vhdx_run_of_bits(const uint8_t *bytes, struct vhdx_bits bits, bool *value)
{
    *value = bit_at(bytes, bits.bit);
    uint8_t alike = *value ? 0xff : 0;
    uint32_t end = bits.bit + bits.count;
    uint32_t bit = bits.bit + 1;
    while (bit < end) {
        if (bit % 8 == 0 && end - bit >= 8 && bytes[bit / 8] == alike)
            bit += 8;
        else if (bit_at(bytes, bit) == *value)
            bit++;
        else
            break;
    }
    return bit - bits.bit;
}

void vhdx_set_bits(uint8_t *bytes, struct vhdx_bits bits, bool value)
{
    for (uint32_t bit = bits.bit; bit < bits.bit + bits.count; bit++) {
        uint8_t mask = (uint8_t)(1u << bit % 8);
        bytes[bit / 8] = value ? bytes[bit / 8] | mask : bytes[bit / 8] & (uint8_t)~mask;
    }
}
