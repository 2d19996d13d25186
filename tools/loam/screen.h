/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LOAM_SCREEN_H
#define LOAM_SCREEN_H

/*
 * Lets viewers (VNC) that connect to `place` look at a virtual machine's screen, until Ctrl-C: a path, or an
 * address of this machine's own and a port; NULL: the first port from 5900 on that is free. Returns the exit
 * status.
 */
int screen_serve(const char *name, const char *place);

#endif
