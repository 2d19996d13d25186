/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages a guest has used or written. */
#ifndef DRIVER_ACCESS_BITMAP_H
#define DRIVER_ACCESS_BITMAP_H

#include "partition.h"
#include "uapi/mshv.h"

/*
 * MSHV_GET_GPAP_ACCESS_BITMAP: the bits as they were, which are then cleared or set; a page that has not been
 * used has not been written either, so that clearing the one or setting the other does both. -EINVAL: type,
 * operation, reserved bytes, no pages, no bitmap, or a range beyond all addresses; -E2BIG: more pages than the
 * machine has; -EFAULT; -EINTR: killed; or the errno of a hypercall. After an error bits that were cleared may
 * be lost. The partition's mutex is held.
 */
int access_bitmap_get(struct mshv_partition *partition, const struct mshv_gpap_access_bitmap __user *argument);

#endif
