/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving up every right that the switch does not need while it runs. */
#ifndef NET_SANDBOX_H
#define NET_SANDBOX_H

#include "partitions/root/confinement.h"

/* confinement_parse_user, for a switch, which must not run as root. */
bool sandbox_find_user(const char *name, struct confinement_user *user, char error[CONFINEMENT_ERROR_SIZE]);

/* Drops all capabilities, and allows from now on only the system calls that a running switch makes; others
 * fail with EPERM. */
bool sandbox_close(char error[CONFINEMENT_ERROR_SIZE]);

#endif
