/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/floppy_host.h"

#include "partitions/root/worker/devices/floppy_command.h"
#include "partitions/root/worker/devices/floppy_transfer.h"

/* DOR bit 3 lets DRQ and DACK through. */
#define DOR_DMA_GATE 0x08

#define DMA_RETRY 1000000 /* nanoseconds */

/* Where the sector at work is in the buffer. */
static uint8_t *sector_data(struct floppy *floppy)
{
    unsigned index = floppy->transfer.taken ? floppy->transfer.taken - 1 : 0;

    return floppy->buffer + index % FLOPPY_TRACK_SECTORS * DISK_SECTOR_SIZE;
}

void floppy_host_ask(struct floppy *floppy, uint16_t length)
{
    struct floppy_transfer *transfer = &floppy->transfer;

    transfer->step = FLOPPY_STEP_HOST;
    transfer->position = 0;
    transfer->length = length;
    transfer->overrun = TIMER_NEVER;
    i8237_request(floppy->dma, I8237_FLOPPY_CHANNEL, !floppy_without_dma(floppy));
}

void floppy_host_end(struct floppy *floppy)
{
    i8237_request(floppy->dma, I8237_FLOPPY_CHANNEL, false);
}

/* DMA moves what it can. While it cannot, it is looked after again, for some time. */
static enum floppy_host_result serve_dma(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;
    uint64_t now = timer_now(floppy->timer.queue);

    if (floppy->dor & DOR_DMA_GATE)
        transfer->position += (uint16_t)i8237_transfer(
            floppy->dma, I8237_FLOPPY_CHANNEL, sector_data(floppy) + transfer->position,
            (size_t)(transfer->length - transfer->position),
            floppy_transfer_writes(transfer) ? I8237_FROM_MEMORY : I8237_TO_MEMORY, &transfer->terminal_count);
    if (transfer->terminal_count || transfer->position == transfer->length)
        return FLOPPY_HOST_DONE;
    if (transfer->overrun == TIMER_NEVER)
        transfer->overrun = now + FLOPPY_OVERRUN;
    if (now >= transfer->overrun)
        return FLOPPY_HOST_OVERRUN;
    timer_arm(&floppy->timer, now + DMA_RETRY);
    return FLOPPY_HOST_WAITS;
}

/* The host moves the bytes; an interrupt asks for as many as the FIFO's threshold. */
static enum floppy_host_result serve_pio(struct floppy *floppy)
{
    const struct floppy_transfer *transfer = &floppy->transfer;

    if (transfer->position == transfer->length)
        return FLOPPY_HOST_DONE;
    if (transfer->position % floppy_threshold(floppy) == 0)
        floppy_raise(floppy);
    return FLOPPY_HOST_WAITS;
}

enum floppy_host_result floppy_host_serve(struct floppy *floppy)
{
    return floppy_without_dma(floppy) ? serve_pio(floppy) : serve_dma(floppy);
}

/* ---- The host's side without DMA ---- */

static bool moves_bytes(const struct floppy *floppy)
{
    return floppy->phase == FLOPPY_PHASE_EXECUTION && floppy->transfer.step == FLOPPY_STEP_HOST &&
           floppy_without_dma(floppy);
}

bool floppy_host_has_byte(const struct floppy *floppy)
{
    return moves_bytes(floppy) && !floppy_transfer_writes(&floppy->transfer);
}

bool floppy_host_wants_byte(const struct floppy *floppy)
{
    return moves_bytes(floppy) && floppy_transfer_writes(&floppy->transfer);
}

static uint8_t *next_byte(struct floppy *floppy)
{
    floppy_lower(floppy);
    return &sector_data(floppy)[floppy->transfer.position++ % DISK_SECTOR_SIZE];
}

uint8_t floppy_host_byte_in(struct floppy *floppy)
{
    uint8_t value = *next_byte(floppy);

    floppy_transfer_run(floppy);
    return value;
}

void floppy_host_byte_out(struct floppy *floppy, uint8_t value)
{
    *next_byte(floppy) = value;
    floppy_transfer_run(floppy);
}
