/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the medium is: one complete session with one data track, from block 0 to the end. */
#include "partitions/root/worker/devices/atapi.h"
#include "partitions/root/worker/devices/atapi_command.h"
#include "partitions/root/worker/devices/atapi_medium.h"
#include "partitions/root/worker/devices/cd_sector.h"

#define TRACK        1
#define SESSION      1
#define LEAD_OUT     0xaa
#define TRACK_LAYOUT 0x14 /* the address is the track's position (ADR 1); data, not to be copied (CONTROL 4) */

/* Byte 1 of several packets: addresses as minute, second and frame. */
#define ADDRESS_MSF 0x02

#define NO_ADDRESS 0xffffffff

void atapi_read_capacity(struct ide_channel *channel, struct ide_drive *drive)
{
    uint8_t *reply = atapi_reply_buffer(channel);

    atapi_put(reply, 4, atapi_blocks(drive) - 1);
    atapi_put(reply + 4, 4, ATAPI_BLOCK_SIZE);
    atapi_reply(channel, drive, 8, 8);
}

/* An address of four bytes, in the form that the packet asks for. */
static void put_address(const struct ide_drive *drive, uint8_t *bytes, uint32_t block)
{
    if (drive->atapi.packet[1] & ADDRESS_MSF)
        cd_address(bytes + 1, block);
    else
        atapi_put(bytes, 4, block);
}

/* ---- READ TOC/PMA/ATIP (MMC-5, 6.26) ---- */

#define TOC_FORMAT        0x0f
#define TOC_FORMAT_OLD    6 /* shift: where SFF-8020i has the format, in byte 9 */
#define TOC_HEADER_LENGTH 4

enum toc_format { TOC_TRACKS, TOC_SESSIONS, TOC_RAW };

/* Returns the length of what follows the header, or 0 if there is no such track or session. */
typedef unsigned toc_fn(const struct ide_drive *drive, uint8_t *descriptors);

static uint8_t *put_track(const struct ide_drive *drive, uint8_t *descriptor, uint8_t track, uint32_t block)
{
    descriptor[1] = TRACK_LAYOUT;
    descriptor[2] = track;
    put_address(drive, descriptor + 4, block);
    return descriptor + 8;
}

static unsigned toc_tracks(const struct ide_drive *drive, uint8_t *descriptors)
{
    uint8_t start = drive->atapi.packet[6];
    uint8_t *descriptor = descriptors;

    if (start > TRACK && start != LEAD_OUT)
        return 0;
    if (start <= TRACK)
        descriptor = put_track(drive, descriptor, TRACK, 0);
    return (unsigned)(put_track(drive, descriptor, LEAD_OUT, atapi_blocks(drive)) - descriptors);
}

static unsigned toc_sessions(const struct ide_drive *drive, uint8_t *descriptors)
{
    return (unsigned)(put_track(drive, descriptors, TRACK, 0) - descriptors);
}

/* As the lead-in holds it. */
static unsigned toc_raw(const struct ide_drive *drive, uint8_t *descriptors)
{
    static const uint8_t points[] = {0xa0, 0xa1, 0xa2, TRACK};
    uint8_t *descriptor = descriptors;

    if (drive->atapi.packet[6] > SESSION)
        return 0;
    for (unsigned i = 0; i < sizeof points; i++, descriptor += 11) {
        descriptor[0] = SESSION;
        descriptor[1] = TRACK_LAYOUT;
        descriptor[3] = points[i];
        if (points[i] == 0xa0 || points[i] == 0xa1)
            descriptor[8] = TRACK; /* the first, and the last one of the session */
        else
            cd_address(descriptor + 8, points[i] == TRACK ? 0 : atapi_blocks(drive));
    }
    return (unsigned)(descriptor - descriptors);
}

void atapi_read_toc(struct ide_channel *channel, struct ide_drive *drive)
{
    static toc_fn *const formats[] = {[TOC_TRACKS] = toc_tracks, [TOC_SESSIONS] = toc_sessions, [TOC_RAW] = toc_raw};
    const uint8_t *packet = drive->atapi.packet;
    uint8_t format = packet[2] & TOC_FORMAT;
    uint8_t *reply = atapi_reply_buffer(channel);
    unsigned length = 0;

    if (format == 0)
        format = packet[9] >> TOC_FORMAT_OLD;
    if (format < sizeof formats / sizeof *formats)
        length = formats[format](drive, reply + TOC_HEADER_LENGTH);
    if (length == 0) {
        atapi_invalid_field(channel, drive);
        return;
    }
    atapi_put(reply, 2, TOC_HEADER_LENGTH + length - 2);
    reply[2] = TRACK; /* first and last, of tracks or of sessions */
    reply[3] = TRACK;
    atapi_reply(channel, drive, TOC_HEADER_LENGTH + length, atapi_get(packet + 7, 2));
}

/* ---- READ SUB-CHANNEL (MMC-5, 6.25) ---- */

#define SUB_CHANNEL_DATA          0x40 /* byte 2: more than the header */
#define SUB_CHANNEL_HEADER_LENGTH 4
#define SUB_CHANNEL_POSITION      1
#define SUB_CHANNEL_CATALOGUE     2
#define SUB_CHANNEL_RECORDING     3

void atapi_read_sub_channel(struct ide_channel *channel, struct ide_drive *drive)
{
    /* Of catalogue number and recording code it says that there are none. */
    static const uint8_t lengths[] = {
        [SUB_CHANNEL_POSITION] = 12, [SUB_CHANNEL_CATALOGUE] = 20, [SUB_CHANNEL_RECORDING] = 20};
    const struct atapi *atapi = &drive->atapi;
    uint8_t format = atapi->packet[3];
    uint8_t *reply = atapi_reply_buffer(channel);
    uint8_t *data = reply + SUB_CHANNEL_HEADER_LENGTH;
    unsigned length = 0;

    if (atapi->packet[2] & SUB_CHANNEL_DATA) {
        if (format < SUB_CHANNEL_POSITION || format > SUB_CHANNEL_RECORDING ||
            (format == SUB_CHANNEL_RECORDING && atapi->packet[6] != TRACK)) {
            atapi_invalid_field(channel, drive);
            return;
        }
        length = lengths[format];
        data[0] = format;
        data[1] = format == SUB_CHANNEL_CATALOGUE ? 0 : TRACK_LAYOUT;
        data[2] = format == SUB_CHANNEL_CATALOGUE ? 0 : TRACK;
        if (format == SUB_CHANNEL_POSITION) {
            data[3] = 1; /* index */
            put_address(drive, data + 4, atapi->position);
            put_address(drive, data + 8, atapi->position); /* within the track */
        }
    }
    atapi_put(reply + 2, 2, length);
    atapi_reply(channel, drive, SUB_CHANNEL_HEADER_LENGTH + length, atapi_get(atapi->packet + 7, 2));
}

/* ---- READ DISC INFORMATION and READ TRACK INFORMATION (MMC-5, 6.22 and 6.27) ---- */

#define DISC_INFORMATION_LENGTH  34
#define DISC_COMPLETE            0x0e /* the last session and the disc; not erasable */
#define DISC_UNRESTRICTED_USE    0x20
#define TRACK_INFORMATION_LENGTH 36
#define TRACK_ADDRESS_TYPE       0x03
#define TRACK_MODE_DATA          0x04
#define TRACK_DATA_MODE_1        0x01

void atapi_read_disc_information(struct ide_channel *channel, struct ide_drive *drive)
{
    const uint8_t *packet = drive->atapi.packet;
    uint8_t *reply = atapi_reply_buffer(channel);

    /* Only the standard information: nothing here has tracks that are yet to be written. */
    if (packet[1] & 0x07) {
        atapi_invalid_field(channel, drive);
        return;
    }
    atapi_put(reply, 2, DISC_INFORMATION_LENGTH - 2);
    reply[2] = DISC_COMPLETE;
    reply[3] = TRACK;
    reply[4] = SESSION; /* how many */
    reply[5] = TRACK;   /* first and last of the last session */
    reply[6] = TRACK;
    reply[7] = DISC_UNRESTRICTED_USE;
    atapi_put(reply + 16, 4, NO_ADDRESS); /* where a next session's lead-in, */
    atapi_put(reply + 20, 4, NO_ADDRESS); /* and its lead-out could be */
    atapi_reply(channel, drive, DISC_INFORMATION_LENGTH, atapi_get(packet + 7, 2));
}

/* Whether the packet names the one track: by a block of it, by its number, or by its session's. */
static bool names_track(const struct ide_drive *drive, uint8_t type, uint32_t number)
{
    return type == 0 ? number < atapi_blocks(drive) : number == (type == 1 ? TRACK : SESSION);
}

void atapi_read_track_information(struct ide_channel *channel, struct ide_drive *drive)
{
    const uint8_t *packet = drive->atapi.packet;
    uint8_t type = packet[1] & TRACK_ADDRESS_TYPE;
    uint8_t *reply = atapi_reply_buffer(channel);

    if (type == 3 || (type != 0 && !names_track(drive, type, atapi_get(packet + 2, 4)))) {
        atapi_invalid_field(channel, drive);
        return;
    }
    if (!names_track(drive, type, atapi_get(packet + 2, 4))) {
        atapi_check(channel, drive, ATAPI_ILLEGAL_REQUEST, ATAPI_BLOCK_OUT_OF_RANGE);
        return;
    }
    atapi_put(reply, 2, TRACK_INFORMATION_LENGTH - 2);
    reply[2] = TRACK;
    reply[3] = SESSION;
    reply[5] = TRACK_MODE_DATA;
    reply[6] = TRACK_DATA_MODE_1;
    atapi_put(reply + 24, 4, atapi_blocks(drive));
    atapi_reply(channel, drive, TRACK_INFORMATION_LENGTH, atapi_get(packet + 7, 2));
}

/* ---- READ DVD STRUCTURE (MMC-5, 6.23) ---- */

#define STRUCTURE_HEADER_LENGTH 4
#define STRUCTURE_PHYSICAL      0x00
#define STRUCTURE_COPYRIGHT     0x01
#define STRUCTURE_MANUFACTURER  0x04
#define STRUCTURE_LIST          0xff
#define LAYER_FIRST_SECTOR      0x30000u /* physical number of block 0 */

static const struct {
    uint8_t format;
    uint16_t length;
} structures[] = {
    {STRUCTURE_PHYSICAL,     2048},
    {STRUCTURE_COPYRIGHT,    4   }, /* no protection, every region: zeros */
    {STRUCTURE_MANUFACTURER, 2048}, /* empty */
};

#define STRUCTURES (sizeof structures / sizeof *structures)

/* One layer, however large. */
static void put_physical(const struct ide_drive *drive, uint8_t *data)
{
    data[0] = 0x01; /* a DVD-ROM by version 1 of its book */
    data[1] = 0x0f; /* 120 mm, no minimum rate */
    data[2] = 0x01; /* one layer, embossed */
    atapi_put(data + 5, 3, LAYER_FIRST_SECTOR);
    atapi_put(data + 9, 3, LAYER_FIRST_SECTOR + atapi_blocks(drive) - 1);
}

/* Which structures there are. Returns the length. */
static unsigned put_list(uint8_t *data)
{
    for (unsigned i = 0; i < STRUCTURES; i++) {
        uint8_t *entry = data + 4 * i;

        entry[0] = structures[i].format;
        entry[1] = 0x40; /* can be read */
        atapi_put(entry + 2, 2, STRUCTURE_HEADER_LENGTH + structures[i].length);
    }
    return 4 * STRUCTURES;
}

/* Returns its length, 0 if there is no such structure. */
static unsigned put_structure(const struct ide_drive *drive, uint8_t format, uint8_t *data)
{
    if (format == STRUCTURE_LIST)
        return put_list(data);
    if (format == STRUCTURE_PHYSICAL)
        put_physical(drive, data);
    for (unsigned i = 0; i < STRUCTURES; i++)
        if (structures[i].format == format)
            return structures[i].length;
    return 0;
}

void atapi_read_dvd_structure(struct ide_channel *channel, struct ide_drive *drive)
{
    const uint8_t *packet = drive->atapi.packet;
    uint8_t *reply = atapi_reply_buffer(channel);
    unsigned length;

    if (atapi_profile(drive) != ATAPI_PROFILE_DVD_ROM) {
        atapi_check(channel, drive, ATAPI_ILLEGAL_REQUEST, ATAPI_INCOMPATIBLE_MEDIUM);
        return;
    }
    length = put_structure(drive, packet[7], reply + STRUCTURE_HEADER_LENGTH);
    if (length == 0 || packet[1] & 0x0f || packet[6] != 0) {
        atapi_invalid_field(channel, drive);
        return;
    }
    atapi_put(reply, 2, STRUCTURE_HEADER_LENGTH + length - 2);
    atapi_reply(channel, drive, STRUCTURE_HEADER_LENGTH + length, atapi_get(packet + 8, 2));
}
