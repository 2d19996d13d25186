/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual machine: its definition, and the worker that is it while it is not Off.
 *
 *   Off -> Starting -> Running <-> Paused, Running -> Stopping; any -> Off when the worker has ended
 *
 * A worker outlives loamd. Its record (process.h), its control socket NAME.control and what it last wrote,
 * NAME.output, lie in the directory of records; the next loamd takes it over by them.
 */
#ifndef MANAGER_VM_H
#define MANAGER_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "partitions/root/manager/alarm.h"
#include "partitions/root/manager/channel.h"
#include "partitions/root/manager/definition.h"
#include "partitions/root/manager/process.h"
#include "partitions/root/manager/vm_end.h"
#include "partitions/root/manager/vm_source.h"

struct insertion;
struct manager;
struct request;
struct vm_start;

enum vm_state { VM_OFF, VM_STARTING, VM_RUNNING, VM_PAUSED, VM_STOPPING, VM_STATES };

struct vm {
    struct manager *manager;
    struct vm *next; /* by name */
    struct definition definition;
    uint64_t generation; /* of the definition */
    enum vm_state state;
    struct vm_end end;         /* of the last run; while it is Paused, why, in reason and path */
    struct vm_start *starting; /* until there is a worker */
    struct process worker;
    struct channel channel;
    struct vm_source sources[CONFIGURATION_DISKS]; /* of disks whose parent is fetched */
    struct insertion *insertion; /* of a medium, that the worker has been asked for; NULL: none (vm_media.c) */
    struct request *starters; /* to be answered when it runs, or cannot */
    struct request *stoppers; /* to be answered when it is Off */
    struct request *waiters;  /* to be answered when it is in a state that they name */
    struct alarm kill;        /* for a worker that does not turn itself off */
    struct alarm reconnect;
};

/* "Off", "Starting", "Running", "Paused", "Stopping". */
const char *vm_state_name(enum vm_state state);

struct vm *vm_find(struct manager *manager, const char *name);

/* A virtual machine that is Off. It takes the definition over. NULL: no memory; the definition is cleared. */
struct vm *vm_add(struct manager *manager, struct definition *definition);
/* It must be Off. Its files are left alone. */
void vm_remove(struct vm *vm);

/* Makes a definition durable, before it takes the place of another. 0 or an errno. */
int vm_keep(struct manager *manager, const struct definition *definition);
/* Gives it a definition, which it takes over. */
void vm_redefine(struct vm *vm, struct definition *definition);

/* Reads all definitions, and takes over the workers that run. 0 or an errno. */
int vm_load_all(struct manager *manager);

/* Enters a state, and tells those who wait for it. */
void vm_enter(struct vm *vm, enum vm_state state);

/* A worker runs, or has just been started: connects to it and watches it. For process.h. */
int vm_connect(struct vm *vm);
void vm_worker_ended(void *owner, int status);

/* Writes down why it is Off, for the next loamd; and forgets it, before another run. */
void vm_keep_end(const struct vm *vm);
void vm_forget_end(struct vm *vm);

/* "NAME.control" and the like in the directory of records, into a buffer of VM_FILE_SIZE. */
#define VM_FILE_SIZE (NAME_SIZE + 16)
void vm_file_name(const struct vm *vm, const char *suffix, char file_name[VM_FILE_SIZE]);

/* Ends it for good: the worker is asked to, and killed if it does not. It must have a worker. */
void vm_turn_off(struct vm *vm);

#endif
