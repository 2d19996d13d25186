/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/crc32c.h"

#include <nmmintrin.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

uint32_t crc32c_by_table(uint32_t before, const void *bytes, size_t length)
{
    /* The remainders of all values of half a byte: small enough to be made on each call, and never half made. */
    uint32_t table[16];
    for (uint32_t value = 0; value < 16; value++) {
        table[value] = value;
        for (int bit = 0; bit < 4; bit++)
            table[value] = table[value] >> 1 ^ (table[value] & 1 ? POLYNOMIAL : 0);
    }
    uint32_t remainder = ~before;
    for (const uint8_t *byte = bytes, *end = byte + length; byte < end; byte++) {
        remainder ^= *byte;
        remainder = remainder >> 4 ^ table[remainder & 15];
        remainder = remainder >> 4 ^ table[remainder & 15];
    }
    return ~remainder;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_by_instruction(uint32_t before, const uint8_t *bytes,
                                                                        size_t length)
{
    uint64_t remainder = ~before;
    for (; length >= sizeof(uint64_t); bytes += sizeof(uint64_t), length -= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes, sizeof(word));
        remainder = _mm_crc32_u64(remainder, word);
    }
    for (; length; bytes++, length--)
        remainder = _mm_crc32_u8((uint32_t)remainder, *bytes);
    return ~(uint32_t)remainder;
}

uint32_t crc32c(uint32_t before, const void *bytes, size_t length)
{
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_by_instruction(before, bytes, length);
    return crc32c_by_table(before, bytes, length);
}
