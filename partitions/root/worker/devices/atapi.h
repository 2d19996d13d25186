/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PACKET command (ATA/ATAPI-6, 8.23 and 9.8): how a packet, its data and its end pass between host and DVD
 * drive. What packets mean: atapi_command.c. Used under the device lock.
 *
 * A packet's command ends by exactly one of atapi_good, atapi_check, or what atapi_reply, atapi_receive and
 * atapi_read lead to.
 */
#ifndef WORKER_DEVICES_ATAPI_H
#define WORKER_DEVICES_ATAPI_H

#include <stdint.h>
#include "partitions/root/worker/devices/ide_channel.h"

/* The size of a block that a READ command counts in. */
#define ATAPI_BLOCK_SIZE    2048u
#define ATAPI_BLOCK_SECTORS (ATAPI_BLOCK_SIZE / DISK_SECTOR_SIZE)

/* No reply is longer. */
#define ATAPI_REPLY_MAXIMUM 4096u

/* Sense keys (SPC-3, 4.5.6). */
enum atapi_sense_key {
    ATAPI_NO_SENSE = 0x0,
    ATAPI_NOT_READY = 0x2,
    ATAPI_MEDIUM_ERROR = 0x3,
    ATAPI_ILLEGAL_REQUEST = 0x5,
    ATAPI_UNIT_ATTENTION = 0x6,
    ATAPI_ABORTED_COMMAND = 0xb,
};

/* Additional sense codes with their qualifiers (MMC-5, annex F). */
#define ATAPI_UNRECOVERED_READ_ERROR   0x1100
#define ATAPI_PARAMETER_LENGTH_ERROR   0x1a00
#define ATAPI_INVALID_COMMAND          0x2000
#define ATAPI_BLOCK_OUT_OF_RANGE       0x2100
#define ATAPI_INVALID_FIELD_IN_CDB     0x2400
#define ATAPI_INVALID_FIELD_IN_LIST    0x2600
#define ATAPI_MEDIUM_MAY_HAVE_CHANGED  0x2800
#define ATAPI_RESET_OCCURRED           0x2900
#define ATAPI_INCOMPATIBLE_MEDIUM      0x3002
#define ATAPI_SAVING_NOT_SUPPORTED     0x3900
#define ATAPI_NO_MEDIUM_TRAY_CLOSED    0x3a01
#define ATAPI_NO_MEDIUM_TRAY_OPEN      0x3a02
#define ATAPI_DATA_PHASE_ERROR         0x4b00
#define ATAPI_MEDIUM_REMOVAL_PREVENTED 0x5302
#define ATAPI_ILLEGAL_MODE_FOR_TRACK   0x6400

/* The ATA command PACKET: asks for the packet. */
void atapi_start(struct ide_channel *channel, struct ide_drive *drive);

/* Ends the command well. */
void atapi_good(struct ide_channel *channel, struct ide_drive *drive);

/* CHECK CONDITION: ends the command, and REQUEST SENSE will say why. */
void atapi_check(struct ide_channel *channel, struct ide_drive *drive, enum atapi_sense_key key, uint16_t code);

/* The most frequent reason. */
void atapi_invalid_field(struct ide_channel *channel, struct ide_drive *drive);

/* Where a reply is composed: ATAPI_REPLY_MAXIMUM zeros. */
uint8_t *atapi_reply_buffer(struct ide_channel *channel);

/* Sends the reply, at most `allocation` bytes of it. */
void atapi_reply(struct ide_channel *channel, struct ide_drive *drive, uint32_t length, uint32_t allocation);

/*
 * Asks for `length` bytes, 1 to sizeof channel->buffer, of parameters; atapi_parameters_received gets them in
 * channel->buffer.
 */
void atapi_receive(struct ide_channel *channel, struct ide_drive *drive, uint32_t length);

/*
 * Sends `count` blocks (at least one) from `address` on, which are on the medium. `fields` as in struct atapi;
 * `size`: bytes that the host gets of each.
 */
void atapi_read(struct ide_channel *channel, struct ide_drive *drive, uint32_t address, uint32_t count, uint8_t fields,
                uint32_t size);

/* Numbers as packets and replies hold them: the most significant byte first. */
static inline uint32_t atapi_get(const uint8_t *bytes, unsigned length)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < length; i++)
        value = value << 8 | bytes[i];
    return value;
}

static inline void atapi_put(uint8_t *bytes, unsigned length, uint32_t value)
{
    for (unsigned i = length; i-- > 0; value >>= 8)
        bytes[i] = value & 0xff;
}

#endif
