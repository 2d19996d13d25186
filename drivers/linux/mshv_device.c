// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "mshv_device.h"
#include "partition.h"
#include "root_hvcall.h"

static long mshv_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
    if (partitions_are_shut_down())
        return -ESHUTDOWN;
    switch (command) {
    case MSHV_CREATE_PARTITION:
        return partition_create((const struct mshv_create_partition __user *)argument);
    case MSHV_ROOT_HVCALL:
        return root_hvcall_parent((struct mshv_root_hvcall __user *)argument);
    default:
        return -ENOTTY;
    }
}

static const struct file_operations mshv_operations = {
    .owner = THIS_MODULE,
    .unlocked_ioctl = mshv_ioctl,
    .llseek = noop_llseek,
};

static struct miscdevice mshv_device = {
    .minor = MISC_DYNAMIC_MINOR,
    .name = "mshv",
    .mode = 0600,
    .fops = &mshv_operations,
};

int mshv_device_register(void)
{
    return misc_register(&mshv_device);
}

void mshv_device_unregister(void)
{
    misc_deregister(&mshv_device);
}
