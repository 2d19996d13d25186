// SPDX-License-Identifier: GPL-2.0-or-later
#define pr_fmt(format) KBUILD_MODNAME ": " format

#include <linux/errno.h>
#include <linux/notifier.h>
#include <linux/printk.h>
#include <linux/reboot.h>
#include <linux/suspend.h>

#include "hv/loam.h"
#include "hypercall.h"
#include "partition.h"
#include "power.h"

int power_reclaim_children(void)
{
    struct loam_output_reclaim reclaimed;
    u16 status = hypercall_small(LOAM_HVCALL_RECLAIM_CHILDREN, NULL, 0, &reclaimed, sizeof(reclaimed));

    if (status != HV_STATUS_SUCCESS) {
        pr_err("child partitions cannot be removed (status %#x)\n", status);
        return -EIO;
    }
    if (reclaimed.partitions || reclaimed.pages)
        pr_info("removed %u child partitions, got %llu pages back\n", reclaimed.partitions, reclaimed.pages);
    return 0;
}

static int going_down(struct notifier_block *block, unsigned long action, void *data)
{
    partitions_shut_down();
    power_reclaim_children();
    return NOTIFY_DONE;
}

static int going_to_sleep(struct notifier_block *block, unsigned long action, void *data)
{
    switch (action) {
    case PM_SUSPEND_PREPARE:
    case PM_HIBERNATION_PREPARE:
    case PM_RESTORE_PREPARE:
        pr_warn("suspend and hibernation are refused: the Loam hypervisor beneath does not survive them\n");
        return NOTIFY_BAD;
    default:
        return NOTIFY_DONE;
    }
}

static struct notifier_block reboot_notifier = {.notifier_call = going_down};
static struct notifier_block sleep_notifier = {.notifier_call = going_to_sleep};

int power_register(void)
{
    int error = register_pm_notifier(&sleep_notifier);

    if (error)
        return error;
    error = register_reboot_notifier(&reboot_notifier);
    if (error)
        unregister_pm_notifier(&sleep_notifier);
    return error;
}

void power_unregister(void)
{
    unregister_reboot_notifier(&reboot_notifier);
    unregister_pm_notifier(&sleep_notifier);
}
