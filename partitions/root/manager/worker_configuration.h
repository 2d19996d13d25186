/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a worker is given at its start (docs/worker-protocol.md). */
#ifndef MANAGER_WORKER_CONFIGURATION_H
#define MANAGER_WORKER_CONFIGURATION_H

#include <jansson.h>
#include <stdbool.h>

#include "partitions/root/manager/definition.h"
#include "partitions/root/manager/file_access.h"

/* The files of a virtual machine, open. -1: none. */
struct worker_files {
    int kernel, initrd;
    struct file_parents *parents[CONFIGURATION_DISKS]; /* NULL: none */
    int disks[CONFIGURATION_DISKS], dvds[CONFIGURATION_DVDS], floppies[CONFIGURATION_FLOPPIES];
    int sources[CONFIGURATION_DISKS]; /* to the loam-fetch of parents' source */
    int com2;
    int control; /* listening */
    int log, previous_log;
};

/*
 * `boot_menu`: the firmware shows it this time. `log_path` is what the worker calls its log; `switch_path` writes the
 * path of a switch's socket for ports, of at most `size` bytes. NULL: no memory.
 */
json_t *worker_configuration(const struct definition *definition, const struct worker_files *files, bool boot_menu,
                             const char *log_path,
                             void (*switch_path)(void *context, const char *name, char *path, size_t size),
                             void *context);

#endif
