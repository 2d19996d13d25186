/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/vhdx/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool vhdx_damaged(struct disk_error *error, const struct disk_file *file, const char *field, uint64_t offset,
                  const char *format, ...)
{
    char what[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    disk_error_set(error, EUCLEAN, file->name, "a damaged VHDX: %s at byte %llu is %s", field,
                   (unsigned long long)offset, what);
    return false;
}

bool vhdx_read(struct disk_file *file, void *buffer, size_t length, uint64_t offset, struct disk_error *error)
{
    int result = disk_file_read_buffer(file, buffer, length, offset);
    if (result)
        disk_error_set(error, result, file->name, "reading at byte %llu failed: %s", (unsigned long long)offset,
                       strerror(result));
    return result == 0;
}
