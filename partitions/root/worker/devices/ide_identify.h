/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a drive says of itself: 256 words (ATA/ATAPI-6, 8.15 and 8.16). */
#ifndef WORKER_DEVICES_IDE_IDENTIFY_H
#define WORKER_DEVICES_IDE_IDENTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/worker/devices/ide_drive.h"

#define IDE_IDENTIFY_WORDS 256

/* The largest number of sectors that 28 bits address (ATA-6, 6.2). */
#define IDE_MAXIMUM_LBA28_SECTORS 0x0fffffffu

/* IDENTIFY DEVICE of a disk. `paired`: there is another drive on the channel. */
void ide_identify_device(const struct ide_drive *drive, bool paired, uint16_t words[IDE_IDENTIFY_WORDS]);

/* IDENTIFY PACKET DEVICE of a DVD drive. */
void ide_identify_packet_device(const struct ide_drive *drive, bool paired, uint16_t words[IDE_IDENTIFY_WORDS]);

#endif
