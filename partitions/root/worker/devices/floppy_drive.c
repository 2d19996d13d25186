/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "partitions/root/worker/devices/floppy_drive.h"

#define CYLINDERS     80
#define LAST_STOP     (CYLINDERS + 3) /* of the heads */
#define NARROW_TRACKS 48              /* media with fewer cylinders have tracks of twice the width */
#define REVOLUTION    200000000       /* nanoseconds */

/* Most sectors of 512 bytes on a track at each density. */
#define DOUBLE_DENSITY 9
#define HIGH_DENSITY   21

enum floppy_drive_type floppy_drive_type_for(const struct disk *disk)
{
    struct disk_geometry geometry;

    if (!disk)
        return FLOPPY_DRIVE_1440;
    geometry = disk_geometry(disk);
    if (geometry.sectors_per_track > HIGH_DENSITY)
        return FLOPPY_DRIVE_2880;
    return geometry.cylinders < NARROW_TRACKS || geometry.sectors_per_track == 15 ? FLOPPY_DRIVE_1200
                                                                                  : FLOPPY_DRIVE_1440;
}

/*
 * Sizes of the jackets are not looked at: an image of a 5.25 inch medium may be put into a 3.5 inch drive. But
 * the magnetic coating of 2.88 MB takes a head of its own.
 */
bool floppy_drive_takes(const struct floppy_drive *drive, const struct disk *disk)
{
    return drive->type != FLOPPY_NO_DRIVE &&
           (disk_geometry(disk).sectors_per_track <= HIGH_DENSITY || drive->type == FLOPPY_DRIVE_2880);
}

void floppy_drive_step(struct floppy_drive *drive, int steps)
{
    int cylinder = drive->cylinder + steps;

    if (drive->type == FLOPPY_NO_DRIVE || steps == 0)
        return;
    if (drive->disk)
        drive->changed = false;
    drive->cylinder = (uint8_t)(cylinder < 0 ? 0 : cylinder > LAST_STOP ? LAST_STOP : cylinder);
}

bool floppy_drive_track_0(const struct floppy_drive *drive)
{
    return drive->type != FLOPPY_NO_DRIVE && drive->cylinder == 0;
}

bool floppy_drive_write_protected(const struct floppy_drive *drive)
{
    return drive->type != FLOPPY_NO_DRIVE && (!drive->disk || disk_read_only(drive->disk));
}

bool floppy_drive_changed(const struct floppy_drive *drive)
{
    return drive->type != FLOPPY_NO_DRIVE && (!drive->disk || drive->changed);
}

/* Cylinders of the drive to one of the medium. */
static unsigned stride(const struct floppy_drive *drive)
{
    return disk_geometry(drive->disk).cylinders < NARROW_TRACKS ? 2 : 1;
}

static enum floppy_rate medium_rate(const struct floppy_drive *drive)
{
    uint8_t sectors = disk_geometry(drive->disk).sectors_per_track;

    if (sectors > HIGH_DENSITY)
        return FLOPPY_RATE_1M;
    if (sectors > DOUBLE_DENSITY)
        return FLOPPY_RATE_500K;
    return drive->type == FLOPPY_DRIVE_1200 ? FLOPPY_RATE_300K : FLOPPY_RATE_250K;
}

bool floppy_drive_formatted(const struct floppy_drive *drive, unsigned head, enum floppy_rate rate)
{
    struct disk_geometry geometry;

    if (!drive->disk)
        return false;
    geometry = disk_geometry(drive->disk);
    return geometry.sectors_per_track > 0 && head < geometry.heads &&
           drive->cylinder < geometry.cylinders * stride(drive) && rate == medium_rate(drive);
}

struct floppy_id floppy_drive_id(const struct floppy_drive *drive, unsigned head, uint8_t r)
{
    return (struct floppy_id){(uint8_t)(drive->cylinder / stride(drive)), (uint8_t)head, r, FLOPPY_SECTOR_CODE};
}

struct floppy_id floppy_drive_passing(const struct floppy_drive *drive, unsigned head, uint64_t now)
{
    uint64_t sectors = disk_geometry(drive->disk).sectors_per_track;

    return floppy_drive_id(drive, head, (uint8_t)(now % REVOLUTION * sectors / REVOLUTION + 1));
}

/*
 * Where the medium's tracks are twice as wide as the drive's, systems step twice for each; firmware written for
 * virtual machines does not and is right as well.
 */
static bool on_cylinder(const struct floppy_drive *drive, uint8_t c)
{
    return c == drive->cylinder / stride(drive) || (stride(drive) > 1 && c == drive->cylinder);
}

enum floppy_find_result floppy_drive_find(const struct floppy_drive *drive, unsigned head, struct floppy_id id,
                                          uint64_t *sector)
{
    struct disk_geometry geometry = disk_geometry(drive->disk);

    if (!on_cylinder(drive, id.c) || id.c >= geometry.cylinders)
        return FLOPPY_WRONG_CYLINDER;
    if (id.h != head || id.n != FLOPPY_SECTOR_CODE || id.r == 0 || id.r > geometry.sectors_per_track)
        return FLOPPY_NOT_FOUND;
    *sector = ((uint64_t)id.c * geometry.heads + head) * geometry.sectors_per_track + id.r - 1;
    return *sector < disk_sectors(drive->disk) ? FLOPPY_FOUND : FLOPPY_NOT_FOUND;
}

unsigned floppy_drive_sectors_from(const struct floppy_drive *drive, uint8_t r)
{
    return disk_geometry(drive->disk).sectors_per_track - r + 1u;
}
