/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LOAM_CONSOLE_H
#define LOAM_CONSOLE_H

/* This terminal becomes a virtual machine's console, until Ctrl-] or its end. Returns the exit status. */
int console_run(const char *name);

#endif
