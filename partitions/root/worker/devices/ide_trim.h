/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list that a TRIM comes with (ACS-2, 7.10.3.2): entries of eight bytes, a sector's number in the lower 48 bits and
 * a count above it. Entries with a count of 0 are padding.
 */
#ifndef WORKER_DEVICES_IDE_TRIM_H
#define WORKER_DEVICES_IDE_TRIM_H

#include "partitions/root/worker/devices/ide_channel.h"

#define IDE_TRIM_FEATURE        0x01
#define IDE_TRIM_MAXIMUM_BLOCKS 8 /* of 512 bytes */

/* Whether all entries in the channel's buffer lie within the disk. */
bool ide_trim_check(const struct ide_channel *channel, const struct ide_drive *drive);

/* Makes the next range the transfer's; false if there is none. */
bool ide_trim_next(struct ide_channel *channel);

#endif
