/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char units[] = "KMGTPE";

/* As many of them as can be written. */
#define WRITTEN_UNITS 4u

bool size_parse(const char *text, uint64_t *size)
{
    char *end;
    unsigned shift = 0;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long long value = strtoull(text, &end, 10); /* more than 64 bits become the largest number */
    if (*end) {
        char letter = *end >= 'a' && *end <= 'z' ? (char)(*end - 'a' + 'A') : *end;
        const char *unit = memchr(units, letter, WRITTEN_UNITS);
        if (!unit || (end[1] && strcmp(end + 1, "B") != 0 && strcmp(end + 1, "iB") != 0))
            return false;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (value > (uint64_t)INT64_MAX >> shift)
        return false;
    *size = value << shift;
    return true;
}

void size_format(uint64_t size, char text[SIZE_TEXT_SIZE])
{
    unsigned unit = 0;
    while (unit < sizeof(units) - 1 && size >> (10 * (unit + 1)))
        unit++;
    if (unit == 0) {
        snprintf(text, SIZE_TEXT_SIZE, "%llu bytes", (unsigned long long)size);
        return;
    }
    const unsigned shift = 10 * unit;
    uint64_t whole = size >> shift, tenths = (((size >> (shift - 10)) & 1023) * 10 + 512) >> 10;
    if (tenths == 10) {
        whole++;
        tenths = 0;
    }
    if (size & ((1ull << shift) - 1))
        snprintf(text, SIZE_TEXT_SIZE, "%llu.%llu %ciB", (unsigned long long)whole, (unsigned long long)tenths,
                 units[unit - 1]);
    else
        snprintf(text, SIZE_TEXT_SIZE, "%llu %ciB", (unsigned long long)whole, units[unit - 1]);
}

void duration_format(uint64_t seconds, char text[SIZE_TEXT_SIZE])
{
    const unsigned hour = (unsigned)(seconds / 3600 % 24), minute = (unsigned)(seconds / 60 % 60),
                   second = (unsigned)(seconds % 60);
    unsigned long long days = seconds / 86400;
    if (days)
        snprintf(text, SIZE_TEXT_SIZE, "%llu day%s %02u:%02u:%02u", days, days == 1 ? "" : "s", hour, minute, second);
    else
        snprintf(text, SIZE_TEXT_SIZE, "%02u:%02u:%02u", hour, minute, second);
}
