/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the parent goes down: every virtual machine's power button is pressed, and those that are not Off in
 * time are turned off. Nothing is started meanwhile.
 */
#ifndef MANAGER_HOST_SHUTDOWN_H
#define MANAGER_HOST_SHUTDOWN_H

#include <stdint.h>

#include "partitions/root/manager/alarm.h"

struct manager;
struct request;

struct host_shutdown {
    struct request *request; /* answered when all are Off; NULL: none is under way */
    uint64_t deadline;
    unsigned looks; /* at how the virtual machines are getting on, so far */
    struct alarm alarm;
};

/* For root only. */
void host_shutdown_request(struct request *request);

#endif
