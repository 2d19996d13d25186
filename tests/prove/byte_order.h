/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What <endian.h> has on a little-endian machine, in C, for a tool that does not know it. Included before everything.
 */
#ifndef TESTS_PROVE_BYTE_ORDER_H
#define TESTS_PROVE_BYTE_ORDER_H

#include <stdint.h>

static inline uint32_t be32toh(uint32_t value)
{
    return value >> 24 | (value >> 8 & 0xff00u) | (value & 0xff00u) << 8 | (value & 0xffu) << 24;
}

static inline uint64_t be64toh(uint64_t value)
{
    return (uint64_t)be32toh((uint32_t)value) << 32 | be32toh((uint32_t)(value >> 32));
}

#define htobe32 be32toh
#define htobe64 be64toh

#endif
