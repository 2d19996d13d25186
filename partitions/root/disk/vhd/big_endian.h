/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers as they stand in a VHD, most significant byte first. */
#ifndef DISK_VHD_BIG_ENDIAN_H
#define DISK_VHD_BIG_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t big_endian_load32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return be32toh(value);
}

static inline uint64_t big_endian_load64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return be64toh(value);
}

static inline void big_endian_store32(uint8_t *bytes, uint32_t value)
{
    value = htobe32(value);
    memcpy(bytes, &value, sizeof(value));
}

static inline void big_endian_store64(uint8_t *bytes, uint64_t value)
{
    value = htobe64(value);
    memcpy(bytes, &value, sizeof(value));
}

#endif
