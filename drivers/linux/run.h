/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSHV_RUN_VP: dispatches a VP until it has a message for the VMM. */
#ifndef DRIVER_RUN_H
#define DRIVER_RUN_H

#include "vp.h"

/* Once, for a new VP. */
void run_prepare(struct mshv_vp *vp);

/*
 * Runs the VP on whatever processor the calling thread is scheduled on, and sleeps while the VP is halted or
 * waits to be started. 0: an intercept message is in the VP's intercept page, and the next run lets the VP go
 * on behind it. -EINTR: a signal is pending, -ESHUTDOWN: the machine goes down, or the errno of
 * HVCALL_DISPATCH_VP. The VP's mutex is held.
 */
int vp_run(struct mshv_vp *vp);

/* Bytes of the message in the intercept page: header and payload. */
size_t vp_message_size(const struct mshv_vp *vp);

#endif
