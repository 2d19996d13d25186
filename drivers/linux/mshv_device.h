/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /dev/mshv: where a VMM gets its partitions. Mode 0600; whoever has it open may create VMs. */
#ifndef DRIVER_MSHV_DEVICE_H
#define DRIVER_MSHV_DEVICE_H

int mshv_device_register(void);
void mshv_device_unregister(void);

#endif
