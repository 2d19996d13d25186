/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How data moves between disk, buffer and guest, one command at a time: requests are issued and looked at in
 * one loop (ide_transfer_run), so that a disk that answers at once costs no stack.
 */
#ifndef WORKER_DEVICES_IDE_TRANSFER_H
#define WORKER_DEVICES_IDE_TRANSFER_H

#include <stddef.h>
#include "partitions/root/worker/devices/ide_channel.h"

/*
 * Starts the command described by channel->transfer (all but `position` and `block_end`). With PIO_IN and
 * SEND_DMA the buffer may hold data already, `filled` bytes. A first block that the host is to write is asked
 * for without an interrupt (ATA-6, clause 9).
 */
void ide_transfer_begin(struct ide_channel *channel);

/* Where in the buffer the sectors are that `fetched` is told of. */
uint8_t *ide_transfer_sectors(struct ide_channel *channel);

/* The data port: moves up to `length` bytes of the present DRQ block, returns how many. */
size_t ide_transfer_data_in(struct ide_channel *channel, uint8_t *data, size_t length);
size_t ide_transfer_data_out(struct ide_channel *channel, const uint8_t *data, size_t length);

/* Goes on as far as possible without waiting: a request is back, or the bus master has started. */
void ide_transfer_run(struct ide_channel *channel);

/* Starts a transfer that waits for the bus master, if the engine is started and allowed to run. */
void ide_transfer_bus_master(struct ide_channel *channel);

/* Issues the request that found no space again, if there is one. */
void ide_transfer_retry(struct ide_channel *channel);

/*
 * Ends the command in progress without a result. A request that is with the disk stays there;
 * channel->abandoned says so, and ide_channel_request_abandoned is called when it is back.
 */
void ide_transfer_abandon(struct ide_channel *channel);

#endif
