/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the driver does when the machine goes down or to sleep: before a reboot, a power-off or a kexec all
 * VMs end and the parent has all its memory back; sleep states are refused, since Loam does not survive them.
 *
 * A panic needs nothing: a processor that dispatches a VP takes the interrupts and NMIs of the stop request
 * itself, and a crash kernel boots beside the dead kernel's partitions, which its own driver removes when it
 * is loaded.
 */
#ifndef DRIVER_POWER_H
#define DRIVER_POWER_H

int power_register(void);
void power_unregister(void);

/*
 * Ends every child partition of the parent, of this kernel or one before, and logs what there was. -EIO: the
 * hypervisor did not do it.
 */
int power_reclaim_children(void);

#endif
