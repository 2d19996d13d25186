/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/name.h"

#include <string.h>

#define MOST_DIFFERENCES 2u

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool name_is_valid(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_LENGTH || !is_alphanumeric(name[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_alphanumeric(name[i]) && !strchr("-_.", name[i]))
            return false;
    return true;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edits from `a` to `b`, neighbours swapped counting as one (restricted Damerau-Levenshtein distance). */
static unsigned differences(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned rows[3][NAME_SIZE];
    for (unsigned j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a_length; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *previous = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            row[j] = previous[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(row[j], least(previous[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

unsigned name_resemblance(const char *typed, const char *name)
{
    size_t typed_length = strlen(typed), length = strlen(name);
    if (typed_length > NAME_LENGTH || length > NAME_LENGTH)
        return 0;
    unsigned count = differences(typed, typed_length, name, length);
    return count <= MOST_DIFFERENCES && count * 2 <= length ? count : 0;
}
