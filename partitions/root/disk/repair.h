/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mending damaged disks. */
#ifndef DISK_REPAIR_H
#define DISK_REPAIR_H

#include <limits.h>
#include <stdbool.h>

#include "partitions/root/disk/error.h"
#include "partitions/root/disk/progress.h"
#include "partitions/root/disk/repair_finding.h"

struct disk_repair_options {
    /*
     * Mends what is lost, too: blocks that are outside of the file or over its metadata become zeros (of a differencing
     * disk: the parent's), and so do the sectors that a file that was cut off does not have. Without it, nothing is
     * changed while there are such findings.
     */
    bool drop_damaged;
    bool dry_run;   /* everything is looked at, and nothing changed */
    bool no_backup; /* what is changed is not saved before */
    struct disk_progress progress;
};

struct disk_repair_result {
    uint64_t count[DISK_REPAIR_KINDS]; /* of findings */
    bool changed;                      /* it was mended */
    char backup[PATH_MAX];             /* where the file's old contents were saved; "": nowhere */
};

/*
 * Looks an image that nobody uses over, and mends it. A VHD: footers from each other, a footer or header of which the
 * checksum alone is wrong, blocks that lie over each other, a file that was cut off, what is left behind the last
 * block, a mark of a saved machine. A VHDX: headers and region tables from the other copy, a log, entries of the BAT, a
 * file that was cut off. disk_check finds no error in it afterwards, unless something was left: then nothing was
 * changed.
 *
 * Before, what is overwritten or cut off is saved to a new file "PATH.repair-backup", or with "-2" and so on behind it.
 * Each step leaves the image no worse whenever it is interrupted, and the repair may be done again. False with `error`
 * if it cannot be done. `options`, `report` and `result` may be NULL.
 */
bool disk_repair(const char *path, const struct disk_repair_options *options, disk_repair_report *report, void *context,
                 struct disk_repair_result *result, struct disk_error *error);

/*
 * Makes the file what it was before the repair that has saved it to `backup`, which goes with it. To be used before
 * anything else is done with the disk: what was written to it since would be torn.
 */
bool disk_repair_undo(const char *path, const char *backup, struct disk_error *error);

#endif
