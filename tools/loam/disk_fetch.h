/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network of the verbs about disks, which is a process of its own, loam-fetch. */
#ifndef LOAM_DISK_FETCH_H
#define LOAM_DISK_FETCH_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/remote_source.h"

/*
 * Starts the loam-fetch that was installed with this program, and waits until it has found the source, whose size is 0
 * if it is not known yet, for 15 seconds at most or until the user cancels; on a terminal it says for what. The other
 * end of its socket, with its first message of consequence still in it; -1 with `error`.
 */
int disk_fetch_open(const struct remote_source *source, struct disk_error *error);

#endif
