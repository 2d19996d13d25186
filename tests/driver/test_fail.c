// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/driver/test.h"

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
{
    int error = errno;
    va_list arguments;

    va_start(arguments, format);
    printf("  %s:%d: ", file, line);
    vprintf(format, arguments);
    printf(" (errno %d: %s)\n", error, strerror(error));
    va_end(arguments);
    fflush(stdout);
    _exit(1);
}
