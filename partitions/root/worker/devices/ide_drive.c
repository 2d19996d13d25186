/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ide_drive.h"

#include <string.h>
#include "partitions/root/worker/devices/atapi_medium.h"

#define MAXIMUM_CYLINDERS         16383u
#define MAXIMUM_HEADS             16u
#define MAXIMUM_SECTORS_PER_TRACK 63u
/* What 16383 cylinders of 16 heads and 63 sectors hold: no translation reaches further (ATA-6, clause 6). */
#define MAXIMUM_CHS_SECTORS ((uint64_t)MAXIMUM_CYLINDERS * MAXIMUM_HEADS * MAXIMUM_SECTORS_PER_TRACK)

static const struct {
    uint8_t kind;
    uint8_t highest; /* PIIX4 drives PIO to mode 4, multiword DMA to mode 2 and Ultra DMA to mode 2 (33 MB/s) */
} transfer_modes[] = {
    {IDE_MODE_PIO_DEFAULT, 1},
    {IDE_MODE_PIO,         4},
    {IDE_MODE_MULTIWORD,   2},
    {IDE_MODE_ULTRA,       2},
};

static uint16_t cylinders_of(uint64_t sectors, unsigned heads, unsigned sectors_per_track)
{
    uint64_t addressable = sectors < MAXIMUM_CHS_SECTORS ? sectors : MAXIMUM_CHS_SECTORS;
    uint64_t cylinders = addressable / (heads * sectors_per_track);

    return cylinders > UINT16_MAX ? UINT16_MAX : (uint16_t)cylinders;
}

struct disk_geometry ide_drive_default_geometry(const struct ide_drive *drive)
{
    struct disk_geometry geometry = disk_geometry(drive->disk);

    if (geometry.heads == 0 || geometry.heads > MAXIMUM_HEADS || geometry.sectors_per_track == 0 ||
        geometry.sectors_per_track > MAXIMUM_SECTORS_PER_TRACK || geometry.cylinders > MAXIMUM_CYLINDERS) {
        geometry.heads = MAXIMUM_HEADS;
        geometry.sectors_per_track = MAXIMUM_SECTORS_PER_TRACK;
        geometry.cylinders = cylinders_of(disk_sectors(drive->disk), MAXIMUM_HEADS, MAXIMUM_SECTORS_PER_TRACK);
    }
    return geometry;
}

static void set_default_settings(struct ide_drive *drive)
{
    drive->multiple = 0;
    drive->write_cache = true;
    drive->look_ahead = true;
}

void ide_drive_reset(struct ide_drive *drive)
{
    memset(&drive->registers, 0, sizeof drive->registers);
    if (drive->kind == IDE_DRIVE_ABSENT)
        return;
    set_default_settings(drive);
    drive->keep_settings = false;
    drive->transfer_mode = IDE_MODE_ULTRA | 2;
    drive->interrupt = false;
    drive->power = IDE_POWER_ACTIVE;
    if (drive->kind == IDE_DRIVE_DVD)
        atapi_reset(drive);
    else
        drive->geometry = ide_drive_default_geometry(drive);
}

void ide_drive_soft_reset(struct ide_drive *drive)
{
    if (!drive->keep_settings)
        set_default_settings(drive);
    drive->interrupt = false;
    drive->power = IDE_POWER_ACTIVE;
}

void ide_drive_attach(struct ide_drive *drive, enum ide_drive_kind kind, unsigned number, struct disk *disk,
                      const char *serial)
{
    memset(drive, 0, sizeof *drive);
    drive->kind = kind;
    drive->number = number;
    drive->disk = disk;
    strncpy(drive->serial, serial, IDE_SERIAL_LENGTH);
    ide_drive_reset(drive);
}

void ide_drive_set_signature(struct ide_drive *drive)
{
    struct ide_task_file *registers = &drive->registers;

    registers->count[0] = 1;
    registers->lba_low[0] = 1;
    registers->lba_middle[0] = drive->kind == IDE_DRIVE_DVD ? 0x14 : 0;
    registers->lba_high[0] = drive->kind == IDE_DRIVE_DVD ? 0xeb : 0;
    registers->device &= IDE_DEVICE_DEV;
}

/* A drive with packets is not ready for the commands of one without. */
uint8_t ide_drive_status_after_reset(const struct ide_drive *drive)
{
    return drive->kind == IDE_DRIVE_DVD ? 0 : IDE_STATUS_DRDY | IDE_STATUS_DSC;
}

bool ide_drive_set_geometry(struct ide_drive *drive, unsigned heads, unsigned sectors_per_track)
{
    uint16_t cylinders;

    if (heads == 0 || heads > MAXIMUM_HEADS || sectors_per_track == 0 || sectors_per_track > UINT8_MAX)
        return false;
    cylinders = cylinders_of(disk_sectors(drive->disk), heads, sectors_per_track);
    if (cylinders == 0)
        return false;
    drive->geometry = (struct disk_geometry){cylinders, (uint8_t)heads, (uint8_t)sectors_per_track};
    return true;
}

bool ide_drive_chs_to_sector(const struct ide_drive *drive, unsigned cylinder, unsigned head, unsigned sector,
                             uint64_t *number)
{
    const struct disk_geometry *geometry = &drive->geometry;

    if (cylinder >= geometry->cylinders || head >= geometry->heads || sector == 0 ||
        sector > geometry->sectors_per_track)
        return false;
    *number = ((uint64_t)cylinder * geometry->heads + head) * geometry->sectors_per_track + (sector - 1);
    return true;
}

bool ide_drive_set_transfer_mode(struct ide_drive *drive, uint8_t mode)
{
    for (unsigned i = 0; i < sizeof transfer_modes / sizeof *transfer_modes; i++) {
        if ((mode & IDE_MODE_KIND) == transfer_modes[i].kind) {
            if ((mode & IDE_MODE_NUMBER) > transfer_modes[i].highest)
                return false;
            drive->transfer_mode = mode;
            return true;
        }
    }
    return false;
}
