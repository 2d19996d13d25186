/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Eventfds signalled by a guest's writes (MSHV_IOEVENTFD). They are registered and checked as the ABI says,
 * but the hypervisor has no doorbells yet: the write arrives at the VMM as an unmapped access, and the VMM
 * signals the eventfd.
 */
#ifndef DRIVER_IOEVENTFD_H
#define DRIVER_IOEVENTFD_H

#include "partition.h"
#include "uapi/mshv.h"

/*
 * MSHV_IOEVENTFD. -EOPNOTSUPP: port I/O; -EINVAL: length, flags, reserved bytes, a range that wraps, not an
 * eventfd; -EBADF; -EEXIST: another one answers the same writes; -ENOENT: nothing to remove; -EFAULT;
 * -ENOMEM. The partition's mutex is held.
 */
int ioeventfd_set(struct mshv_partition *partition, const struct mshv_user_ioeventfd __user *argument);

/* At the partition's end. */
void ioeventfd_release_all(struct mshv_partition *partition);

#endif
