/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual interrupts into a partition. */
#ifndef DRIVER_INTERRUPT_H
#define DRIVER_INTERRUPT_H

#include "partition.h"

/*
 * HVCALL_ASSERT_VIRTUAL_INTERRUPT; input->partition_id is the partition's. Wakes the VPs that it made
 * runnable and returns the status. Any context, interrupts on or off.
 */
u16 interrupt_assert(struct mshv_partition *partition, const struct hv_input_assert_virtual_interrupt *input);

#endif
