/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/floppy_command.h"

#include <string.h>
#include "partitions/root/worker/devices/floppy_transfer.h"

/* In the first byte of commands. */
#define CODE_MULTI_TRACK 0x80
#define CODE_MFM         0x40
#define CODE_SKIP        0x20
#define CODE_INWARDS     0x40 /* RELATIVE SEEK's DIR */
#define CODE_LOCK        0x80

/* In the second byte of commands that name a drive. */
#define UNIT           0x03
#define HEAD           0x04
#define VERIFY_COUNTED 0x80 /* EC */

#define SPECIFY_NO_DMA 0x01

#define CONFIGURE_IMPLIED_SEEK 0x40
#define CONFIGURE_NO_FIFO      0x20
#define CONFIGURE_THRESHOLD    0x0f
#define CONFIGURE_LOCKED       (CONFIGURE_NO_FIFO | CONFIGURE_THRESHOLD)
#define CONFIGURE_WRITABLE     0x7f
#define CONFIGURE_RESET        (CONFIGURE_IMPLIED_SEEK | CONFIGURE_NO_FIFO)

#define PERPENDICULAR_OVERWRITE 0x80 /* the bits of drives */
#define PERPENDICULAR_DRIVES    0x3c
#define PERPENDICULAR_MODE      0x03 /* GAP and WGATE */

/* Status register 3. */
#define ST3_ALWAYS          0x28
#define ST3_WRITE_PROTECTED 0x40
#define ST3_TRACK_0         0x10

#define VERSION_ENHANCED 0x90

#define RECALIBRATE_STEPS 79

static unsigned unit_of(const struct floppy *floppy)
{
    return floppy->bytes[1] & UNIT;
}

static bool head_of(const struct floppy *floppy)
{
    return floppy->bytes[1] & HEAD;
}

bool floppy_without_dma(const struct floppy *floppy)
{
    return floppy->specify[1] & SPECIFY_NO_DMA;
}

unsigned floppy_threshold(const struct floppy *floppy)
{
    return floppy->configuration & CONFIGURE_NO_FIFO ? 1 : (floppy->configuration & CONFIGURE_THRESHOLD) + 1u;
}

bool floppy_implied_seeks(const struct floppy *floppy)
{
    return floppy->configuration & CONFIGURE_IMPLIED_SEEK;
}

/* ---- Without an execution phase ---- */

static void one_result(struct floppy *floppy, uint8_t value)
{
    floppy->bytes[0] = value;
    floppy_results(floppy, 1);
}

static void invalid(struct floppy *floppy)
{
    one_result(floppy, FLOPPY_ST0_INVALID);
}

static void specify(struct floppy *floppy)
{
    memcpy(floppy->specify, &floppy->bytes[1], sizeof floppy->specify);
    floppy_results(floppy, 0);
}

static void configure(struct floppy *floppy)
{
    floppy->configuration = floppy->bytes[2] & CONFIGURE_WRITABLE;
    floppy->precompensation_track = floppy->bytes[3];
    floppy_results(floppy, 0);
}

static void perpendicular_mode(struct floppy *floppy)
{
    uint8_t value = floppy->bytes[1];
    uint8_t writable = PERPENDICULAR_MODE | (value & PERPENDICULAR_OVERWRITE ? PERPENDICULAR_DRIVES : 0);

    floppy->perpendicular = (floppy->perpendicular & ~writable) | (value & writable);
    floppy_results(floppy, 0);
}

static void lock(struct floppy *floppy)
{
    floppy->locked = floppy->bytes[0] & CODE_LOCK;
    one_result(floppy, floppy->locked ? 0x10 : 0);
}

static void version(struct floppy *floppy)
{
    one_result(floppy, VERSION_ENHANCED);
}

static void dump_registers(struct floppy *floppy)
{
    uint8_t *bytes = floppy->bytes;

    memcpy(bytes, floppy->pcn, FLOPPY_UNITS);
    bytes[4] = floppy->specify[0];
    bytes[5] = floppy->specify[1];
    bytes[6] = floppy->end_of_track;
    bytes[7] = (floppy->locked ? 0x80 : 0) | floppy->perpendicular;
    bytes[8] = floppy->configuration;
    bytes[9] = floppy->precompensation_track;
    floppy_results(floppy, 10);
}

static void sense_drive_status(struct floppy *floppy)
{
    const struct floppy_drive *drive = &floppy->drives[unit_of(floppy)];

    one_result(floppy, ST3_ALWAYS | (floppy_drive_write_protected(drive) ? ST3_WRITE_PROTECTED : 0) |
                           (floppy_drive_track_0(drive) ? ST3_TRACK_0 : 0) | (floppy->bytes[1] & (HEAD | UNIT)));
}

/* The first unit of a set that is not empty. */
static unsigned first_unit(uint8_t units)
{
    unsigned unit = 0;

    while (!(units & 1u << unit) && unit < FLOPPY_UNITS - 1)
        unit++;
    return unit;
}

/* Without anything to tell it is an invalid command. */
static void sense_interrupt_status(struct floppy *floppy)
{
    uint8_t *units = floppy->sought ? &floppy->sought : &floppy->polled;
    unsigned unit = first_unit(*units);

    if (*units == 0) {
        invalid(floppy);
        return;
    }
    floppy->bytes[0] = floppy->sought ? floppy->seeks[unit].status : (uint8_t)(FLOPPY_ST0_POLLING | unit);
    floppy->bytes[1] = floppy->pcn[unit];
    *units &= ~(1u << unit);
    floppy_results(floppy, 2);
    floppy_lower(floppy);
}

/* ---- Seeks: the controller is free for others meanwhile ---- */

static void seek_expired(void *device, uint64_t now)
{
    struct floppy_seek *seek = device;
    struct floppy *floppy = seek->floppy;
    unsigned unit = (unsigned)(seek - floppy->seeks);
    struct floppy_drive *drive = &floppy->drives[unit];

    (void)now;
    floppy_drive_step(drive, seek->steps);
    floppy->pcn[unit] = seek->target;
    seek->status = (uint8_t)(FLOPPY_ST0_SEEK_END | unit);
    if (seek->recalibrate && !floppy_drive_track_0(drive))
        seek->status |= FLOPPY_ST0_ABNORMAL | FLOPPY_ST0_EQUIPMENT;
    floppy->seeking &= ~(1u << unit);
    floppy->sought |= 1u << unit;
    floppy->polled = 0; /* overtaken */
    floppy_raise(floppy);
}

static void begin_seek(struct floppy *floppy, int steps, uint8_t target, bool recalibrate)
{
    unsigned unit = unit_of(floppy);
    struct floppy_seek *seek = &floppy->seeks[unit];

    seek->steps = steps;
    seek->target = target;
    seek->recalibrate = recalibrate;
    floppy->seeking |= 1u << unit;
    floppy->sought &= ~(1u << unit);
    timer_arm(&seek->timer, timer_now(seek->timer.queue) + FLOPPY_LATENCY);
    floppy_results(floppy, 0);
}

/* Up to RECALIBRATE_STEPS outwards, until the drive says that it is at track 0. */
static void recalibrate(struct floppy *floppy)
{
    uint8_t cylinder = floppy->drives[unit_of(floppy)].cylinder;

    begin_seek(floppy, cylinder > RECALIBRATE_STEPS ? -RECALIBRATE_STEPS : -cylinder, 0, true);
}

static void seek(struct floppy *floppy)
{
    uint8_t target = floppy->bytes[2];

    begin_seek(floppy, target - floppy->pcn[unit_of(floppy)], target, false);
}

static void relative_seek(struct floppy *floppy)
{
    int steps = floppy->bytes[0] & CODE_INWARDS ? floppy->bytes[2] : -floppy->bytes[2];

    begin_seek(floppy, steps, (uint8_t)(floppy->pcn[unit_of(floppy)] + steps), false);
}

/* ---- With one ---- */

/* C, H, R, N and EOT follow the drive. */
static struct floppy_transfer *prepare(struct floppy *floppy, enum floppy_transfer_kind kind)
{
    const uint8_t *bytes = floppy->bytes;
    struct floppy_transfer *transfer = &floppy->transfer;

    *transfer = (struct floppy_transfer){
        .kind = kind,
        .multi_track = bytes[0] & CODE_MULTI_TRACK,
        .mfm = bytes[0] & CODE_MFM,
        .skip = bytes[0] & CODE_SKIP,
        .unit = (uint8_t)unit_of(floppy),
        .head = head_of(floppy),
        .id = {bytes[2], bytes[3], bytes[4], bytes[5]},
        .end_of_track = bytes[6],
    };
    floppy->end_of_track = bytes[6];
    return transfer;
}

static void read_data(struct floppy *floppy)
{
    prepare(floppy, FLOPPY_TRANSFER_READ);
    floppy_transfer_begin(floppy);
}

static void read_deleted_data(struct floppy *floppy)
{
    prepare(floppy, FLOPPY_TRANSFER_READ)->deleted = true;
    floppy_transfer_begin(floppy);
}

/* From the index hole on, whatever the IDs are. */
static void read_track(struct floppy *floppy)
{
    struct floppy_transfer *transfer = prepare(floppy, FLOPPY_TRANSFER_READ_TRACK);

    transfer->first = transfer->id.r;
    transfer->id.r = 1;
    floppy_transfer_begin(floppy);
}

/* With EC, DTL is the number of sectors; 0 is 256. */
static void verify(struct floppy *floppy)
{
    struct floppy_transfer *transfer = prepare(floppy, FLOPPY_TRANSFER_VERIFY);

    transfer->counted = floppy->bytes[1] & VERIFY_COUNTED;
    transfer->sectors_left = floppy->bytes[8] ? floppy->bytes[8] : 256;
    floppy_transfer_begin(floppy);
}

static void write_data(struct floppy *floppy)
{
    prepare(floppy, FLOPPY_TRANSFER_WRITE);
    floppy_transfer_begin(floppy);
}

/* N, sectors per track, gap length and data follow the drive; IDs come like data. */
static void format_track(struct floppy *floppy)
{
    struct floppy_transfer *transfer = prepare(floppy, FLOPPY_TRANSFER_FORMAT);

    transfer->id = (struct floppy_id){floppy->pcn[transfer->unit], transfer->head, 1, floppy->bytes[2]};
    transfer->sectors_left = floppy->bytes[3];
    transfer->fill = floppy->bytes[5];
    floppy->end_of_track = floppy->bytes[3];
    floppy_transfer_begin(floppy);
}

static void read_id(struct floppy *floppy)
{
    uint8_t end_of_track = floppy->end_of_track;
    struct floppy_transfer *transfer = prepare(floppy, FLOPPY_TRANSFER_READ_ID);

    transfer->id = (struct floppy_id){floppy->pcn[transfer->unit], transfer->head, 1, FLOPPY_SECTOR_CODE};
    floppy->end_of_track = end_of_track;
    floppy_transfer_begin(floppy);
}

/* ---- The table ---- */

/* `code` is what the bits of `mask` have to be. `length` is at most FLOPPY_FIFO_SIZE. */
static const struct command {
    uint8_t mask;
    uint8_t code;
    uint8_t length;
    void (*execute)(struct floppy *floppy);
} commands[] = {
    {0x1f, 0x06, 9, read_data             },
    {0x1f, 0x0c, 9, read_deleted_data     },
    {0x3f, 0x05, 9, write_data            },
    {0x3f, 0x09, 9, write_data            }, /* WRITE DELETED DATA */
    {0x9f, 0x02, 9, read_track            },
    {0x1f, 0x16, 9, verify                },
    {0xbf, 0x0d, 6, format_track          },
    {0xbf, 0x0a, 2, read_id               },
    {0xff, 0x03, 3, specify               },
    {0xff, 0x04, 2, sense_drive_status    },
    {0xff, 0x07, 2, recalibrate           },
    {0xff, 0x08, 1, sense_interrupt_status},
    {0xff, 0x0e, 1, dump_registers        },
    {0xff, 0x0f, 3, seek                  },
    {0xbf, 0x8f, 3, relative_seek         },
    {0xff, 0x10, 1, version               },
    {0xff, 0x12, 2, perpendicular_mode    },
    {0xff, 0x13, 4, configure             },
    {0x7f, 0x14, 1, lock                  },
};

static const struct command invalid_command = {.length = 1, .execute = invalid};

static const struct command *find(uint8_t code)
{
    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if ((code & commands[i].mask) == commands[i].code)
            return &commands[i];
    return &invalid_command;
}

unsigned floppy_command_length(uint8_t code)
{
    return find(code)->length;
}

void floppy_command_execute(struct floppy *floppy)
{
    find(floppy->bytes[0])->execute(floppy);
}

void floppy_command_initialize(struct floppy *floppy)
{
    for (unsigned i = 0; i < FLOPPY_UNITS; i++) {
        floppy->seeks[i].floppy = floppy;
        timer_initialize(&floppy->seeks[i].timer, floppy->timer.queue, seek_expired, &floppy->seeks[i]);
    }
}

void floppy_command_reset(struct floppy *floppy, bool hard)
{
    uint8_t kept = floppy->locked ? CONFIGURE_LOCKED : 0;

    for (unsigned i = 0; i < FLOPPY_UNITS; i++)
        timer_disarm(&floppy->seeks[i].timer);
    floppy->seeking = floppy->sought = floppy->polled = 0;
    if (hard) {
        memset(floppy->specify, 0, sizeof floppy->specify);
        memset(floppy->pcn, 0, sizeof floppy->pcn);
        floppy->perpendicular = 0;
        floppy->end_of_track = 0;
        floppy->locked = false;
        kept = 0;
    }
    floppy->perpendicular &= PERPENDICULAR_DRIVES;
    floppy->configuration = (floppy->configuration & kept) | (CONFIGURE_RESET & ~kept);
    if (!kept)
        floppy->precompensation_track = 0;
}
