/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/loam/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/loam/cli.h"

/* "./" and doubled slashes go; ".." stays, because it is not always what it seems. */
static void tidy(char *path)
{
    char *to = path;
    for (const char *from = path; *from;) {
        if (from[0] == '/' && from[1] == '/')
            from++;
        else if (from[0] == '/' && from[1] == '.' && (from[2] == '/' || !from[2]))
            from += 2;
        else
            *to++ = *from++;
    }
    *to = '\0';
}

json_t *path_absolute(const char *path)
{
    char *directory = path[0] == '/' ? strdup("") : getcwd(NULL, 0), *whole = NULL;
    if (!path[0] || !directory || asprintf(&whole, "%s%s%s", directory, path[0] == '/' ? "" : "/", path) < 0) {
        cli_complain("'%s' cannot be made an absolute path: %s", path, path[0] ? strerror(errno) : "it is empty");
        exit(CLI_REFUSED);
    }
    tidy(whole);
    json_t *value = json_string(whole);
    free(directory);
    free(whole);
    if (value)
        return value;
    cli_complain("%s: the path is not UTF-8, which loamd's requests are in: rename the file", path);
    exit(CLI_REFUSED);
}
