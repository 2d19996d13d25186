/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the file of a parent may be, by the names that its child has for it. */
#ifndef DISK_PARENT_SEARCH_H
#define DISK_PARENT_SEARCH_H

#include "partitions/root/disk/parent_link.h"

/*
 * Calls `visit` with each path at which there is something, until it returns true: the names in their order, relative
 * ones from the directory in which the child's file really is, then the last component of each in that directory. Where
 * a name is not found, one that differs in case only will do, as on the systems that such names come from.
 */
typedef bool parent_search_visit(void *context, const char *path);
bool parent_search(const char *child, const struct parent_link *link, parent_search_visit *visit, void *context);

/* For host_files.c. */
bool parent_find_directly(const char *child, const char *name, char found[PATH_MAX]);

#endif
