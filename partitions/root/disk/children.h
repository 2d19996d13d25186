/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who else is based on the images of a chain: differencing images that lie in the same directories. */
#ifndef DISK_CHILDREN_H
#define DISK_CHILDREN_H

#include "partitions/root/disk/chain.h"

/*
 * Calls `visit` for each image that is a child of one of the chain's first `count` images and none of these, with its
 * path and the number of its parent. What cannot be opened, or is elsewhere, is not found.
 */
typedef void disk_children_visit(void *context, const char *path, uint32_t parent);
void disk_find_children(const struct disk *chain, uint32_t count, disk_children_visit *visit, void *context);

#endif
