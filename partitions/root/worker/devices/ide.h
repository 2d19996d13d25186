/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IDE controller of the PIIX4 (82371AB, function 1): two channels at their traditional places (1F0h-1F7h,
 * 3F6h, IRQ 14; 170h-177h, 376h, IRQ 15), decoded as the IDETIM registers say, and a bus master at base
 * address register 4. Used under the device lock.
 */
#ifndef WORKER_DEVICES_IDE_H
#define WORKER_DEVICES_IDE_H

#include <stdbool.h>
#include "partitions/root/worker/devices/ide_channel.h"
#include "partitions/root/worker/devices/pci.h"

#define IDE_CHANNELS 2

/*
 * PIIX4 configuration registers of the timing of a channel, primary first: bit 15 makes the channel decode
 * its ports.
 */
#define IDE_PCI_TIMING(channel) (0x40u + 2u * (channel))
#define IDE_PCI_TIMING_DECODE   0x8000u

struct ide {
    struct pci_device pci;
    struct ide_channel channels[IDE_CHANNELS];
    bool mapped[IDE_CHANNELS]; /* the channel's ports are on the bus */
};

struct ide_configuration {
    const struct guest_memory *memory; /* the caller's, as long as the controller lives */
    struct interrupt_line lines[IDE_CHANNELS];
    ide_no_space_fn *no_space;
    ide_medium_released_fn *medium_released; /* may be NULL if no medium is ever inserted */
    void *machine;                           /* handed to both */
};

/*
 * Joins the bus at `slot`, function `function`; `ide` must be zeroed. After a reset no channel decodes its
 * ports until firmware sets IDE_PCI_TIMING_DECODE and the I/O space bit of the command register. False if the
 * place on the bus is taken.
 */
bool ide_initialize(struct ide *ide, struct pci_bus *pci, unsigned slot, unsigned function,
                    const struct ide_configuration *configuration);

/*
 * Puts a drive on a channel, before the machine starts. `serial`: up to 20 characters. False if there is a
 * drive already, if the disk has no sectors, or if it would be a drive 1 without a drive 0, which ATA does
 * not know. The disk stays the caller's.
 */
bool ide_attach(struct ide *ide, unsigned channel, unsigned drive, struct disk *disk, const char *serial);

/*
 * Puts a DVD drive on a channel, without a medium, before the machine starts. `serial` and the result as with
 * ide_attach.
 */
bool ide_attach_dvd(struct ide *ide, unsigned channel, unsigned drive, const char *serial);

/*
 * Puts a medium into a DVD drive, at any time; the tray closes. The guest is told as it would be of a new disc.
 * The disk, of which it sees whole blocks of 2048 bytes, stays the caller's, who may close it after the
 * medium_released hook; it is never written. False if there is no DVD drive, it has a medium, or the disk is
 * smaller than a block.
 */
bool ide_insert_medium(struct ide *ide, unsigned channel, unsigned drive, struct disk *disk);

/*
 * Takes the medium out, at any time, and leaves the tray open. A guest that has locked it is asked instead, by
 * an event, and may eject it later; with `force` it is not asked. False if it stays in, or there is no DVD
 * drive; an empty tray opens. A command that needs the medium fails.
 */
bool ide_eject_medium(struct ide *ide, unsigned channel, unsigned drive, bool force);

/* The disk that is in a DVD drive, NULL if none is. */
struct disk *ide_medium(const struct ide *ide, unsigned channel, unsigned drive);

/* There is space on the host again: every request that found none is issued once more. */
void ide_resume(struct ide *ide);

/*
 * No request is with a disk. Until then the disks may write to guest memory: wait for it before the memory of
 * a machine that was reset or saved is used for something else.
 */
bool ide_is_quiet(const struct ide *ide);

#endif
