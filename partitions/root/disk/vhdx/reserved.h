/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reserved fields of a VHDX's metadata, which have to be zeros. */
#ifndef DISK_VHDX_RESERVED_H
#define DISK_VHDX_RESERVED_H

#include "partitions/root/disk/overlay_file.h"
#include "partitions/root/disk/vhdx/vhdx.h"

/*
 * Makes zeros in `view` of those that are none: of the table's header and its first 31 items, the file parameters and
 * the parent locator. How many structures have any in *count. 0 or an errno.
 */
int vhdx_clear_reserved(struct overlay_file *view, const struct vhdx_region *metadata, unsigned *count);

#endif
