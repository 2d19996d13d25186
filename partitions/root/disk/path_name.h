/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths as other systems write them into images, and as they are here. Pure functions. */
#ifndef DISK_PATH_NAME_H
#define DISK_PATH_NAME_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Makes a Windows path, UTF-8, a name here, in place: '/' for '\', no "\\?\", no drive letter, no ".\" before it. False
 * if nothing is left or it has control characters; a path of another computer (\\server\share) too.
 */
bool path_name_from_windows(char *path);

/* Of a relative name: '\' for '/', with ".\" before it unless it begins with "..". False if it does not fit. */
bool path_name_to_windows(const char *name, char *path, size_t room);

/* The path of a file URL, in place: no "file://" or host, no %xx. False if it is no such URL. */
bool path_name_from_url(char *url);

/* The file URL of an absolute path. False if it does not fit. */
bool path_name_to_url(const char *path, char *url, size_t room);

/* From the directory `from` to `to`, both absolute and without "." and "..". False if it does not fit. */
bool path_name_relative(const char *from, const char *to, char *name, size_t room);

#endif
