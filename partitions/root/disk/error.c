/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/error.h"

#include <stdarg.h>
#include <stdio.h>

/* Leaves a name of any length room for the reason. */
#define LONGEST_NAME 600

void disk_error_set(struct disk_error *error, int code, const char *name, const char *format, ...)
{
    if (!error)
        return;
    error->code = code;
    error->holder = 0;
    int length = snprintf(error->text, sizeof(error->text), "%.*s: ", LONGEST_NAME, name);
    error->reason = (unsigned)length;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text + length, sizeof(error->text) - (size_t)length, format, arguments);
    va_end(arguments);
}
