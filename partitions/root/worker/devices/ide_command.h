/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ATA commands (ATA/ATAPI-6, clause 8). */
#ifndef WORKER_DEVICES_IDE_COMMAND_H
#define WORKER_DEVICES_IDE_COMMAND_H

#include <stdint.h>
#include "partitions/root/worker/devices/ide_channel.h"

#define IDE_COMMAND_EXECUTE_DEVICE_DIAGNOSTIC 0x90

/* Executes `code` on the selected drive, whose channel is idle. Unknown commands are aborted. */
void ide_command_execute(struct ide_channel *channel, struct ide_drive *drive, uint8_t code);

#endif
