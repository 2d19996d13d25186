/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/atapi_medium.h"

#include "partitions/root/worker/devices/atapi.h"
#include "partitions/root/worker/devices/atapi_mode.h"

/* A CD of 80 minutes. */
#define CD_MAXIMUM_BLOCKS (80u * 60u * 75u)

/* So that every number of bytes and sectors of a transfer fits into 32 bits: 2 TiB. */
#define MAXIMUM_BLOCKS 0x3fffffffu

void atapi_reset(struct ide_drive *drive)
{
    struct atapi *atapi = &drive->atapi;

    atapi->prevented = false;
    atapi->prevented_persistent = false;
    atapi->sense = (struct atapi_sense){0};
    atapi->attention = ATAPI_ATTENTION_RESET;
    atapi->media_event = drive->disk ? ATAPI_MEDIA_NEW : ATAPI_MEDIA_NO_CHANGE;
    atapi->operational_change = false;
    atapi->profile = atapi_profile(drive);
    atapi->position = 0;
    atapi_mode_reset(atapi);
}

uint32_t atapi_blocks(const struct ide_drive *drive)
{
    uint64_t blocks = drive->disk ? disk_sectors(drive->disk) / ATAPI_BLOCK_SECTORS : 0;

    return blocks < MAXIMUM_BLOCKS ? (uint32_t)blocks : MAXIMUM_BLOCKS;
}

uint16_t atapi_profile(const struct ide_drive *drive)
{
    uint32_t blocks = atapi_blocks(drive);

    if (blocks == 0)
        return ATAPI_PROFILE_NONE;
    return blocks <= CD_MAXIMUM_BLOCKS ? ATAPI_PROFILE_CD_ROM : ATAPI_PROFILE_DVD_ROM;
}

bool atapi_removal_prevented(const struct ide_drive *drive)
{
    return drive->atapi.prevented || drive->atapi.prevented_persistent;
}

static void note_profile(struct ide_drive *drive)
{
    uint16_t profile = atapi_profile(drive);

    if (profile != drive->atapi.profile)
        drive->atapi.operational_change = true;
    drive->atapi.profile = profile;
}

bool atapi_insert(struct ide_drive *drive, struct disk *disk)
{
    struct atapi *atapi = &drive->atapi;

    if (drive->disk || disk_sectors(disk) < ATAPI_BLOCK_SECTORS)
        return false;
    drive->disk = disk;
    atapi->tray_open = false;
    atapi->position = 0;
    atapi->attention |= ATAPI_ATTENTION_MEDIUM;
    atapi->media_event = ATAPI_MEDIA_NEW;
    note_profile(drive);
    return true;
}

void atapi_eject(struct ide_channel *channel, struct ide_drive *drive)
{
    struct atapi *atapi = &drive->atapi;

    atapi->tray_open = true;
    if (!drive->disk)
        return;
    atapi->attention &= (uint8_t)~ATAPI_ATTENTION_MEDIUM;
    atapi->media_event = ATAPI_MEDIA_REMOVAL;
    ide_channel_release_medium(channel, drive);
    note_profile(drive);
}
