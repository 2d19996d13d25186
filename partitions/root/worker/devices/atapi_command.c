/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/atapi_command.h"

#include <string.h>
#include "partitions/root/worker/devices/atapi.h"
#include "partitions/root/worker/devices/atapi_medium.h"
#include "partitions/root/worker/devices/atapi_mode.h"

/* REQUEST SENSE. */
#define SENSE_LENGTH 18
#define SENSE_FIXED  0x70
#define SENSE_VALID  0x80

/* INQUIRY. */
#define INQUIRY_VITAL_PAGE 0x01
#define INQUIRY_LENGTH     36
#define DEVICE_TYPE_CD     0x05
#define PAGE_SUPPORTED     0x00
#define PAGE_SERIAL_NUMBER 0x80
#define PAGE_HEADER_LENGTH 4

/* START STOP UNIT, byte 4. */
#define START_STOP_START 0x01
#define START_STOP_LOAD  0x02
#define START_STOP_POWER 4 /* shift of the power condition */

/* PREVENT ALLOW MEDIUM REMOVAL, byte 4. */
#define PREVENT            0x01
#define PREVENT_PERSISTENT 0x02

/* When a packet is executed. */
#define NEEDS_MEDIUM 0x01
#define UNATTENDED   0x02 /* even if a unit attention waits, which is left for another */
#define KEEPS_SENSE  0x04

static void test_unit_ready(struct ide_channel *channel, struct ide_drive *drive)
{
    atapi_good(channel, drive);
}

/* False if there is none. */
static bool take_attention(struct atapi *atapi, uint16_t *code)
{
    static const struct {
        uint8_t attention;
        uint16_t code;
    } attentions[] = {
        {ATAPI_ATTENTION_RESET,  ATAPI_RESET_OCCURRED         },
        {ATAPI_ATTENTION_MEDIUM, ATAPI_MEDIUM_MAY_HAVE_CHANGED},
    };

    for (unsigned i = 0; i < sizeof attentions / sizeof *attentions; i++) {
        if (atapi->attention & attentions[i].attention) {
            atapi->attention &= (uint8_t)~attentions[i].attention;
            *code = attentions[i].code;
            return true;
        }
    }
    return false;
}

/* Of the last command, or the next unit attention; told once. */
static void request_sense(struct ide_channel *channel, struct ide_drive *drive)
{
    struct atapi *atapi = &drive->atapi;
    uint8_t *reply = atapi_reply_buffer(channel);
    struct atapi_sense sense = atapi->sense;

    atapi->sense = (struct atapi_sense){0};
    if (sense.key == ATAPI_NO_SENSE && take_attention(atapi, &sense.code))
        sense.key = ATAPI_UNIT_ATTENTION;
    reply[0] = SENSE_FIXED | (sense.valid ? SENSE_VALID : 0);
    reply[2] = sense.key;
    atapi_put(reply + 3, 4, sense.information);
    reply[7] = SENSE_LENGTH - 8;
    atapi_put(reply + 12, 2, sense.code);
    atapi_reply(channel, drive, SENSE_LENGTH, atapi->packet[4]);
}

/* Vital product data: which pages there are, and the serial number. */
static void inquire_page(struct ide_channel *channel, struct ide_drive *drive)
{
    static const uint8_t pages[] = {PAGE_SUPPORTED, PAGE_SERIAL_NUMBER};
    const uint8_t *packet = drive->atapi.packet;
    uint8_t *reply = atapi_reply_buffer(channel);
    uint8_t length;

    if (packet[2] == PAGE_SUPPORTED) {
        length = sizeof pages;
        memcpy(reply + PAGE_HEADER_LENGTH, pages, sizeof pages);
    } else if (packet[2] == PAGE_SERIAL_NUMBER) {
        length = (uint8_t)strlen(drive->serial);
        memcpy(reply + PAGE_HEADER_LENGTH, drive->serial, length);
    } else {
        atapi_invalid_field(channel, drive);
        return;
    }
    reply[0] = DEVICE_TYPE_CD;
    reply[1] = packet[2];
    reply[3] = length;
    atapi_reply(channel, drive, PAGE_HEADER_LENGTH + length, atapi_get(packet + 3, 2));
}

static void inquiry(struct ide_channel *channel, struct ide_drive *drive)
{
    static const uint8_t data[INQUIRY_LENGTH + 1] = "\x05\x80" /* a CD device with a removable medium */
                                                    "\x05\x32" /* SPC-3, ATAPI */
                                                    "\x1f\0\0\0"
                                                    "Loam    "
                                                    "Virtual DVD-ROM "
                                                    "1.0 ";
    const uint8_t *packet = drive->atapi.packet;

    if (packet[1] & INQUIRY_VITAL_PAGE) {
        inquire_page(channel, drive);
    } else if (packet[2] != 0) {
        atapi_invalid_field(channel, drive);
    } else {
        memcpy(atapi_reply_buffer(channel), data, INQUIRY_LENGTH);
        atapi_reply(channel, drive, INQUIRY_LENGTH, atapi_get(packet + 3, 2));
    }
}

static void no_medium(struct ide_channel *channel, struct ide_drive *drive)
{
    atapi_check(channel, drive, ATAPI_NOT_READY,
                drive->atapi.tray_open ? ATAPI_NO_MEDIUM_TRAY_OPEN : ATAPI_NO_MEDIUM_TRAY_CLOSED);
}

/* Power conditions of START STOP UNIT (MMC-5, 6.42); 0: it is about the disc instead. */
static void set_power(struct ide_channel *channel, struct ide_drive *drive, uint8_t condition)
{
    static const enum ide_power powers[] = {
        [1] = IDE_POWER_ACTIVE, [2] = IDE_POWER_IDLE, [3] = IDE_POWER_STANDBY, [5] = IDE_POWER_SLEEP};

    if (condition == 4 || condition >= sizeof powers / sizeof *powers) {
        atapi_invalid_field(channel, drive);
        return;
    }
    drive->power = powers[condition];
    atapi_good(channel, drive);
}

static void start_stop_unit(struct ide_channel *channel, struct ide_drive *drive)
{
    uint8_t how = drive->atapi.packet[4];

    if (how >> START_STOP_POWER) {
        set_power(channel, drive, how >> START_STOP_POWER);
        return;
    }
    switch (how & (START_STOP_LOAD | START_STOP_START)) {
    case START_STOP_LOAD:
        if (atapi_removal_prevented(drive)) {
            atapi_check(channel, drive, ATAPI_ILLEGAL_REQUEST, ATAPI_MEDIUM_REMOVAL_PREVENTED);
            return;
        }
        atapi_eject(channel, drive);
        break;
    case START_STOP_LOAD | START_STOP_START:
        drive->atapi.tray_open = false;
        break;
    case START_STOP_START:
        if (!drive->disk) {
            no_medium(channel, drive);
            return;
        }
        break;
    }
    atapi_good(channel, drive);
}

static void prevent_allow_medium_removal(struct ide_channel *channel, struct ide_drive *drive)
{
    uint8_t how = drive->atapi.packet[4];

    if (how & PREVENT_PERSISTENT)
        drive->atapi.prevented_persistent = how & PREVENT;
    else
        drive->atapi.prevented = how & PREVENT;
    atapi_good(channel, drive);
}

/* What is to be done is done already. */
static void nothing(struct ide_channel *channel, struct ide_drive *drive)
{
    atapi_good(channel, drive);
}

struct command {
    atapi_handler_fn *start;
    atapi_handler_fn *received; /* if it asks for parameters */
    uint8_t flags;
};

static const struct command commands[256] = {
    [0x00] = {test_unit_ready,              NULL,                NEEDS_MEDIUM            },
    [0x03] = {request_sense,                NULL,                UNATTENDED | KEEPS_SENSE},
    [0x12] = {inquiry,                      NULL,                UNATTENDED              },
    [0x15] = {atapi_mode_select,            atapi_mode_selected, 0                       },
    [0x1a] = {atapi_mode_sense,             NULL,                0                       },
    [0x1b] = {start_stop_unit,              NULL,                0                       },
    [0x1e] = {prevent_allow_medium_removal, NULL,                0                       },
    [0x25] = {atapi_read_capacity,          NULL,                NEEDS_MEDIUM            },
    [0x28] = {atapi_read_10,                NULL,                NEEDS_MEDIUM            },
    [0x2b] = {atapi_seek,                   NULL,                NEEDS_MEDIUM            },
    [0x35] = {nothing,                      NULL,                0                       }, /* SYNCHRONIZE CACHE */
    [0x42] = {atapi_read_sub_channel,       NULL,                NEEDS_MEDIUM            },
    [0x43] = {atapi_read_toc,               NULL,                NEEDS_MEDIUM            },
    [0x46] = {atapi_get_configuration,      NULL,                UNATTENDED              },
    [0x4a] = {atapi_get_event_status,       NULL,                UNATTENDED              },
    [0x51] = {atapi_read_disc_information,  NULL,                NEEDS_MEDIUM            },
    [0x52] = {atapi_read_track_information, NULL,                NEEDS_MEDIUM            },
    [0x55] = {atapi_mode_select,            atapi_mode_selected, 0                       },
    [0x5a] = {atapi_mode_sense,             NULL,                0                       },
    [0xa8] = {atapi_read_12,                NULL,                NEEDS_MEDIUM            },
    [0xad] = {atapi_read_dvd_structure,     NULL,                NEEDS_MEDIUM            },
    [0xb9] = {atapi_read_cd_msf,            NULL,                NEEDS_MEDIUM            },
    [0xbb] = {atapi_set_cd_speed,           NULL,                0                       },
    [0xbd] = {atapi_mechanism_status,       NULL,                0                       },
    [0xbe] = {atapi_read_cd,                NULL,                NEEDS_MEDIUM            },
};

void atapi_execute(struct ide_channel *channel, struct ide_drive *drive)
{
    struct atapi *atapi = &drive->atapi;
    const struct command *command = &commands[atapi->packet[0]];
    uint16_t code;

    if (!(command->flags & KEEPS_SENSE))
        atapi->sense = (struct atapi_sense){0};
    if (!(command->flags & UNATTENDED) && take_attention(atapi, &code))
        atapi_check(channel, drive, ATAPI_UNIT_ATTENTION, code);
    else if (!command->start)
        atapi_check(channel, drive, ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_COMMAND);
    else if (command->flags & NEEDS_MEDIUM && !drive->disk)
        no_medium(channel, drive);
    else
        command->start(channel, drive);
}

void atapi_parameters_received(struct ide_channel *channel, struct ide_drive *drive)
{
    commands[drive->atapi.packet[0]].received(channel, drive);
}
