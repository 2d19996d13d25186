/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that works on disk images: it has no rights and hardly a system call, and asks its broker (broker.h) for
 * files and to print.
 */
#ifndef LOAM_CONFINED_H
#define LOAM_CONFINED_H

#include <stdbool.h>
#include <sys/types.h>

#include "partitions/root/confinement.h"

/*
 * Becomes such a process, for good: nothing is open any more but the channel to the broker, which is the process's
 * parent, the engine's files come from there (host_files.h), and standard output and error go there. It ends with the
 * broker. False: `error` is one line.
 */
bool confined_enter(int channel, pid_t broker, char error[CONFINEMENT_ERROR_SIZE]);

/* Which virtual machine's worker that process is; empty: none, as far as loamd can be asked. */
void confined_find_vm(pid_t process, char name[64]);

/* How far the work is; more than 100 per cent: at its end. */
void confined_show_progress(const char *what, unsigned percent);

#endif
