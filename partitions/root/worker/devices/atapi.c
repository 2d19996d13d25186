/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/atapi.h"

#include <errno.h>
#include <string.h>
#include "partitions/root/worker/devices/atapi_command.h"
#include "partitions/root/worker/devices/cd_sector.h"
#include "partitions/root/worker/devices/ide_transfer.h"

/* Features register of PACKET. DMADIR (04h) is for bridges that ask for it in IDENTIFY PACKET DEVICE. */
#define FEATURE_DMA     0x01
#define FEATURE_OVERLAP 0x02

/* Interrupt reason, which takes the place of the sector count. */
#define REASON_COMMAND 0x01 /* a packet or the end; otherwise data */
#define REASON_TO_HOST 0x02

/* The sense key's place in the error register. */
#define ERROR_SENSE_SHIFT 4

/* Sectors of the disk that are read at once when they are to become larger: half of the buffer. */
#define BATCH_EXPANDED (IDE_BUFFER_SECTORS / 2)

/* The largest even byte count there is; FFFFh means it too. */
#define LIMIT_MAXIMUM 0xfffe

_Static_assert(BATCH_EXPANDED / ATAPI_BLOCK_SECTORS * CD_SECTOR_SIZE <= IDE_BUFFER_SECTORS * DISK_SECTOR_SIZE,
               "expanded sectors fit into the buffer");

void atapi_good(struct ide_channel *channel, struct ide_drive *drive)
{
    drive->registers.count[0] = REASON_COMMAND | REASON_TO_HOST;
    ide_channel_complete(channel, drive);
}

static void end_badly(struct ide_channel *channel, struct ide_drive *drive)
{
    drive->registers.count[0] = REASON_COMMAND | REASON_TO_HOST;
    ide_channel_fail(channel, drive, IDE_STATUS_ERR,
                     (uint8_t)(drive->atapi.sense.key << ERROR_SENSE_SHIFT | IDE_ERROR_ABRT));
}

void atapi_check(struct ide_channel *channel, struct ide_drive *drive, enum atapi_sense_key key, uint16_t code)
{
    drive->atapi.sense = (struct atapi_sense){.key = key, .code = code};
    end_badly(channel, drive);
}

void atapi_invalid_field(struct ide_channel *channel, struct ide_drive *drive)
{
    atapi_check(channel, drive, ATAPI_ILLEGAL_REQUEST, ATAPI_INVALID_FIELD_IN_CDB);
}

/* ---- Data ---- */

static void tell_block(struct ide_channel *channel, struct ide_drive *drive, uint32_t length, bool to_host)
{
    (void)channel;
    drive->registers.count[0] = to_host ? REASON_TO_HOST : 0;
    drive->registers.lba_middle[0] = length & 0xff;
    drive->registers.lba_high[0] = length >> 8 & 0xff;
}

/* Blocks of the medium have been read: READ CD may want more of a sector than they hold. */
static uint32_t blocks_fetched(struct ide_channel *channel, struct ide_drive *drive, uint32_t sectors)
{
    struct atapi *atapi = &drive->atapi;
    uint32_t blocks = sectors / ATAPI_BLOCK_SECTORS;
    uint8_t *data = ide_transfer_sectors(channel);
    uint32_t length = 0;

    if (!atapi->fields)
        return blocks * ATAPI_BLOCK_SIZE;
    for (uint32_t i = 0; i < blocks; i++) {
        uint8_t sector[CD_SECTOR_SIZE];

        cd_sector_make(sector, atapi->address++, data + i * ATAPI_BLOCK_SIZE);
        length += cd_sector_fields(sector, atapi->fields, channel->buffer + length);
    }
    return length;
}

static void data_failed(struct ide_channel *channel, struct ide_drive *drive, int error)
{
    if (error == ENOMEDIUM) {
        atapi_check(channel, drive, ATAPI_NOT_READY, ATAPI_NO_MEDIUM_TRAY_OPEN);
    } else if (error == EFAULT) {
        atapi_check(channel, drive, ATAPI_ABORTED_COMMAND, ATAPI_DATA_PHASE_ERROR);
    } else {
        drive->atapi.sense =
            (struct atapi_sense){.key = ATAPI_MEDIUM_ERROR,
                                 .code = ATAPI_UNRECOVERED_READ_ERROR,
                                 .valid = true,
                                 .information = (uint32_t)(channel->transfer.sector / ATAPI_BLOCK_SECTORS)};
        end_badly(channel, drive);
    }
}

static const struct ide_protocol data_protocol = {
    .block = tell_block,
    .fetched = blocks_fetched,
    .received = atapi_parameters_received,
    .done = atapi_good,
    .failed = data_failed,
};

/* False, and the command is over: the host has said that it does not expect data. */
static bool data_expected(struct ide_channel *channel, struct ide_drive *drive)
{
    if (drive->atapi.dma || drive->atapi.limit > 0)
        return true;
    atapi_invalid_field(channel, drive);
    return false;
}

/* Bytes a DRQ block: whole pieces of `size` if the host takes as much, and even unless it is the last. */
static uint32_t block_length(const struct atapi *atapi, uint32_t size)
{
    if (atapi->limit >= size)
        return atapi->limit - atapi->limit % size;
    return atapi->limit > 1 ? atapi->limit & ~1u : 1;
}

uint8_t *atapi_reply_buffer(struct ide_channel *channel)
{
    return memset(channel->buffer, 0, ATAPI_REPLY_MAXIMUM);
}

void atapi_reply(struct ide_channel *channel, struct ide_drive *drive, uint32_t length, uint32_t allocation)
{
    if (length > allocation)
        length = allocation;
    if (length == 0) {
        atapi_good(channel, drive);
        return;
    }
    if (!data_expected(channel, drive))
        return;
    channel->transfer = (struct ide_transfer){
        .protocol = &data_protocol,
        .kind = drive->atapi.dma ? IDE_TRANSFER_SEND_DMA : IDE_TRANSFER_PIO_IN,
        .block = block_length(&drive->atapi, length),
        .filled = length,
    };
    ide_transfer_begin(channel);
}

void atapi_receive(struct ide_channel *channel, struct ide_drive *drive, uint32_t length)
{
    if (!data_expected(channel, drive))
        return;
    channel->transfer = (struct ide_transfer){
        .protocol = &data_protocol,
        .kind = drive->atapi.dma ? IDE_TRANSFER_RECEIVE_DMA : IDE_TRANSFER_RECEIVE_PIO,
        .block = block_length(&drive->atapi, length),
        .filled = length,
    };
    ide_transfer_begin(channel);
    if (channel->phase == IDE_PHASE_PIO_OUT) {
        drive->interrupt = true;
        ide_channel_update_interrupt(channel);
    }
}

void atapi_read(struct ide_channel *channel, struct ide_drive *drive, uint32_t address, uint32_t count, uint8_t fields,
                uint32_t size)
{
    struct atapi *atapi = &drive->atapi;

    if (!data_expected(channel, drive))
        return;
    drive->power = IDE_POWER_ACTIVE;
    atapi->address = address;
    atapi->fields = fields;
    atapi->position = address + count - 1;
    channel->transfer = (struct ide_transfer){
        .protocol = &data_protocol,
        .sector = (uint64_t)address * ATAPI_BLOCK_SECTORS,
        .remaining = count * ATAPI_BLOCK_SECTORS,
        .batch = fields ? BATCH_EXPANDED : IDE_BUFFER_SECTORS,
        .block = block_length(atapi, size),
    };
    if (!atapi->dma)
        channel->transfer.kind = IDE_TRANSFER_PIO_IN;
    else
        channel->transfer.kind = fields ? IDE_TRANSFER_SEND_DMA : IDE_TRANSFER_DMA_IN;
    ide_transfer_begin(channel);
}

/* ---- The packet ---- */

static void packet_received(struct ide_channel *channel, struct ide_drive *drive)
{
    memcpy(drive->atapi.packet, channel->buffer, ATAPI_PACKET_LENGTH);
    atapi_execute(channel, drive);
}

static const struct ide_protocol packet_protocol = {
    .received = packet_received,
    .done = atapi_good,
    .failed = data_failed,
};

void atapi_start(struct ide_channel *channel, struct ide_drive *drive)
{
    const struct ide_task_file *registers = &drive->registers;
    struct atapi *atapi = &drive->atapi;

    if (registers->features[0] & FEATURE_OVERLAP) {
        ide_channel_fail(channel, drive, IDE_STATUS_ERR, IDE_ERROR_ABRT);
        return;
    }
    atapi->dma = registers->features[0] & FEATURE_DMA;
    atapi->limit = registers->lba_middle[0] | (uint32_t)registers->lba_high[0] << 8;
    if (atapi->limit > LIMIT_MAXIMUM)
        atapi->limit = LIMIT_MAXIMUM;
    channel->transfer = (struct ide_transfer){.protocol = &packet_protocol,
                                              .kind = IDE_TRANSFER_RECEIVE_PIO,
                                              .block = ATAPI_PACKET_LENGTH,
                                              .filled = ATAPI_PACKET_LENGTH};
    ide_transfer_begin(channel);
    drive->registers.count[0] = REASON_COMMAND;
}
