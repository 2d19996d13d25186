/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One IDE channel: the task file (ATA/ATAPI-6, clause 7), up to two drives, INTRQ, and the command in
 * progress. A channel has at most one request with a disk at a time; it shows BSY until that request is back,
 * whatever the guest does meanwhile, so guest memory is never written after a reset has been reported as
 * done.
 *
 * ide_channel.c holds the registers, resets and interrupts, ide_command.c the commands, ide_transfer.c the
 * movement of data. Used under the device lock.
 */
#ifndef WORKER_DEVICES_IDE_CHANNEL_H
#define WORKER_DEVICES_IDE_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "partitions/root/disk/disk.h"
#include "partitions/root/worker/bus.h"
#include "partitions/root/worker/guest_memory.h"
#include "partitions/root/worker/interrupt_line.h"
#include "partitions/root/worker/devices/ide_bus_master.h"
#include "partitions/root/worker/devices/ide_drive.h"

/* Disk requests of PIO commands are as large as this, whatever the size of a DRQ block. */
#define IDE_BUFFER_SECTORS 128u

/* Enough for a sector scattered in the smallest regions that the bus master knows, two bytes each. */
#define IDE_VECTORS 256u

/*
 * A write or flush found no space on the host: pause the machine, make space, call ide_resume. Must not call
 * back.
 */
typedef void ide_no_space_fn(void *machine, struct disk *disk);

/* Registers that hold two values, so that 48-bit commands can be given: [0] is the one written last. */
struct ide_task_file {
    uint8_t features[2];
    uint8_t count[2];
    uint8_t lba_low[2];
    uint8_t lba_middle[2];
    uint8_t lba_high[2];
    uint8_t device;
    uint8_t control;
};

enum ide_phase {
    IDE_PHASE_IDLE,    /* no command in progress */
    IDE_PHASE_DISK,    /* BSY: a request is with the disk, or is about to be */
    IDE_PHASE_PIO_IN,  /* DRQ: the host reads a block */
    IDE_PHASE_PIO_OUT, /* DRQ: the host writes a block */
    IDE_PHASE_DMA,     /* BSY: the drive waits for the bus master */
};

enum ide_transfer_kind {
    IDE_TRANSFER_PIO_IN,
    IDE_TRANSFER_PIO_OUT,
    IDE_TRANSFER_DMA_IN,
    IDE_TRANSFER_DMA_OUT,
    IDE_TRANSFER_VERIFY,
    IDE_TRANSFER_FLUSH,
};

enum ide_addressing { IDE_ADDRESSING_CHS, IDE_ADDRESSING_LBA28, IDE_ADDRESSING_LBA48 };

/* The command in progress. */
struct ide_transfer {
    enum ide_transfer_kind kind;
    enum ide_addressing addressing; /* how the guest named the sector, and hears of a bad one */
    uint64_t sector;                /* of the next disk request */
    uint32_t remaining;             /* sectors from there to the command's end */
    uint32_t block;                 /* sectors a DRQ block */
    uint32_t filled;    /* bytes of buffer that hold data: read from the disk, or written by the host */
    uint32_t position;  /* PIO: next byte of buffer */
    uint32_t block_end; /* PIO: end of the present DRQ block in buffer */
};

struct ide_channel {
    struct ide_task_file registers;
    struct ide_drive drives[2];
    struct ide_bus_master master;
    enum ide_phase phase;
    struct ide_transfer transfer;

    struct disk_request request;
    struct iovec vector[IDE_VECTORS];
    bool in_flight;    /* the disk has the request */
    bool request_done; /* it is back, and its result waits to be looked at */
    bool abandoned;    /* a reset came while it was in flight */
    bool no_space;     /* it found no space and waits for ide_channel_resume */
    bool running;      /* ide_transfer_run is on the stack */

    const struct guest_memory *memory;
    struct interrupt_line line;
    bool level; /* of INTRQ on the wire */
    ide_no_space_fn *no_space_hook;
    void *machine;
    bool (*may_master)(void *owner); /* PCI bus master enable */
    void *owner;

    uint8_t buffer[IDE_BUFFER_SECTORS * DISK_SECTOR_SIZE];
};

/* `channel` must be zeroed, with drives attached and the last block of fields filled in. */
void ide_channel_reset(struct ide_channel *channel);

/* The drive that DEV selects, or NULL if there is none. */
struct ide_drive *ide_channel_selected(struct ide_channel *channel);

/* Drives INTRQ as the selected drive and nIEN say. */
void ide_channel_update_interrupt(struct ide_channel *channel);

/* The guest's accesses to the command block (base + 0 to 7) and to alternate status / device control. */
extern const struct bus_operations ide_command_block_operations;
extern const struct bus_operations ide_control_block_operations;

/* The guest's accesses to the bus master's eight ports, bytewise. */
uint8_t ide_channel_master_read(struct ide_channel *channel, unsigned offset);
void ide_channel_master_write(struct ide_channel *channel, unsigned offset, uint8_t value);

/* PCI bus mastering was switched on: a transfer may be waiting for it. */
void ide_channel_master_enabled(struct ide_channel *channel);

/* There is space again: issues the request that found none. */
void ide_channel_resume(struct ide_channel *channel);

/*
 * For ide_command.c and ide_transfer.c.
 */

/*
 * Ends the command of `drive` and raises INTRQ: success, or failure with ERR and DF in `status` as they
 * apply.
 */
void ide_channel_complete(struct ide_channel *channel, struct ide_drive *drive);
void ide_channel_fail(struct ide_channel *channel, struct ide_drive *drive, uint8_t status, uint8_t error);

/* The request that a reset left with the disk is back: the reset is over. */
void ide_channel_request_abandoned(struct ide_channel *channel);

#endif
