/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's side of a floppy transfer: by DMA, or byte for byte through the FIFO. */
#ifndef WORKER_DEVICES_FLOPPY_HOST_H
#define WORKER_DEVICES_FLOPPY_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/devices/floppy.h"

enum floppy_host_result {
    FLOPPY_HOST_WAITS,
    FLOPPY_HOST_DONE, /* all bytes, or those up to the terminal count */
    FLOPPY_HOST_OVERRUN,
};

/* Asks the host for `length` bytes of the sector at work, or offers them. */
void floppy_host_ask(struct floppy *floppy, uint16_t length);

/* Moves what can be moved now. While DMA is not ready, floppy->timer is set to try again. */
enum floppy_host_result floppy_host_serve(struct floppy *floppy);

/* DRQ is taken back. */
void floppy_host_end(struct floppy *floppy);

/* The host may read, or write, a byte; the transfer goes on with it. */
bool floppy_host_has_byte(const struct floppy *floppy);
bool floppy_host_wants_byte(const struct floppy *floppy);
uint8_t floppy_host_byte_in(struct floppy *floppy);
void floppy_host_byte_out(struct floppy *floppy, uint8_t value);

#endif
