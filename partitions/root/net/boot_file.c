/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/net/boot_file.h"

#include <stddef.h>
#include <string.h>

bool boot_file_is_valid(const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length >= BOOT_FILE_SIZE)
        return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return true;
}
