/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loam-fetch of a disk whose parent is at a URL: the process that has the network, and a socket to the worker,
 * which has the images. One that ends while the virtual machine runs is started again, and its worker given the new
 * socket.
 */
#ifndef MANAGER_VM_SOURCE_H
#define MANAGER_VM_SOURCE_H

#include "partitions/root/manager/alarm.h"
#include "partitions/root/manager/process.h"

struct vm;

struct vm_source {
    struct vm *vm;
    unsigned disk; /* number of the disk, whose definition has the URL */
    struct process process;
    struct alarm again; /* starts it again */
};

/* Starts it for a worker that is to be started; the worker's end of the socket in *socket. 0 or an errno. */
int vm_source_start(struct vm_source *source, int *socket);

/* Of a worker that was taken over: those that run are taken over, the others started. */
void vm_sources_adopt(struct vm *vm);

/* The worker has ended: so do they. */
void vm_sources_end(struct vm *vm);

#endif
