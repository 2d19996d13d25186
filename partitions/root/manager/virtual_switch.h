/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual switch: its definition, and the process that is it. The process is started with loamd, again
 * whenever it ends, and outlives loamd, which takes it over as it does workers (vm.h).
 */
#ifndef MANAGER_VIRTUAL_SWITCH_H
#define MANAGER_VIRTUAL_SWITCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "partitions/root/manager/alarm.h"
#include "partitions/root/manager/channel.h"
#include "partitions/root/manager/process.h"
#include "partitions/root/manager/switch_definition.h"

struct manager;
struct request;

struct virtual_switch {
    struct manager *manager;
    struct virtual_switch *next; /* by name */
    struct switch_definition definition;
    struct process process;
    struct channel channel;
    struct alarm alarm;      /* the next attempt to reach it, to start it, or to set its forwards */
    uint64_t deadline;       /* for reaching it */
    unsigned failures;       /* in a row */
    bool ready;              /* it answers */
    char problem[512];       /* why it does not run; empty: it does, or is about to */
    struct request *maker;   /* waits for it to be ready; if it fails, it has never been */
    struct request *remover; /* waits for it to end; then it is no more */
};

struct virtual_switch *virtual_switch_find(struct manager *manager, const char *name);

/* Where workers connect to a switch. */
void virtual_switch_port_path(const struct manager *manager, const char *name, char *path, size_t size);

/* A switch with its definition, not yet started. NULL: no memory. */
struct virtual_switch *virtual_switch_add(struct manager *manager,
                                          const struct switch_definition *definition);

/* Starts its process. What goes wrong is found in `problem`; it is tried again. */
void virtual_switch_start(struct virtual_switch *virtual_switch);

/* Its process is told to end. Answers `remover` when everything of the switch is gone. */
void virtual_switch_remove(struct virtual_switch *virtual_switch, struct request *remover);

/* Reads all definitions, takes over the processes that run and starts the others. 0 or an errno. */
int virtual_switch_load_all(struct manager *manager);

/* A network that neither the parent's routes nor other switches use. False: there is none. */
bool virtual_switch_choose_subnet(const struct manager *manager, struct subnet *subnet);

#endif
