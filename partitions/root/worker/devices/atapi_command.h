/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packets that the DVD drive knows (MMC-5; SPC-3 for what every drive has), by their operation code. A
 * handler finds its packet in drive->atapi.packet, and ends the command as atapi.h says.
 */
#ifndef WORKER_DEVICES_ATAPI_COMMAND_H
#define WORKER_DEVICES_ATAPI_COMMAND_H

#include "partitions/root/worker/devices/ide_channel.h"

typedef void atapi_handler_fn(struct ide_channel *channel, struct ide_drive *drive);

/* Executes drive->atapi.packet. Unknown ones are refused. */
void atapi_execute(struct ide_channel *channel, struct ide_drive *drive);

/* The parameters that atapi_receive asked for are in channel->buffer. */
void atapi_parameters_received(struct ide_channel *channel, struct ide_drive *drive);

/* atapi_disc.c: what the medium is. */
atapi_handler_fn atapi_read_capacity;
atapi_handler_fn atapi_read_toc;
atapi_handler_fn atapi_read_sub_channel;
atapi_handler_fn atapi_read_disc_information;
atapi_handler_fn atapi_read_track_information;
atapi_handler_fn atapi_read_dvd_structure;

/* atapi_feature.c: what the drive can do, and what has happened to it. */
atapi_handler_fn atapi_get_configuration;
atapi_handler_fn atapi_get_event_status;
atapi_handler_fn atapi_mechanism_status;

/* atapi_read.c: its data. */
atapi_handler_fn atapi_read_10;
atapi_handler_fn atapi_read_12;
atapi_handler_fn atapi_read_cd;
atapi_handler_fn atapi_read_cd_msf;
atapi_handler_fn atapi_seek;

#endif
