/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Eventfds that raise interrupts in a partition (MSHV_IRQFD). */
#ifndef DRIVER_IRQFD_H
#define DRIVER_IRQFD_H

#include "partition.h"
#include "uapi/mshv.h"

/*
 * MSHV_IRQFD. -EBADF: no such file; -EINVAL: not an eventfd, unknown flags, a GSI too high,
 * MSHV_IRQFD_RESAMPLE (not supported); -EBUSY: the eventfd is attached already; -EFAULT; -ENOMEM. Detaching
 * what is not attached succeeds. After a detachment no interrupt of it is under way. The partition's mutex is
 * held.
 */
int irqfd_set(struct mshv_partition *partition, const struct mshv_user_irqfd __user *argument);

/* At the partition's end: detaches all and waits until nothing uses them any more. */
void irqfd_release_all(struct mshv_partition *partition);

/* At module load and unload. */
int irqfd_prepare(void);
void irqfd_release(void);

#endif
