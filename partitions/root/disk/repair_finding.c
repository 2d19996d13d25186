/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/repair_finding.h"

#include <stdarg.h>
#include <stdio.h>

void disk_repair_find(struct disk_repair_findings *findings, enum disk_repair_kind kind, const char *format, ...)
{
    if (findings->count[kind]++ >= DISK_REPAIR_MOST_REPORTED || !findings->report)
        return;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    findings->report(findings->context, kind, text);
}
