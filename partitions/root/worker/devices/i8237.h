/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two Intel 8237A DMA controllers as the PIIX4 has them (82371AB datasheet, 8.1; 8237A datasheet): ports
 * 00h-0Fh with channels 0 to 3, which move bytes, ports C0h-DFh with channels 4 to 7, which move words, and
 * the page registers 80h-8Fh. Channel 4 cascades the first controller. Page registers that belong to no
 * channel hold what is written; port 80h, where firmware shows how far it has come and Linux waits a moment, is
 * one of them.
 *
 * What the PIIX4 leaves out is left out: memory-to-memory transfers. Priorities, timing and the sense of DREQ
 * and DACK make no difference here. A device's transfer happens when it calls i8237_transfer.
 */
#ifndef WORKER_DEVICES_I8237_H
#define WORKER_DEVICES_I8237_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/guest_memory.h"

#define I8237_CONTROLLERS    2
#define I8237_CHANNELS       4 /* of a controller */
#define I8237_PAGES          16
#define I8237_FLOPPY_CHANNEL 2

struct i8237_channel {
    uint16_t base_address;
    uint16_t base_count; /* bytes or words, less one */
    uint16_t current_address;
    uint16_t current_count;
    uint8_t mode;
};

struct i8237_controller {
    struct i8237_channel channels[I8237_CHANNELS];
    uint8_t command;
    uint8_t masked;         /* a bit for each channel, as in the following */
    uint8_t requested;      /* by software */
    uint8_t lines;          /* DREQ */
    uint8_t terminal_count; /* reached since the status was read */
    bool high_byte;         /* the flip-flop: the next byte of an address or a count is the high one */
};

struct i8237 {
    struct i8237_controller controllers[I8237_CONTROLLERS];
    uint8_t pages[I8237_PAGES];
    const struct guest_memory *memory;
};

enum i8237_direction { I8237_TO_MEMORY, I8237_FROM_MEMORY };

/* Claims the ports; false if they are taken. `memory` is the caller's, as long as the controllers live. */
bool i8237_initialize(struct i8237 *dma, struct bus *bus, const struct guest_memory *memory);
void i8237_reset(struct i8237 *dma);

/* Drives the DREQ of `channel`, 0 to 7 without the cascade's 4: only the status register shows it. */
void i8237_request(struct i8237 *dma, unsigned channel, bool level);

/*
 * Moves up to `length` bytes between a device's buffer and guest memory, as `channel` (as above) is programmed,
 * and returns how many: fewer, whole units only, if the channel is masked or otherwise not ready, or comes to its
 * terminal count, of which *terminal_count tells. A verify transfer, or one programmed for the other direction,
 * counts and moves nothing; a device that reads then gets FFh. So it does where there is no RAM, and what it writes
 * there is dropped.
 */
size_t i8237_transfer(struct i8237 *dma, unsigned channel, void *buffer, size_t length, enum i8237_direction direction,
                      bool *terminal_count);

#endif
