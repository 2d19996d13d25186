/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a file had where a repair is about to change it, in a file beside it. Least significant byte first:
 *
 *      0  8  "LOAMUNDO"
 *      8  8  length of the image's file
 *     16  8  from this byte on the image's file was cut off or overwritten; its length if it was not
 *
 * and then parts of the image's file, zeros left out behind the second of these bytes,
 *
 *      0  8  byte of the file
 *      8  8  length, not 0
 *     16     bytes
 *
 * and at the end 16 bytes of zeros and the CRC-32C of everything before it, 4 bytes.
 */
#ifndef DISK_REPAIR_BACKUP_H
#define DISK_REPAIR_BACKUP_H

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/file.h"
#include "partitions/root/disk/progress.h"

/* Told of a part of the image's file; returns 0, or an errno to stop. */
typedef int repair_backup_visit(void *context, uint64_t offset, uint64_t length);

struct repair_backup_source {
    struct disk_file *file; /* the image's */
    uint64_t file_size;
    /* Visits each part that mending may overwrite or cut off, until one does not return 0. */
    int (*overwritten)(const void *repair, repair_backup_visit *visit, void *context);
    const void *repair;
};

/* Saves all that mending may change to a new file `path`, which is durable afterwards. False with `error`; EEXIST if
 * there is such a file already. */
bool repair_backup_write(const char *path, const struct repair_backup_source *source,
                         const struct disk_progress *progress, struct disk_error *error);

/* Makes the image's file what it was, and removes the backup. It may be done again if it was interrupted. False with
 * `error`. */
bool repair_backup_restore(const char *path, struct disk_file *image, struct disk_error *error);

#endif
