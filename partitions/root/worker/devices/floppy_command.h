/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the 82077AA (datasheet, chapter 5), and what its parts have to tell each other. */
#ifndef WORKER_DEVICES_FLOPPY_COMMAND_H
#define WORKER_DEVICES_FLOPPY_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/devices/floppy.h"

/* Status register 0. */
#define FLOPPY_ST0_ABNORMAL  0x40
#define FLOPPY_ST0_INVALID   0x80
#define FLOPPY_ST0_POLLING   0xc0
#define FLOPPY_ST0_SEEK_END  0x20
#define FLOPPY_ST0_EQUIPMENT 0x10
#define FLOPPY_ST0_HEAD      0x04

/* Once, with the drives' timers: as floppy->timer. */
void floppy_command_initialize(struct floppy *floppy);

/* Bytes of a command, first byte included, that begins with `code`: 1 to FLOPPY_FIFO_SIZE. */
unsigned floppy_command_length(uint8_t code);

/* Executes the command in floppy->bytes, which is complete. */
void floppy_command_execute(struct floppy *floppy);

/* What a reset does to seeks and to the settings of commands; `hard`: also to those that are locked. */
void floppy_command_reset(struct floppy *floppy, bool hard);

/* SPECIFY's ND. */
bool floppy_without_dma(const struct floppy *floppy);

/* Bytes that the host moves for one interrupt without DMA. */
unsigned floppy_threshold(const struct floppy *floppy);

/* CONFIGURE's EIS. */
bool floppy_implied_seeks(const struct floppy *floppy);

/*
 * The results, `count` of floppy->bytes, can be read; none: the next command can be written. Then INT goes high again
 * for a seek that ended meanwhile and was not asked about.
 */
void floppy_results(struct floppy *floppy, unsigned count);

/* The INT pin. */
void floppy_raise(struct floppy *floppy);
void floppy_lower(struct floppy *floppy);

#endif
