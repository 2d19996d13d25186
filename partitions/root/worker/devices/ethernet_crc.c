/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ethernet_crc.h"

#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0xedb88320u

/* tables[n][b]: the remainder of byte b followed by n zero bytes, so that eight bytes are done in one step.
 */
static uint32_t tables[8][256];
static bool tables_ready;

static void make_tables(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;

        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        tables[0][byte] = crc;
    }
    for (unsigned n = 1; n < 8; n++)
        for (unsigned byte = 0; byte < 256; byte++)
            tables[n][byte] = tables[n - 1][byte] >> 8 ^ tables[0][tables[n - 1][byte] & 0xff];
    tables_ready = true;
}

uint32_t ethernet_crc(uint32_t crc, const void *data, size_t length)
{
    const uint8_t *bytes = data;

    if (!tables_ready)
        make_tables();
    for (; length >= 8; bytes += 8, length -= 8) {
        uint64_t word;

        memcpy(&word, bytes, sizeof word);
        word ^= crc;
        crc = tables[7][word & 0xff] ^ tables[6][word >> 8 & 0xff] ^ tables[5][word >> 16 & 0xff] ^
              tables[4][word >> 24 & 0xff] ^ tables[3][word >> 32 & 0xff] ^ tables[2][word >> 40 & 0xff] ^
              tables[1][word >> 48 & 0xff] ^ tables[0][word >> 56];
    }
    for (; length > 0; bytes++, length--)
        crc = crc >> 8 ^ tables[0][(crc ^ *bytes) & 0xff];
    return crc;
}
