/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/disk/transfer.h"

#include <errno.h>

void disk_transfers_initialize(struct disk_transfers *transfers, struct disk_io_queue *queue)
{
    transfers->queue = queue;
    transfers->error = 0;
    transfers->busy = 0;
}

static void submit_rest(struct disk_transfers *transfers, struct disk_transfer *transfer)
{
    transfer->operation.vector = transfer->pieces;
    transfer->operation.count =
        disk_cursor_peek(&transfer->cursor, transfer->length, transfer->pieces, DISK_TRANSFER_PIECES);
    disk_io_submit(transfers->queue, &transfer->operation);
}

static void end(struct disk_transfers *transfers, const struct disk_transfer *transfer, int error)
{
    transfers->busy &= ~(1u << (transfer - transfers->slots));
    if (!transfers->error)
        transfers->error = error;
}

static void moved(struct disk_io_operation *operation)
{
    struct disk_transfer *transfer = (struct disk_transfer *)operation;
    struct disk_transfers *transfers = operation->owner;
    if (operation->result <= 0) {
        /* 0: the end of the file, where there should be data */
        end(transfers, transfer, operation->result ? (int)-operation->result : EIO);
        return;
    }
    disk_cursor_advance(&transfer->cursor, (uint64_t)operation->result);
    transfer->length -= (uint64_t)operation->result;
    operation->offset += (uint64_t)operation->result;
    if (transfer->length)
        submit_rest(transfers, transfer);
    else
        end(transfers, transfer, 0);
}

static struct disk_transfer *take_slot(struct disk_transfers *transfers)
{
    unsigned slot = 0;
    while (transfers->busy == (1u << DISK_IO_DEPTH) - 1)
        disk_io_wait(transfers->queue);
    while (transfers->busy & 1u << slot)
        slot++;
    transfers->busy |= 1u << slot;
    return &transfers->slots[slot];
}

void disk_transfers_read(struct disk_transfers *transfers, int descriptor, const struct disk_cursor *cursor,
                         uint64_t length, uint64_t offset)
{
    struct disk_transfer *transfer = take_slot(transfers);
    transfer->operation = (struct disk_io_operation){
        .kind = DISK_IO_READ,
        .descriptor = descriptor,
        .offset = offset,
        .done = moved,
        .owner = transfers,
    };
    transfer->cursor = *cursor;
    transfer->length = length;
    submit_rest(transfers, transfer);
}

int disk_transfers_end(struct disk_transfers *transfers)
{
    disk_io_drain(transfers->queue);
    int error = transfers->error;
    transfers->error = 0;
    return error;
}
