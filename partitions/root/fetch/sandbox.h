/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What loam-fetch may do once it runs: talk to servers, and read files by which they are found and recognised. */
#ifndef FETCH_SANDBOX_H
#define FETCH_SANDBOX_H

#include "partitions/root/confinement.h"

/*
 * Becomes `user` if one is given, and allows from now on only the system calls that fetching makes, in all threads;
 * others fail with EPERM: none that opens a file for writing, runs a program, makes a process or looks into one. False:
 * `error` is one line.
 */
bool sandbox_enter(const struct confinement_user *user, char error[CONFINEMENT_ERROR_SIZE]);

#endif
