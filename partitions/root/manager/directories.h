/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directories of loamd:
 *
 *   STATE/vm, STATE/switch   definitions; ours alone
 *   STATE/leases             a file for each switch, written by it
 *   RUN/vm                   records of workers, their output, their control sockets; ours alone
 *   RUN/switch               the same of switches, and their sockets for ports
 *   LOG                      logs of virtual machines, for those who may manage
 */
#ifndef MANAGER_DIRECTORIES_H
#define MANAGER_DIRECTORIES_H

#include <stdbool.h>

struct manager;

/*
 * Makes what is missing, opens it, and locks RUN, so that there is one loamd for it. False: the reason has
 * been reported.
 */
bool directories_open(struct manager *manager);

#endif
