/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/checksum.h"

#include <arpa/inet.h>
#include <string.h>

/*
 * 64 bytes a turn with one add-with-carry each 8 bytes: compilers turn a portable loop into several times as
 * many instructions, and this runs over every byte that goes to a child.
 */
static uint64_t add_blocks(uint64_t sum, const uint8_t *data, size_t blocks)
{
    while (blocks--) {
        __asm__("addq 0(%1), %0\n\t"
                "adcq 8(%1), %0\n\t"
                "adcq 16(%1), %0\n\t"
                "adcq 24(%1), %0\n\t"
                "adcq 32(%1), %0\n\t"
                "adcq 40(%1), %0\n\t"
                "adcq 48(%1), %0\n\t"
                "adcq 56(%1), %0\n\t"
                "adcq $0, %0"
                : "+r"(sum)
                : "r"(data), "m"(*(const uint8_t(*)[64])data)
                : "cc");
        data += 64;
    }
    return sum;
}

static uint64_t add_word(uint64_t sum, uint64_t word)
{
    sum += word;
    return sum + (sum < word);
}

static uint16_t fold(uint64_t sum)
{
    sum = (sum & 0xFFFFFFFFu) + (sum >> 32);
    sum = (sum & 0xFFFFFFFFu) + (sum >> 32);
    sum = (sum & 0xFFFFu) + (sum >> 16);
    sum = (sum & 0xFFFFu) + (sum >> 16);
    return (uint16_t)sum;
}

uint16_t checksum_add(uint16_t sum, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint64_t total = add_blocks(sum, bytes, length / 64);
    bytes += length & ~(size_t)63;
    for (length &= 63; length >= 8; length -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof(word));
        total = add_word(total, word);
    }
    if (length) {
        uint64_t word = 0;
        memcpy(&word, bytes, length);
        total = add_word(total, word);
    }
    return fold(total);
}

uint16_t checksum_pseudo_header(uint32_t source, uint32_t destination, uint8_t protocol, uint16_t length)
{
    return fold((uint64_t)source + destination + htons(protocol) + htons(length));
}

uint16_t lwip_checksum(const void *data, int length)
{
    return checksum_add(0, data, (size_t)length);
}
