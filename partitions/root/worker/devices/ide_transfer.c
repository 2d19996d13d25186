/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ide_transfer.h"

#include <errno.h>
#include <string.h>

#define STATUS_BLOCK (IDE_STATUS_DRDY | IDE_STATUS_DSC | IDE_STATUS_DRQ)

/* A command in progress belongs to the selected drive: nobody can select another one meanwhile. */
static struct ide_drive *busy_drive(struct ide_channel *channel)
{
    return ide_channel_selected(channel);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Tells the guest which sector failed, in the form in which it named the first one. */
static void store_address(struct ide_channel *channel, uint64_t sector, uint32_t count)
{
    struct ide_task_file *registers = &channel->registers;
    const struct disk_geometry *geometry = &busy_drive(channel)->geometry;
    uint64_t address = sector;
    uint8_t head = sector >> 24 & 0x0f;

    if (channel->transfer.addressing == IDE_ADDRESSING_CHS) {
        uint64_t track = sector / geometry->sectors_per_track;

        head = (uint8_t)(track % geometry->heads);
        address = (sector % geometry->sectors_per_track + 1) | track / geometry->heads << 8;
    }
    registers->lba_low[0] = address & 0xff;
    registers->lba_middle[0] = address >> 8 & 0xff;
    registers->lba_high[0] = address >> 16 & 0xff;
    registers->count[0] = count & 0xff;
    if (channel->transfer.addressing == IDE_ADDRESSING_LBA48) {
        registers->lba_low[1] = address >> 24 & 0xff;
        registers->lba_middle[1] = address >> 32 & 0xff;
        registers->lba_high[1] = address >> 40 & 0xff;
        registers->count[1] = count >> 8 & 0xff;
    } else {
        registers->device = (uint8_t)((registers->device & ~IDE_DEVICE_HEADS) | head);
    }
}

static bool writes(const struct ide_transfer *transfer)
{
    return transfer->kind == IDE_TRANSFER_PIO_OUT || transfer->kind == IDE_TRANSFER_DMA_OUT;
}

static bool needs_space(const struct ide_transfer *transfer)
{
    return writes(transfer) || transfer->kind == IDE_TRANSFER_FLUSH;
}

static void fail_request(struct ide_channel *channel, int error)
{
    const struct ide_transfer *transfer = &channel->transfer;

    if (transfer->kind == IDE_TRANSFER_FLUSH) {
        ide_channel_fail(channel, busy_drive(channel), IDE_STATUS_ERR | IDE_STATUS_DF, IDE_ERROR_ABRT);
        return;
    }
    store_address(channel, transfer->sector, transfer->remaining);
    if (error == EINVAL)
        ide_channel_fail(channel, busy_drive(channel), IDE_STATUS_ERR, IDE_ERROR_IDNF);
    else if (writes(transfer))
        ide_channel_fail(channel, busy_drive(channel), IDE_STATUS_ERR | IDE_STATUS_DF, IDE_ERROR_ABRT);
    else
        ide_channel_fail(channel, busy_drive(channel), IDE_STATUS_ERR, IDE_ERROR_UNC);
}

static void request_done(struct disk_request *request)
{
    struct ide_channel *channel = request->device;

    channel->in_flight = false;
    if (channel->abandoned) {
        ide_channel_request_abandoned(channel);
        return;
    }
    channel->request_done = true;
    ide_transfer_run(channel);
}

static void submit(struct ide_channel *channel)
{
    channel->request.error = 0;
    channel->in_flight = true;
    disk_submit(busy_drive(channel)->disk, &channel->request);
}

static void request(struct ide_channel *channel, enum disk_operation operation, uint32_t sectors,
                    unsigned vectors)
{
    channel->request = (struct disk_request){
        .operation = operation,
        .sector = channel->transfer.sector,
        .sectors = sectors,
        .vector = channel->vector,
        .vector_count = (int)vectors,
        .done = request_done,
        .device = channel,
    };
    submit(channel);
}

static void request_buffer(struct ide_channel *channel, enum disk_operation operation, uint32_t sectors)
{
    channel->vector[0] = (struct iovec){channel->buffer, sectors * DISK_SECTOR_SIZE};
    request(channel, operation, sectors, 1);
}

/* The bus master could not do its part: its Error bit tells, and the drive gives the command up. */
static void fail_bus_master(struct ide_channel *channel)
{
    channel->master.status &= (uint8_t)~IDE_BUS_MASTER_ACTIVE;
    channel->master.status |= IDE_BUS_MASTER_ERROR;
    store_address(channel, channel->transfer.sector, channel->transfer.remaining);
    ide_channel_fail(channel, busy_drive(channel), IDE_STATUS_ERR, IDE_ERROR_ABRT);
}

static void request_memory(struct ide_channel *channel, enum disk_operation operation)
{
    bool to_memory = channel->master.command & IDE_BUS_MASTER_TO_MEMORY;
    unsigned vectors;
    uint32_t sectors;

    if (!(channel->master.status & IDE_BUS_MASTER_ACTIVE) || !channel->may_master(channel->owner)) {
        channel->phase = IDE_PHASE_DMA;
        return;
    }
    if (to_memory != (operation == DISK_READ)) {
        fail_bus_master(channel);
        return;
    }
    switch (ide_bus_master_gather(&channel->master, channel->memory, channel->transfer.remaining,
                                  channel->vector, IDE_VECTORS, &vectors, &sectors)) {
    case IDE_GATHER_OK:
        request(channel, operation, sectors, vectors);
        return;
    case IDE_GATHER_EXHAUSTED:
        /* The table was too short: the engine is idle without an interrupt, and the drive goes on waiting. */
        channel->master.status &= (uint8_t)~IDE_BUS_MASTER_ACTIVE;
        channel->phase = IDE_PHASE_DMA;
        return;
    case IDE_GATHER_FAULT:
        fail_bus_master(channel);
        return;
    }
}

static void begin_flush(struct ide_channel *channel)
{
    channel->transfer.kind = IDE_TRANSFER_FLUSH;
    channel->transfer.remaining = 0;
}

/* The next request of the command in progress. */
static void start_request(struct ide_channel *channel)
{
    const struct ide_transfer *transfer = &channel->transfer;

    switch (transfer->kind) {
    case IDE_TRANSFER_PIO_IN:
    case IDE_TRANSFER_VERIFY:
        request_buffer(channel, DISK_READ, least(transfer->remaining, IDE_BUFFER_SECTORS));
        break;
    case IDE_TRANSFER_PIO_OUT:
        request_buffer(channel, DISK_WRITE, transfer->filled / DISK_SECTOR_SIZE);
        break;
    case IDE_TRANSFER_DMA_IN:
        request_memory(channel, DISK_READ);
        break;
    case IDE_TRANSFER_DMA_OUT:
        request_memory(channel, DISK_WRITE);
        break;
    case IDE_TRANSFER_FLUSH:
        request(channel, DISK_FLUSH, 0, 0);
        break;
    }
}

/* Asks the host for the next block, or offers it one. */
static void present_block(struct ide_channel *channel, enum ide_phase phase, uint32_t sectors, bool interrupt)
{
    struct ide_drive *drive = busy_drive(channel);
    struct ide_transfer *transfer = &channel->transfer;

    channel->phase = phase;
    transfer->block_end = transfer->position + sectors * DISK_SECTOR_SIZE;
    drive->status = STATUS_BLOCK;
    if (interrupt) {
        drive->interrupt = true;
        ide_channel_update_interrupt(channel);
    }
}

static void offer_block(struct ide_channel *channel)
{
    const struct ide_transfer *transfer = &channel->transfer;
    uint32_t buffered = (transfer->filled - transfer->position) / DISK_SECTOR_SIZE;

    present_block(channel, IDE_PHASE_PIO_IN, least(transfer->block, buffered), true);
}

/* `interrupt`: for every block but a command's first (ATA-6, clause 9). */
static void ask_block(struct ide_channel *channel, bool interrupt)
{
    const struct ide_transfer *transfer = &channel->transfer;
    uint32_t missing = transfer->remaining - transfer->position / DISK_SECTOR_SIZE;

    present_block(channel, IDE_PHASE_PIO_OUT, least(transfer->block, missing), interrupt);
}

/* All data has been written: at once durable if the guest has no write cache. */
static void end_write(struct ide_channel *channel)
{
    if (busy_drive(channel)->write_cache)
        ide_channel_complete(channel, busy_drive(channel));
    else
        begin_flush(channel);
}

static void end_dma(struct ide_channel *channel)
{
    ide_bus_master_finish(&channel->master);
    if (channel->transfer.kind == IDE_TRANSFER_DMA_OUT)
        end_write(channel);
    else
        ide_channel_complete(channel, busy_drive(channel));
}

/* A request has succeeded. */
static void finish_request(struct ide_channel *channel)
{
    struct ide_transfer *transfer = &channel->transfer;

    transfer->sector += channel->request.sectors;
    transfer->remaining -= channel->request.sectors;
    transfer->position = 0;
    switch (transfer->kind) {
    case IDE_TRANSFER_PIO_IN:
        transfer->filled = channel->request.sectors * DISK_SECTOR_SIZE;
        offer_block(channel);
        break;
    case IDE_TRANSFER_PIO_OUT:
        if (transfer->remaining > 0)
            ask_block(channel, true);
        else
            end_write(channel);
        break;
    case IDE_TRANSFER_DMA_IN:
    case IDE_TRANSFER_DMA_OUT:
        if (transfer->remaining == 0)
            end_dma(channel);
        break;
    case IDE_TRANSFER_VERIFY:
        if (transfer->remaining == 0)
            ide_channel_complete(channel, busy_drive(channel));
        break;
    case IDE_TRANSFER_FLUSH:
        ide_channel_complete(channel, busy_drive(channel));
        break;
    }
}

/* Looks at the result of the request that is back. */
static void take_result(struct ide_channel *channel)
{
    channel->request_done = false;
    if (channel->request.error == ENOSPC && needs_space(&channel->transfer)) {
        channel->no_space = true;
        channel->no_space_hook(channel->machine, busy_drive(channel)->disk);
    } else if (channel->request.error) {
        fail_request(channel, channel->request.error);
    } else {
        finish_request(channel);
    }
}

void ide_transfer_run(struct ide_channel *channel)
{
    if (channel->running)
        return;
    channel->running = true;
    while (channel->phase == IDE_PHASE_DISK && !channel->in_flight && !channel->no_space) {
        if (channel->request_done)
            take_result(channel);
        else
            start_request(channel);
    }
    channel->running = false;
}

void ide_transfer_retry(struct ide_channel *channel)
{
    if (!channel->no_space)
        return;
    channel->no_space = false;
    channel->running = true;
    submit(channel);
    channel->running = false;
    ide_transfer_run(channel);
}

void ide_transfer_begin(struct ide_channel *channel)
{
    struct ide_transfer *transfer = &channel->transfer;

    transfer->filled = 0;
    transfer->position = 0;
    busy_drive(channel)->status = IDE_STATUS_BSY | IDE_STATUS_DRDY | IDE_STATUS_DSC;
    if (transfer->kind == IDE_TRANSFER_PIO_OUT) {
        ask_block(channel, false);
        return;
    }
    channel->phase = IDE_PHASE_DISK;
    ide_transfer_run(channel);
}

void ide_transfer_begin_internal(struct ide_channel *channel)
{
    struct ide_transfer *transfer = &channel->transfer;

    *transfer = (struct ide_transfer){.kind = IDE_TRANSFER_PIO_IN, .block = 1, .filled = DISK_SECTOR_SIZE};
    offer_block(channel);
}

/* The host has read a whole block. */
static void block_read(struct ide_channel *channel)
{
    struct ide_drive *drive = busy_drive(channel);
    struct ide_transfer *transfer = &channel->transfer;

    if (transfer->position < transfer->filled) {
        offer_block(channel);
        return;
    }
    if (transfer->remaining == 0) {
        channel->phase = IDE_PHASE_IDLE;
        drive->status = IDE_STATUS_DRDY | IDE_STATUS_DSC;
        return;
    }
    drive->status = IDE_STATUS_BSY | IDE_STATUS_DRDY | IDE_STATUS_DSC;
    channel->phase = IDE_PHASE_DISK;
    ide_transfer_run(channel);
}

/*
 * The host has written a whole block. Blocks are gathered; the disk gets them when the buffer cannot take
 * another.
 */
static void block_written(struct ide_channel *channel)
{
    struct ide_transfer *transfer = &channel->transfer;
    uint32_t gathered = transfer->position / DISK_SECTOR_SIZE;

    if (gathered < transfer->remaining && gathered + transfer->block <= IDE_BUFFER_SECTORS) {
        ask_block(channel, true);
        return;
    }
    transfer->filled = transfer->position;
    busy_drive(channel)->status = IDE_STATUS_BSY | IDE_STATUS_DRDY | IDE_STATUS_DSC;
    channel->phase = IDE_PHASE_DISK;
    ide_transfer_run(channel);
}

size_t ide_transfer_data_in(struct ide_channel *channel, uint8_t *data, size_t length)
{
    struct ide_transfer *transfer = &channel->transfer;
    size_t moved;

    if (channel->phase != IDE_PHASE_PIO_IN)
        return 0;
    moved = transfer->block_end - transfer->position;
    if (moved > length)
        moved = length;
    memcpy(data, channel->buffer + transfer->position, moved);
    transfer->position += (uint32_t)moved;
    if (transfer->position == transfer->block_end)
        block_read(channel);
    return moved;
}

size_t ide_transfer_data_out(struct ide_channel *channel, const uint8_t *data, size_t length)
{
    struct ide_transfer *transfer = &channel->transfer;
    size_t moved;

    if (channel->phase != IDE_PHASE_PIO_OUT)
        return 0;
    moved = transfer->block_end - transfer->position;
    if (moved > length)
        moved = length;
    memcpy(channel->buffer + transfer->position, data, moved);
    transfer->position += (uint32_t)moved;
    if (transfer->position == transfer->block_end)
        block_written(channel);
    return moved;
}

void ide_transfer_bus_master(struct ide_channel *channel)
{
    if (channel->phase != IDE_PHASE_DMA)
        return;
    channel->phase = IDE_PHASE_DISK;
    ide_transfer_run(channel);
}

void ide_transfer_abandon(struct ide_channel *channel)
{
    channel->phase = IDE_PHASE_IDLE;
    channel->no_space = false;
    channel->request_done = false;
    channel->abandoned = channel->in_flight;
}
