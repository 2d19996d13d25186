/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhd/bitmap.h"

#include <endian.h>
#include <string.h>

#define WORD_BITS 64u

bool vhd_bitmap_bit(const uint8_t *bits, uint32_t bit)
{
    return bits[bit / 8] & 0x80u >> bit % 8;
}

/* The word of 64 bits that holds `bit`, the first bit on top; `flip` makes zeros of the bits that are like it. */
static uint64_t load_word(const uint8_t *bits, uint32_t bit, uint64_t flip)
{
    uint64_t word;
    memcpy(&word, bits + bit / WORD_BITS * sizeof(word), sizeof(word));
    return be64toh(word) ^ flip;
}

uint32_t vhd_bitmap_run(const uint8_t *bits, uint32_t first, uint32_t end)
{
    uint64_t flip = vhd_bitmap_bit(bits, first) ? UINT64_MAX : 0;
    uint64_t word = load_word(bits, first, flip) & UINT64_MAX >> first % WORD_BITS;
    uint32_t bit = first - first % WORD_BITS;
    while (word == 0) {
        bit += WORD_BITS;
        if (bit >= end)
            return end - first;
        word = load_word(bits, bit, flip);
    }
    bit += (uint32_t)__builtin_clzll(word);
    return (bit < end ? bit : end) - first;
}

void vhd_bitmap_set(uint8_t *bits, uint32_t first, uint32_t end)
{
    for (; first < end && first % 8; first++)
        bits[first / 8] |= (uint8_t)(0x80u >> first % 8);
    for (; first + 8 <= end; first += 8)
        bits[first / 8] = 0xff;
    for (; first < end; first++)
        bits[first / 8] |= (uint8_t)(0x80u >> first % 8);
}

bool vhd_bitmap_all(const uint8_t *bits, uint32_t first, uint32_t end)
{
    return vhd_bitmap_bit(bits, first) && vhd_bitmap_run(bits, first, end) == end - first;
}
