/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/floppy_transfer.h"

#include <errno.h>
#include <string.h>
#include "partitions/root/worker/devices/floppy_command.h"

/* Status register 1. */
#define ST1_END_OF_CYLINDER 0x80
#define ST1_DATA_ERROR      0x20
#define ST1_OVERRUN         0x10
#define ST1_NO_DATA         0x04
#define ST1_NOT_WRITABLE    0x02
#define ST1_MISSING_ADDRESS 0x01

/* Status register 2. */
#define ST2_CONTROL_MARK   0x40
#define ST2_DATA_ERROR     0x20
#define ST2_WRONG_CYLINDER 0x10

/* DOR bit 3 lets DRQ and DACK through. */
#define DOR_DMA_GATE 0x08

#define RESULTS   7
#define ID_LENGTH 4       /* C, H, R, N, as FORMAT TRACK gets them for each sector */
#define DMA_RETRY 1000000 /* nanoseconds */

static struct floppy_drive *drive_of(struct floppy *floppy)
{
    return &floppy->drives[floppy->transfer.unit % FLOPPY_UNITS];
}

static bool writes(const struct floppy_transfer *transfer)
{
    return transfer->kind == FLOPPY_TRANSFER_WRITE || transfer->kind == FLOPPY_TRANSFER_FORMAT;
}

/* ---- Results ---- */

static void end(struct floppy *floppy, uint8_t st0, uint8_t st1, uint8_t st2)
{
    const struct floppy_transfer *transfer = &floppy->transfer;
    uint8_t *bytes = floppy->bytes;

    timer_disarm(&floppy->timer);
    i8237_request(floppy->dma, I8237_FLOPPY_CHANNEL, false);
    bytes[0] =
        st0 | (transfer->sought ? FLOPPY_ST0_SEEK_END : 0) | (transfer->head ? FLOPPY_ST0_HEAD : 0) | transfer->unit;
    bytes[1] = st1;
    bytes[2] = st2 | (transfer->control_mark ? ST2_CONTROL_MARK : 0);
    memcpy(&bytes[3], &transfer->id, sizeof transfer->id);
    floppy->polled = 0; /* overtaken */
    floppy_results(floppy, RESULTS);
    floppy_raise(floppy);
}

static void fail(struct floppy *floppy, uint8_t st1, uint8_t st2)
{
    end(floppy, FLOPPY_ST0_ABNORMAL, st1, st2);
}

static void succeed(struct floppy *floppy)
{
    const struct floppy_transfer *transfer = &floppy->transfer;
    bool unexpected = transfer->kind == FLOPPY_TRANSFER_READ_TRACK && transfer->first != 1;

    end(floppy, 0, unexpected ? ST1_NO_DATA : 0, 0);
}

/* The disk could not do its part. */
static void fail_request(struct floppy *floppy, int error)
{
    if (error == EROFS)
        fail(floppy, ST1_NOT_WRITABLE, 0);
    else if (writes(&floppy->transfer))
        end(floppy, FLOPPY_ST0_ABNORMAL | FLOPPY_ST0_EQUIPMENT, 0, 0);
    else
        fail(floppy, ST1_DATA_ERROR, ST2_DATA_ERROR);
}

/* ---- Sectors ---- */

/*
 * Moves the ID on to the next sector, or past the last one, as the result phase tells it (82077AA, table 5-5).
 * False: that was the last.
 */
static bool next_sector(struct floppy_transfer *transfer)
{
    struct floppy_id *id = &transfer->id;

    if (id->r != transfer->end_of_track) {
        id->r++;
        return true;
    }
    id->r = 1;
    if (!transfer->multi_track) {
        id->c++;
        return false;
    }
    id->h ^= 1;
    if (transfer->head == 0) {
        transfer->head = 1;
        return true;
    }
    id->c++;
    return false;
}

/* What the head has to find now. */
static struct floppy_id wanted(struct floppy *floppy)
{
    const struct floppy_transfer *transfer = &floppy->transfer;

    if (transfer->kind == FLOPPY_TRANSFER_READ_TRACK)
        return floppy_drive_id(drive_of(floppy), transfer->head, transfer->id.r);
    return transfer->id;
}

static bool formatted(struct floppy *floppy)
{
    const struct floppy_transfer *transfer = &floppy->transfer;

    return transfer->mfm && floppy_drive_formatted(drive_of(floppy), transfer->head, floppy->rate);
}

/* Finds the sector on the medium; if it is not there, the command ends. */
static bool find(struct floppy *floppy, uint64_t *sector)
{
    if (!formatted(floppy)) {
        fail(floppy, ST1_MISSING_ADDRESS, 0);
        return false;
    }
    switch (floppy_drive_find(drive_of(floppy), floppy->transfer.head, wanted(floppy), sector)) {
    case FLOPPY_FOUND:
        return true;
    case FLOPPY_NOT_FOUND:
        fail(floppy, ST1_NO_DATA, 0);
        return false;
    case FLOPPY_WRONG_CYLINDER:
        fail(floppy, ST1_NO_DATA, ST2_WRONG_CYLINDER);
        return false;
    }
    return false;
}

static void submit(struct floppy *floppy)
{
    uint64_t sector;

    if (!find(floppy, &sector))
        return;
    floppy->vector = (struct iovec){floppy->buffer, sizeof floppy->buffer};
    floppy->request.operation = writes(&floppy->transfer) ? DISK_WRITE : DISK_READ;
    floppy->request.sector = sector;
    floppy->request.sectors = 1;
    floppy->request.vector = &floppy->vector;
    floppy->request.vector_count = 1;
    floppy->request.error = 0;
    floppy->transfer.step = FLOPPY_STEP_DISK;
    floppy->transfer.disk = drive_of(floppy)->disk;
    floppy->in_flight = true;
    disk_submit(floppy->transfer.disk, &floppy->request);
}

static void ask_host(struct floppy *floppy, uint16_t length)
{
    struct floppy_transfer *transfer = &floppy->transfer;

    transfer->step = FLOPPY_STEP_HOST;
    transfer->position = 0;
    transfer->length = length;
    transfer->overrun = TIMER_NEVER;
    i8237_request(floppy->dma, I8237_FLOPPY_CHANNEL, !floppy_without_dma(floppy));
}

/* The sector is done with; what comes then? */
static void finish_sector(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;
    bool more = transfer->kind == FLOPPY_TRANSFER_FORMAT || next_sector(transfer);

    if (transfer->counted || transfer->kind == FLOPPY_TRANSFER_FORMAT)
        transfer->sectors_left--;
    transfer->step = FLOPPY_STEP_SECTOR;
    if (transfer->terminal_count || transfer->control_mark)
        succeed(floppy);
    else if (transfer->sectors_left == 0 && (transfer->counted || transfer->kind == FLOPPY_TRANSFER_FORMAT))
        succeed(floppy);
    else if (!more && transfer->kind == FLOPPY_TRANSFER_VERIFY && !transfer->counted)
        succeed(floppy);
    else if (!more)
        fail(floppy, ST1_END_OF_CYLINDER, 0);
}

/* ---- Steps: true if there is more to do now ---- */

/* READ DELETED DATA, on a sector that is not deleted: passes over it, or makes it the last. */
static bool begin_sector(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;

    if (transfer->deleted && transfer->skip) {
        uint64_t sector;

        if (find(floppy, &sector) && !next_sector(transfer))
            fail(floppy, ST1_END_OF_CYLINDER, 0);
        return true;
    }
    transfer->control_mark = transfer->deleted;
    if (writes(transfer))
        ask_host(floppy, transfer->kind == FLOPPY_TRANSFER_FORMAT ? ID_LENGTH : DISK_SECTOR_SIZE);
    else
        submit(floppy);
    return true;
}

static bool finish_request(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;

    if (floppy->in_flight)
        return false;
    if (drive_of(floppy)->disk != transfer->disk)
        fail(floppy, ST1_MISSING_ADDRESS, 0); /* it was ejected */
    else if (floppy->request.error)
        fail_request(floppy, floppy->request.error);
    else if (writes(transfer) || transfer->kind == FLOPPY_TRANSFER_VERIFY)
        finish_sector(floppy);
    else
        ask_host(floppy, DISK_SECTOR_SIZE);
    return true;
}

/* The host has done its part of the sector, all of it or up to the terminal count. */
static void finish_host(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;

    i8237_request(floppy->dma, I8237_FLOPPY_CHANNEL, false);
    switch (transfer->kind) {
    case FLOPPY_TRANSFER_WRITE:
        memset(floppy->buffer + transfer->position, 0, sizeof floppy->buffer - transfer->position);
        submit(floppy);
        break;
    case FLOPPY_TRANSFER_FORMAT:
        if (transfer->position < ID_LENGTH) {
            succeed(floppy);
            break;
        }
        memcpy(&transfer->id, floppy->buffer, ID_LENGTH);
        memset(floppy->buffer, transfer->fill, sizeof floppy->buffer);
        submit(floppy);
        break;
    default:
        finish_sector(floppy);
        break;
    }
}

/* DMA moves what it can. While it cannot, it is looked after again, for some time. */
static bool serve_dma(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;
    uint64_t now = timer_now(floppy->timer.queue);

    if (floppy->dor & DOR_DMA_GATE)
        transfer->position +=
            (uint16_t)i8237_transfer(floppy->dma, I8237_FLOPPY_CHANNEL, floppy->buffer + transfer->position,
                                     (size_t)(transfer->length - transfer->position),
                                     writes(transfer) ? I8237_FROM_MEMORY : I8237_TO_MEMORY, &transfer->terminal_count);
    if (transfer->terminal_count || transfer->position == transfer->length) {
        finish_host(floppy);
        return true;
    }
    if (transfer->overrun == TIMER_NEVER)
        transfer->overrun = now + FLOPPY_OVERRUN;
    if (now >= transfer->overrun) {
        fail(floppy, ST1_OVERRUN, 0);
        return false;
    }
    timer_arm(&floppy->timer, now + DMA_RETRY);
    return false;
}

/* The host moves the bytes; an interrupt asks for as many as the FIFO's threshold. */
static bool serve_pio(struct floppy *floppy)
{
    const struct floppy_transfer *transfer = &floppy->transfer;

    if (transfer->position == transfer->length) {
        finish_host(floppy);
        return true;
    }
    if (transfer->position % floppy_threshold(floppy) == 0)
        floppy_raise(floppy);
    return false;
}

static bool go_on(struct floppy *floppy)
{
    switch (floppy->transfer.step) {
    case FLOPPY_STEP_BEGIN:
        return false;
    case FLOPPY_STEP_SECTOR:
        return begin_sector(floppy);
    case FLOPPY_STEP_DISK:
        return finish_request(floppy);
    case FLOPPY_STEP_HOST:
        return floppy_without_dma(floppy) ? serve_pio(floppy) : serve_dma(floppy);
    }
    return false;
}

void floppy_transfer_run(struct floppy *floppy)
{
    if (floppy->running)
        return;
    floppy->running = true;
    while (floppy->phase == FLOPPY_PHASE_EXECUTION && go_on(floppy))
        continue;
    floppy->running = false;
}

/* ---- Beginning ---- */

static void seek_implied(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;
    uint8_t *pcn = &floppy->pcn[transfer->unit % FLOPPY_UNITS];

    if (!floppy_implied_seeks(floppy) || *pcn == transfer->id.c)
        return;
    floppy_drive_step(drive_of(floppy), transfer->id.c - *pcn);
    *pcn = transfer->id.c;
    transfer->sought = true;
}

static void identify(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;

    if (!formatted(floppy)) {
        fail(floppy, ST1_MISSING_ADDRESS, 0);
        return;
    }
    transfer->id = floppy_drive_passing(drive_of(floppy), transfer->head, timer_now(floppy->timer.queue));
    succeed(floppy);
}

/* The medium has come to where the command begins. */
static void begin(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;
    const struct floppy_drive *drive = drive_of(floppy);

    if (transfer->kind == FLOPPY_TRANSFER_READ_ID) {
        identify(floppy);
        return;
    }
    seek_implied(floppy);
    if (!formatted(floppy))
        fail(floppy, ST1_MISSING_ADDRESS, 0);
    else if (writes(transfer) && floppy_drive_write_protected(drive))
        fail(floppy, ST1_NOT_WRITABLE, 0);
    else if (transfer->kind == FLOPPY_TRANSFER_FORMAT && transfer->sectors_left == 0)
        succeed(floppy);
    else
        transfer->step = FLOPPY_STEP_SECTOR;
}

void floppy_transfer_begin(struct floppy *floppy)
{
    floppy->transfer.step = FLOPPY_STEP_BEGIN;
    floppy->phase = FLOPPY_PHASE_EXECUTION;
    timer_arm(&floppy->timer, timer_now(floppy->timer.queue) + FLOPPY_LATENCY);
}

void floppy_transfer_timer(struct floppy *floppy)
{
    if (floppy->phase != FLOPPY_PHASE_EXECUTION)
        return;
    if (floppy->transfer.step == FLOPPY_STEP_BEGIN)
        begin(floppy);
    floppy_transfer_run(floppy);
}

/* ---- The host's side without DMA ---- */

static bool moves_bytes(const struct floppy *floppy)
{
    return floppy->phase == FLOPPY_PHASE_EXECUTION && floppy->transfer.step == FLOPPY_STEP_HOST &&
           floppy_without_dma(floppy);
}

bool floppy_transfer_has_byte(const struct floppy *floppy)
{
    return moves_bytes(floppy) && !writes(&floppy->transfer);
}

bool floppy_transfer_wants_byte(const struct floppy *floppy)
{
    return moves_bytes(floppy) && writes(&floppy->transfer);
}

static uint8_t *next_byte(struct floppy *floppy)
{
    floppy_lower(floppy);
    return &floppy->buffer[floppy->transfer.position++ % sizeof floppy->buffer];
}

uint8_t floppy_transfer_byte_in(struct floppy *floppy)
{
    uint8_t value = *next_byte(floppy);

    floppy_transfer_run(floppy);
    return value;
}

void floppy_transfer_byte_out(struct floppy *floppy, uint8_t value)
{
    *next_byte(floppy) = value;
    floppy_transfer_run(floppy);
}

void floppy_transfer_abandon(struct floppy *floppy)
{
    i8237_request(floppy->dma, I8237_FLOPPY_CHANNEL, false);
    floppy->abandoned = floppy->in_flight;
}
