/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hardware task switches (SDM vol. 3A, chapter 8). AMD-V does them; VT-x begins them, checks privileges, and leaves
 * all else to the VMM (SDM vol. 3C, 26.4.2). What the guest's tables are may change meanwhile, so nothing that the
 * processor has checked is taken for granted but the privileges.
 */
#ifndef WORKER_TASK_SWITCH_H
#define WORKER_TASK_SWITCH_H

#include <stdint.h>
#include "partitions/root/worker/memory_access.h"
#include "partitions/root/worker/partition.h"

enum task_switch_result {
    TASK_SWITCH_DONE,     /* or an exception is pending, in the old or the new task as the processor would have it */
    TASK_SWITCH_SHUTDOWN, /* a fault while a double fault was being delivered: a triple fault */
    TASK_SWITCH_REFUSED,  /* by the hypervisor: *status. The VP is not what it should be */
};

/*
 * Does the switch that a message UNSUPPORTED_FEATURE is about: `parameter` is its parameter, LOAM_TASK_SWITCH_... of
 * hv/loam.h. The VP is stopped and its register page has nothing to load; `memory` is the VP's. Takes the device lock
 * as memory_access does.
 */
enum task_switch_result task_switch_run(const struct partition *partition, uint32_t vp, struct memory_access *memory,
                                        uint64_t parameter, unsigned *status);

#endif
