/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands with an execution phase at the medium: sector for sector between disk, buffer and host, in one loop
 * (floppy_transfer_run), so that a disk that answers at once costs no stack.
 */
#ifndef WORKER_DEVICES_FLOPPY_TRANSFER_H
#define WORKER_DEVICES_FLOPPY_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/devices/floppy.h"

/* Starts the command described by floppy->transfer (all above `position`). */
void floppy_transfer_begin(struct floppy *floppy);

/* The time has come that floppy->timer was set for. */
void floppy_transfer_timer(struct floppy *floppy);

/* Goes on as far as possible without waiting. */
void floppy_transfer_run(struct floppy *floppy);

/* The execution phase waits for the host to read, or to write, a byte. */
bool floppy_transfer_has_byte(const struct floppy *floppy);
bool floppy_transfer_wants_byte(const struct floppy *floppy);
uint8_t floppy_transfer_byte_in(struct floppy *floppy);
void floppy_transfer_byte_out(struct floppy *floppy, uint8_t value);

/* Ends the command without a result. A request that is with a disk stays there: floppy->abandoned says so. */
void floppy_transfer_abandon(struct floppy *floppy);

#endif
