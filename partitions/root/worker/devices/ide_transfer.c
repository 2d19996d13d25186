/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/ide_transfer.h"

#include <errno.h>
#include <string.h>

#define STATUS_BUSY  (IDE_STATUS_DRDY | IDE_STATUS_DSC | IDE_STATUS_BSY)
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

static void end(struct ide_channel *channel)
{
    channel->transfer.protocol->done(channel, busy_drive(channel));
}

static void fail(struct ide_channel *channel, int error)
{
    channel->transfer.protocol->failed(channel, busy_drive(channel), error);
}

static void received(struct ide_channel *channel)
{
    channel->transfer.protocol->received(channel, busy_drive(channel));
}

/* Also reads do: of a disk whose parent is fetched, which keeps what it reads. */
static bool needs_space(const struct ide_transfer *transfer)
{
    return transfer->kind == IDE_TRANSFER_PIO_OUT || transfer->kind == IDE_TRANSFER_DMA_OUT ||
           transfer->kind == IDE_TRANSFER_PIO_IN || transfer->kind == IDE_TRANSFER_DMA_IN ||
           transfer->kind == IDE_TRANSFER_FLUSH;
}

/* ---- Requests ---- */

static void request_done(struct disk_request *request)
{
    struct ide_channel *channel = request->device;
    struct disk *leaving = channel->leaving;

    channel->in_flight = false;
    channel->leaving = NULL;
    if (leaving)
        channel->medium_released_hook(channel->machine, leaving);
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
    channel->requested = busy_drive(channel)->disk;
    disk_submit(channel->requested, &channel->request);
}

static void request(struct ide_channel *channel, enum disk_operation operation, uint32_t sectors, unsigned vectors)
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

uint8_t *ide_transfer_sectors(struct ide_channel *channel)
{
    return channel->buffer + (IDE_BUFFER_SECTORS - channel->transfer.batch) * DISK_SECTOR_SIZE;
}

static void request_buffer(struct ide_channel *channel, enum disk_operation operation, uint32_t sectors)
{
    channel->vector[0] = (struct iovec){ide_transfer_sectors(channel), sectors * DISK_SECTOR_SIZE};
    request(channel, operation, sectors, 1);
}

static void fetch(struct ide_channel *channel)
{
    request_buffer(channel, DISK_READ, least(channel->transfer.remaining, channel->transfer.batch));
}

/* ---- The bus master ---- */

/* It could not do its part: its Error bit tells, and the drive gives the command up. */
static void fail_bus_master(struct ide_channel *channel)
{
    channel->master.status &= (uint8_t)~IDE_BUS_MASTER_ACTIVE;
    channel->master.status |= IDE_BUS_MASTER_ERROR;
    fail(channel, EFAULT);
}

/* Whether the engine is there to move data. If it is not, the drive waits for it, or has given up. */
static bool engine_ready(struct ide_channel *channel, bool to_memory)
{
    if (!(channel->master.status & IDE_BUS_MASTER_ACTIVE) || !channel->may_master(channel->owner)) {
        channel->phase = IDE_PHASE_DMA;
        return false;
    }
    if (to_memory != !!(channel->master.command & IDE_BUS_MASTER_TO_MEMORY)) {
        fail_bus_master(channel);
        return false;
    }
    return true;
}

/* The walk along the table has come to its end, or to something that is no memory. */
static void engine_stopped(struct ide_channel *channel, enum ide_gather_result result)
{
    if (result == IDE_GATHER_FAULT) {
        fail_bus_master(channel);
        return;
    }
    /* The table was too short: the engine is idle without an interrupt, and the drive goes on waiting. */
    channel->master.status &= (uint8_t)~IDE_BUS_MASTER_ACTIVE;
    channel->phase = IDE_PHASE_DMA;
}

static void request_memory(struct ide_channel *channel, enum disk_operation operation)
{
    enum ide_gather_result result;
    unsigned vectors;
    uint32_t sectors;

    if (!engine_ready(channel, operation == DISK_READ))
        return;
    result = ide_bus_master_gather(&channel->master, channel->memory, channel->transfer.remaining, channel->vector,
                                   IDE_VECTORS, &vectors, &sectors);
    if (result == IDE_GATHER_OK)
        request(channel, operation, sectors, vectors);
    else
        engine_stopped(channel, result);
}

/* The buffer has been copied as far as it is filled. */
static void buffer_copied(struct ide_channel *channel)
{
    const struct ide_transfer *transfer = &channel->transfer;

    if (transfer->kind == IDE_TRANSFER_SEND_DMA && transfer->remaining > 0)
        return;
    ide_bus_master_finish(&channel->master);
    if (transfer->kind == IDE_TRANSFER_SEND_DMA)
        end(channel);
    else
        received(channel);
}

static void copy_buffer(struct ide_channel *channel, bool to_memory)
{
    struct ide_transfer *transfer = &channel->transfer;
    enum ide_gather_result result;
    uint32_t copied;

    if (!engine_ready(channel, to_memory))
        return;
    result = ide_bus_master_copy(&channel->master, channel->memory, channel->buffer + transfer->position,
                                 transfer->filled - transfer->position, to_memory, &copied);
    transfer->position += copied;
    if (result == IDE_GATHER_OK)
        buffer_copied(channel);
    else
        engine_stopped(channel, result);
}

/* ---- DRQ blocks ---- */

/* Asks the host for the next block, or offers it one. */
static void present_block(struct ide_channel *channel, enum ide_phase phase, uint32_t length, bool interrupt)
{
    struct ide_drive *drive = busy_drive(channel);
    struct ide_transfer *transfer = &channel->transfer;

    channel->phase = phase;
    transfer->block_end = transfer->position + length;
    drive->status = STATUS_BLOCK;
    if (transfer->protocol->block)
        transfer->protocol->block(channel, drive, length, phase == IDE_PHASE_PIO_IN);
    if (interrupt) {
        drive->interrupt = true;
        ide_channel_update_interrupt(channel);
    }
}

static void offer_block(struct ide_channel *channel)
{
    const struct ide_transfer *transfer = &channel->transfer;

    present_block(channel, IDE_PHASE_PIO_IN, least(transfer->block, transfer->filled - transfer->position), true);
}

/* `interrupt`: for every block but a command's first (ATA-6, clause 9). */
static void ask_block(struct ide_channel *channel, bool interrupt)
{
    const struct ide_transfer *transfer = &channel->transfer;
    uint32_t wanted =
        transfer->kind == IDE_TRANSFER_RECEIVE_PIO ? transfer->filled : transfer->remaining * DISK_SECTOR_SIZE;

    present_block(channel, IDE_PHASE_PIO_OUT, least(transfer->block, wanted - transfer->position), interrupt);
}

static void set_busy(struct ide_channel *channel)
{
    busy_drive(channel)->status = STATUS_BUSY;
    channel->phase = IDE_PHASE_DISK;
}

/* The host has read a whole block. */
static void block_read(struct ide_channel *channel)
{
    const struct ide_transfer *transfer = &channel->transfer;

    if (transfer->position < transfer->filled) {
        offer_block(channel);
        return;
    }
    if (transfer->remaining == 0) {
        end(channel);
        return;
    }
    set_busy(channel);
    ide_transfer_run(channel);
}

/*
 * The host has written a whole block. Blocks are gathered; the disk gets them when the buffer cannot take
 * another.
 */
static void block_written(struct ide_channel *channel)
{
    struct ide_transfer *transfer = &channel->transfer;
    bool receives = transfer->kind == IDE_TRANSFER_RECEIVE_PIO;
    uint32_t wanted = receives ? transfer->filled : transfer->remaining * DISK_SECTOR_SIZE;

    if (transfer->position < wanted && (receives || transfer->position + transfer->block <= sizeof channel->buffer)) {
        ask_block(channel, true);
        return;
    }
    set_busy(channel);
    if (receives) {
        received(channel);
        return;
    }
    transfer->filled = transfer->position;
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

/* ---- The command in progress ---- */

static void begin_flush(struct ide_channel *channel)
{
    channel->transfer.kind = IDE_TRANSFER_FLUSH;
    channel->transfer.remaining = 0;
}

/* The next step of the command in progress: a request, or a copy of what the buffer holds. */
static void start_request(struct ide_channel *channel)
{
    const struct ide_transfer *transfer = &channel->transfer;

    if (transfer->kind == IDE_TRANSFER_RECEIVE_DMA) {
        copy_buffer(channel, false);
        return;
    }
    if (transfer->kind == IDE_TRANSFER_SEND_DMA && transfer->position < transfer->filled) {
        copy_buffer(channel, true);
        return;
    }
    if (transfer->medium_lost) {
        fail(channel, ENOMEDIUM);
        return;
    }
    switch (transfer->kind) {
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
    case IDE_TRANSFER_DISCARD:
        request(channel, DISK_DISCARD, transfer->remaining, 0);
        break;
    default:
        fetch(channel);
        break;
    }
}

/* All data has been written: at once durable if the guest has no write cache. */
static void end_write(struct ide_channel *channel)
{
    if (busy_drive(channel)->write_cache)
        end(channel);
    else
        begin_flush(channel);
}

static void end_dma(struct ide_channel *channel)
{
    ide_bus_master_finish(&channel->master);
    if (channel->transfer.kind == IDE_TRANSFER_DMA_OUT)
        end_write(channel);
    else
        end(channel);
}

/* Sectors have come into the buffer. */
static void take_sectors(struct ide_channel *channel)
{
    struct ide_transfer *transfer = &channel->transfer;
    uint32_t sectors = channel->request.sectors;

    transfer->filled = transfer->protocol->fetched ? transfer->protocol->fetched(channel, busy_drive(channel), sectors)
                                                   : sectors * DISK_SECTOR_SIZE;
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
        take_sectors(channel);
        offer_block(channel);
        break;
    case IDE_TRANSFER_SEND_DMA:
        take_sectors(channel);
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
    default:
        if (transfer->remaining == 0)
            end(channel);
        break;
    }
}

/* Looks at the result of the request that is back. */
static void take_result(struct ide_channel *channel)
{
    int error = channel->transfer.medium_lost ? ENOMEDIUM : channel->request.error;

    channel->request_done = false;
    if (error == ENOSPC && needs_space(&channel->transfer)) {
        channel->no_space = true;
        channel->no_space_hook(channel->machine, busy_drive(channel)->disk);
    } else if (error) {
        fail(channel, error);
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

    transfer->position = 0;
    set_busy(channel);
    if (transfer->kind == IDE_TRANSFER_PIO_OUT || transfer->kind == IDE_TRANSFER_RECEIVE_PIO)
        ask_block(channel, false);
    else if (transfer->kind == IDE_TRANSFER_PIO_IN && transfer->filled > 0)
        offer_block(channel);
    else
        ide_transfer_run(channel);
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
