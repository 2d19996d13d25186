/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a child's exit leads to. */
#ifndef KERNEL_EXIT_H
#define KERNEL_EXIT_H

#include "kernel/arch.h"

struct vp;

enum exit_action {
    EXIT_RESUME,    /* enter again: nothing has changed that concerns events, timers, or other VPs */
    EXIT_CHECK,     /* enter again after a look at them */
    EXIT_READY,     /* end the dispatch; nothing to tell */
    EXIT_INTERCEPT, /* end the dispatch: a message is in the intercept page */
};

/* Serves an exit, under the VP's claim. */
enum exit_action exit_handle(struct vp *vp, struct vp_exit *exit);

#endif
