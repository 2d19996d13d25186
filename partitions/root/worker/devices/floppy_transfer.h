/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands with an execution phase at the medium: sector for sector between buffer and host, while the disk reads
 * what may be wanted of a track at once. All in one loop (floppy_transfer_run), so that a disk that answers at once
 * costs no stack.
 */
#ifndef WORKER_DEVICES_FLOPPY_TRANSFER_H
#define WORKER_DEVICES_FLOPPY_TRANSFER_H

#include <stdbool.h>
#include "partitions/root/worker/devices/floppy.h"

/* Starts the command described by floppy->transfer (what the command says). */
void floppy_transfer_begin(struct floppy *floppy);

/* The time has come that floppy->timer was set for. */
void floppy_transfer_timer(struct floppy *floppy);

/* Goes on as far as possible without waiting. */
void floppy_transfer_run(struct floppy *floppy);

/* The data go to the medium. */
bool floppy_transfer_writes(const struct floppy_transfer *transfer);

/* Ends the command without a result. A request that is with a disk stays there: floppy->abandoned says so. */
void floppy_transfer_abandon(struct floppy *floppy);

#endif
