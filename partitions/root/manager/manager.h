/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loamd as a whole: what its parts share. One thread. */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/manager/alarm.h"
#include "partitions/root/manager/host_shutdown.h"
#include "partitions/root/manager/opener.h"
#include "partitions/root/manager/server.h"
#include "partitions/root/manager/settings.h"
#include "partitions/root/net/event_loop.h"

#define MANAGER_VMS      1024u
#define MANAGER_SWITCHES 64u

struct manager {
    struct settings settings;
    struct event_loop loop;
    struct alarms alarms;
    struct opener_context openers;
    /* Directories */
    int vm_definitions, switch_definitions; /* what is to last */
    int vm_records, switch_records;         /* records of processes, their output, and their sockets */
    int logs;
    struct vm *vms;                  /* by name */
    struct virtual_switch *switches; /* by name */
    uint64_t generations;            /* of definitions, for telling whether one has changed */
    struct server server;
    struct host_shutdown shutdown;
    bool ending;
};

#endif
