/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /dev/loam: the hypervisor's log by read(), from its beginning (a reader at the end gets 0 bytes and may try
 * again), and its counters by the ioctls of uapi/loam.h. Mode 0440. The driver's own counters are attributes
 * of this device.
 */
#ifndef DRIVER_HOST_H
#define DRIVER_HOST_H

#include "hypervisor.h"

int host_device_register(const struct hypervisor_identity *identity);
void host_device_unregister(void);

#endif
