/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the driver holds at this moment, readable in /sys/class/misc/loam/: partitions, virtual_processors,
 * deposited_pages (lent to the hypervisor) and pinned_pages (guest memory). All are 0 when there is no VM.
 */
#ifndef DRIVER_COUNTERS_H
#define DRIVER_COUNTERS_H

#include <linux/atomic.h>
#include <linux/sysfs.h>

struct driver_counters {
    atomic_long_t partitions;
    atomic_long_t virtual_processors;
    atomic_long_t deposited_pages;
    atomic_long_t pinned_pages;
};

extern struct driver_counters driver_counters;
extern const struct attribute_group *counter_groups[];

#endif
