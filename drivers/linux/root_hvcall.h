/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSHV_ROOT_HVCALL: hypercalls that a VMM makes itself. Only listed ones, and always about its own partition:
 * the driver writes the partition's id into the input.
 *
 * All return 0, the errno of the status, or -EINVAL (a call that is not listed for this kind of file, sizes,
 * reserved fields), -EFAULT, -ENOMEM, -EINTR. Status and completed elements are written back whenever the
 * call was made, the output only if it succeeded.
 */
#ifndef DRIVER_ROOT_HVCALL_H
#define DRIVER_ROOT_HVCALL_H

#include "partition.h"
#include "uapi/mshv.h"
#include "vp.h"

/* On /dev/mshv, about the parent itself. */
int root_hvcall_parent(struct mshv_root_hvcall __user *argument);
/* On a partition. Takes its mutex, but not to assert an interrupt, which must not wait for other calls. */
int root_hvcall_partition(struct mshv_partition *partition, struct mshv_root_hvcall __user *argument);
/* On a VP; its mutex is held. */
int root_hvcall_vp(struct mshv_vp *vp, struct mshv_root_hvcall __user *argument);

#endif
