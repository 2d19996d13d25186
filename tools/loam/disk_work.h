/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Work on disk images in a process of its own, which may do nothing else. */
#ifndef LOAM_DISK_WORK_H
#define LOAM_DISK_WORK_H

#include "tools/loam/broker.h"
#include "tools/loam/disk.h"

/*
 * Has a process do `work`, a verb's work on images and the printing of what comes out, which returns the exit status.
 * The process is confined (confined.h), and this one is its broker, with no more than `grant`. Returns the exit status.
 * If that process is killed, a line says so, and what it was making is removed. Signals that end this program reach it
 * too; the third one ends it at once.
 */
int disk_work(int (*work)(const struct disk_arguments *arguments), const struct disk_arguments *arguments,
              const struct broker_grant *grant);

/* What a verb that changes a file may do with it: with --dry-run, read it. */
unsigned disk_changing(const struct disk_arguments *arguments);

#endif
