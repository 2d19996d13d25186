/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LOAM_PATH_H
#define LOAM_PATH_H

#include <jansson.h>

/*
 * The absolute path of what the user named, as a JSON string; links are not followed, since loamd does that
 * at each start. Ends the program with a message if it is none.
 */
json_t *path_absolute(const char *path);

#endif
