/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The four functions of <string.h> that the compiler wants to exist, by 8 bytes where they can. */
#include <string.h>

#include "hv/types.h"

typedef uint64_t __attribute__((may_alias, aligned(1))) word;

void *memcpy(void *restrict target, const void *restrict source, size_t length)
{
    uint8_t *to = target;
    const uint8_t *from = source;
    size_t i = 0;

    for (; i + 8 <= length; i += 8)
        *(word *)(to + i) = *(const word *)(from + i);
    for (; i < length; i++)
        to[i] = from[i];
    return target;
}

void *memmove(void *target, const void *source, size_t length)
{
    uint8_t *to = target;
    const uint8_t *from = source;

    if ((uintptr_t)to - (uintptr_t)from >= length)
        return memcpy(target, source, length);
    while (length-- > 0)
        to[length] = from[length];
    return target;
}

void *memset(void *target, int value, size_t length)
{
    uint8_t *to = target;
    uint64_t pattern = (uint8_t)value * 0x0101010101010101ull;
    size_t i = 0;

    for (; i + 8 <= length; i += 8)
        *(word *)(to + i) = pattern;
    for (; i < length; i++)
        to[i] = (uint8_t)value;
    return target;
}

int memcmp(const void *left, const void *right, size_t length)
{
    const uint8_t *a = left, *b = right;

    for (; length > 0; length--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}
