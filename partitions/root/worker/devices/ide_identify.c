/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ide_identify.h"

#include <string.h>

#include "partitions/root/worker/devices/ide_trim.h"

#define FIRMWARE "1.0"

/* Checksum of the last word (ATA-6, 8.15.62). */
#define INTEGRITY_SIGNATURE 0xa5

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

    if ((drive->transfer_mode & IDE_MODE_KIND) == kind)
        selected = (uint16_t)(0x100 << (drive->transfer_mode & IDE_MODE_NUMBER));
    return selected | 0x07;
}

/*
 * The result of the last hardware reset: a 40-conductor cable, the drive's number set by jumper, diagnostics
 * passed. Drive 0 also says whether it answers for an absent drive 1, or has seen it assert DASP- and PDIAG-.
 */
static uint16_t reset_word(const struct ide_drive *drive, bool paired)
{
    if (drive->number == 1)
        return 0x4b00;
    return paired ? 0x403b : 0x404b;
}

/* What every drive has. */
static void identify_common(const struct ide_drive *drive, bool paired, const char *model, uint16_t *words)
{
    memset(words, 0, IDE_IDENTIFY_WORDS * sizeof *words);
    put_string(&words[10], 10, drive->serial);
    put_string(&words[23], 4, FIRMWARE);
    put_string(&words[27], 20, model);
    words[49] = 0x0f00; /* IORDY can be disabled, IORDY, LBA, DMA */
    words[51] = 0x0200; /* PIO mode 2 without flow control */
    words[63] = mode_word(drive, IDE_MODE_MULTIWORD);
    words[64] = 0x0003; /* PIO modes 3 and 4 */
    for (unsigned i = 65; i <= 68; i++)
        words[i] = 120; /* nanoseconds a cycle */
    words[80] = 0x0070; /* ATA/ATAPI-4, -5 and -6 */
    words[84] = 0x4000;
    words[87] = 0x4000;
    words[88] = mode_word(drive, IDE_MODE_ULTRA);
    words[93] = reset_word(drive, paired);
}

static void put_checksum(uint16_t *words)
{
    uint8_t sum = INTEGRITY_SIGNATURE;

    for (unsigned i = 0; i < IDE_IDENTIFY_WORDS - 1; i++)
        sum = (uint8_t)(sum + (words[i] & 0xff) + (words[i] >> 8));
    words[IDE_IDENTIFY_WORDS - 1] = (uint16_t)((uint8_t)-sum << 8 | INTEGRITY_SIGNATURE);
}

static void identify_capacity(const struct ide_drive *drive, uint16_t *words)
{
    uint64_t sectors = disk_sectors(drive->disk);
    uint32_t lba28 = sectors < IDE_MAXIMUM_LBA28_SECTORS ? (uint32_t)sectors : IDE_MAXIMUM_LBA28_SECTORS;
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

void ide_identify_device(const struct ide_drive *drive, bool paired, uint16_t words[IDE_IDENTIFY_WORDS])
{
    identify_common(drive, paired, "Loam Virtual Disk", words);
    words[0] = 0x0040; /* a fixed ATA device */
    words[2] = 0xc837; /* spins by itself, and these words are complete */
    words[47] = 0x8000 | IDE_MAXIMUM_MULTIPLE;
    words[50] = 0x4000;
    words[53] = 0x0007; /* words 54-58, 64-70 and 88 are valid */
    words[59] = drive->multiple ? 0x0100 | drive->multiple : 0;
    words[82] = 0x4068;  /* NOP; look-ahead, write cache, power management */
    words[80] |= 0x0180; /* ATA/ATAPI-7 and ATA8-ACS, since systems ask those alone for TRIM */
    words[83] = 0x7400;  /* FLUSH CACHE EXT, FLUSH CACHE, 48-bit addresses */
    words[85] = (uint16_t)(0x4008 | (drive->look_ahead ? 0x40 : 0) | (drive->write_cache ? 0x20 : 0));
    words[86] = 0x3400;
    words[105] = IDE_TRIM_MAXIMUM_BLOCKS;
    words[169] = 0x0001; /* DATA SET MANAGEMENT's TRIM */
    identify_capacity(drive, words);
    put_checksum(words);
}

void ide_identify_packet_device(const struct ide_drive *drive, bool paired, uint16_t words[IDE_IDENTIFY_WORDS])
{
    identify_common(drive, paired, "Loam Virtual DVD-ROM", words);
    words[0] = 0x85c0;  /* packets of 12 bytes for a CD device, removable medium, DRQ within 50 microseconds */
    words[53] = 0x0006; /* words 64-70 and 88 are valid */
    words[82] = 0x4218; /* NOP, DEVICE RESET, PACKET, power management */
    words[83] = 0x4000;
    words[85] = 0x4218;
    put_checksum(words);
}
