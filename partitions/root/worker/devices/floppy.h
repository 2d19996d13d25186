/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The floppy disk controller of a PC: an Intel 82077AA in AT mode (82077AA datasheet) with two drives, ports
 * 3F0h-3F5h and 3F7h (3F6h is the IDE controller's), IRQ 6, DMA channel 2. Used under the device lock.
 *
 * Where it is not what the datasheet says:
 * - After power-on it is out of reset with DMA and interrupts on (DOR is 0Ch), and a reset enables implied seeks:
 *   SeaBIOS never sets either, nor seeks otherwise.
 * - An empty drive is read as an unformatted medium: ST1 says missing address mark. The chip would wait for the
 *   index hole for ever, and every guest for its time limit. Motors need not run.
 * - Nothing overruns while the guest is slow: DMA has FLOPPY_OVERRUN to get ready, PIO as long as it takes.
 * - Media have sectors of 512 bytes with normal data marks. WRITE DELETED DATA writes, but the mark is not kept;
 *   FORMAT TRACK fills sectors that the medium has, and fails on others.
 * - SCAN commands, that drivers do not use and later controllers left out, are invalid. They would compare the
 *   sectors with what DMA brings, FFh matching everything.
 * - Heads move in no time; what a command does begins FLOPPY_LATENCY after it, so that a guest that gets ready for
 *   the interrupt after the last byte of the command does not miss it.
 */
#ifndef WORKER_DEVICES_FLOPPY_H
#define WORKER_DEVICES_FLOPPY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "partitions/root/disk/disk.h"
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/devices/floppy_drive.h"
#include "partitions/root/worker/devices/i8237.h"
#include "partitions/root/worker/interrupt_line.h"
#include "partitions/root/worker/timer.h"

#define FLOPPY_DRIVES 2
#define FLOPPY_UNITS  4 /* that commands can name */

#define FLOPPY_LATENCY 200000    /* nanoseconds */
#define FLOPPY_OVERRUN 200000000 /* nanoseconds; a revolution */

/* Of commands and results; a power of two, more than the longest of either. */
#define FLOPPY_FIFO_SIZE 16

enum floppy_phase {
    FLOPPY_PHASE_RESET, /* held in reset, or not yet through with it */
    FLOPPY_PHASE_COMMAND,
    FLOPPY_PHASE_EXECUTION,
    FLOPPY_PHASE_RESULT,
};

enum floppy_transfer_kind {
    FLOPPY_TRANSFER_READ,
    FLOPPY_TRANSFER_READ_TRACK,
    FLOPPY_TRANSFER_READ_ID,
    FLOPPY_TRANSFER_VERIFY,
    FLOPPY_TRANSFER_WRITE,
    FLOPPY_TRANSFER_FORMAT,
};

/* What the execution phase is at. */
enum floppy_step {
    FLOPPY_STEP_BEGIN,  /* waits for the medium to come */
    FLOPPY_STEP_SECTOR, /* takes up the sector `id` */
    FLOPPY_STEP_DISK,   /* its request is with the disk */
    FLOPPY_STEP_HOST,   /* its data move between buffer and host */
};

/* The command in execution. */
struct floppy_transfer {
    enum floppy_transfer_kind kind;
    enum floppy_step step;
    bool multi_track;
    bool mfm;
    bool skip;    /* sectors with the other kind of data mark */
    bool deleted; /* reads deleted data */
    bool sought;  /* by an implied seek */
    bool counted; /* by sectors_left instead of the end of track */
    uint8_t unit;
    uint8_t head;
    struct floppy_id id;
    uint8_t end_of_track;
    uint8_t first;         /* READ TRACK: R of the command */
    uint8_t fill;          /* FORMAT TRACK */
    unsigned sectors_left; /* FORMAT TRACK; VERIFY if counted */
    unsigned buffered;     /* sectors in the buffer that were not taken up */
    unsigned taken;        /* sectors in the buffer that were; the last is at work */
    bool one_by_one;       /* sectors are read: together they failed */
    uint16_t position;     /* in the sector */
    uint16_t length;       /* that the host moves of it */
    bool terminal_count;
    bool control_mark; /* a sector had the other kind of data mark */
    uint64_t overrun;  /* virtual time at which DMA that is not ready is given up; TIMER_NEVER: it is */
    struct disk *disk; /* the medium that it is about; NULL: none, or it was ejected meanwhile */
};

struct floppy {
    struct i8237 *dma;
    struct interrupt_line line;
    struct floppy_drive drives[FLOPPY_UNITS];
    uint8_t pcn[FLOPPY_UNITS]; /* present cylinder numbers, as the controller knows them */

    uint8_t dor;
    uint8_t tape;
    enum floppy_rate rate;
    bool interrupt; /* the INT pin, before the DMA gate */

    enum floppy_phase phase;
    uint8_t bytes[FLOPPY_FIFO_SIZE]; /* of the command, then of its results */
    unsigned count;                  /* bytes there */
    unsigned wanted;                 /* bytes of the command, or of the results */
    struct timer timer;              /* ends a reset, begins an execution, looks after DMA again */

    /* SPECIFY, CONFIGURE, PERPENDICULAR MODE and LOCK. */
    uint8_t specify[2];
    uint8_t configuration;
    uint8_t precompensation_track;
    uint8_t perpendicular;
    bool locked;
    uint8_t end_of_track; /* DUMPREG: EOT or SC of the last command that had one */

    /* Seeks, each by itself, and what SENSE INTERRUPT STATUS has to tell: a bit for each unit. */
    struct floppy_seek {
        struct floppy *floppy;
        struct timer timer;
        int steps;
        bool recalibrate;
        uint8_t target; /* PCN at the end */
        uint8_t status; /* ST0 */
    } seeks[FLOPPY_UNITS];
    uint8_t seeking;
    uint8_t sought;
    uint8_t polled; /* since a reset */

    struct floppy_transfer transfer;
    struct disk_request request;
    struct iovec vector;
    uint8_t buffer[FLOPPY_TRACK_SECTORS * DISK_SECTOR_SIZE]; /* the rest of a track, or a sector to be written */
    bool in_flight;                                          /* the request is with a disk */
    bool abandoned;                                          /* by a reset; nothing begins before it is back */
    bool running;                                            /* floppy_transfer_run is */
};

struct floppy_configuration {
    struct i8237 *dma; /* the caller's, as long as the controller lives, like the timers */
    struct timer_queue *timers;
    struct interrupt_line line;
    enum floppy_drive_type drives[FLOPPY_DRIVES];
};

/* Claims the ports; false if they are taken. The drives are empty. */
bool floppy_initialize(struct floppy *floppy, struct bus *bus, const struct floppy_configuration *configuration);

/* Power-on; media stay in the drives. */
void floppy_reset(struct floppy *floppy);

/*
 * Puts a medium into drive 0 (A:) or 1 (B:), at any time. False if there is no such drive, it is not empty, or the
 * medium is none that it can read (2.88 MB in a drive for less). The disk stays the caller's.
 */
bool floppy_insert(struct floppy *floppy, unsigned drive, struct disk *disk);

/*
 * Takes the medium out, at any time; NULL if there is none. A command that is at it ends as in an empty drive. The
 * disk may still have one request, whose `done` needs the controller: end its queue, then close it.
 */
struct disk *floppy_eject(struct floppy *floppy, unsigned drive);

/* No request is with a disk. */
bool floppy_is_quiet(const struct floppy *floppy);

#endif
