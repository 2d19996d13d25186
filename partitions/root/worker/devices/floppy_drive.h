/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A floppy drive and the medium in it: where the heads are, what they see there, and the disk change line. A
 * medium is a disk of 512-byte sectors with the geometry of a format; how dense it is written follows from its
 * sectors on a track.
 */
#ifndef WORKER_DEVICES_FLOPPY_DRIVE_H
#define WORKER_DEVICES_FLOPPY_DRIVE_H

#include <stdbool.h>
#include <stdint.h>
#include "partitions/root/disk/disk.h"

/* As firmware finds them in CMOS register 10h. Each has 80 cylinders and two heads. */
enum floppy_drive_type {
    FLOPPY_NO_DRIVE = 0,
    FLOPPY_DRIVE_1200 = 2, /* 5.25 inches, turns six times a second */
    FLOPPY_DRIVE_1440 = 4, /* 3.5 inches */
    FLOPPY_DRIVE_2880 = 5,
};

/* As in bits 1-0 of the data rate registers. */
enum floppy_rate { FLOPPY_RATE_500K, FLOPPY_RATE_300K, FLOPPY_RATE_250K, FLOPPY_RATE_1M };

#define FLOPPY_SECTOR_CODE   2  /* N, the size code of 512 bytes */
#define FLOPPY_TRACK_SECTORS 36 /* at most */

struct floppy_drive {
    enum floppy_drive_type type;
    struct disk *disk; /* the medium, which stays its owner's; NULL: none */
    uint8_t cylinder;  /* where the heads are */
    bool changed;      /* the latch of the disk change line */
};

/* What identifies a sector on the medium. */
struct floppy_id {
    uint8_t c, h, r, n;
};

enum floppy_find_result { FLOPPY_FOUND, FLOPPY_NOT_FOUND, FLOPPY_WRONG_CYLINDER };

/* The drive that machines have for media of this kind; `disk` NULL: for a drive that begins empty. */
enum floppy_drive_type floppy_drive_type_for(const struct disk *disk);

/* Whether the drive can read and write the medium at any rate. */
bool floppy_drive_takes(const struct floppy_drive *drive, const struct disk *disk);

/* Moves the heads, inwards if `steps` is positive, as far as they go. A step resets the disk change line. */
void floppy_drive_step(struct floppy_drive *drive, int steps);

bool floppy_drive_track_0(const struct floppy_drive *drive);
bool floppy_drive_write_protected(const struct floppy_drive *drive);

/* Bit 7 of the digital input register. */
bool floppy_drive_changed(const struct floppy_drive *drive);

/* Whether address marks pass under the head when it listens at `rate`. */
bool floppy_drive_formatted(const struct floppy_drive *drive, unsigned head, enum floppy_rate rate);

/*
 * The ID of the sector that passes under the head at `now`, nanoseconds. Only on a formatted track, as the next
 * two.
 */
struct floppy_id floppy_drive_passing(const struct floppy_drive *drive, unsigned head, uint64_t now);

/* The ID of sector `r` of this track, as far as it has one. */
struct floppy_id floppy_drive_id(const struct floppy_drive *drive, unsigned head, uint8_t r);

/* Looks on this track for a sector; its place on the disk is in *sector. */
enum floppy_find_result floppy_drive_find(const struct floppy_drive *drive, unsigned head, struct floppy_id id,
                                          uint64_t *sector);

/* How many sectors, in a row on the disk, a track of the medium has from number `r` on, which is one of them. */
unsigned floppy_drive_sectors_from(const struct floppy_drive *drive, uint8_t r);

#endif
