/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ide_drive.h"

#include <string.h>

#define MODEL    "Loam Virtual Disk"
#define FIRMWARE "1.0"

#define MAXIMUM_CYLINDERS         16383u
#define MAXIMUM_HEADS             16u
#define MAXIMUM_SECTORS_PER_TRACK 63u
/* What 16383 cylinders of 16 heads and 63 sectors hold: no translation reaches further (ATA-6, clause 6). */
#define MAXIMUM_CHS_SECTORS   ((uint64_t)MAXIMUM_CYLINDERS * MAXIMUM_HEADS * MAXIMUM_SECTORS_PER_TRACK)
#define MAXIMUM_LBA28_SECTORS 0x0fffffffu

/*
 * Transfer modes (ATA-6, SET FEATURES 03h): the mode's kind in the upper five bits, its number in the lower
 * three.
 */
#define TRANSFER_PIO_DEFAULT 0x00
#define TRANSFER_PIO         0x08
#define TRANSFER_MULTIWORD   0x20
#define TRANSFER_ULTRA       0x40
#define TRANSFER_KIND        0xf8
#define TRANSFER_NUMBER      0x07

static const struct {
    uint8_t kind;
    uint8_t
        highest; /* PIIX4 drives PIO to mode 4, multiword DMA to mode 2 and Ultra DMA to mode 2 (33 MB/s) */
} transfer_modes[] = {
    {TRANSFER_PIO_DEFAULT, 1},
    {TRANSFER_PIO,         4},
    {TRANSFER_MULTIWORD,   2},
    {TRANSFER_ULTRA,       2},
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
        geometry.cylinders =
            cylinders_of(disk_sectors(drive->disk), MAXIMUM_HEADS, MAXIMUM_SECTORS_PER_TRACK);
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
    if (!drive->disk)
        return;
    set_default_settings(drive);
    drive->keep_settings = false;
    drive->transfer_mode = TRANSFER_ULTRA | 2;
    drive->geometry = ide_drive_default_geometry(drive);
    drive->interrupt = false;
    drive->power = IDE_POWER_ACTIVE;
}

void ide_drive_soft_reset(struct ide_drive *drive)
{
    if (!drive->keep_settings)
        set_default_settings(drive);
    drive->interrupt = false;
    drive->power = IDE_POWER_ACTIVE;
}

void ide_drive_attach(struct ide_drive *drive, unsigned number, struct disk *disk, const char *serial)
{
    memset(drive, 0, sizeof *drive);
    drive->number = number;
    drive->disk = disk;
    strncpy(drive->serial, serial, IDE_SERIAL_LENGTH);
    ide_drive_reset(drive);
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
        if ((mode & TRANSFER_KIND) == transfer_modes[i].kind) {
            if ((mode & TRANSFER_NUMBER) > transfer_modes[i].highest)
                return false;
            drive->transfer_mode = mode;
            return true;
        }
    }
    return false;
}

/* ATA strings (ATA-6, clause 3): the first character of each pair in the upper byte, padded with spaces. */
static void put_string(uint16_t *words, unsigned count, const char *text)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned char first = *text ? (unsigned char)*text++ : ' ';
        unsigned char second = *text ? (unsigned char)*text++ : ' ';

        words[i] = (uint16_t)(first << 8 | second);
    }
}

/* Bits 10-8: the selected mode, if it is of this kind; bits 2-0: modes 2, 1 and 0 are supported. */
static uint16_t mode_word(const struct ide_drive *drive, uint8_t kind)
{
    uint16_t selected = 0;

    if ((drive->transfer_mode & TRANSFER_KIND) == kind)
        selected = (uint16_t)(0x100 << (drive->transfer_mode & TRANSFER_NUMBER));
    return selected | 0x07;
}

static void identify_capacity(const struct ide_drive *drive, uint16_t words[256])
{
    uint64_t sectors = disk_sectors(drive->disk);
    uint32_t lba28 = sectors < MAXIMUM_LBA28_SECTORS ? (uint32_t)sectors : MAXIMUM_LBA28_SECTORS;
    struct disk_geometry initial = ide_drive_default_geometry(drive);
    struct disk_geometry current = drive->geometry;
    uint32_t current_sectors = (uint32_t)current.cylinders * current.heads * current.sectors_per_track;

    words[1] = initial.cylinders;
    words[3] = initial.heads;
    words[6] = initial.sectors_per_track;
    words[54] = current.cylinders;
    words[55] = current.heads;
    words[56] = current.sectors_per_track;
    words[57] = current_sectors & 0xffff;
    words[58] = current_sectors >> 16;
    words[60] = lba28 & 0xffff;
    words[61] = lba28 >> 16;
    for (unsigned i = 0; i < 4; i++)
        words[100 + i] = sectors >> (16 * i) & 0xffff;
    words[106] = 0x4000; /* one logical sector a physical sector, 256 words each */
}

static void identify_features(const struct ide_drive *drive, uint16_t words[256])
{
    words[80] = 0x0070; /* ATA/ATAPI-4, -5 and -6 */
    words[82] = 0x4068; /* NOP; look-ahead, write cache, power management */
    words[83] = 0x7400; /* FLUSH CACHE EXT, FLUSH CACHE, 48-bit addresses */
    words[84] = 0x4000;
    words[85] = (uint16_t)(0x4008 | (drive->look_ahead ? 0x40 : 0) | (drive->write_cache ? 0x20 : 0));
    words[86] = 0x3400;
    words[87] = 0x4000;
    words[88] = mode_word(drive, TRANSFER_ULTRA);
    /* The last hardware reset: a 40-conductor cable, drive number by jumper, diagnostics passed. */
    words[93] = drive->number == 0 ? 0x400b : 0x4b00;
}

void ide_drive_identify(const struct ide_drive *drive, uint16_t words[256])
{
    uint8_t sum = 0xa5;

    memset(words, 0, 256 * sizeof *words);
    words[0] = 0x0040; /* a fixed ATA device */
    put_string(&words[10], 10, drive->serial);
    put_string(&words[23], 4, FIRMWARE);
    put_string(&words[27], 20, MODEL);
    words[47] = 0x8000 | IDE_MAXIMUM_MULTIPLE;
    words[49] = 0x0f00; /* IORDY can be disabled, IORDY, LBA, DMA */
    words[50] = 0x4000;
    words[51] = 0x0200; /* PIO mode 2 without flow control */
    words[53] = 0x0007; /* words 54-58, 64-70 and 88 are valid */
    words[59] = drive->multiple ? 0x0100 | drive->multiple : 0;
    words[63] = mode_word(drive, TRANSFER_MULTIWORD);
    words[64] = 0x0003; /* PIO modes 3 and 4 */
    for (unsigned i = 65; i <= 68; i++)
        words[i] = 120; /* nanoseconds a cycle */
    identify_capacity(drive, words);
    identify_features(drive, words);
    for (unsigned i = 0; i < 255; i++)
        sum = (uint8_t)(sum + (words[i] & 0xff) + (words[i] >> 8));
    words[255] = (uint16_t)((uint8_t)-sum << 8 | 0xa5);
}
