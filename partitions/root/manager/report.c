/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/manager/report.h"

#include <stdarg.h>
#include <stdio.h>

#include "partitions/root/manager/text.h"

#define LONGEST_LINE 2048

void report(const char *format, ...)
{
    char line[LONGEST_LINE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    text_clean(line);
    fprintf(stderr, "loamd: %s\n", line);
}
