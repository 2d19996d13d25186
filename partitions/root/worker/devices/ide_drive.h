/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One ATA drive (ATA/ATAPI-6, T13 1410D): what it is, what the guest has set, and how it counts sectors. Data
 * never passes through here; struct ide_channel moves it. Used under the device lock.
 */
#ifndef WORKER_DEVICES_IDE_DRIVE_H
#define WORKER_DEVICES_IDE_DRIVE_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/disk/disk.h"

#define IDE_SERIAL_LENGTH 20

/* Status register (ATA-6, clause 7). */
#define IDE_STATUS_ERR  0x01
#define IDE_STATUS_DRQ  0x08
#define IDE_STATUS_DSC  0x10
#define IDE_STATUS_DF   0x20
#define IDE_STATUS_DRDY 0x40
#define IDE_STATUS_BSY  0x80

/* Error register. */
#define IDE_ERROR_ABRT 0x04
#define IDE_ERROR_IDNF 0x10
#define IDE_ERROR_UNC  0x40

/* Device register. */
#define IDE_DEVICE_DEV   0x10
#define IDE_DEVICE_LBA   0x40
#define IDE_DEVICE_HEADS 0x0f

/* The largest block of READ MULTIPLE and WRITE MULTIPLE, in sectors. */
#define IDE_MAXIMUM_MULTIPLE 16

enum ide_power { IDE_POWER_ACTIVE, IDE_POWER_IDLE, IDE_POWER_STANDBY, IDE_POWER_SLEEP };

struct ide_drive {
    struct disk *disk; /* NULL: no drive at this place */
    char serial[IDE_SERIAL_LENGTH + 1];
    unsigned number; /* 0 or 1 on its channel */

    uint8_t status;
    uint8_t error;
    bool interrupt; /* INTRQ pending: seen on the wire while the drive is selected and nIEN is 0 */

    struct disk_geometry geometry; /* the translation in force: INITIALIZE DEVICE PARAMETERS changes it */
    uint8_t multiple;              /* sectors a block of READ/WRITE MULTIPLE, 0: not set */
    uint8_t transfer_mode;         /* as SET FEATURES 03h takes it */
    bool write_cache;              /* false: a write is on stable storage before its command ends */
    bool look_ahead;
    bool keep_settings; /* SET FEATURES 66h: a software reset leaves the settings alone */
    enum ide_power power;
};

/* `serial` is cut to IDE_SERIAL_LENGTH characters. The disk stays the caller's. */
void ide_drive_attach(struct ide_drive *drive, unsigned number, struct disk *disk, const char *serial);

/* Power-on or hardware reset. */
void ide_drive_reset(struct ide_drive *drive);

/* Software reset (ATA-6, clause 9): settings go to their defaults unless the guest asked to keep them. */
void ide_drive_soft_reset(struct ide_drive *drive);

/* The default translation (ATA-6, clause 6): at most 16383 cylinders, 16 heads, 63 sectors a track. */
struct disk_geometry ide_drive_default_geometry(const struct ide_drive *drive);

/* INITIALIZE DEVICE PARAMETERS; false if the translation is impossible. */
bool ide_drive_set_geometry(struct ide_drive *drive, unsigned heads, unsigned sectors_per_track);

/* The number of a sector by the translation in force; false if there is no such sector. */
bool ide_drive_chs_to_sector(const struct ide_drive *drive, unsigned cylinder, unsigned head, unsigned sector,
                             uint64_t *number);

/* SET FEATURES 03h; false if the mode is not supported. */
bool ide_drive_set_transfer_mode(struct ide_drive *drive, uint8_t mode);

/* The data of IDENTIFY DEVICE (ATA-6, clause 8). */
void ide_drive_identify(const struct ide_drive *drive, uint16_t words[256]);

#endif
