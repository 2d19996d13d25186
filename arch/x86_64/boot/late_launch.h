/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts the hypervisor beneath the system that runs this: the part that all loaders share. */
#ifndef BOOT_LATE_LAUNCH_H
#define BOOT_LATE_LAUNCH_H

#include "arch/x86_64/boot/boot_information.h"
#include "arch/x86_64/boot/configuration.h"

/* A Loam runs beneath already: then do not launch another. */
bool loam_is_running(void);

struct late_launch {
    unsigned processors; /* that this machine can have */
    unsigned launched;   /* those under Loam now; the others follow at their first SIPI */
};

/* NULL: the caller is the parent's guest now. Else the reason why not, a text without newline; nothing has changed. */
const char *late_launch(const struct configuration *configuration, struct late_launch *result);

/* launch.asm */
void __attribute__((sysv_abi)) enter_loam(struct launch_context *context, uint64_t low_page_call);

#endif
