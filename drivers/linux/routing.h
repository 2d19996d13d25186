/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which message-signalled interrupt stands for a GSI, for irqfds. */
#ifndef DRIVER_ROUTING_H
#define DRIVER_ROUTING_H

#include "partition.h"
#include "uapi/mshv.h"

/*
 * MSHV_SET_MSI_ROUTING: replaces the whole table at once. -EINVAL: too many entries, a GSI too high or listed
 * twice, an upper half of an address, reserved fields; -EFAULT; -ENOMEM. The partition's mutex is held.
 */
int routing_set(struct mshv_partition *partition, const struct mshv_user_irq_table __user *argument);

/*
 * The interrupt that `gsi` stands for, without its partition. False: no route. Any context.
 */
bool routing_find(struct mshv_partition *partition, u32 gsi,
                  struct hv_input_assert_virtual_interrupt *interrupt);

/* At the partition's end. */
void routing_release(struct mshv_partition *partition);

#endif
