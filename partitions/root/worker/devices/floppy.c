/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/floppy.h"

#include <string.h>
#include "partitions/root/worker/devices/floppy_command.h"
#include "partitions/root/worker/devices/floppy_host.h"
#include "partitions/root/worker/devices/floppy_transfer.h"

/* Registers, from port 3F0h. Status registers A and B, 0 and 1, are not there in AT mode. */
#define BASE             0x3f0
#define REGISTER_DOR     2
#define REGISTER_TAPE    3
#define REGISTER_STATUS  4 /* main status; written: data rate select */
#define REGISTER_FIFO    5
#define LOWER_REGISTERS  6
#define REGISTER_CHANGED 7 /* digital input; written: configuration control */

/* Digital output register. */
#define DOR_SELECT    0x03
#define DOR_NOT_RESET 0x04
#define DOR_DMA_GATE  0x08
#define DOR_POWER_ON  (DOR_NOT_RESET | DOR_DMA_GATE)

/* Main status register. */
#define STATUS_REQUEST 0x80
#define STATUS_TO_HOST 0x40
#define STATUS_NO_DMA  0x20
#define STATUS_BUSY    0x10

#define RATE_SELECT 0x03
#define DSR_RESET   0x80

#define DISK_CHANGED 0x80

/* Lines that nothing drives are pulled up. */
#define TAPE_SELECT   0x03
#define TAPE_TRISTATE 0xfc
#define DIR_TRISTATE  0x7f

/* ---- Interrupt ---- */

static void update_line(const struct floppy *floppy)
{
    interrupt_line_set(&floppy->line, floppy->interrupt && floppy->dor & DOR_DMA_GATE);
}

void floppy_raise(struct floppy *floppy)
{
    floppy->interrupt = true;
    update_line(floppy);
}

void floppy_lower(struct floppy *floppy)
{
    floppy->interrupt = false;
    update_line(floppy);
}

/* ---- Reset ---- */

/* Of the controller; the registers in front of it stay. */
static void enter_reset(struct floppy *floppy, bool hard)
{
    timer_disarm(&floppy->timer);
    floppy_transfer_abandon(floppy);
    floppy_command_reset(floppy, hard);
    floppy->phase = FLOPPY_PHASE_RESET;
    floppy->count = 0;
    floppy_lower(floppy);
}

static void leave_reset(struct floppy *floppy)
{
    timer_arm(&floppy->timer, timer_now(floppy->timer.queue) + FLOPPY_LATENCY);
}

/*
 * Not before its time, nor while a request of the time before has the buffer. Then the drives are polled, and
 * seem to have become ready, all of them.
 */
static void finish_reset(struct floppy *floppy)
{
    if (floppy->phase != FLOPPY_PHASE_RESET || !(floppy->dor & DOR_NOT_RESET) || floppy->abandoned ||
        floppy->timer.deadline != TIMER_NEVER)
        return;
    floppy->phase = FLOPPY_PHASE_COMMAND;
    floppy->polled = (1u << FLOPPY_UNITS) - 1;
    floppy_raise(floppy);
}

static void timer_expired(void *device, uint64_t now)
{
    struct floppy *floppy = device;

    (void)now;
    if (floppy->phase == FLOPPY_PHASE_RESET)
        finish_reset(floppy);
    else
        floppy_transfer_timer(floppy);
}

static void request_done(struct disk_request *request)
{
    struct floppy *floppy = request->device;

    floppy->in_flight = false;
    if (floppy->abandoned) {
        floppy->abandoned = false;
        finish_reset(floppy);
    } else {
        floppy_transfer_run(floppy);
    }
}

/* ---- Registers ---- */

static void write_dor(struct floppy *floppy, uint8_t value)
{
    uint8_t changed = floppy->dor ^ value;

    floppy->dor = value;
    if (changed & DOR_NOT_RESET) {
        if (value & DOR_NOT_RESET)
            leave_reset(floppy);
        else
            enter_reset(floppy, false);
    }
    update_line(floppy);
}

static void write_data_rate_select(struct floppy *floppy, uint8_t value)
{
    floppy->rate = (enum floppy_rate)(value & RATE_SELECT);
    if (!(value & DSR_RESET))
        return;
    enter_reset(floppy, false);
    if (floppy->dor & DOR_NOT_RESET)
        leave_reset(floppy);
}

static uint8_t main_status(const struct floppy *floppy)
{
    uint8_t seeking = floppy->seeking;

    switch (floppy->phase) {
    case FLOPPY_PHASE_RESET:
        return 0;
    case FLOPPY_PHASE_COMMAND:
        return STATUS_REQUEST | (floppy->count ? STATUS_BUSY : 0) | seeking;
    case FLOPPY_PHASE_RESULT:
        return STATUS_REQUEST | STATUS_TO_HOST | STATUS_BUSY | seeking;
    case FLOPPY_PHASE_EXECUTION:
        break;
    }
    return STATUS_BUSY | seeking | (floppy_without_dma(floppy) ? STATUS_NO_DMA : 0) |
           (floppy_host_has_byte(floppy) ? STATUS_REQUEST | STATUS_TO_HOST : 0) |
           (floppy_host_wants_byte(floppy) ? STATUS_REQUEST : 0);
}

void floppy_results(struct floppy *floppy, unsigned count)
{
    floppy->phase = count ? FLOPPY_PHASE_RESULT : FLOPPY_PHASE_COMMAND;
    floppy->wanted = count;
    floppy->count = 0;
    if (count == 0 && floppy->sought && !floppy->interrupt)
        floppy_raise(floppy);
}

static uint8_t read_result(struct floppy *floppy)
{
    uint8_t value = floppy->bytes[floppy->count++ % FLOPPY_FIFO_SIZE];

    if (floppy->count == 1)
        floppy_lower(floppy);
    if (floppy->count >= floppy->wanted)
        floppy_results(floppy, 0);
    return value;
}

static void write_command(struct floppy *floppy, uint8_t value)
{
    if (floppy->count == 0)
        floppy->wanted = floppy_command_length(value);
    floppy->bytes[floppy->count++ % FLOPPY_FIFO_SIZE] = value;
    if (floppy->count >= floppy->wanted)
        floppy_command_execute(floppy);
}

static uint8_t read_fifo(struct floppy *floppy)
{
    if (floppy->phase == FLOPPY_PHASE_RESULT)
        return read_result(floppy);
    return floppy_host_has_byte(floppy) ? floppy_host_byte_in(floppy) : 0xff;
}

static void write_fifo(struct floppy *floppy, uint8_t value)
{
    if (floppy->phase == FLOPPY_PHASE_COMMAND)
        write_command(floppy, value);
    else if (floppy_host_wants_byte(floppy))
        floppy_host_byte_out(floppy, value);
}

static uint64_t lower_read(void *device, uint64_t offset, unsigned size)
{
    struct floppy *floppy = device;

    (void)size;
    switch (offset) {
    case REGISTER_DOR:
        return floppy->dor;
    case REGISTER_TAPE:
        return floppy->tape | TAPE_TRISTATE;
    case REGISTER_STATUS:
        return main_status(floppy);
    case REGISTER_FIFO:
        return read_fifo(floppy);
    default:
        return 0xff;
    }
}

static void lower_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct floppy *floppy = device;

    (void)size;
    switch (offset) {
    case REGISTER_DOR:
        write_dor(floppy, (uint8_t)value);
        break;
    case REGISTER_TAPE:
        floppy->tape = value & TAPE_SELECT;
        break;
    case REGISTER_STATUS:
        write_data_rate_select(floppy, (uint8_t)value);
        break;
    case REGISTER_FIFO:
        write_fifo(floppy, (uint8_t)value);
        break;
    }
}

static uint64_t changed_read(void *device, uint64_t offset, unsigned size)
{
    const struct floppy *floppy = device;

    (void)offset;
    (void)size;
    return DIR_TRISTATE | (floppy_drive_changed(&floppy->drives[floppy->dor & DOR_SELECT]) ? DISK_CHANGED : 0);
}

static void changed_write(void *device, uint64_t offset, unsigned size, uint64_t value)
{
    struct floppy *floppy = device;

    (void)offset;
    (void)size;
    floppy->rate = (enum floppy_rate)(value & RATE_SELECT);
}

static const struct bus_operations lower_operations = {.read = lower_read, .write = lower_write, .widest = 1};
static const struct bus_operations changed_operations = {.read = changed_read, .write = changed_write, .widest = 1};

/* ---- The machine's side ---- */

bool floppy_initialize(struct floppy *floppy, struct bus *bus, const struct floppy_configuration *configuration)
{
    memset(floppy, 0, sizeof *floppy);
    floppy->dma = configuration->dma;
    floppy->line = configuration->line;
    for (unsigned i = 0; i < FLOPPY_DRIVES; i++)
        floppy->drives[i] = (struct floppy_drive){.type = configuration->drives[i], .changed = true};
    timer_initialize(&floppy->timer, configuration->timers, timer_expired, floppy);
    floppy->request.done = request_done;
    floppy->request.device = floppy;
    floppy_command_initialize(floppy);
    floppy_reset(floppy);
    return bus_add(bus, BUS_PORTS, BASE, LOWER_REGISTERS, &lower_operations, floppy, "floppy") &&
           bus_add(bus, BUS_PORTS, BASE + REGISTER_CHANGED, 1, &changed_operations, floppy, "floppy disk change");
}

/* It is ready at once and without an interrupt, unless it has to wait for a request. */
void floppy_reset(struct floppy *floppy)
{
    floppy->dor = DOR_POWER_ON;
    floppy->tape = 0;
    floppy->rate = FLOPPY_RATE_250K;
    enter_reset(floppy, true);
    if (!floppy->abandoned)
        floppy_results(floppy, 0);
}

bool floppy_insert(struct floppy *floppy, unsigned drive, struct disk *disk)
{
    struct floppy_drive *state = &floppy->drives[drive % FLOPPY_DRIVES];

    if (drive >= FLOPPY_DRIVES || state->disk || !floppy_drive_takes(state, disk))
        return false;
    state->disk = disk;
    state->changed = true;
    return true;
}

struct disk *floppy_eject(struct floppy *floppy, unsigned drive)
{
    struct floppy_drive *state = &floppy->drives[drive % FLOPPY_DRIVES];
    struct disk *disk = drive < FLOPPY_DRIVES ? state->disk : NULL;

    if (!disk)
        return NULL;
    state->disk = NULL;
    state->changed = true;
    if (floppy->transfer.disk == disk)
        floppy->transfer.disk = NULL;
    return disk;
}

bool floppy_is_quiet(const struct floppy *floppy)
{
    return !floppy->in_flight;
}
