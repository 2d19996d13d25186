/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changing what a differencing VHDX says of its parent: the metadata item of its parent locator is replaced. */
#ifndef DISK_VHDX_PARENT_H
#define DISK_VHDX_PARENT_H

#include "partitions/root/disk/vhdx/block.h"
#include "partitions/root/disk/vhdx/locator.h"

/*
 * Makes the image in `file`, which is open for writing and locked, say that this is its parent. It keeps its own
 * identifier, as its contents are the same. The old or the new one whenever it is interrupted. False with `error`.
 */
bool vhdx_reconnect(struct disk_file *file, const struct vhdx_parent *parent, struct disk_error *error);

/*
 * Changes the parent's identifiers in an image that is open for writing, and nothing else of the locator; `alternative`
 * is one that will do as well, or NULL. Durable when it returns 0; after a failure the image has the old or the new
 * ones, and is to be closed.
 */
int vhdx_set_parent_identifiers(struct vhdx_image *image, const uint8_t *identifier, const uint8_t *alternative);

#endif
