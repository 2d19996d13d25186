/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSHV_RUN_VP: dispatches a VP until it has a message for the VMM. */
#ifndef DRIVER_RUN_H
#define DRIVER_RUN_H

#include "vp.h"

/* Once, for a new VP. */
void run_prepare(struct mshv_vp *vp);

/*
 * Runs the VP on whatever processor the calling thread is scheduled on, and sleeps while the VP is halted or
 * waits to be started. 0: an intercept message is in the caller's buffer: its header and payload_size bytes
 * of payload; what lies behind them is left as it was. -EINTR: a signal is pending, -EFAULT: bad buffer (the
 * intercept will happen again), -ESHUTDOWN: the machine goes down, or the errno of HVCALL_DISPATCH_VP. The
 * VP's mutex is held.
 */
int vp_run(struct mshv_vp *vp, struct mshv_run_vp __user *buffer);

#endif
