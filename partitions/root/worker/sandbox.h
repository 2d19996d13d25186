/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving up what a running virtual machine does not need: root's rights, and every system call but a few. A
 * guest that breaks into its worker finds a process that can reach its own disks, its switch and its
 * partition.
 */
#ifndef WORKER_SANDBOX_H
#define WORKER_SANDBOX_H

#include "partitions/root/confinement.h"

/* Before memory is mapped: room to pin it also without root's rights, and no core dumps. */
void sandbox_set_limits(void);

/*
 * Drops to `user` if given, forbids new privileges, and installs the system call filter in all threads. There
 * is no way back; a forbidden call ends the process. False: `error` is one line.
 */
bool sandbox_enter(const struct confinement_user *user, char error[CONFINEMENT_ERROR_SIZE]);

#endif
