/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packets that read blocks (MMC-5, 6.15 to 6.20). */
#include "partitions/root/worker/devices/atapi.h"
#include "partitions/root/worker/devices/atapi_command.h"
#include "partitions/root/worker/devices/atapi_medium.h"
#include "partitions/root/worker/devices/cd_sector.h"

/* READ CD, byte 1: the sector type that is expected. */
#define EXPECTED_SHIFT  2
#define EXPECTED_MASK   0x07
#define EXPECTED_ANY    0
#define EXPECTED_MODE_1 2

/* Byte 9, beside the fields that a mode 1 sector has; byte 10. */
#define FIELD_ERROR_FLAGS 0x06
#define SUB_CHANNEL       0x07

/* True if the medium has the blocks; otherwise the command is over. */
static bool blocks_exist(struct ide_channel *channel, struct ide_drive *drive, uint32_t address, uint32_t count)
{
    uint32_t blocks = atapi_blocks(drive);

    if (address <= blocks && count <= blocks - address)
        return true;
    atapi_check(channel, drive, ATAPI_ILLEGAL_REQUEST, ATAPI_BLOCK_OUT_OF_RANGE);
    return false;
}

static void read_blocks(struct ide_channel *channel, struct ide_drive *drive, uint32_t count)
{
    uint32_t address = atapi_get(drive->atapi.packet + 2, 4);

    if (!blocks_exist(channel, drive, address, count))
        return;
    if (count == 0)
        atapi_good(channel, drive);
    else
        atapi_read(channel, drive, address, count, 0, ATAPI_BLOCK_SIZE);
}

void atapi_read_10(struct ide_channel *channel, struct ide_drive *drive)
{
    read_blocks(channel, drive, atapi_get(drive->atapi.packet + 7, 2));
}

void atapi_read_12(struct ide_channel *channel, struct ide_drive *drive)
{
    read_blocks(channel, drive, atapi_get(drive->atapi.packet + 6, 4));
}

/* Fields can be left out at the ends, but not in between (MMC-5, table of READ CD's byte 9). */
static bool fields_contiguous(uint8_t fields)
{
    static const uint8_t order[] = {CD_FIELD_SYNC, CD_FIELD_HEADER, CD_FIELD_USER, CD_FIELD_PARITY};
    unsigned runs = 0;

    for (unsigned i = 0; i < sizeof order; i++)
        if (fields & order[i] && (i == 0 || !(fields & order[i - 1])))
            runs++;
    return runs <= 1;
}

/* What READ CD wants of a sector, all of them being mode 1; false if the command is over. */
static bool wanted_fields(struct ide_channel *channel, struct ide_drive *drive, uint8_t *fields)
{
    const uint8_t *packet = drive->atapi.packet;
    uint8_t expected = packet[1] >> EXPECTED_SHIFT & EXPECTED_MASK;

    /* A mode 1 sector has no subheader: who asks for all headers gets the one there is. */
    *fields = packet[9] & (CD_FIELD_SYNC | CD_FIELD_HEADER | CD_FIELD_USER | CD_FIELD_PARITY);
    if (packet[9] & FIELD_ERROR_FLAGS || packet[10] & SUB_CHANNEL || !fields_contiguous(*fields)) {
        atapi_invalid_field(channel, drive);
        return false;
    }
    if ((expected != EXPECTED_ANY && expected != EXPECTED_MODE_1) ||
        (*fields & ~CD_FIELD_USER && atapi_profile(drive) != ATAPI_PROFILE_CD_ROM)) {
        atapi_check(channel, drive, ATAPI_ILLEGAL_REQUEST, ATAPI_ILLEGAL_MODE_FOR_TRACK);
        return false;
    }
    return true;
}

static void read_sectors(struct ide_channel *channel, struct ide_drive *drive, uint32_t address, uint32_t count)
{
    uint8_t fields;

    if (!wanted_fields(channel, drive, &fields) || !blocks_exist(channel, drive, address, count))
        return;
    if (count == 0 || fields == 0)
        atapi_good(channel, drive);
    else
        atapi_read(channel, drive, address, count, fields == CD_FIELD_USER ? 0 : fields, cd_sector_length(fields));
}

void atapi_read_cd(struct ide_channel *channel, struct ide_drive *drive)
{
    const uint8_t *packet = drive->atapi.packet;

    read_sectors(channel, drive, atapi_get(packet + 2, 4), atapi_get(packet + 6, 3));
}

/* False if it is no address of a block. */
static bool block_of(const uint8_t msf[3], uint32_t *block)
{
    uint32_t frames = (msf[0] * CD_SECONDS + msf[1]) * CD_FRAMES + msf[2];

    if (msf[1] >= CD_SECONDS || msf[2] >= CD_FRAMES || frames < CD_PREGAP)
        return false;
    *block = frames - CD_PREGAP;
    return true;
}

void atapi_read_cd_msf(struct ide_channel *channel, struct ide_drive *drive)
{
    const uint8_t *packet = drive->atapi.packet;
    uint32_t start;
    uint32_t end;

    if (block_of(packet + 3, &start) && block_of(packet + 6, &end) && start <= end)
        read_sectors(channel, drive, start, end - start);
    else
        atapi_invalid_field(channel, drive);
}

void atapi_seek(struct ide_channel *channel, struct ide_drive *drive)
{
    uint32_t address = atapi_get(drive->atapi.packet + 2, 4);

    if (!blocks_exist(channel, drive, address, 1))
        return;
    drive->atapi.position = address;
    atapi_good(channel, drive);
}
