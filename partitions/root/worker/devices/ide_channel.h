/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One IDE channel: the task file (ATA/ATAPI-6, clause 7), up to two drives, INTRQ, and the command in
 * progress. A channel has at most one request with a disk at a time; it shows BSY until that request is back,
 * whatever the guest does meanwhile, so guest memory is never written after a reset has been reported as
 * done.
 *
 * ide_channel.c holds the registers, resets and interrupts, ide_command.c the commands, atapi.c those that come
 * in packets, ide_transfer.c the movement of data. Used under the device lock.
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

/*
 * A DVD drive lets a medium go that was put into it: the guest or the owner has ejected it, and no request for
 * it is under way any more. Called once for each medium. Must not call back, nor close the disk there and
 * then, since it may be called from within a request's `done`.
 */
typedef void ide_medium_released_fn(void *machine, struct disk *disk);

enum ide_phase {
    IDE_PHASE_IDLE,    /* no command in progress */
    IDE_PHASE_DISK,    /* BSY: a request is with the disk, or is about to be */
    IDE_PHASE_PIO_IN,  /* DRQ: the host reads a block */
    IDE_PHASE_PIO_OUT, /* DRQ: the host writes a block */
    IDE_PHASE_DMA,     /* BSY: the drive waits for the bus master */
};

/*
 * Between disk and host, by way of the buffer (PIO) or not (DMA); or between buffer and host: SEND_DMA tells
 * the host what the buffer holds, and fills it again from the disk while sectors remain; RECEIVE asks the host
 * for as many bytes as `filled` says.
 */
enum ide_transfer_kind {
    IDE_TRANSFER_PIO_IN,
    IDE_TRANSFER_PIO_OUT,
    IDE_TRANSFER_DMA_IN,
    IDE_TRANSFER_DMA_OUT,
    IDE_TRANSFER_VERIFY,
    IDE_TRANSFER_FLUSH,
    IDE_TRANSFER_DISCARD,
    IDE_TRANSFER_SEND_DMA,
    IDE_TRANSFER_RECEIVE_PIO,
    IDE_TRANSFER_RECEIVE_DMA,
};

enum ide_addressing { IDE_ADDRESSING_CHS, IDE_ADDRESSING_LBA28, IDE_ADDRESSING_LBA48 };

struct ide_channel;

/* What the commands of a kind of drive have to say about a transfer. All but `done` and `failed` may be NULL. */
struct ide_protocol {
    /* A DRQ block of `length` bytes is about to be presented. */
    void (*block)(struct ide_channel *channel, struct ide_drive *drive, uint32_t length, bool to_host);
    /* `sectors` have come into the buffer: makes of them what the host gets; returns its length in bytes. */
    uint32_t (*fetched)(struct ide_channel *channel, struct ide_drive *drive, uint32_t sectors);
    /* RECEIVE: the buffer holds what was asked for. */
    void (*received)(struct ide_channel *channel, struct ide_drive *drive);
    /* Everything has been moved: ends the command. */
    void (*done)(struct ide_channel *channel, struct ide_drive *drive);
    /* An errno of the disk, ENOMEDIUM (it was ejected) or EFAULT (of the bus master): ends the command. */
    void (*failed)(struct ide_channel *channel, struct ide_drive *drive, int error);
};

/* The command in progress. */
struct ide_transfer {
    const struct ide_protocol *protocol;
    enum ide_transfer_kind kind;
    enum ide_addressing addressing; /* how the guest named the sector, and hears of a bad one */
    uint64_t sector;                /* of the next disk request */
    uint32_t remaining;             /* sectors from there to the command's end */
    uint32_t batch;                 /* sectors a request into the buffer at most; they end where it ends */
    uint32_t block;                 /* bytes a DRQ block at most */
    uint32_t filled;                /* bytes of buffer that hold data, from the disk, the drive, or the host */
    uint32_t position;              /* next byte of buffer that the host reads or writes */
    uint32_t block_end;             /* PIO: end of the present DRQ block in buffer */
    uint32_t range;                 /* DISCARD: the next entry of the list that the buffer holds */
    bool medium_lost;               /* the medium was ejected: no more requests */
};

struct ide_channel {
    uint8_t control;
    struct ide_drive drives[2];
    struct ide_bus_master master;
    enum ide_phase phase;
    struct ide_transfer transfer;

    struct disk_request request;
    struct iovec vector[IDE_VECTORS];
    struct disk *requested; /* whose request it is */
    struct disk *leaving;   /* a medium that was ejected while its request is under way */
    bool in_flight;         /* the disk has the request */
    bool request_done;      /* it is back, and its result waits to be looked at */
    bool abandoned;         /* a reset came while it was in flight */
    bool no_space;          /* it found no space and waits for ide_channel_resume */
    bool running;           /* ide_transfer_run is on the stack */

    const struct guest_memory *memory;
    struct interrupt_line line;
    bool level; /* of INTRQ on the wire */
    ide_no_space_fn *no_space_hook;
    ide_medium_released_fn *medium_released_hook; /* may be NULL if no medium is ever inserted */
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

/*
 * Takes the medium out of a DVD drive and lets its owner know by the medium_released hook, at once or when the
 * request for it is back. A command that still needs it fails.
 */
void ide_channel_release_medium(struct ide_channel *channel, struct ide_drive *drive);

/* There is space again: issues the request that found none. */
void ide_channel_resume(struct ide_channel *channel);

/*
 * For the commands (ide_command.c, atapi*.c) and ide_transfer.c.
 */

/*
 * Ends the command of `drive` and raises INTRQ: success, or failure with ERR and DF in `status` as they
 * apply.
 */
void ide_channel_complete(struct ide_channel *channel, struct ide_drive *drive);
void ide_channel_fail(struct ide_channel *channel, struct ide_drive *drive, uint8_t status, uint8_t error);

/* Ends it as a read by PIO ends: the host has the last block, and is not interrupted. */
void ide_channel_complete_quietly(struct ide_channel *channel, struct ide_drive *drive);

/* The request that a reset left with the disk is back: the reset is over. */
void ide_channel_request_abandoned(struct ide_channel *channel);

#endif
