/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/dec21140_filter.h"

#include "partitions/root/worker/devices/ethernet_crc.h"

#define ADDRESS_LONGWORDS 3
#define HASH_MASK         0x1ff
/* Where the physical address stands in a setup frame with a hash table, in longwords. */
#define HASH_ADDRESS_LONGWORD 39

#define MULTICAST 0x01

static uint64_t address_key(const uint8_t address[6])
{
    uint64_t key = 0;

    for (unsigned i = 6; i-- > 0;)
        key = key << 8 | address[i];
    return key;
}

/* The lower half of each longword counts. */
static uint16_t frame_word(const uint8_t *frame, unsigned longword)
{
    return (uint16_t)(frame[4 * longword] | frame[4 * longword + 1] << 8);
}

static uint64_t frame_address(const uint8_t *frame, unsigned longword)
{
    return frame_word(frame, longword) | (uint64_t)frame_word(frame, longword + 1) << 16 |
           (uint64_t)frame_word(frame, longword + 2) << 32;
}

static bool has_hash(enum dec21140_filtering filtering)
{
    return filtering == DEC21140_FILTER_HASH || filtering == DEC21140_FILTER_HASH_ONLY;
}

void dec21140_filter_load(struct dec21140_filter *filter, enum dec21140_filtering filtering,
                          const uint8_t frame[DEC21140_SETUP_FRAME_SIZE])
{
    filter->loaded = true;
    filter->filtering = filtering;
    if (has_hash(filtering)) {
        for (unsigned i = 0; i < DEC21140_HASH_WORDS; i++)
            filter->hash[i] = frame_word(frame, i);
        filter->addresses[0] = frame_address(frame, HASH_ADDRESS_LONGWORD);
    } else {
        for (unsigned i = 0; i < DEC21140_PERFECT_ADDRESSES; i++)
            filter->addresses[i] = frame_address(frame, i * ADDRESS_LONGWORDS);
    }
}

static bool match_hash(const struct dec21140_filter *filter, const uint8_t destination[6])
{
    uint32_t hash = ethernet_crc(ETHERNET_CRC_START, destination, 6) & HASH_MASK;

    return filter->hash[hash / 16] >> hash % 16 & 1;
}

static bool match_address(const struct dec21140_filter *filter, uint64_t key)
{
    for (unsigned i = 0; i < DEC21140_PERFECT_ADDRESSES; i++)
        if (filter->addresses[i] == key)
            return true;
    return false;
}

bool dec21140_filter_match(const struct dec21140_filter *filter, const uint8_t destination[6])
{
    uint64_t key = address_key(destination);

    if (!filter->loaded)
        return false;
    switch (filter->filtering) {
    case DEC21140_FILTER_PERFECT:
        return match_address(filter, key);
    case DEC21140_FILTER_INVERSE:
        return !match_address(filter, key);
    case DEC21140_FILTER_HASH:
        return destination[0] & MULTICAST ? match_hash(filter, destination) : filter->addresses[0] == key;
    case DEC21140_FILTER_HASH_ONLY:
        return match_hash(filter, destination);
    }
    return false;
}
