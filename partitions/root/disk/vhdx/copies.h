/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wrong with the copies that a VHDX has of its header and its region table, one of each being sound. */
#ifndef DISK_VHDX_COPIES_H
#define DISK_VHDX_COPIES_H

#include "partitions/root/disk/vhdx/regions.h"

/* `header`: it is a header, otherwise a region table. `text` lasts for the call. */
typedef void vhdx_copy_find(void *context, bool header, const char *text);

void vhdx_look_at_copies(const struct vhdx_headers *headers, const struct vhdx_regions *regions, vhdx_copy_find *find,
                         void *context);

#endif
