/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How work that takes long tells where it is, and how it is told to stop. */
#ifndef DISK_PROGRESS_H
#define DISK_PROGRESS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_progress {
    void (*report)(void *context, uint64_t done, uint64_t total); /* bytes of the disk; may be NULL */
    void *context;
    const volatile sig_atomic_t *cancel; /* set by a signal handler to stop the work; may be NULL */
};

/* False if the work is to stop. */
static inline bool disk_progress_step(const struct disk_progress *progress, uint64_t done, uint64_t total)
{
    if (progress->report)
        progress->report(progress->context, done, total);
    return !progress->cancel || !*progress->cancel;
}

#endif
