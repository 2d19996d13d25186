/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The medium of a DVD drive: an image of blocks of 2048 bytes, that comes and goes. */
#ifndef WORKER_DEVICES_ATAPI_MEDIUM_H
#define WORKER_DEVICES_ATAPI_MEDIUM_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/devices/ide_channel.h"

/* Profiles (MMC-5, 5.3.1). */
#define ATAPI_PROFILE_NONE    0x0000
#define ATAPI_PROFILE_CD_ROM  0x0008
#define ATAPI_PROFILE_DVD_ROM 0x0010

/* Power-on or hardware reset of the drive. */
void atapi_reset(struct ide_drive *drive);

/* Blocks on the medium, 0 without one. */
uint32_t atapi_blocks(const struct ide_drive *drive);

/* What the medium is: a CD as far as a CD can hold it, else a DVD. */
uint16_t atapi_profile(const struct ide_drive *drive);

/* Neither the guest nor anybody else may take the medium out. */
bool atapi_removal_prevented(const struct ide_drive *drive);

/* False if there is a medium already, or the disk has no whole block. The tray closes. */
bool atapi_insert(struct ide_drive *drive, struct disk *disk);

/* The tray opens, and the medium is gone if there was one. */
void atapi_eject(struct ide_channel *channel, struct ide_drive *drive);

#endif
