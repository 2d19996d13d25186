/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One drive on an IDE channel (ATA/ATAPI-6, T13 1410D), a disk or a DVD drive: its registers, what the guest
 * has set, and how it counts sectors. Data never passes through here; struct ide_channel moves it. Used under
 * the device lock.
 */
#ifndef WORKER_DEVICES_IDE_DRIVE_H
#define WORKER_DEVICES_IDE_DRIVE_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/disk/disk.h"
#include "partitions/root/worker/devices/atapi_state.h"

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

/* Transfer modes (ATA-6, SET FEATURES 03h): the kind in the upper five bits, the number in the lower three. */
#define IDE_MODE_PIO_DEFAULT 0x00
#define IDE_MODE_PIO         0x08
#define IDE_MODE_MULTIWORD   0x20
#define IDE_MODE_ULTRA       0x40
#define IDE_MODE_KIND        0xf8
#define IDE_MODE_NUMBER      0x07

/* Registers that hold two values, so that 48-bit commands can be given: [0] is the one written last. */
struct ide_task_file {
    uint8_t features[2];
    uint8_t count[2];
    uint8_t lba_low[2];
    uint8_t lba_middle[2];
    uint8_t lba_high[2];
    uint8_t device;
};

enum ide_power { IDE_POWER_ACTIVE, IDE_POWER_IDLE, IDE_POWER_STANDBY, IDE_POWER_SLEEP };

enum ide_drive_kind { IDE_DRIVE_ABSENT, IDE_DRIVE_DISK, IDE_DRIVE_DVD };

struct ide_drive {
    enum ide_drive_kind kind;
    struct disk *disk; /* of a DVD drive the medium: NULL without one */
    char serial[IDE_SERIAL_LENGTH + 1];
    unsigned number; /* 0 or 1 on its channel */

    struct ide_task_file registers; /* the host writes both drives', and reads those of the selected one */
    uint8_t status;
    uint8_t error;
    bool interrupt; /* INTRQ pending: seen on the wire while the drive is selected and nIEN is 0 */
    bool resetting; /* a reset of the drive has not ended yet */

    struct disk_geometry geometry; /* the translation in force: INITIALIZE DEVICE PARAMETERS changes it */
    uint8_t multiple;              /* sectors a block of READ/WRITE MULTIPLE, 0: not set */
    uint8_t transfer_mode;         /* as SET FEATURES 03h takes it */
    bool write_cache;              /* false: a write is on stable storage before its command ends */
    bool look_ahead;
    bool keep_settings; /* SET FEATURES 66h: a software reset leaves the settings alone */
    enum ide_power power;

    struct atapi atapi; /* of a DVD drive */
};

/* `serial` is cut to IDE_SERIAL_LENGTH characters. The disk stays the caller's; a DVD drive begins empty. */
void ide_drive_attach(struct ide_drive *drive, enum ide_drive_kind kind, unsigned number, struct disk *disk,
                      const char *serial);

/* Power-on or hardware reset. */
void ide_drive_reset(struct ide_drive *drive);

/* Software reset (ATA-6, clause 9): settings go to their defaults unless the guest asked to keep them. */
void ide_drive_soft_reset(struct ide_drive *drive);

/* The registers say what kind of a drive this is (ATA-6, clause 9: signature). DEV is left as it is. */
void ide_drive_set_signature(struct ide_drive *drive);

/* The status of a drive that has come through a reset or a diagnosis. */
uint8_t ide_drive_status_after_reset(const struct ide_drive *drive);

/* The default translation (ATA-6, clause 6): at most 16383 cylinders, 16 heads, 63 sectors a track. */
struct disk_geometry ide_drive_default_geometry(const struct ide_drive *drive);

/* INITIALIZE DEVICE PARAMETERS; false if the translation is impossible. */
bool ide_drive_set_geometry(struct ide_drive *drive, unsigned heads, unsigned sectors_per_track);

/* The number of a sector by the translation in force; false if there is no such sector. */
bool ide_drive_chs_to_sector(const struct ide_drive *drive, unsigned cylinder, unsigned head, unsigned sector,
                             uint64_t *number);

/* SET FEATURES 03h; false if the mode is not supported. */
bool ide_drive_set_transfer_mode(struct ide_drive *drive, uint8_t mode);

#endif
