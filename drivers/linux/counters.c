// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/device.h>

#include "counters.h"

struct driver_counters driver_counters;

#define COUNTER_ATTRIBUTE(name)                                                                              \
    static ssize_t name##_show(struct device *device, struct device_attribute *attribute, char *buffer)      \
    {                                                                                                        \
        return sysfs_emit(buffer, "%ld\n", atomic_long_read(&driver_counters.name));                         \
    }                                                                                                        \
    static DEVICE_ATTR_RO(name)

COUNTER_ATTRIBUTE(partitions);
COUNTER_ATTRIBUTE(virtual_processors);
COUNTER_ATTRIBUTE(deposited_pages);
COUNTER_ATTRIBUTE(pinned_pages);

static struct attribute *counter_attributes[] = {
    &dev_attr_partitions.attr,
    &dev_attr_virtual_processors.attr,
    &dev_attr_deposited_pages.attr,
    &dev_attr_pinned_pages.attr,
    NULL,
};

static const struct attribute_group counter_group = {.attrs = counter_attributes};
const struct attribute_group *counter_groups[] = {&counter_group, NULL};
