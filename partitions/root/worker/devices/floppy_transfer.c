/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/floppy_transfer.h"

#include <errno.h>
#include <string.h>
#include "partitions/root/worker/devices/floppy_command.h"
#include "partitions/root/worker/devices/floppy_host.h"

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

#define RESULTS   7
#define ID_LENGTH 4 /* C, H, R, N, as FORMAT TRACK gets them for each sector */

static struct floppy_drive *drive_of(struct floppy *floppy)
{
    return &floppy->drives[floppy->transfer.unit % FLOPPY_UNITS];
}

bool floppy_transfer_writes(const struct floppy_transfer *transfer)
{
    return transfer->kind == FLOPPY_TRANSFER_WRITE || transfer->kind == FLOPPY_TRANSFER_FORMAT;
}

/* ---- Results ---- */

static void end(struct floppy *floppy, uint8_t st0, uint8_t st1, uint8_t st2)
{
    const struct floppy_transfer *transfer = &floppy->transfer;
    uint8_t *bytes = floppy->bytes;

    timer_disarm(&floppy->timer);
    floppy_host_end(floppy);
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
    else if (floppy_transfer_writes(&floppy->transfer))
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

    return transfer->disk && transfer->mfm && floppy_drive_formatted(drive_of(floppy), transfer->head, floppy->rate);
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

/* How many sectors to read at once, the next one included: not more than the command can come to. */
static unsigned sectors_at_once(struct floppy *floppy)
{
    const struct floppy_transfer *transfer = &floppy->transfer;
    unsigned sectors = floppy_drive_sectors_from(drive_of(floppy), transfer->id.r);

    if (transfer->deleted || transfer->one_by_one || transfer->end_of_track < transfer->id.r)
        return 1;
    if (sectors > transfer->end_of_track - transfer->id.r + 1u)
        sectors = transfer->end_of_track - transfer->id.r + 1u;
    if (transfer->counted && sectors > transfer->sectors_left)
        sectors = transfer->sectors_left;
    return sectors > FLOPPY_TRACK_SECTORS ? FLOPPY_TRACK_SECTORS : sectors;
}

static void submit(struct floppy *floppy)
{
    unsigned sectors;
    uint64_t sector;

    if (!find(floppy, &sector))
        return;
    sectors = floppy_transfer_writes(&floppy->transfer) ? 1 : sectors_at_once(floppy);
    floppy->vector = (struct iovec){floppy->buffer, sectors * DISK_SECTOR_SIZE};
    floppy->request.operation = floppy_transfer_writes(&floppy->transfer) ? DISK_WRITE : DISK_READ;
    floppy->request.sector = sector;
    floppy->request.sectors = sectors;
    floppy->request.vector = &floppy->vector;
    floppy->request.vector_count = 1;
    floppy->request.error = 0;
    floppy->transfer.step = FLOPPY_STEP_DISK;
    floppy->in_flight = true;
    disk_submit(floppy->transfer.disk, &floppy->request);
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

/* One that has been read. */
static void take_sector(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;

    transfer->buffered--;
    transfer->taken++;
    if (!transfer->disk)
        fail(floppy, ST1_MISSING_ADDRESS, 0);
    else if (transfer->kind == FLOPPY_TRANSFER_VERIFY)
        finish_sector(floppy);
    else
        floppy_host_ask(floppy, DISK_SECTOR_SIZE);
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
    if (floppy_transfer_writes(transfer))
        floppy_host_ask(floppy, transfer->kind == FLOPPY_TRANSFER_FORMAT ? ID_LENGTH : DISK_SECTOR_SIZE);
    else if (transfer->buffered == 0)
        submit(floppy);
    else
        take_sector(floppy);
    return true;
}

/* The bad sector has to be known by its number, and those before it are good. */
static void read_one_by_one(struct floppy_transfer *transfer)
{
    transfer->one_by_one = true;
    transfer->step = FLOPPY_STEP_SECTOR;
}

static void finish_read(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;

    transfer->buffered = floppy->request.sectors;
    transfer->taken = 0;
    transfer->step = FLOPPY_STEP_SECTOR;
}

static bool finish_request(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;

    if (floppy->in_flight)
        return false;
    if (!transfer->disk)
        fail(floppy, ST1_MISSING_ADDRESS, 0);
    else if (floppy->request.error && floppy->request.sectors > 1)
        read_one_by_one(transfer);
    else if (floppy->request.error)
        fail_request(floppy, floppy->request.error);
    else if (floppy_transfer_writes(transfer))
        finish_sector(floppy);
    else
        finish_read(floppy);
    return true;
}

/* The host has done its part of the sector, all of it or up to the terminal count. */
static void finish_host(struct floppy *floppy)
{
    struct floppy_transfer *transfer = &floppy->transfer;

    floppy_host_end(floppy);
    switch (transfer->kind) {
    case FLOPPY_TRANSFER_WRITE:
        memset(floppy->buffer + transfer->position, 0, DISK_SECTOR_SIZE - transfer->position);
        submit(floppy);
        break;
    case FLOPPY_TRANSFER_FORMAT:
        if (transfer->position < ID_LENGTH) {
            succeed(floppy);
            break;
        }
        memcpy(&transfer->id, floppy->buffer, ID_LENGTH);
        memset(floppy->buffer, transfer->fill, DISK_SECTOR_SIZE);
        submit(floppy);
        break;
    default:
        finish_sector(floppy);
        break;
    }
}

static bool serve_host(struct floppy *floppy)
{
    switch (floppy_host_serve(floppy)) {
    case FLOPPY_HOST_WAITS:
        return false;
    case FLOPPY_HOST_DONE:
        finish_host(floppy);
        return true;
    case FLOPPY_HOST_OVERRUN:
        fail(floppy, ST1_OVERRUN, 0);
        return false;
    }
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
        return serve_host(floppy);
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

    transfer->disk = drive->disk;
    if (transfer->kind == FLOPPY_TRANSFER_READ_ID) {
        identify(floppy);
        return;
    }
    seek_implied(floppy);
    if (!formatted(floppy))
        fail(floppy, ST1_MISSING_ADDRESS, 0);
    else if (floppy_transfer_writes(transfer) && floppy_drive_write_protected(drive))
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

void floppy_transfer_abandon(struct floppy *floppy)
{
    floppy_host_end(floppy);
    floppy->abandoned = floppy->in_flight;
}
