/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A progress bar on standard error, if that is a terminal, and Ctrl-C as the way to cancel. */
#ifndef LOAM_PROGRESS_H
#define LOAM_PROGRESS_H

#include "partitions/root/disk/progress.h"

/* Begins work that is called `what`, in a confined process. From now on Ctrl-C, SIGTERM and SIGHUP raise the cancel
 * flag. */
struct disk_progress progress_begin(const char *what);
/* The signal that has raised it; 0: none. */
int progress_signal(void);
/* Raises it: the work is to be cancelled because of that signal. May be called by its handler. */
void progress_cancel(int number);
/* Takes the bar off the screen. */
void progress_end(void);

/* What its broker does for it; nothing without a terminal. */
void progress_draw(const char *what, unsigned percent);
void progress_erase(void);

#endif
