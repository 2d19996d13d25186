// SPDX-License-Identifier: GPL-2.0-or-later
#define pr_fmt(format) KBUILD_MODNAME ": " format

/*
 * Linux's side of the Loam hypervisor: /dev/mshv with the ioctls of Linux's own driver for Microsoft's
 * hypervisor, and /dev/loam for the host's own matters. Open files hold the module, so that it goes only when
 * no partition exists.
 */
#include <linux/module.h>
#include <asm/tsc.h>

#include "hv/loam.h"
#include "deposit.h"
#include "host.h"
#include "hypercall.h"
#include "hypervisor.h"
#include "irqfd.h"
#include "mshv_device.h"
#include "power.h"

static int find_hypervisor(struct hypervisor_identity *identity)
{
    if (!hypervisor_identify(identity)) {
        pr_err("this kernel does not run on the Loam hypervisor\n");
        return -ENODEV;
    }
    if (identity->interface_version != LOAM_INTERFACE_VERSION) {
        pr_err("the hypervisor has interface version %u, this driver needs %u: install the same release of "
               "both\n",
               identity->interface_version, LOAM_INTERFACE_VERSION);
        return -ENODEV;
    }
    if (!tsc_khz) {
        pr_err("this kernel does not know the frequency of the processor's time stamp counter\n");
        return -ENODEV;
    }
    return 0;
}

static int register_devices(const struct hypervisor_identity *identity)
{
    int error = power_register();

    if (error)
        return error;
    error = host_device_register(identity);
    if (error)
        goto fail_power;
    error = mshv_device_register();
    if (error)
        goto fail_host;
    return 0;

fail_host:
    host_device_unregister();
fail_power:
    power_unregister();
    return error;
}

static int __init driver_init_module(void)
{
    struct hypervisor_identity identity;
    int error = find_hypervisor(&identity);

    if (error)
        return error;
    error = hypercall_prepare();
    if (error)
        return error;
    error = power_reclaim_children();
    if (error)
        goto fail_hypercall;
    error = irqfd_prepare();
    if (error)
        goto fail_hypercall;
    error = register_devices(&identity);
    if (error)
        goto fail_irqfd;
    pr_info("Loam hypervisor, interface version %u, %u logical processors\n", identity.interface_version,
            identity.logical_processors);
    return 0;

fail_irqfd:
    irqfd_release();
fail_hypercall:
    hypercall_release();
    return error;
}

static void __exit driver_exit_module(void)
{
    struct call_pages pages;

    mshv_device_unregister();
    host_device_unregister();
    power_unregister();
    irqfd_release();
    if (!call_pages_allocate(&pages)) {
        deposit_withdraw(&parent_deposits, &pages);
        call_pages_free(&pages);
    }
    if (atomic_long_read(&parent_deposits.pages))
        pr_err("the hypervisor keeps %ld deposited pages\n", atomic_long_read(&parent_deposits.pages));
    hypercall_release();
}

module_init(driver_init_module);
module_exit(driver_exit_module);
MODULE_DESCRIPTION("Partitions of the Loam hypervisor (/dev/mshv)");
MODULE_AUTHOR("The Loam project");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
